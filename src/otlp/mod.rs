//! OTLP as bytes: traces in, columns out, without an owned tree of spans in between.
//!
//! ```text
//! protobuf/ --------------------> RowGroup
//! json/ ----> Transcoded ---^
//!
//! decoded.rs  what a request became        limits.rs  what one may contain
//! error.rs    what is wrong with a request, or with one of its spans
//! proto       prost messages of the pinned OTLP version: replies, and the oracle of the tests
//! ```

#[cfg(test)]
mod convention_tests;
mod decoded;
mod error;
pub mod json;
mod limits;
mod protobuf;

pub use decoded::{Decoded, Encoding, Root};
pub use error::{DecodeError, Part, WireError};
pub use json::{Transcoded, transcode_traces};
pub use limits::{DAYS_PER_REQUEST_MAX, Limits};
pub use protobuf::decode::{count_spans, decode_traces};

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
