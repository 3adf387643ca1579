//! OTLP in protobuf: a pull parser over the request's bytes.
//!
//! ```text
//! decode.rs     the request down to its spans
//! span.rs       one span -> a row            rejection.rs  why it is rejected
//! value.rs      AnyValue -> the text that a ClickHouse map holds
//! fields.rs     OTLP's fields, generated from proto/
//! wire.rs       the wire format, one field at a time
//! ```

pub(crate) mod decode;
mod fields;
mod rejection;
mod span;
mod value;
mod wire;
