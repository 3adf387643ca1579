//! `GET /metrics`: how much calls of a model take, over a range of time, by what they have in common and by when they were.
//!
//! ```text
//! genai_calls, each call once --by, bucket--> calls, errors, tokens, cost, latency, time to the first token, speed
//! ```
//!
//! Groups are those with the most calls in the whole range; all others are one group.

use super::answer::{Problem, Refusal, json_answer};
use super::filter::parse_time;
use super::measures::{GROUPINGS, MEASURES, column, groupings};
use super::page::Checks;
use super::parameters::Parameters;
use super::request::{Api, workspace};
use super::times::shown;
use crate::clickhouse::Statement;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use ::clickhouse::Row;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const GROUPS_MAX: u64 = 100;
const GROUPS_DEFAULT: u64 = 20;
/// Buckets of one answer.
const BUCKETS_MAX: u64 = 2_000;
const RANGE_DEFAULT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const BUCKETS: [(&str, &str, u64); 4] = [
    ("total", "toInt64(0)", u64::MAX),
    ("minute", "toInt64(toUnixTimestamp(toStartOfMinute(Timestamp, 'UTC')))", 60),
    ("hour", "toInt64(toUnixTimestamp(toStartOfHour(Timestamp, 'UTC')))", 3_600),
    ("day", "toInt64(toUnixTimestamp(toStartOfDay(Timestamp, 'UTC')))", 86_400),
];

/// What is asked for.
#[derive(Debug)]
struct MetricsQuery {
    since: UnixNanos,
    until: UnixNanos,
    by: Option<&'static str>,
    bucket: &'static str,
    groups: u64,
    /// Columns, and what they must be.
    having: Vec<(&'static str, String)>,
}

#[derive(Debug, Row, Deserialize)]
struct Measured {
    /// Seconds since 1970.
    bucket: i64,
    is_other: u8,
    group: String,
    calls: u64,
    errors: u64,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    total_tokens: Option<u64>,
    cache_read_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
    reasoning_tokens: Option<u64>,
    cost: Option<f64>,
    cost_computed: Option<f64>,
    cost_given: Option<f64>,
    unpriced: u64,
    mean: Option<f64>,
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
    ttft_p50: Option<f64>,
    ttft_p95: Option<f64>,
    tokens_per_second: Option<f64>,
    /// Milliseconds since 1970, as the next.
    first: i64,
    last: i64,
}

/// `GET /metrics`
pub(super) async fn metrics(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let asked = asked(&Parameters::parse(query.as_deref())?, api.reads.clock.now())?;
    let measured: Vec<Measured> = api.reads.ask_if_there(&statement(&api, &workspace, &asked)).await?;
    let data: Vec<Value> = measured.iter().map(|row| row.to_json(&asked)).collect();
    let answer = json!({
        "since": shown(asked.since.nanos()), "until": shown(asked.until.nanos()), "bucket": asked.bucket, "by": asked.by, "data": data,
    });
    Ok(json_answer(StatusCode::OK, &answer))
}

fn asked(parameters: &Parameters, now: UnixNanos) -> Result<MetricsQuery, Refusal> {
    let groupings = groupings();
    let known: Vec<&str> = ["since", "until", "by", "bucket", "limit"].into_iter().chain(groupings).collect();
    parameters.refuse_others(&known)?;
    let mut checks = Checks::new(parameters);
    let by = checks.word("by", "literal_error", &groupings);
    let bucket = checks.word("bucket", "literal_error", &BUCKETS.map(|(name, ..)| name)).unwrap_or("total");
    let groups = checks.integer("limit", 1, GROUPS_MAX).unwrap_or(GROUPS_DEFAULT);
    let until = time(&mut checks, parameters, "until").unwrap_or(now);
    let since = time(&mut checks, parameters, "since").unwrap_or_else(|| until.saturating_sub(RANGE_DEFAULT));
    if since >= until {
        let msg = "Value error, until must be later than since";
        let until = parameters.get("until").map_or(Value::Null, Value::from);
        checks.add(Problem::new("value_error", &["query", "until"], msg, until, Value::Null));
    }
    checks.finish()?;
    let length = BUCKETS.iter().find(|(name, ..)| *name == bucket).map_or(u64::MAX, |(.., seconds)| *seconds);
    let buckets = until.nanos_since(since) / 1_000_000_000 / length;
    if buckets > BUCKETS_MAX {
        let why = format!(
            "The range has {buckets} buckets of a {bucket}; at most {BUCKETS_MAX} are answered: ask for a shorter range or a longer bucket."
        );
        return Err(Refusal::bad_request(&why));
    }
    let having = GROUPINGS.iter().filter_map(|(name, column)| Some((*column, parameters.get(name)?.to_owned())));
    Ok(MetricsQuery { since, until, by, bucket, groups, having: having.collect() })
}

fn time(checks: &mut Checks<'_>, parameters: &Parameters, name: &str) -> Option<UnixNanos> {
    let text = parameters.get(name)?;
    let at = parse_time(text.trim());
    if at.is_none() {
        let msg = "Value error, must be a time in ISO 8601, such as 2026-01-31T09:30:00Z";
        checks.add(Problem::new("value_error", &["query", name], msg, text.into(), Value::Null));
    }
    at
}

fn push_where(statement: &mut Statement, workspace: &Workspace, asked: &MetricsQuery) {
    statement.push(" WHERE Workspace = ").bind(workspace.as_str());
    statement.push(" AND Timestamp >= ").bind(asked.since).push(" AND Timestamp < ").bind(asked.until);
    for (column, value) in &asked.having {
        statement.push(&format!(" AND {column} = ")).bind(value.as_str());
    }
}

fn statement(api: &Api, workspace: &Workspace, asked: &MetricsQuery) -> Statement {
    let calls = api.reads.client().full_name("genai_calls");
    let bucket =
        BUCKETS.iter().find(|(name, ..)| *name == asked.bucket).map_or("toInt64(0)", |(_, expression, _)| *expression);
    let by = asked.by.and_then(column).unwrap_or("''");
    let mut statement = Statement::new(&format!("WITH toString({by}) AS of_call SELECT {bucket} AS bucket, "));
    if asked.by.is_some() {
        statement.push(&format!("of_call NOT IN (SELECT toString({by}) FROM {calls}"));
        push_where(&mut statement, workspace, asked);
        statement.push(&format!(" GROUP BY {by} ORDER BY count() DESC, {by} LIMIT ")).bind(asked.groups).push(")");
    } else {
        statement.push("toUInt8(0)");
    }
    statement.push(&format!(" AS is_other, if(is_other, '', of_call) AS group, {MEASURES} FROM {calls}"));
    push_where(&mut statement, workspace, asked);
    statement.push(" GROUP BY bucket, is_other, group ORDER BY bucket, is_other, group");
    statement
}

impl Measured {
    /// As it is answered; what is not known is null.
    fn to_json(&self, asked: &MetricsQuery) -> Value {
        let known = |number: Option<f64>| number.filter(|number| number.is_finite());
        let at = |ms: i64| shown(ms.saturating_mul(1_000_000));
        let ms = |nanos: Option<f64>| known(nanos).map(|nanos| nanos / 1e6);
        let mut row = json!({
            "calls": self.calls, "errors": self.errors, "input_tokens": self.input_tokens, "output_tokens": self.output_tokens,
            "cached_tokens": self.cache_read_tokens, "cache_write_tokens": self.cache_write_tokens,
            "reasoning_tokens": self.reasoning_tokens, "total_tokens": self.total_tokens, "cost_usd": self.cost,
            "cost_computed_usd": self.cost_computed, "cost_given_usd": self.cost_given, "calls_without_cost": self.unpriced,
            "latency_ms": {"mean": ms(self.mean), "p50": ms(self.p50), "p95": ms(self.p95), "p99": ms(self.p99)},
            "time_to_first_token_ms": {"p50": ms(self.ttft_p50), "p95": ms(self.ttft_p95)},
            "output_tokens_per_second": known(self.tokens_per_second),
            "first_at": at(self.first), "last_at": at(self.last),
        });
        if let Some(members) = row.as_object_mut() {
            if asked.bucket != "total" {
                members.insert("bucket_start".to_owned(), shown(self.bucket.saturating_mul(1_000_000_000)).into());
            }
            if asked.by.is_some() {
                let group = if self.is_other == 0 { Value::from(self.group.as_str()) } else { Value::Null };
                members.insert("group".to_owned(), group);
                members.insert("is_other".to_owned(), (self.is_other != 0).into());
            }
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<MetricsQuery, Refusal> {
        asked(&Parameters::parse(Some(query)).unwrap(), UnixNanos::new(1_772_442_000_000_000_000).unwrap())
    }

    #[test]
    fn a_range_is_of_the_last_week_and_has_a_bounded_number_of_buckets() {
        let week = read("").unwrap();
        assert_eq!((week.until.nanos_since(week.since), week.bucket, week.by), (604_800_000_000_000, "total", None));
        assert_eq!(read("bucket=minute").unwrap_err().status(), StatusCode::BAD_REQUEST);
        assert!(read("bucket=minute&since=2026-03-02T08:00:00Z").is_ok());
        for wrong in ["bucket=year", "by=colour", "since=soon", "since=2026-03-03T00:00:00Z", "limit=0", "limit=101"] {
            assert_eq!(read(wrong).unwrap_err().status(), StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        }
        assert_eq!(read("colour=red").unwrap_err().detail(), "Unsupported query parameter(s): colour");
    }
}
