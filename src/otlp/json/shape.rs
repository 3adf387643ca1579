//! Where the items of a signal are in its request: what is wrong with a message costs the items in it.
//!
//! ```text
//! request  ->  resource  ->  scope  ->  span, log record
//!                                  ->  metric  ->  gauge, sum, ...  ->  data point
//! ```

use super::fields::{
    EXPONENTIAL_HISTOGRAM, EXPONENTIAL_HISTOGRAM_DATA_POINT, EXPORT_LOGS_SERVICE_REQUEST,
    EXPORT_METRICS_SERVICE_REQUEST, EXPORT_TRACE_SERVICE_REQUEST, Field, GAUGE, HISTOGRAM, HISTOGRAM_DATA_POINT, Kind,
    LOG_RECORD, METRIC, NUMBER_DATA_POINT, RESOURCE_LOGS, RESOURCE_METRICS, RESOURCE_SPANS, SCOPE_LOGS, SCOPE_METRICS,
    SCOPE_SPANS, SPAN, SUM, SUMMARY, SUMMARY_DATA_POINT,
};
use crate::otlp::signal::Signal;

/// The messages of a signal's request.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) request: &'static [Field],
    /// Lists of them hold lists of items.
    holders: &'static [&'static [Field]],
    /// A field holds one of them, with a list of items in it.
    data: &'static [&'static [Field]],
    items: &'static [&'static [Field]],
}

static TRACES: Shape = Shape {
    request: &EXPORT_TRACE_SERVICE_REQUEST,
    holders: &[&RESOURCE_SPANS, &SCOPE_SPANS],
    data: &[],
    items: &[&SPAN],
};

static LOGS: Shape = Shape {
    request: &EXPORT_LOGS_SERVICE_REQUEST,
    holders: &[&RESOURCE_LOGS, &SCOPE_LOGS],
    data: &[],
    items: &[&LOG_RECORD],
};

static METRICS: Shape = Shape {
    request: &EXPORT_METRICS_SERVICE_REQUEST,
    holders: &[&RESOURCE_METRICS, &SCOPE_METRICS, &METRIC],
    data: &[&GAUGE, &SUM, &HISTOGRAM, &EXPONENTIAL_HISTOGRAM, &SUMMARY],
    items: &[&NUMBER_DATA_POINT, &HISTOGRAM_DATA_POINT, &EXPONENTIAL_HISTOGRAM_DATA_POINT, &SUMMARY_DATA_POINT],
};

impl Shape {
    pub(super) fn of(signal: Signal) -> &'static Self {
        match signal {
            Signal::Traces => &TRACES,
            Signal::Logs => &LOGS,
            Signal::Metrics => &METRICS,
        }
    }

    pub(super) fn is_item(&self, message: &[Field]) -> bool {
        is_among(self.items, message)
    }

    /// Whether a list of these messages holds items.
    pub(super) fn is_holder(&self, message: &[Field]) -> bool {
        is_among(self.holders, message)
    }

    /// The list of items in a message that is not in a list itself.
    pub(super) fn items_of(&self, message: &'static [Field]) -> Option<&'static Field> {
        let are_items = |field: &&Field| matches!(field.kind, Kind::Repeated(fields) if self.is_item(fields));
        if is_among(self.data, message) { message.iter().find(are_items) } else { None }
    }
}

fn is_among(messages: &[&'static [Field]], message: &[Field]) -> bool {
    messages.iter().any(|known| std::ptr::eq(*known, message))
}
