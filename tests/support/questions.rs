//! The questions of `docs/queries.md` and the sample that they are about.

use std::fs;
use std::ops::Range;

use serde_json::Value;

use super::http::send;
use super::sql::Sql;
use super::{Service, project};

/// Where they are shown, from the project's folder.
pub const DOCUMENT: &str = "docs/queries.md";

/// A statement of the document, and the table after it.
#[derive(Debug)]
pub struct Shown {
    pub statement: String,
    pub result: String,
    /// Lines of the document that the table takes, or that it will be written before.
    pub lines: Range<usize>,
}

/// Does what `docs/sample/load.sh` does. Returns how many rows come of it.
pub fn send_sample(service: &Service) -> u64 {
    let read = |name: &str| fs::read(project().join("docs/sample").join(name)).expect("the sample is there");
    let spans = read("spans.json");
    let answer = send("POST", &service.http("/v1/traces"), &[("content-type", "application/json")], &spans);
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    let headers = [("content-type", "application/x-ndjson")];
    let answer = send("POST", &service.chat("default"), &headers, &read("pairs.ndjson"));
    let lines = answer.text();
    assert!(!lines.is_empty() && lines.lines().all(|line| !line.contains("status")), "{lines}");

    let spans: Value = serde_json::from_slice(&spans).expect("the sample is JSON");
    let list = |of: &Value, path: &str| of.pointer(path).and_then(Value::as_array).cloned().expect("a list");
    let per_service = list(&spans, "/resourceSpans");
    let sent: usize = per_service.iter().map(|of| list(of, "/scopeSpans/0/spans").len()).sum();
    u64::try_from(sent + lines.lines().count()).expect("few")
}

/// All statements of a document, each with the table after it.
pub fn shown(document: &str) -> Vec<Shown> {
    let lines: Vec<&str> = document.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = lines.iter().skip(at).position(|line| *line == "```sql").map(|ahead| at + ahead + 1) {
        let end = lines.iter().skip(start).position(|line| *line == "```").map(|ahead| start + ahead);
        let end = end.expect("each block ends");
        let table = end + 2;
        let rows = lines.iter().skip(table).take_while(|line| line.starts_with('|')).count();
        let text = |range: Range<usize>| lines.get(range).unwrap_or_default().join("\n");
        found.push(Shown {
            statement: text(start..end),
            result: text(table..table + rows),
            lines: table..table + rows,
        });
        at = end;
    }
    found
}

/// The result as a Markdown table.
pub fn result_of(sql: &Sql, statement: &str) -> String {
    let settings = "default_format=Markdown&format_tsv_null_representation=NULL&date_time_output_format=simple";
    let url = format!("{}/?database={}&{settings}", sql.url, sql.database);
    let answer = send("POST", &url, &[], statement.as_bytes());
    assert_eq!(answer.status, 200, "{}\nin: {statement}", answer.text());
    answer.text().trim_end().to_owned()
}
