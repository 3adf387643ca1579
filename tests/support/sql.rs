//! Queries over the ClickHouse HTTP interface, as any client sends them.

use std::thread::sleep;
use std::time::Instant;

use serde_json::Value;

use super::{DEADLINE, POLL_EVERY, http};

/// A ClickHouse to ask.
#[derive(Debug, Clone)]
pub struct Sql {
    /// `http://host:port`
    pub url: String,
    /// The database that names without one are looked up in.
    pub database: &'static str,
}

impl Sql {
    /// The rows of a query's result. `parameters` fill `{name:Type}`.
    pub fn rows(&self, query: &str, parameters: &[(&str, &str)]) -> Vec<Value> {
        self.try_rows(query, parameters).unwrap_or_else(|error| panic!("{error}\nin: {query}"))
    }

    /// The same, for a time when ClickHouse or the table may not be there.
    pub fn try_rows(&self, query: &str, parameters: &[(&str, &str)]) -> Result<Vec<Value>, String> {
        let mut url = format!("{}/?database={}&default_format=JSONEachRow", self.url, self.database);
        // A result of one row must not turn into a string because it is a 64-bit number.
        url.push_str("&output_format_json_quote_64bit_integers=0");
        for (name, value) in parameters {
            assert!(
                value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')),
                "{value} would need escaping"
            );
            url.push_str(&format!("&param_{name}={value}"));
        }
        let answer = http::try_send("POST", &url, &[], query.as_bytes()).map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("{}: {}", answer.status, answer.text()));
        }
        let lines = answer.text();
        lines.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))).collect()
    }

    /// Waits until a query yields these rows: one table may have its rows before another has those that follow from them.
    ///
    /// # Panics
    /// When they are not there within [`DEADLINE`], with those that are.
    pub fn becomes(&self, query: &str, parameters: &[(&str, &str)], want: &[Value]) {
        let started = Instant::now();
        loop {
            let rows = self.try_rows(query, parameters);
            if rows.as_deref() == Ok(want) {
                return;
            }
            assert!(started.elapsed() < DEADLINE, "waited {DEADLINE:?} for {want:#?}\nthere is {rows:#?}\nin: {query}");
            sleep(POLL_EVERY);
        }
    }

    /// The one number that a query yields.
    pub fn number(&self, query: &str, parameters: &[(&str, &str)]) -> u64 {
        let rows = self.rows(query, parameters);
        let row = rows.first().and_then(Value::as_object).expect("one row");
        row.values().next().and_then(Value::as_u64).unwrap_or_else(|| panic!("no number: {row:?}"))
    }

    /// The spans of a trace that are stored by now; 0 while ClickHouse or the table is not there.
    pub fn spans_of(&self, trace_id: &str) -> usize {
        self.try_rows("SELECT SpanId FROM otel_traces WHERE TraceId = {t:String}", &[("t", trace_id)])
            .map_or(0, |rows| rows.len())
    }
}
