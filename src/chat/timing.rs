//! When a call began and ended, as well as the pair tells, and how well that is.
//!
//! ```text
//! millrace.timing   start                          end
//! given             started_at                     ended_at
//! derived           created, or from the other     start + what the provider says it took
//! ingest            created                        now: an upper bound, when created is less than 15 minutes ago
//! unknown           created, or now                start
//! ```

use std::time::Duration;

use crate::genai::decimal::scaled;
use crate::json::document::Value;
use crate::time::UnixNanos;

/// Longest time between `created` and now that still bounds a call.
const INGEST_NANOS_MAX: u64 = 15 * 60 * 1_000_000_000;

/// Times the sender gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct GivenTimes {
    pub(super) started: Option<UnixNanos>,
    pub(super) ended: Option<UnixNanos>,
    pub(super) first_token: Option<UnixNanos>,
}

impl GivenTimes {
    /// Each with the member that gives it.
    pub(super) fn named(self) -> [(&'static str, Option<UnixNanos>); 3] {
        [("started_at", self.started), ("ended_at", self.ended), ("first_token_at", self.first_token)]
    }
}

/// When a call began and ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Timing {
    pub(super) start: UnixNanos,
    pub(super) end: UnixNanos,
    /// `millrace.timing`.
    pub(super) source: &'static str,
    /// Seconds from the given start to the given first token.
    pub(super) first_chunk_seconds: Option<f64>,
}

impl Timing {
    pub(super) fn resolve(given: GivenTimes, response: Value<'_>, now: UnixNanos) -> Self {
        let created = response.get("created").and_then(Value::number).and_then(from_unix).map(|at| at.min(now));
        let took = provider_duration(response);
        let (start, end, source) = match (given.started, given.ended) {
            (Some(start), Some(end)) => (start, end, "given"),
            (None, Some(end)) => match (took, created) {
                (Some(took), _) => (earlier(end, took), end, "derived"),
                (None, Some(created)) => (created.min(end), end, "derived"),
                (None, None) => (end, end, "unknown"),
            },
            (started, None) => match (started.or(created), took) {
                (Some(start), Some(took)) => (start, start.saturating_add(took), "derived"),
                (None, Some(took)) => (earlier(now, took), now, "derived"),
                (Some(start), None) if now >= start && now.nanos_since(start) < INGEST_NANOS_MAX => {
                    (start, now, "ingest")
                }
                (Some(start), None) => (start, start, "unknown"),
                (None, None) => (now, now, "unknown"),
            },
        };
        let first_chunk = given.started.zip(given.first_token).map(|(start, first)| first.nanos_since(start));
        Self { start, end: end.max(start), source, first_chunk_seconds: first_chunk.map(seconds) }
    }
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

fn earlier(at: UnixNanos, by: Duration) -> UnixNanos {
    let nanos = u64::try_from(at.nanos()).unwrap_or(0);
    UnixNanos::new(nanos.saturating_sub(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX))).unwrap_or_default()
}

/// How long the provider says the call took.
fn provider_duration(response: Value<'_>) -> Option<Duration> {
    const SECONDS: i64 = 9;
    const MILLIS: i64 = 6;
    // Groq, in seconds; a queue time of -1 means unknown
    if let Some(total) = response.get("usage").and_then(|usage| nanos(usage, "total_time", SECONDS)) {
        let queue = response.get("usage").and_then(|usage| nanos(usage, "queue_time", SECONDS));
        return Some(total + queue.unwrap_or_default());
    }
    // vLLM
    if let Some(metrics) = response.get("metrics") {
        let parts = [nanos(metrics, "time_to_first_token_ms", MILLIS), nanos(metrics, "generation_time_ms", MILLIS)];
        if let [first, Some(rest)] = parts {
            return Some(first.unwrap_or_default() + rest);
        }
    }
    // llama.cpp
    if let Some(timings) = response.get("timings") {
        let parts = [nanos(timings, "prompt_ms", MILLIS), nanos(timings, "predicted_ms", MILLIS)];
        if parts.iter().any(Option::is_some) {
            return Some(parts.into_iter().flatten().sum());
        }
    }
    // LiteLLM
    nanos(response, "_response_ms", MILLIS)
}

fn nanos(object: Value<'_>, member: &str, scale: i64) -> Option<Duration> {
    /// A call does not take longer than this; what says so is not a duration.
    const DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
    let nanos = scaled(object.get(member)?.number()?, scale).ok()?;
    Some(Duration::from_nanos(nanos)).filter(|duration| *duration <= DURATION_MAX)
}

/// A time as a number: seconds, or by its size milli-, micro- or nanoseconds, since the epoch. 0 is no time.
pub(super) fn from_unix(text: &str) -> Option<UnixNanos> {
    let size: f64 = text.parse().ok()?;
    let scale = match size {
        1e17.. => 0,
        1e14.. => 3,
        1e11.. => 6,
        _ => 9,
    };
    scaled(text, scale).ok().filter(|nanos| *nanos > 0).and_then(UnixNanos::of_start)
}

/// A time as a number or a text.
pub(super) fn from_json(value: Value<'_>) -> Option<UnixNanos> {
    value.number().and_then(from_unix).or_else(|| from_text(&value.str()?))
}

/// A time as RFC 3339 text (`2026-09-21T13:33:20.5+02:00`) or as a number in a text.
pub(crate) fn from_text(text: &str) -> Option<UnixNanos> {
    let text = text.trim();
    rfc3339(text).or_else(|| from_unix(text))
}

fn rfc3339(text: &str) -> Option<UnixNanos> {
    let bytes = text.as_bytes();
    let is = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|byte| wanted.contains(byte));
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to).filter(|digits| digits.bytes().all(|c| c.is_ascii_digit()))?;
        digits.parse::<i64>().ok()
    };
    let punctuated = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let in_range = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !punctuated || !in_range {
        return None;
    }
    let (fraction_nanos, zone) = fraction(text.get(19..)?)?;
    let at = days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - zone_seconds(zone)?;
    let whole = u64::try_from(at).ok()?.checked_mul(1_000_000_000)?;
    UnixNanos::of_start(whole.checked_add(fraction_nanos)?)
}

/// The nanoseconds of `.5Z`, and the zone behind them. Digits beyond nanoseconds are dropped.
fn fraction(text: &str) -> Option<(u64, &str)> {
    let Some(digits) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, zone) = digits.split_at_checked(length).filter(|(digits, _)| !digits.is_empty())?;
    let nanos = digits.get(..9).unwrap_or(digits);
    let scale = 9 - i64::try_from(nanos.len()).ok()?;
    Some((scaled(nanos, scale).ok()?, zone))
}

/// Seconds east of Greenwich.
fn zone_seconds(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = match zone.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, zone.strip_prefix('-')?),
    };
    let (hours, minutes) = rest.split_once(':').or_else(|| rest.split_at_checked(2))?;
    let number = |text: &str, end: i64| {
        let valid = text.len() == 2 && text.bytes().all(|c| c.is_ascii_digit());
        text.parse::<i64>().ok().filter(|value| valid && *value < end)
    };
    Some(sign * (number(hours, 24)? * 3_600 + number(minutes, 60)? * 60))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let leap_days = before / 4 - before / 100 + before / 400;
    let in_year: i64 = (1..month).map(|month| days_in_month(year, month)).sum::<i64>() + day - 1;
    const DAYS_TO_1970: i64 = 719_162;
    before * 365 + leap_days + in_year - DAYS_TO_1970
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::document::Document;

    const NOW: u64 = 1_790_000_100_000_000_000;

    fn at(nanos: u64) -> UnixNanos {
        UnixNanos::new(nanos).unwrap()
    }

    fn resolve(given: GivenTimes, response: &str) -> (i64, i64, &'static str) {
        let doc = Document::parse(response.to_owned()).unwrap();
        let timing = Timing::resolve(given, doc.root(), at(NOW));
        (timing.start.nanos(), timing.end.nanos(), timing.source)
    }

    #[test]
    fn texts_and_numbers_are_times() {
        for text in [
            "2026-09-21T14:13:20.5Z",
            "2026-09-21 14:13:20.500Z",
            "2026-09-21T16:13:20.5+02:00",
            "2026-09-21t14:13:20.5000000009z",
            "1790000000.5",
            "1790000000500",
            "1790000000500000",
            "1790000000500000000",
            "1.7900000005e9",
        ] {
            assert_eq!(from_text(text), Some(at(1_790_000_000_500_000_000)), "{text}");
        }
        assert_eq!(from_text("1970-03-01T00:00:00Z"), Some(at(59 * 86_400 * 1_000_000_000)));
        assert_eq!(from_text("2000-02-29T00:00:00-00:30"), Some(at(951_784_200_000_000_000)));
        for text in [
            "",
            "yesterday",
            "2026-02-29T00:00:00Z",
            "2026-09-21T14:13:20",
            "2026-09-21",
            "-5",
            "0",
            "NaN",
            "9999-01-01T00:00:00Z",
        ] {
            assert_eq!(from_text(text), None, "{text}");
        }
    }

    #[test]
    fn given_times_are_exact() {
        let given = GivenTimes {
            started: Some(at(7_000_000_000)),
            ended: Some(at(9_000_000_000)),
            first_token: Some(at(7_250_000_000)),
        };
        assert_eq!(resolve(given, r#"{"created":1790000000}"#), (7_000_000_000, 9_000_000_000, "given"));
        let doc = Document::parse("{}").unwrap();
        assert_eq!(Timing::resolve(given, doc.root(), at(NOW)).first_chunk_seconds, Some(0.25));
    }

    #[test]
    fn what_the_provider_says_it_took_is_derived() {
        let start = 1_790_000_000_000_000_000;
        for (extra, nanos) in [
            (r#""usage":{"queue_time":0.25,"total_time":1.5}"#, 1_750_000_000),
            (r#""usage":{"queue_time":-1,"total_time":1.5}"#, 1_500_000_000),
            (r#""metrics":{"time_to_first_token_ms":41.2,"generation_time_ms":310.5}"#, 351_700_000),
            (r#""timings":{"prompt_ms":10,"predicted_ms":20.5}"#, 30_500_000),
            (r#""_response_ms":812.5"#, 812_500_000),
        ] {
            let response = format!(r#"{{"created":1790000000,{extra}}}"#);
            assert_eq!(resolve(GivenTimes::default(), &response), (start, start + nanos, "derived"), "{extra}");
        }
    }

    #[test]
    fn without_a_duration_the_end_is_a_bound_or_unknown() {
        let (now, none) = (i64::try_from(NOW).unwrap(), GivenTimes::default());
        let start = 1_790_000_000_000_000_000;
        assert_eq!(resolve(none, r#"{"created":1790000000}"#), (start, now, "ingest"));
        assert_eq!(resolve(none, r#"{"created":1790000000000}"#), (start, now, "ingest"));
        let old = 1_780_000_000_000_000_000;
        assert_eq!(resolve(none, r#"{"created":1780000000}"#), (old, old, "unknown"));
        assert_eq!(resolve(none, r#"{"created":1999999999}"#), (now, now, "ingest"));
        for created in ["0", "-5", "\"1790000000\"", "null"] {
            assert_eq!(resolve(none, &format!(r#"{{"created":{created}}}"#)), (now, now, "unknown"));
        }
    }
}
