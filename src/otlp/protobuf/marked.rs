//! A request with one more attribute at each of its resources.
//!
//! Source: OTLP 1.11.0, trace.proto, logs.proto, metrics.proto, and protobuf's rule that a message that is there twice is merged.

use super::fields;
use super::walk::{each_field, only};
use super::write::{Message, put_text};
use crate::otlp::error::{DecodeError, Part};
use crate::otlp::signal::Signal;

/// The request in protobuf, in which each resource has the attribute too.
///
/// # Errors
/// If its resources cannot be told apart.
pub fn with_resource_attribute(request: &[u8], signal: Signal, key: &str, value: &str) -> Result<Vec<u8>, DecodeError> {
    let mut resource = Vec::with_capacity(key.len() + value.len() + 32);
    let part = Message::open(&mut resource, 1);
    let of_attribute = Message::open(&mut resource, 1);
    put_text(&mut resource, 1, key);
    let of_value = Message::open(&mut resource, 2);
    put_text(&mut resource, 1, value);
    of_value.close(&mut resource);
    of_attribute.close(&mut resource);
    part.close(&mut resource);
    let mut marked = Vec::with_capacity(request.len() + resource.len() + 16);
    each_field(request, Part::Request(signal), only!(ExportTraceServiceRequest::ResourceSpans), |message| {
        let of_resource = Message::open(&mut marked, 1);
        marked.extend_from_slice(message);
        marked.extend_from_slice(&resource);
        of_resource.close(&mut marked);
        Ok(())
    })?;
    Ok(marked)
}
