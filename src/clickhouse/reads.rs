//! Questions that people ask through the read API: values are parameters of the statement, never part of its text, and time, memory,
//! rows and bytes of each are bounded. A question whose asker has gone is cancelled.
//!
//! ```text
//! Statement   SELECT .. WHERE SessionId = {p0:String} LIMIT {p1:UInt64}      param_p0=.. param_p1=..
//! ```
//!
//! Sources: clickhouse.com/docs, "HTTP Interface" (queries with parameters), "Restrictions on query complexity".

use super::client::{Client, within};
use super::endpoints::Repeat;
use super::errors::Failure;
use crate::time::UnixNanos;
use ::clickhouse::{RowOwned, RowRead};
use bytes::Bytes;
use serde::Serialize;
use std::time::Duration;

/// How much longer than ClickHouse itself is told the answer is waited for.
const GRACE: Duration = Duration::from_secs(2);
/// Bytes of one answer, as ClickHouse counts them.
const RESULT_BYTES_MAX: usize = 256 << 20;
/// Rows of one answer: more than any page or trace has.
const RESULT_ROWS_MAX: usize = 200_000;

/// What one question may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadLimits {
    /// How long it may run.
    pub execution_time: Duration,
    /// Bytes of memory in ClickHouse.
    pub memory_bytes: usize,
}

/// A value of a statement.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Parameter {
    /// A text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// A count.
    Count(u64),
    /// A number.
    Number(f64),
    /// Nanoseconds since 1970.
    Time(i64),
}

impl Parameter {
    /// As SQL writes it.
    fn literal(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Texts(texts) => {
                format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
            }
            Self::Count(count) => count.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Time(nanos) => nanos.to_string(),
        }
    }

    /// The place for it in a statement.
    fn place(&self, number: usize) -> String {
        match self {
            Self::Text(_) => format!("{{p{number}:String}}"),
            Self::Texts(_) => format!("{{p{number}:Array(String)}}"),
            Self::Count(_) => format!("{{p{number}:UInt64}}"),
            Self::Number(_) => format!("{{p{number}:Float64}}"),
            Self::Time(_) => format!("fromUnixTimestamp64Nano({{p{number}:Int64}}, 'UTC')"),
        }
    }
}

/// A text as a literal. Source: clickhouse.com/docs, "Syntax", string literals.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
    let escaped = escaped.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t").replace('\0', "\\0");
    format!("'{escaped}'")
}

impl From<&str> for Parameter {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Parameter {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<String>> for Parameter {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

impl From<u64> for Parameter {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Parameter {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<UnixNanos> for Parameter {
    fn from(at: UnixNanos) -> Self {
        Self::Time(at.nanos())
    }
}

/// SQL with places for values, and the values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Statement {
    sql: String,
    parameters: Vec<Parameter>,
}

impl Statement {
    /// One that begins with this text, which is the program's own.
    #[must_use]
    pub fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), parameters: Vec::new() }
    }

    /// Adds text, which is the program's own.
    pub fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    /// Adds a value.
    pub fn bind(&mut self, value: impl Into<Parameter>) -> &mut Self {
        let place = self.place(value);
        self.push(&place)
    }

    /// Keeps a value and returns its place, to be pushed once or several times.
    pub fn place(&mut self, value: impl Into<Parameter>) -> String {
        let value = value.into();
        let place = value.place(self.parameters.len());
        self.parameters.push(value);
        place
    }

    /// Its values, in the order of their places.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Its text with the values in it, as one may paste it. It is for people: Millrace itself sends values apart from the text.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut text = String::with_capacity(self.sql.len());
        let mut rest = self.sql.as_str();
        while let Some((before, place)) = rest.split_once("{p") {
            text.push_str(before);
            let found = place.split_once('}').and_then(|(inner, after)| {
                let number: usize = inner.split(':').next()?.parse().ok()?;
                Some((self.parameters.get(number)?, after))
            });
            let Some((value, after)) = found else {
                text.push_str("{p");
                rest = place;
                continue;
            };
            text.push_str(&value.literal());
            rest = after;
        }
        text.push_str(rest);
        text
    }

    /// Its text, with places instead of values.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }
}

impl Client {
    /// Asks, and returns all rows.
    ///
    /// # Errors
    /// If ClickHouse rejects the statement, is unreachable, or a limit is exceeded.
    pub async fn read<R: RowOwned + RowRead>(
        &self,
        statement: &Statement,
        limits: &ReadLimits,
    ) -> Result<Vec<R>, Failure> {
        let timeout = limits.execution_time + GRACE;
        let ask = |http: &::clickhouse::Client| within(timeout, own(http, statement, limits).fetch_all());
        self.at_any(Repeat::Always, ask).await
    }

    /// Asks, and returns the answer as ClickHouse writes it in a format of JSON; numbers are numbers.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_json(&self, statement: &Statement, format: &str, limits: &ReadLimits) -> Result<Bytes, Failure> {
        let timeout = limits.execution_time + GRACE;
        let ask = |http: &::clickhouse::Client| {
            let query = JSON
                .iter()
                .fold(own(http, statement, limits), |query, (name, value)| query.with_setting(*name, *value));
            let asked = query.fetch_bytes(format);
            within(timeout, async move { asked?.collect().await })
        };
        self.at_any(Repeat::Always, ask).await
    }

    /// Asks what somebody typed, and returns at most `rows_max` rows in `JSONCompact`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_typed(&self, sql: &str, rows_max: u64, limits: &ReadLimits) -> Result<Bytes, Failure> {
        let timeout = limits.execution_time + GRACE;
        let statement = Statement::new(sql);
        let rows_max = rows_max.to_string();
        // a name without a database is one of Millrace's tables
        let database = self.database().to_string();
        let own = [("limit", rows_max.as_str()), ("wait_end_of_query", "1"), ("database", database.as_str())];
        let ask = |http: &::clickhouse::Client| {
            let settings = JSON.iter().chain(&own);
            let query = settings
                .fold(bounded(http, &statement, limits), |query, (name, value)| query.with_setting(*name, *value));
            let asked = query.fetch_bytes("JSONCompact");
            within(timeout, async move { asked?.collect().await })
        };
        self.at_any(Repeat::Always, ask).await
    }

    /// A table or view of the database, by its full name.
    #[must_use]
    pub fn full_name(&self, table: &str) -> String {
        format!("{}.{table}", self.database())
    }
}

/// Numbers as numbers; those that are none as null.
const JSON: [(&str, &str); 3] = [
    ("output_format_json_quote_64bit_integers", "0"),
    ("output_format_json_quote_decimals", "0"),
    ("output_format_json_quote_denormals", "0"),
];

/// A statement of Millrace itself. Those name ten keys of a map and more; read one by one, each key is a column to plan, which takes
/// longer than to read the rows of a page (80 and 40 ms of CPU).
fn own(http: &::clickhouse::Client, statement: &Statement, limits: &ReadLimits) -> ::clickhouse::query::Query {
    bounded(http, statement, limits).with_setting("optimize_functions_to_subcolumns", "0")
}

fn bounded(http: &::clickhouse::Client, statement: &Statement, limits: &ReadLimits) -> ::clickhouse::query::Query {
    let settings = [
        // neither data nor settings that last can be changed by it
        ("readonly", 2.to_string()),
        ("cancel_http_readonly_queries_on_client_close", 1.to_string()),
        ("max_execution_time", limits.execution_time.as_secs_f64().to_string()),
        ("max_memory_usage", limits.memory_bytes.to_string()),
        ("max_result_rows", RESULT_ROWS_MAX.to_string()),
        ("max_result_bytes", RESULT_BYTES_MAX.to_string()),
        ("result_overflow_mode", "throw".to_owned()),
    ];
    // `?` is a placeholder to the crate
    let query = http.query(&statement.sql.replace('?', "??"));
    let query = settings.into_iter().fold(query, |query, (name, value)| query.with_setting(name, value));
    let numbered = statement.parameters.iter().enumerate();
    numbered.fold(query, |query, (number, value)| query.param(&format!("p{number}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parameters_and_never_text_of_the_statement() {
        let mut statement = Statement::new("SELECT 1 WHERE a = ");
        statement.bind("x' OR 1 = 1 --").push(" AND b IN ").bind(vec!["'".to_owned()]).push(" LIMIT ").bind(3_u64);
        let place = statement.place(2.5);
        statement.push(" -- ").push(&place).bind(UnixNanos::default());
        assert_eq!(
            statement.sql(),
            "SELECT 1 WHERE a = {p0:String} AND b IN {p1:Array(String)} LIMIT {p2:UInt64} -- {p3:Float64}\
             fromUnixTimestamp64Nano({p4:Int64}, 'UTC')"
        );
        assert_eq!(statement.parameters.len(), 5);
        assert_eq!(
            statement.shown(),
            "SELECT 1 WHERE a = 'x\\' OR 1 = 1 --' AND b IN ['\\''] LIMIT 3 -- 2.5fromUnixTimestamp64Nano(0, 'UTC')"
        );
    }
}
