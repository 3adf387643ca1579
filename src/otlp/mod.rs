//! OTLP as bytes: requests in, columns out, without an owned tree of messages in between.
//!
//! ```text
//! protobuf/ --------------------> RowGroup
//! json/ ----> Transcoded ---^
//!
//! decoded.rs  what a request became        limits.rs  what one may contain
//! error.rs    what is wrong with a request, or with one of its spans
//! redacted.rs  a request without what is secret
//! signal.rs   traces, logs and metrics
//! proto       the messages themselves: replies, and the oracle of the tests
//! ```

mod decoded;
mod error;
pub mod json;
mod limits;
mod protobuf;
mod redacted;
mod signal;
#[cfg(test)]
mod tests;

pub use decoded::{Decoded, DecodedRecords, Encoding, Root};
pub use error::{DecodeError, Part, WireError};
pub use json::{Transcoded, transcode, transcode_traces};
pub use limits::{DAYS_PER_REQUEST_MAX, Limits};
pub use protobuf::by_attribute::{PartOfRequest, parts_by_attribute};
pub use protobuf::count::count_items;
pub use protobuf::decode::{decode_priced, decode_traces};
pub use protobuf::logs::{decode_logs, decode_logs_priced};
pub use protobuf::marked::with_resource_attribute;
pub use protobuf::metrics::decode_metrics;
pub use redacted::redacted;
pub use signal::Signal;

/// The messages of OTLP, as `opentelemetry-proto` has them.
pub use opentelemetry_proto::tonic as proto;
