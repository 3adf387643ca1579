//! Rows with given numbers.

use crate::columns::{MapRow, RowGroup, SpanKind, SpanScalars, StatusCode};
use crate::ids::{ReportKey, SpanId, TraceId};
use crate::journal::{Replay, ReplayedRows};
use crate::time::UnixNanos;

/// A span for each number; every third begins a day later.
pub(crate) fn group(numbers: &[u64]) -> RowGroup {
    let mut rows = RowGroup::default();
    for number in numbers {
        let (trace_id, span_id) = ids(*number);
        let text = format!("span {number}");
        let mark = rows.begin();
        rows.attribute(b"number", text.as_bytes());
        let span = SpanScalars {
            duration_nanos: *number,
            name: text.as_bytes(),
            kind: SpanKind::Client,
            service_name: b"simulated",
            status: StatusCode::Ok,
            ..SpanScalars::new(
                UnixNanos::new(1_790_000_000_000_000_000 + number % 3 / 2 * 86_400_000_000_000 + number).unwrap(),
                trace_id,
                span_id,
            )
        };
        rows.finish(mark, &span, &MapRow::default(), None).unwrap();
    }
    rows
}

/// The ids of a span of [`group`].
pub(crate) fn ids(number: u64) -> (TraceId, SpanId) {
    let mut trace = [1; 16];
    trace[8..].copy_from_slice(&number.to_be_bytes());
    (TraceId::new(trace).unwrap(), SpanId::new((number + (1 << 63)).to_be_bytes()).unwrap())
}

/// The number of a span, from its id as a column holds it.
pub(crate) fn number_of(span_hex: &[u8]) -> u64 {
    u64::from_str_radix(std::str::from_utf8(span_hex).unwrap(), 16).unwrap() - (1 << 63)
}

/// What the spans of [`group`] are known by: their numbers.
pub(crate) fn keys(numbers: &[u64]) -> Vec<ReportKey> {
    numbers.iter().map(|number| ReportKey { place: *number, mark: 1 << 12 }).collect()
}

/// The numbers of the spans that a journal replays.
pub(crate) fn numbers_of(replay: &Replay<'_>) -> Vec<u64> {
    match &replay.rows {
        ReplayedRows::Keys(keys) => keys.iter().map(|key| key.place).collect(),
        ReplayedRows::Block(block) => block.strings("SpanId").unwrap().map(number_of).collect(),
    }
}
