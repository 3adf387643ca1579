//! Spans on thousands of days, each of which would be a partition of the table.

use millrace::time::Clock;
use serde_json::{Value, json};

use super::{Attack, hold_off, is_long};
use support::http::post_json;
use support::{Service, wait_until};

const DAY_SECONDS: u64 = 24 * 60 * 60;
/// Days far from today that become partitions before the budget of an hour counts.
const DAYS_AT_ONCE: u64 = 400;
/// A few more while the test runs, and the days at hand.
const DAYS_MORE: u64 = 20;
const SPANS_PER_REQUEST: usize = 50;

#[test]
fn timestamps() {
    hold_off(
        "timestamps",
        &[
            Attack {
                name: "4,000 spans on 4,000 days make no more partitions than the budget has",
                run: four_thousand,
            },
            Attack {
                name: "a year of history in order is taken without a pause, so the budget costs no honest import",
                run: a_year,
            },
            Attack { name: "20,000 spans on 20,000 days are rejected by name or put off", run: twenty_thousand },
        ],
    );
}

fn today() -> u64 {
    u64::try_from(Clock::System.now().day()).expect("it is after 1970")
}

/// Spans of a round, one a day.
fn request(round: u64, days: &[u64]) -> Value {
    let span = |day: &u64| {
        let time = format!("{}000000000", day * DAY_SECONDS + 60);
        json!({"traceId": format!("{:032x}", day + 1), "spanId": format!("{:016x}", round * 100_000 + day + 1), "name": "s",
            "startTimeUnixNano": time, "endTimeUnixNano": time})
    };
    json!({"resourceSpans": [{"scopeSpans": [{"spans": days.iter().map(span).collect::<Vec<_>>()}]}]})
}

/// What became of spans.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fate {
    accepted: u64,
    put_off: u64,
    rejected: u64,
}

/// Sends a span for each of the days, as an attacker does: without trying again.
fn send(service: &Service, round: u64, days: &[u64]) -> Fate {
    let mut fate = Fate::default();
    for days in days.chunks(SPANS_PER_REQUEST) {
        let answer = post_json(&service.http("/v1/traces"), &request(round, days));
        let spans = days.len() as u64;
        let said = answer.text();
        match answer.status {
            200 => {
                let rejected = answer
                    .json()
                    .pointer("/partialSuccess/rejectedSpans")
                    .map_or(0, |count| count.as_u64().or_else(|| count.as_str()?.parse().ok()).expect("a number"));
                assert!(rejected == 0 || said.contains("receivers.timestamps.past"), "{said}");
                fate.rejected += rejected;
                fate.accepted += spans - rejected;
            }
            503 => {
                assert!(said.contains("days_per_hour") && !answer.header("retry-after").is_empty(), "{said}");
                fate.put_off += spans;
            }
            status => panic!("{status}: {said}"),
        }
    }
    fate
}

fn count(service: &Service, what: &str) -> u64 {
    service.sql().number(&format!("SELECT count() AS n FROM {what}"), &[])
}

/// Everybody else is served, nothing accepted is missing, and there are no more partitions than there may be.
fn assert_held(service: &Service, fate: &Fate) {
    let now = today();
    assert_eq!(send(service, 9, &[now, now - 1]), Fate { accepted: 2, ..Fate::default() });
    wait_until("what was accepted is stored", || (count(service, "otel_traces") == fate.accepted + 2).then_some(()));
    let parts = "system.parts WHERE database = 'otel' AND table = 'otel_traces' AND active";
    let partitions = service.sql().number(&format!("SELECT uniqExact(partition) AS n FROM {parts}"), &[]);
    assert!(partitions <= DAYS_AT_ONCE + DAYS_MORE, "{partitions} partitions");
    // known days may get a part from each insert until they are merged
    let parts = count(service, parts);
    assert!(parts <= 4 * (DAYS_AT_ONCE + DAYS_MORE), "{parts} parts");
}

fn four_thousand() {
    let service = Service::start();
    let now = today();
    let fate = send(&service, 0, &(0..4_000).map(|ago| now - ago).collect::<Vec<_>>());
    assert!(fate.put_off > 3_000 && fate.accepted >= DAYS_AT_ONCE - SPANS_PER_REQUEST as u64, "{fate:?}");
    assert!(fate.rejected > 300, "those more than 3650 days ago: {fate:?}");
    assert_held(&service, &fate);
}

fn a_year() {
    let service = Service::start();
    let now = today();
    // a few days in the short form, each with many requests
    let days = if is_long() { 365 } else { 10 };
    let mut fate = Fate::default();
    for ago in (8..8 + days).rev() {
        for round in 0..3 {
            let Fate { accepted, put_off, rejected } = send(&service, round, &[now - ago]);
            assert_eq!((put_off, rejected), (0, 0), "{ago} days ago");
            fate.accepted += accepted;
        }
    }
    assert_held(&service, &fate);
}

fn twenty_thousand() {
    let service = Service::start();
    let now = today();
    let step = if is_long() { 1 } else { 4 };
    let days: Vec<u64> = (0..20_000.min(now)).step_by(step).map(|ago| now - ago).collect();
    let mut fate = send(&service, 0, &days);
    assert_eq!(fate.accepted + fate.put_off + fate.rejected, days.len() as u64);
    assert!(fate.rejected > days.len() as u64 / 2, "{fate:?}");
    // further spans of days that are known
    let known: Vec<u64> = days.iter().copied().take(150).collect();
    for round in 1..3 {
        let Fate { accepted, put_off, rejected } = send(&service, round, &known);
        assert_eq!((accepted + put_off, rejected), (150, 0));
        fate.accepted += accepted;
    }
    assert_held(&service, &fate);
}
