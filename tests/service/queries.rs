//! `docs/queries.md`: the sample goes in through the doors, every statement is run, and its result is the one shown there.
//!
//! `MILLRACE_RENEW=1 cargo nextest run every_statement_of_the_document` writes the results into the document instead.

use std::fs;

use crate::rollups::rebuild;
use support::questions::{DOCUMENT, Shown, result_of, send_sample, shown};
use support::{Service, project, wait_until};

#[test]
#[expect(clippy::disallowed_methods, reason = "what renews the document is said where the test is started")]
fn every_statement_of_the_document_has_the_result_shown_there() {
    let path = project().join(DOCUMENT);
    let document = fs::read_to_string(&path).expect("the document is there");
    let statements = shown(&document);
    assert!(statements.len() > 15, "fifteen questions and more: {}", statements.len());

    let service = Service::start();
    let rows = send_sample(&service);
    let sql = service.sql();
    wait_until("the sample is stored", || {
        let stored = sql.try_rows("SELECT count() AS n FROM otel_traces", &[]).ok()?;
        (stored.first()?.get("n")?.as_u64()? == rows).then_some(())
    });
    rebuild(&service);
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
