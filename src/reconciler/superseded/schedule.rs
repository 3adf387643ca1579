//! When to look at which span: soon after another report of it was accepted, when both should be in the table, then after
//! pauses that grow, until the walk alone comes to it.

use crate::dedup::ReportedAgain;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// An accepted row is in the table after about a second.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// Looks at a span: the last is about half an hour after the first, when ClickHouse was there all the time.
const LOOKS_MAX: u32 = 12;
/// Spans that are waited for at most; the walk finds the others.
const SPANS_WAITING_MAX: usize = 131_072;

/// A span to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) span: ReportedAgain,
    looks: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Schedule {
    due: BTreeMap<(Instant, u64), Due>,
    number: u64,
}

impl Schedule {
    pub(crate) fn note(&mut self, span: ReportedAgain, now: Instant) {
        self.put(Due { span, looks: 0 }, now + PAUSE_FIRST);
    }

    /// Those whose time has come, at most so many.
    pub(crate) fn take_due(&mut self, now: Instant, spans_max: usize) -> Vec<Due> {
        let due: Vec<(Instant, u64)> =
            self.due.range(..=(now, u64::MAX)).map(|(key, _)| *key).take(spans_max).collect();
        due.iter().filter_map(|key| self.due.remove(key)).collect()
    }

    /// Nothing was found: perhaps one of the reports is not in the table yet.
    pub(crate) fn again(&mut self, due: Due, now: Instant) {
        if due.looks < LOOKS_MAX {
            self.put(Due { looks: due.looks + 1, ..due }, now + PAUSE_FIRST * 2_u32.saturating_pow(due.looks));
        }
    }

    fn put(&mut self, due: Due, at: Instant) {
        if self.due.len() < SPANS_WAITING_MAX {
            self.number += 1;
            self.due.insert((at, self.number), due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{SpanId, TraceId};

    fn span(number: u8) -> ReportedAgain {
        let (trace, span) = (TraceId::new([number; 16]).unwrap(), SpanId::new([number; 8]).unwrap());
        ReportedAgain { trace, span, began: 0 }
    }

    #[test]
    fn a_span_is_looked_at_soon_and_then_less_and_less_often_until_the_end() {
        let (start, mut schedule) = (Instant::now(), Schedule::default());
        schedule.note(span(1), start);
        let mut looks = Vec::new();
        for half_seconds in 0..20_000_u32 {
            let now = start + PAUSE_FIRST * half_seconds;
            for due in schedule.take_due(now, 10) {
                looks.push(half_seconds);
                schedule.again(due, now);
            }
        }
        assert_eq!(looks, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 2_048, 4_096]);
    }

    #[test]
    fn of_many_that_are_due_the_first_go_first() {
        let (start, mut schedule) = (Instant::now(), Schedule::default());
        (1..=5).for_each(|number| schedule.note(span(number), start));
        assert!(schedule.take_due(start, 10).is_empty());
        let numbers = |due: Vec<Due>| due.iter().map(|due| due.span.span.bytes()[0]).collect::<Vec<_>>();
        assert_eq!(numbers(schedule.take_due(start + PAUSE_FIRST, 2)), [1, 2]);
        assert_eq!(numbers(schedule.take_due(start + PAUSE_FIRST, 10)), [3, 4, 5]);
    }
}
