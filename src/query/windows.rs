//! A page of what is sorted by time is looked for near its beginning first, and farther only as long as it is not full.
//!
//! ```text
//! newest first    [----------------------- all -----------------------]     the list's own condition, last
//!                                      [--------- 8 days ------------]
//!                                                        [-- 1 day --]
//!                                                           [ 1 hour ]     from where the page begins: now, a cursor, or a bound
//! ```
//!
//! Each has what the one before has, so that a full page is the same in all of them. Sorted the other way they begin with a bound or a
//! cursor; without either nobody knows where the first rows are, and all are looked at.

use super::cursor::PageStart;
use super::filter::Condition;
use super::q::Search;
use super::request::bounds;
use crate::time::UnixNanos;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// How far is looked, one after the other.
pub(super) const LENGTHS: [Duration; 3] = [HOUR, HOUR.saturating_mul(24), HOUR.saturating_mul(8 * 24)];

/// The conditions by which a page of a list is looked for, one after the other; the last one is the list's own.
pub(super) fn of(
    condition: &Condition,
    search: Option<&Search>,
    (start, is_descending): (&PageStart, bool),
    lengths: &[Duration],
    now: UnixNanos,
) -> Vec<Condition> {
    let (since, until) = bounds(condition, search);
    let after = match start {
        PageStart::After(after) => UnixNanos::from_i64(after.at),
        PageStart::No | PageStart::First => None,
    };
    let (since_field, until_field) = (|at| Condition::Since(STARTED, at), |at| Condition::Until(STARTED, at));
    let begins_there = if is_descending { after.map(until_field) } else { after.map(since_field) };
    let within = |end: Condition| {
        let bounds = [Some(condition.clone()), begins_there.clone(), Some(end)];
        Condition::All(bounds.into_iter().flatten().collect())
    };
    let mut conditions: Vec<Condition> = if is_descending {
        let begin = after.or(until).unwrap_or(now);
        let ends = lengths.iter().map(|length| begin.saturating_sub(*length));
        ends.take_while(|end| since.is_none_or(|since| since < *end)).map(|end| within(since_field(end))).collect()
    } else {
        let begin = after.or(since);
        let ends = lengths.iter().filter_map(|length| Some(begin?.saturating_add(*length)));
        ends.take_while(|end| *end < until.unwrap_or(now)).map(|end| within(until_field(end))).collect()
    };
    conditions.push(condition.clone());
    conditions
}

/// The field by which lists are sorted.
const STARTED: &str = "started_at";

#[cfg(test)]
mod tests {
    use super::super::cursor::After;
    use super::*;

    fn now() -> UnixNanos {
        UnixNanos::default().saturating_add(days(1_000))
    }

    fn days(days: u64) -> Duration {
        HOUR.saturating_mul(24).saturating_mul(u32::try_from(days).unwrap())
    }

    fn looked(condition: &Condition, start: &PageStart, is_descending: bool) -> Vec<Condition> {
        let mut conditions = of(condition, None, (start, is_descending), &LENGTHS, now());
        assert_eq!(conditions.pop().as_ref(), Some(condition), "the list's own is the last");
        let added = |of: Condition| match of {
            Condition::All(mut parts) => parts.pop().unwrap(),
            other => other,
        };
        conditions.into_iter().map(added).collect()
    }

    #[test]
    fn the_newest_are_looked_for_from_now_a_bound_or_a_cursor() {
        let since = |at: UnixNanos| LENGTHS.map(|length| Condition::Since(STARTED, at.saturating_sub(length))).to_vec();
        let all = Condition::All(Vec::new());
        assert_eq!(looked(&all, &PageStart::No, true), since(now()));
        let old = now().saturating_sub(days(40));
        assert_eq!(looked(&Condition::Until(STARTED, old), &PageStart::First, true), since(old));
        let after = PageStart::After(After { at: old.nanos(), keys: Vec::new() });
        assert_eq!(looked(&all, &after, true), since(old));
        // a bound is not passed
        let bounded = Condition::Since(STARTED, now().saturating_sub(days(2)));
        assert_eq!(looked(&bounded, &PageStart::No, true), since(now())[..2]);
    }

    #[test]
    fn the_oldest_are_looked_for_from_a_bound_or_a_cursor() {
        let old = now().saturating_sub(days(4));
        let until = LENGTHS.map(|length| Condition::Until(STARTED, old.saturating_add(length)));
        assert_eq!(looked(&Condition::Since(STARTED, old), &PageStart::No, false), until[..2]);
        let after = PageStart::After(After { at: old.nanos(), keys: Vec::new() });
        assert_eq!(looked(&Condition::All(Vec::new()), &after, false), until[..2]);
        assert_eq!(looked(&Condition::All(Vec::new()), &PageStart::First, false), []);
    }
}
