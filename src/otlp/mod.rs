//! OTLP as bytes: traces in, columns out, without an owned tree of spans in between.
//!
//! ```text
//! protobuf --------------------> decode.rs --> RowGroup
//! JSON -----> json.rs (Transcoded) ---^
//!
//! fields.rs  OTLP's fields by their JSON names; scalars.rs writes their values
//! wire.rs    the protobuf wire format, one field at a time
//! value.rs   AnyValue -> the text that a ClickHouse map holds
//! proto      prost messages of the pinned OTLP version: replies, and the oracle of the tests
//! ```

#[cfg(test)]
mod convention_tests;
pub mod json;
pub mod protobuf;

pub use crate::otlp::protobuf::decode::{DecodeError, Decoded, Encoding, Limits, Root, count_spans, decode_traces};
pub use json::{Transcoded, transcode_traces};

/// The messages of OTLP 1.11.0 as prost makes them (proto/ has the sources).
#[expect(missing_docs, clippy::doc_markdown, reason = "generated; documented in proto/")]
#[allow(
    clippy::doc_lazy_continuation,
    clippy::doc_overindented_list_items,
    unreachable_pub,
    rustdoc::all,
    reason = "generated"
)]
pub mod proto {
    /// Services.
    pub mod collector {
        pub mod trace {
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/opentelemetry.proto.collector.trace.v1.rs"));
            }
        }
    }
    /// Values and attributes.
    pub mod common {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/opentelemetry.proto.common.v1.rs"));
        }
    }
    /// Resources.
    pub mod resource {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/opentelemetry.proto.resource.v1.rs"));
        }
    }
    /// Spans.
    pub mod trace {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/opentelemetry.proto.trace.v1.rs"));
        }
    }
}
