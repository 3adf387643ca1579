//! `POST /api/v1/sql`: a statement that somebody typed. It reads, and reads nothing but tables.
//!
//! ```text
//! text --EXPLAIN AST--> tree: a query, tables and allowed functions, no SETTINGS --> rows
//! ```

use crate::clickhouse::Statement;
use crate::connections::Asking;
use crate::query::answer::{Refusal, json_answer};
use crate::query::reads::Unanswered;
use crate::query::request::Api;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::{Extension, Json};
use serde::Deserialize;
use std::sync::Arc;

/// What has ClickHouse parse a statement without running it.
const EXPLAIN: &str = "EXPLAIN AST ";
/// Rows that are shown of an answer.
const ROWS_MAX: u64 = 10_000;
/// Statements that only read. Source: `getID` of ClickHouse's `Parsers/AST*.h`.
const STATEMENTS: [&str; 8] = [
    "SelectWithUnionQuery",
    "SelectIntersectExceptQuery",
    "Explain",
    "DescribeQuery",
    "ShowTables",
    "ShowColumns",
    "ShowCreateTableQuery",
    "ShowCreateViewQuery",
];
/// Table functions that reach nothing but the tables of this ClickHouse.
const FUNCTIONS: [&str; 9] =
    ["numbers", "numbers_mt", "zeros", "generateSeries", "generate_series", "values", "view", "merge", "null"];

/// Functions that reach files, other servers, programs or named collections wherever they stand: `file` is a function of values too, and the right side
/// of `IN` may be a table function. Source: ClickHouse's `src/TableFunctions` and `FunctionFile.cpp`.
const REACHING: [&str; 36] = [
    "file",
    "fileCluster",
    "url",
    "urlCluster",
    "s3",
    "s3Cluster",
    "gcs",
    "cosn",
    "oss",
    "azureBlobStorage",
    "azureBlobStorageCluster",
    "hdfs",
    "hdfsCluster",
    "remote",
    "remoteSecure",
    "cluster",
    "clusterAllReplicas",
    "mysql",
    "postgresql",
    "mongodb",
    "redis",
    "sqlite",
    "odbc",
    "jdbc",
    "ytsaurus",
    "executable",
    "iceberg",
    "icebergLocal",
    "icebergS3",
    "icebergCluster",
    "icebergS3Cluster",
    "deltaLake",
    "deltaLakeCluster",
    "hudi",
    "input",
    "arrowFlight",
];

#[derive(Debug, Deserialize)]
pub(super) struct Question {
    sql: String,
}

pub(super) async fn run(
    State(api): State<Arc<Api>>,
    asking: Option<Extension<Asking>>,
    Json(question): Json<Question>,
) -> Result<Response, Refusal> {
    let _given_up_with_its_client = asking.map(|Extension(asking)| asking.question());
    let sql = question.sql.trim().trim_end_matches(';');
    if sql.is_empty() {
        return Err(Refusal::bad_request("the statement is empty"));
    }
    let place = Place::of(&question.sql, sql);
    let explained = api.reads.ask_typed(&format!("{EXPLAIN}{sql}"), ROWS_MAX).await;
    let explained = explained.map_err(|why| refusal(why, EXPLAIN.len(), &place))?;
    let lines = explained.get("data").and_then(|rows| rows.as_array()).cloned().unwrap_or_default();
    let tree: Vec<&str> = lines.iter().filter_map(|row| row.get(0)?.as_str()).collect();
    check(&tree)?;
    let answer = api.reads.ask_typed(Statement::new(sql).sql(), ROWS_MAX).await;
    let answer = answer.map_err(|why| refusal(why, 0, &place))?;
    Ok(json_answer(StatusCode::OK, &answer))
}

/// A statement as it was typed, and how many bytes of it come before what is asked.
struct Place<'t> {
    typed: &'t str,
    before: usize,
}

impl<'t> Place<'t> {
    /// `sql` is a part of `typed`.
    fn of(typed: &'t str, sql: &str) -> Self {
        Self { typed, before: typed.find(sql).map_or(0, |at| at) }
    }

    /// The character of the typed text, from 1, at which ClickHouse's position lies, a byte from 1 of a statement with `added` bytes before
    /// what was typed.
    fn character(&self, position: usize, added: usize) -> Option<usize> {
        let at = position.checked_sub(added + 1)? + self.before;
        Some(self.typed.get(..self.typed.floor_char_boundary(at))?.chars().count() + 1)
    }

    /// Its line and column, from 1.
    fn line_and_column(&self, character: usize) -> (usize, usize) {
        let before = self.typed.chars().take(character - 1);
        before.fold((1, 1), |(line, column), letter| if letter == '\n' { (line + 1, 1) } else { (line, column + 1) })
    }
}

/// 400 with ClickHouse's words, without its code and version, and where a syntax error is.
fn refusal(why: Unanswered, added: usize, place: &Place<'_>) -> Refusal {
    let said = match why {
        Unanswered::Refused(refusal) => return refusal,
        Unanswered::Wrong { said } => said,
    };
    let words = said.split_once("DB::Exception: ").map_or(said.as_str(), |(_, words)| words);
    let words = words.rsplit_once(" (version ").map_or(words, |(words, _)| words).trim_end();
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == b'_')
    };
    let name = words.rsplit_once('(').filter(|(_, name)| name.strip_suffix(')').is_some_and(is_name));
    let words = name.map_or(words, |(words, _)| words.trim_end());
    let found = words.strip_prefix("Syntax error: failed at position ").and_then(|rest| {
        let (position, rest) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        Some((place.character(position.parse().ok()?, added)?, rest))
    });
    let Some((character, rest)) = found else { return Refusal::bad_request(words) };
    let (line, column) = place.line_and_column(character);
    // ClickHouse tells both of the statement that it was sent
    let rest = match rest.split_once(" (line ").and_then(|(token, rest)| Some((token, rest.split_once(')')?.1))) {
        Some((token, rest)) => format!("{token}{rest}"),
        None => rest.to_owned(),
    };
    Refusal::bad_request(&format!("syntax error in line {line}, column {column}{rest}")).at_position(character)
}

/// What a line of the tree is: `Function url (alias a) (children 1)` -> `Function url`.
fn node(line: &str) -> &str {
    line.split_once('(').map_or(line, |(before, _)| before).trim()
}

/// # Errors
/// 400 that says what may not be asked.
fn check(tree: &[&str]) -> Result<(), Refusal> {
    let reads = |node: &str| STATEMENTS.iter().any(|kind| node.split(' ').next() == Some(kind));
    if !tree.first().is_some_and(|line| reads(node(line))) {
        return Err(Refusal::bad_request("only statements that read can be run here: SELECT, DESCRIBE, SHOW, EXPLAIN"));
    }
    if tree.iter().any(|line| node(line) == "Set") {
        return Err(Refusal::bad_request("leave SETTINGS out: the limits of the page hold"));
    }
    let functions = tree.iter().filter_map(|line| node(line).strip_prefix("Function "));
    if let Some(name) = functions.into_iter().find(|name| REACHING.iter().any(|other| other.eq_ignore_ascii_case(name)))
    {
        return Err(Refusal::bad_request(&format!("the function {name} cannot be used here")));
    }
    let pairs = tree.iter().zip(tree.iter().skip(1));
    for (above, line) in pairs {
        let is_source = node(above) == "TableExpression" || node(above).starts_with("DescribeQuery");
        let Some(name) = node(line).strip_prefix("Function ").filter(|_| is_source) else { continue };
        if !FUNCTIONS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(Refusal::bad_request(&format!("the table function {name} cannot be used here")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_in_clickhouses_words_and_where_it_is_in_what_was_typed() {
        let wrong = |typed: &str, said: &str, added: usize| {
            let sql = typed.trim();
            let refusal = refusal(Unanswered::Wrong { said: said.to_owned() }, added, &Place::of(typed, sql));
            (refusal.detail().as_str().unwrap().to_owned(), refusal.position())
        };
        let syntax = "Code: 62. DB::Exception: Syntax error: failed at position 25 ((): ( FROM x. Unmatched parentheses: ( (SYNTAX_ERROR) (version 26.7.2.1)";
        let want = "syntax error in line 1, column 13 ((): ( FROM x. Unmatched parentheses: (";
        assert_eq!(wrong("SELECT count( FROM x", syntax, 12), (want.to_owned(), Some(13)));
        let server = "Code: 62. DB::Exception: Syntax error: failed at position 28 (FROM) (line 2, col 2): FROM x. Expected one of: token. (SYNTAX_ERROR) (version 24.8.4.13 (official build))";
        let want = "syntax error in line 3, column 2 (FROM): FROM x. Expected one of: token.";
        assert_eq!(wrong("\nSELECT 'ä' +\n FROM x", server, 12), (want.to_owned(), Some(16)));
        let unknown = "Code: 47. DB::Exception: Unknown expression identifier `nope` in scope SELECT nope FROM x. (UNKNOWN_IDENTIFIER) (version 26.7.2.1)";
        let want = "Unknown expression identifier `nope` in scope SELECT nope FROM x.";
        assert_eq!(wrong("SELECT nope FROM x", unknown, 0), (want.to_owned(), None));
        for odd in [
            "",
            "Code: 62. DB::Exception: Syntax error: failed at position 99999999999999999999 (x)",
            "Syntax error: failed at position 3 (x)",
            "(",
            "DB::Exception: ()",
        ] {
            let (_, position) = wrong("SELECT", odd, 12);
            assert_eq!(position, None, "{odd}");
        }
        assert_eq!(wrong("ä", "Syntax error: failed at position 99 (end of query)", 12).1, Some(2));
    }

    #[test]
    fn only_what_reads_tables_is_run() {
        let select =
            |source: &'static str| ["SelectWithUnionQuery (children 1)", " TableExpression (children 1)", source];
        assert_eq!(check(&select("  TableIdentifier otel.otel_traces")), Ok(()));
        assert_eq!(check(&select("  Function numbers (children 1)")), Ok(()));
        for other in ["url", "s3", "remote", "file", "executable", "mysql", "clusterAllReplicas"] {
            let line = format!("  Function {other} (alias x) (children 1)");
            let tree = ["SelectWithUnionQuery (children 1)", " TableExpression (children 1)", line.as_str()];
            assert!(check(&tree).is_err(), "{other}");
        }
        for other in ["file", "FILE", "url", "remote"] {
            let line = format!("   Function {other} (children 1)");
            let tree = ["SelectWithUnionQuery (children 1)", "  ExpressionList (children 1)", line.as_str()];
            assert!(check(&tree).is_err(), "{other}, as a value or at the right of IN");
        }
        assert!(check(&["InsertQuery otel otel_traces (children 1)"]).is_err());
        assert!(check(&["DropQuery otel otel_traces"]).is_err());
        assert!(check(&["SelectWithUnionQuery (children 2)", " Set"]).is_err());
        assert!(check(&[]).is_err());
    }
}
