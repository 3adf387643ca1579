//! `GET /traces/histogram`: how many traces began when, and how many of them failed.

use super::range::{Ranged, kind};
use super::{List, statements};
use crate::clickhouse::Statement;
use crate::query::answer::{Refusal, json_answer};
use crate::query::counted::Counted;
use crate::query::request::{Api, with_search};
use crate::query::times::shown;
use crate::time::UnixNanos;
use ::clickhouse::Row;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const BUCKETS: u64 = 60;
const BUCKETS_MAX: u64 = 300;
/// How far back it looks when no time is given.
pub(super) const LOOK_BACK: Duration = Duration::from_secs(24 * 60 * 60);
const SECOND: u64 = 1_000_000_000;
/// Lengths of a bucket in seconds, up to a day; longer ones are days.
const STEPS: [u64; 15] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 10_800, 21_600];
const DAY: u64 = 86_400;

#[derive(Debug, Row, Deserialize)]
struct Bucket {
    bucket: u64,
    traces: u64,
    errors: u64,
}

/// How long a bucket is, in seconds: the shortest of which this many cover the range.
fn step(since: UnixNanos, until: UnixNanos, buckets: u64) -> u64 {
    let seconds = until.nanos_since(since).div_ceil(SECOND).max(1);
    let least = seconds.div_ceil(buckets.max(1));
    let step = STEPS.into_iter().find(|step| *step >= least);
    step.unwrap_or_else(|| least.div_ceil(DAY).saturating_mul(DAY))
}

/// `GET /traces/histogram`
pub(in crate::query) async fn histogram(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let kind = kind(&api, &["buckets"]);
    let (counted, buckets) = Counted::read(&api, (&name, query.as_deref()), kind, |checks, _| {
        checks.integer("buckets", 1, BUCKETS_MAX).unwrap_or(BUCKETS)
    })?;
    let ranged = Ranged::new(counted, LOOK_BACK);
    let (since, until) = ranged.bounds;
    let step = step(since, until, buckets);
    let found: Vec<Bucket> = api.reads.ask(&statement(&ranged.list(&api), step)).await?;
    let mut answer = Map::new();
    answer.insert("since".to_owned(), shown(since.nanos()).into());
    answer.insert("until".to_owned(), shown(until.nanos()).into());
    answer.insert("bucket_seconds".to_owned(), step.into());
    answer.insert("data".to_owned(), filled(&found, since, until, step));
    if let Some(filter) = &ranged.of.filter {
        answer.insert("filter".to_owned(), filter.echo());
    }
    Ok(json_answer(StatusCode::OK, &with_search(answer, ranged.of.search.as_ref())))
}

fn statement(list: &List<'_>, step: u64) -> Statement {
    let mut statement = Statement::new("SELECT toUInt64(intDiv(toUnixTimestamp64Nano(Started), ");
    statement
        .bind(step.saturating_mul(SECOND))
        .push(")) AS bucket, count() AS traces, countIf(head_status = 'error') AS errors");
    statements::push_from(&mut statement, list, &["status"]);
    statement.push(" GROUP BY bucket ORDER BY bucket");
    statement
}

/// Every bucket of the range, those without a trace too.
fn filled(found: &[Bucket], since: UnixNanos, until: UnixNanos, step: u64) -> Value {
    let found: BTreeMap<u64, &Bucket> = found.iter().map(|bucket| (bucket.bucket, bucket)).collect();
    let length = step.saturating_mul(SECOND);
    let number = |at: UnixNanos| at.nanos_since(UnixNanos::default()) / length;
    let shown_at = |number: u64| shown(i64::try_from(number.saturating_mul(length)).unwrap_or(i64::MAX));
    let one = |number: u64| {
        let (traces, errors) = found.get(&number).map_or((0, 0), |bucket| (bucket.traces, bucket.errors));
        json!({"at": shown_at(number), "traces": traces, "errors": errors})
    };
    (number(since)..=number(until)).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixNanos {
        UnixNanos::new(seconds * SECOND).unwrap()
    }

    #[test]
    fn buckets_have_a_round_length_and_are_not_more_than_asked_for() {
        assert_eq!(step(at(0), at(60), 60), 1);
        assert_eq!(step(at(0), at(3_600), 50), 120);
        assert_eq!(step(at(0), at(90 * DAY), 60), 2 * DAY);
        assert_eq!(step(at(5), at(5), 60), 1);
        let found = [Bucket { bucket: 1, traces: 3, errors: 1 }];
        let filled = filled(&found, at(5), at(29), 10);
        let traces: Vec<&Value> = filled.as_array().unwrap().iter().map(|bucket| &bucket["traces"]).collect();
        assert_eq!(traces, [0, 3, 0]);
    }
}
