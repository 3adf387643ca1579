//! `docs/queries.md`: the sample goes in through the doors, every statement is run, and its result is the one shown there.
//!
//! `MILLRACE_RENEW=1 cargo nextest run every_statement_of_the_document` writes the results into the document instead.

use std::fs;

use serde_json::Value;

use support::http::send;
use support::sql::Sql;
use support::{Service, project, wait_until};

const DOCUMENT: &str = "docs/queries.md";

/// A statement of the document, and the table behind it.
#[derive(Debug)]
struct Shown {
    statement: String,
    result: String,
    /// Lines of the document that the table takes, or that it will be written before.
    lines: std::ops::Range<usize>,
}

/// What `docs/sample/load.sh` does.
pub(crate) fn load_sample(service: &Service) {
    let read = |name: &str| fs::read(project().join("docs/sample").join(name)).expect("the sample is there");
    let spans = read("spans.json");
    let answer = send("POST", &service.http("/v1/traces"), &[("content-type", "application/json")], &spans);
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    let answer =
        send("POST", &service.chat("default"), &[("content-type", "application/x-ndjson")], &read("pairs.ndjson"));
    let lines = answer.text();
    assert!(!lines.is_empty() && lines.lines().all(|line| !line.contains("status")), "{lines}");

    let spans: Value = serde_json::from_slice(&spans).expect("the sample is JSON");
    let per_service = spans["resourceSpans"].as_array().expect("a list").iter();
    let sent: usize = per_service.map(|of| of["scopeSpans"][0]["spans"].as_array().expect("a list").len()).sum();
    let all = u64::try_from(sent + lines.lines().count()).expect("few");
    wait_until("the sample is stored", || {
        let rows = service.sql().try_rows("SELECT count() AS n FROM otel_traces", &[]).ok()?;
        (rows.first()?.get("n")?.as_u64()? == all).then_some(())
    });
}

fn shown(document: &str) -> Vec<Shown> {
    let lines: Vec<&str> = document.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = lines.iter().skip(at).position(|line| *line == "```sql").map(|ahead| at + ahead + 1) {
        let end = lines.iter().skip(start).position(|line| *line == "```").map(|ahead| start + ahead);
        let end = end.expect("each block ends");
        let table = end + 2;
        let rows = lines.iter().skip(table).take_while(|line| line.starts_with('|')).count();
        let text = |range: std::ops::Range<usize>| lines.get(range).unwrap_or_default().join("\n");
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
fn result_of(sql: &Sql, statement: &str) -> String {
    let settings = "default_format=Markdown&format_tsv_null_representation=NULL&date_time_output_format=simple";
    let url = format!("{}/?database={}&{settings}", sql.url, sql.database);
    let answer = send("POST", &url, &[], statement.as_bytes());
    assert_eq!(answer.status, 200, "{}\nin: {statement}", answer.text());
    answer.text().trim_end().to_owned()
}

#[test]
#[expect(clippy::disallowed_methods, reason = "what renews the document is said where the test is started")]
fn every_statement_of_the_document_has_the_result_shown_there() {
    let path = project().join(DOCUMENT);
    let document = fs::read_to_string(&path).expect("the document is there");
    let statements = shown(&document);
    assert!(statements.len() > 15, "fifteen questions and more: {}", statements.len());

    let service = Service::start();
    load_sample(&service);
    let sql = service.sql();
    let results: Vec<String> = statements.iter().map(|shown| result_of(&sql, &shown.statement)).collect();
    if std::env::var_os("MILLRACE_RENEW").is_some() {
        return fs::write(&path, renewed(&document, &statements, &results)).expect("the document can be written");
    }
    for (shown, result) in statements.iter().zip(results) {
        assert!(result.lines().count() > 2, "no rows, which shows nothing: {}", shown.statement);
        assert_eq!(result, shown.result, "{}", shown.statement);
    }
}

/// The document with these results.
fn renewed(document: &str, statements: &[Shown], results: &[String]) -> String {
    let mut lines: Vec<String> = document.lines().map(str::to_owned).collect();
    for (shown, result) in statements.iter().zip(results).rev() {
        let is_first = shown.lines.is_empty();
        let table = result.lines().map(str::to_owned).chain(is_first.then(String::new));
        lines.splice(shown.lines.clone(), table);
    }
    lines.join("\n").trim_end().to_owned() + "\n"
}
