//! The fields of OTLP's messages by their JSON names: their numbers, and how their values are written. `build.rs` generates the
//! tables from `proto/`.

/// A field of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// Its JSON name.
    pub(crate) name: &'static str,
    /// Its name in the .proto file, which parsers accept as well.
    pub(crate) proto_name: &'static str,
    pub(crate) number: u32,
    /// How its value is written.
    pub(crate) kind: Kind,
}

impl Field {
    /// Whether this key of an object is its name.
    pub(crate) fn has_name(&self, key: &[u8]) -> bool {
        self.name.as_bytes() == key || self.proto_name.as_bytes() == key
    }
}

/// What a field's value is in JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Scalar(Scalar),
    /// A list of scalars.
    Scalars(Scalar),
    /// An object with these fields.
    Message(&'static [Field]),
    /// A list of objects with these fields.
    Repeated(&'static [Field]),
}

/// The types of values that are not messages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scalar {
    Text,
    HexId,
    Base64,
    Bool,
    Int32,
    Uint32,
    Int64,
    Fixed32,
    Fixed64,
    Double,
    /// A number, or one of these names.
    Enum(&'static [(&'static str, i32)]),
}

include!(concat!(env!("OUT_DIR"), "/otlp_json.rs"));
