//! When a call began and ended, as well as the captured call tells, and how well that is.
//!
//! ```text
//! millrace.timing   start                          end
//! given             started_at                     ended_at
//! derived           created, or from the other     start + what the provider says it took
//! ingest            created                        now: an upper bound, when created is less than 15 minutes ago
//! unknown           created, or now                start
//! ```

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;

use crate::genai::decimal::scaled;
use crate::genai::plausible;
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
                (Some(took), _) => (end.saturating_sub(took), end, "derived"),
                (None, Some(created)) => (created.min(end), end, "derived"),
                (None, None) => (end, end, "unknown"),
            },
            (started, None) => match (started.or(created), took) {
                (Some(start), Some(took)) => (start, start.saturating_add(took), "derived"),
                (None, Some(took)) => (now.saturating_sub(took), now, "derived"),
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

    /// What tells whether a time to the first token can be: an end that was not given may be another clock's.
    pub(super) fn known(&self) -> plausible::Times {
        let duration = (self.source == "given").then(|| self.end.nanos_since(self.start));
        plausible::Times { duration, first_token_was_seconds: false }
    }
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

/// How long the provider says the call took.
fn provider_duration(response: Value<'_>) -> Option<Duration> {
    const SECONDS: i64 = 9;
    const MILLIS: i64 = 6;
    // Groq, in seconds; a queue time of -1 means unknown
    if let Some(total) = response.get("usage").and_then(|usage| nanos(usage, "total_time", SECONDS)) {
        let queue = response.get("usage").and_then(|usage| nanos(usage, "queue_time", SECONDS));
        return Some(queue.map_or(total, |queue| total + queue));
    }
    // vLLM
    if let Some(metrics) = response.get("metrics") {
        let parts = [nanos(metrics, "time_to_first_token_ms", MILLIS), nanos(metrics, "generation_time_ms", MILLIS)];
        if let [first, Some(rest)] = parts {
            return Some(first.map_or(rest, |first| first + rest));
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

/// RFC 3339, and what else has a date, a time and an offset by Temporal's grammar.
fn rfc3339(text: &str) -> Option<UnixNanos> {
    let at: Timestamp = up_to_nanoseconds(text).parse().ok()?;
    UnixNanos::of_start(u64::try_from(at.as_nanosecond()).ok()?)
}

/// The text without the digits of its fraction beyond nanoseconds, which `jiff` refuses.
fn up_to_nanoseconds(text: &str) -> Cow<'_, str> {
    const DIGITS_MAX: usize = 9;
    let Some((whole, fraction)) = text.split_once('.') else { return text.into() };
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    match fraction.split_at_checked(DIGITS_MAX) {
        Some((kept, _)) if digits > DIGITS_MAX => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{whole}.{kept}{zone}").into()
        }
        _ => text.into(),
    }
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
        for (text, nanos) in [
            ("1970-03-01T00:00:00Z", 59 * 86_400 * 1_000_000_000),
            ("2000-02-29T00:00:00-00:30", 951_784_200_000_000_000),
            ("2000-02-29T00:00:00+0030", 951_780_600_000_000_000),
            ("2026-09-21T14:13:20.123456789999Z", 1_790_000_000_123_456_789),
        ] {
            assert_eq!(from_text(text), Some(at(nanos)), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2026-02-29T00:00:00Z",
            "2026-09-21T14:13:20",
            "2026-09-21T14:13:20.Z",
            "2026-09-21T14:13:20.5é",
            "2026-09-21T24:00:00Z",
            "2026-09-21",
            "1969-12-31T23:59:59Z",
            "-5",
            "0",
            "NaN",
            "9999-01-01T00:00:00Z",
        ] {
            assert_eq!(from_text(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_read_as_temporal_reads_them() {
        for text in [
            "20260921T141320.5Z",
            "2026-09-21T14:13:20,5Z",
            "2026-09-21T16:13:20.5+02",
            "2026-09-21T16:13:20.5+02:00:00",
            "2026-09-21T16:13:20.5+02:00[Europe/Paris]",
        ] {
            assert_eq!(from_text(text), Some(at(1_790_000_000_500_000_000)), "{text}");
        }
        // a leap second is the last of its minute, since neither Unix time nor the table has it
        assert_eq!(from_text("2016-12-31T23:59:60Z"), Some(at(1_483_228_799_000_000_000)));
        assert_eq!(from_text("2016-12-31T23:59:60.5Z"), Some(at(1_483_228_799_500_000_000)));
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
