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

/// The field that a key of an object names.
pub(crate) fn named<'f>(fields: &'f [Field], key: &[u8]) -> Option<&'f Field> {
    // nearly all keys are JSON names
    let by_json_name = fields.iter().find(|field| field.name.as_bytes() == key);
    by_json_name.or_else(|| fields.iter().find(|field| field.proto_name.as_bytes() == key))
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
    /// As a varint.
    Uint64,
    /// As a varint whose lowest bit is the sign.
    Sint32,
    Fixed32,
    Fixed64,
    Sfixed64,
    Double,
    /// A number, or one of these names.
    Enum(&'static [(&'static str, i32)]),
}

include!(concat!(env!("OUT_DIR"), "/otlp_json.rs"));
