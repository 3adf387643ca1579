//! `GET /traces/metrics`: how many traces there were in each bucket of time, how many failed, and what they took.
//!
//! ```text
//! traces that began in the range --LEFT JOIN genai_traces--> their sums --bucket--> counts, sums, means and quantiles
//! ```
//!
//! Source: NeMo Intake's OpenAPI document of the release that came as `nemo-helix` 0.8.1, and its recorded answers.

use super::List;
use super::range::{Bounds, Ranged, kind};
use super::statements::push_from;
use crate::clickhouse::Statement;
use crate::query::answer::{Refusal, json_answer};
use crate::query::counted::Counted;
use crate::query::request::{Api, NEAR, with_search};
use crate::query::times::shown;
use ::clickhouse::Row;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// How far back it looks when no time is given.
const LOOK_BACK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Buckets of one answer.
const BUCKETS_MAX: u64 = 2_000;
const UTC: &str = "UTC";

/// Names, how a bucket begins (`{zone}` is the time zone), and how many seconds it has at least.
const BUCKETS: [(&str, &str, u64); 5] = [
    ("total", "toInt64(0)", u64::MAX),
    ("hour", "toInt64(toUnixTimestamp(toStartOfHour(Started, {zone})))", 3_600),
    ("day", "toInt64(toUnixTimestamp(toStartOfDay(Started, {zone})))", 23 * 3_600),
    ("week", "toInt64(toUnixTimestamp(toDateTime(toStartOfWeek(Started, 1, {zone}), {zone})))", 7 * 23 * 3_600),
    ("month", "toInt64(toUnixTimestamp(toDateTime(toStartOfMonth(Started, {zone}), {zone})))", 28 * 23 * 3_600),
];
const DEFAULT: usize = 2;

/// What is told of each measure, by the column of `genai_traces` that it is.
const MEASURES: [(&str, &str); 5] = [
    ("input_tokens", "InputTokens"),
    ("output_tokens", "OutputTokens"),
    ("cached_tokens", "CacheReadTokens"),
    ("total_tokens", "TotalTokens"),
    ("cost_usd", "CostTotal"),
];

/// A bucket. Of each measure: sum, mean, and the 90th and 99th of a hundred; of latencies mean, 50th, 90th, 95th and 99th.
#[derive(Debug, Row, Deserialize)]
struct Bucket {
    /// Seconds since 1970.
    bucket: i64,
    traces: u64,
    failed: u64,
    sums: Vec<Vec<Option<f64>>>,
    /// Nanoseconds.
    latency: Vec<Option<f64>>,
}

/// `GET /traces/metrics`
pub(in crate::query) async fn metrics(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let names = BUCKETS.map(|(name, ..)| name);
    let kind = kind(&api, &["bucket", "timezone"]);
    let (counted, (bucket, zone)) = Counted::read(&api, (&name, query.as_deref()), kind, |checks, parameters| {
        let zone = parameters.get("timezone").unwrap_or(UTC).to_owned();
        (checks.word("bucket", "enum", &names), zone)
    })?;
    let ranged = Ranged::new(counted, LOOK_BACK);
    let asked = BUCKETS.iter().find(|(name, ..)| Some(*name) == bucket).or(BUCKETS.get(DEFAULT));
    let Some((bucket, expression, seconds)) = asked else { return Err(Refusal::bad_request("no such bucket")) };
    check_count(ranged.bounds, bucket, *seconds)?;
    check_zone(&api, &zone).await?;
    let statement = statement(&ranged.list(&api), ranged.bounds, expression, &zone);
    let found: Vec<Bucket> = api.reads.ask(&statement).await?;
    let mut answer = Map::new();
    answer.insert("bucket".to_owned(), (*bucket).into());
    answer.insert("timezone".to_owned(), zone.into());
    answer.insert("data".to_owned(), found.iter().map(|of| of.to_json(*bucket != "total")).collect());
    Ok(json_answer(StatusCode::OK, &with_search(answer, ranged.of.search.as_ref())))
}

fn check_count((since, until): Bounds, bucket: &str, seconds: u64) -> Result<(), Refusal> {
    let buckets = until.nanos_since(since) / 1_000_000_000 / seconds;
    if buckets > BUCKETS_MAX {
        return Err(Refusal::bad_request(&format!(
            "The range has {buckets} buckets of a {bucket}; at most {BUCKETS_MAX} are answered: ask for a shorter range or a longer bucket."
        )));
    }
    Ok(())
}

/// ClickHouse makes the buckets, so it is asked which time zones there are.
async fn check_zone(api: &Api, zone: &str) -> Result<(), Refusal> {
    #[derive(Row, Deserialize)]
    struct Zones {
        zones: u64,
    }
    if zone == UTC {
        return Ok(());
    }
    let mut statement = Statement::new("SELECT count() AS zones FROM system.time_zones WHERE time_zone = ");
    statement.bind(zone);
    let found: Option<Zones> = api.reads.ask_one(&statement).await?;
    match found {
        Some(Zones { zones: 1.. }) => Ok(()),
        _ => Err(Refusal::bad_request(&format!("Unknown timezone: {zone}"))),
    }
}

fn statement(list: &List<'_>, (since, until): Bounds, bucket: &str, zone: &str) -> Statement {
    let mut statement = Statement::default();
    let zone = statement.place(zone);
    let quantile = |level: &str, of: &str| format!("quantileOrNull({level})({of})");
    let sums = MEASURES.map(|(_, column)| {
        let of = format!("toFloat64(s.{column})");
        format!("[sumOrNull({of}), avgOrNull({of}), {}, {}]", quantile("0.9", &of), quantile("0.99", &of))
    });
    let latency = ["0.5", "0.9", "0.95", "0.99"].map(|level| quantile(level, "h.latency")).join(", ");
    statement.push(&format!(
        "SELECT {} AS bucket, count() AS traces, countIf(h.head_status = 'error') AS failed, [{}] AS sums, \
         [avgOrNull(h.latency), {latency}] AS latency FROM (SELECT TraceId, Started, head_status, \
         toFloat64(nullIf(head_duration, 0)) AS latency",
        bucket.replace("Started", "h.Started").replace("{zone}", &zone),
        sums.join(", "),
    ));
    push_from(&mut statement, list, &["status", "duration"]);
    let columns = MEASURES.map(|(_, column)| format!("toNullable({column}) AS {column}")).join(", ");
    let traces = list.api.reads.client().full_name("genai_traces");
    statement.push(&format!(") AS h LEFT ANY JOIN (SELECT TraceId, {columns} FROM {traces} WHERE Workspace = "));
    statement.bind(list.workspace.as_str());
    statement.push(" AND Timestamp >= ").bind(since.saturating_sub(NEAR));
    statement.push(" AND Timestamp <= ").bind(until.saturating_add(NEAR));
    statement.push(") AS s ON h.TraceId = s.TraceId GROUP BY bucket ORDER BY bucket");
    statement
}

impl Bucket {
    /// As it is answered; what is not known is left out.
    fn to_json(&self, has_start: bool) -> Value {
        let mut row = Map::new();
        if has_start {
            row.insert("bucket_start".to_owned(), shown(self.bucket.saturating_mul(1_000_000_000)).into());
        }
        row.insert("run_count".to_owned(), self.traces.into());
        row.insert("failed_run_count".to_owned(), self.failed.into());
        for ((name, _), values) in MEASURES.iter().zip(&self.sums) {
            let mut told = known(&["sum", "mean", "p90", "p99"], values, 1.0);
            // tokens are whole
            if let Some(sum) = told.get_mut("sum").filter(|_| *name != "cost_usd") {
                *sum = whole(sum);
            }
            row.insert((*name).to_owned(), told.into());
        }
        let latency = known(&["mean", "p50", "p90", "p95", "p99"], &self.latency, 1e6);
        row.insert("latency_ms".to_owned(), latency.into());
        row.into()
    }
}

fn known(names: &[&str], values: &[Option<f64>], unit: f64) -> Map<String, Value> {
    let known = names.iter().zip(values).filter_map(|(name, value)| Some((*name, value.filter(|of| of.is_finite())?)));
    known.map(|(name, value)| (name.to_owned(), json!(value / unit))).collect()
}

/// The same number without a point.
fn whole(number: &Value) -> Value {
    let text = number.as_f64().map_or_else(String::new, |number| format!("{number:.0}"));
    text.parse::<u64>().map_or_else(|_other| number.clone(), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixNanos;

    #[test]
    fn a_bucket_says_what_is_known_of_it_and_a_range_has_a_bounded_number_of_them() {
        let none = || vec![None; 4];
        let sums = vec![
            vec![Some(5.0), Some(2.5), Some(3.0), Some(3.0)],
            none(),
            none(),
            none(),
            vec![Some(0.5), None, None, None],
        ];
        let bucket = Bucket { bucket: 0, traces: 2, failed: 1, sums, latency: vec![Some(2e6), None, None, None, None] };
        assert_eq!(
            bucket.to_json(false),
            json!({"run_count": 2, "failed_run_count": 1, "input_tokens": {"sum": 5, "mean": 2.5, "p90": 3.0, "p99": 3.0},
                "output_tokens": {}, "cached_tokens": {}, "total_tokens": {}, "cost_usd": {"sum": 0.5}, "latency_ms": {"mean": 2.0}})
        );
        assert_eq!(bucket.to_json(true)["bucket_start"], "1970-01-01T00:00:00.000000Z");
        let year = UnixNanos::new(365 * 86_400_000_000_000).unwrap();
        assert!(check_count((UnixNanos::default(), year), "hour", 3_600).is_err());
        assert_eq!(check_count((UnixNanos::default(), year), "day", 23 * 3_600), Ok(()));
    }
}
