//! OTLP in protobuf: a pull parser over the request's bytes.
//!
//! ```text
//! walk.rs       any request down to its items, with their resource and scope
//! request.rs    what is counted of it        rejection.rs  why an item is rejected
//! decode.rs     spans                        span.rs       one span -> a row
//! logs.rs       log records -> rows          event_span.rs  one that reports a call -> a row of spans beside
//! evaluations.rs  one that reports an evaluation -> an evaluator result beside
//! count.rs      how many items a request has
//! marked.rs     a request with one more attribute of its resources
//! by_attribute.rs  a request -> requests, by an attribute of its resources
//! metrics.rs    data points                  metrics/      one data point -> a row
//! value.rs      AnyValue -> the text that a ClickHouse map holds
//! fields.rs     OTLP's fields, generated from proto/
//! wire.rs       the wire format, one field at a time, read      write.rs  written
//! ```

pub(crate) mod by_attribute;
pub(crate) mod count;
pub(crate) mod decode;
mod evaluations;
mod event_span;
mod fields;
pub(crate) mod logs;
pub(crate) mod marked;
pub(crate) mod metrics;
mod rejection;
mod request;
mod span;
#[cfg(test)]
mod testing;
pub(crate) mod value;
mod walk;
pub(crate) mod wire;
pub(crate) mod write;
