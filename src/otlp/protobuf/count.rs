//! How many items a request has, without reading them.

use super::fields;
use super::metrics::count_points;
use super::walk::{each_field, only};
use crate::otlp::error::Part;
use crate::otlp::signal::Signal;

/// Counts the items of a request without reading them, for a request that is refused for lack of memory. Bytes that are not OTLP
/// have none.
#[must_use]
pub fn count_items(request: &[u8], signal: Signal) -> usize {
    let mut items = 0;
    let _malformed_counts_so_far =
        each_field(request, Part::Request(signal), only!(ExportTraceServiceRequest::ResourceSpans), |of_resource| {
            each_field(of_resource, Part::OfResource(signal), only!(ResourceSpans::ScopeSpans), |of_scope| {
                each_field(of_scope, Part::OfScope(signal), only!(ScopeSpans::Spans), |item| {
                    items += items_in(item, signal);
                    Ok(())
                })
            })
        });
    items
}

fn items_in(message: &[u8], signal: Signal) -> usize {
    match signal {
        Signal::Traces | Signal::Logs => 1,
        Signal::Metrics => count_points(message),
    }
}
