//! What one request may contain.

use crate::bounds::{DEPTH_MAX, REQUEST_ROWS_BYTES_MAX, REQUEST_SPANS_MAX};
use crate::retention::Cutoff;
use crate::timestamps::{DAYS_AT_ONCE, Window};

/// Days that the spans of one request may begin on. Each is a partition that its insert writes to, and ClickHouse takes
/// about 10 ms for each.
pub const DAYS_PER_REQUEST_MAX: usize = 400;
// otherwise a request that is allowed would never be admitted
const _: () = assert!(DAYS_PER_REQUEST_MAX as u64 <= DAYS_AT_ONCE);

/// What one request may contain.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Spans.
    pub spans: usize,
    /// Spans, attributes (those of a resource and a scope once for each of its spans), events and links together.
    pub items: usize,
    /// Bytes of the rows made from it.
    pub column_bytes: usize,
    /// Levels of nested lists and maps in an attribute.
    pub depth: usize,
    /// A span that began before it is not taken.
    pub cutoff: Option<Cutoff>,
    /// Nor one that begins outside of it.
    pub window: Option<Window>,
    /// The cutoff of spans, for those that are made of log records.
    pub cutoff_of_spans: Option<Cutoff>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            spans: REQUEST_SPANS_MAX,
            items: 2_000_000,
            column_bytes: REQUEST_ROWS_BYTES_MAX,
            depth: DEPTH_MAX,
            cutoff: None,
            window: None,
            cutoff_of_spans: None,
        }
    }
}
