//! What instrumentations really sent: one conversation of three calls, whatever else they report around it.

use super::super::{Class, Kind, Place, Source, Span, TrustedId, count, has_usage, merge};
use crate::columns::testing;
use crate::ids::SpanId;
use crate::otlp::{Encoding, Limits, decode_traces};
use crate::workspace::Workspace;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

type Row = Map<String, Value>;

/// Input and output of the three calls: tests/clients/dialects.py.
const CALLS: [(u64, u64); 3] = [(120, 42), (180, 15), (210, 16)];

fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column).map_or("", |value| value.as_str().expect("a text"))
}

fn number(row: &Row, column: &str) -> Option<u64> {
    row.get(column).and_then(Value::as_u64)
}

fn span(row: &Row) -> Span<'_> {
    let start = row["Timestamp"].as_i64().unwrap();
    let parent = SpanId::from_hex(text(row, "ParentSpanId").as_bytes()).ok();
    Span {
        start,
        id: SpanId::from_hex(text(row, "SpanId").as_bytes()).unwrap(),
        kind: Kind::of(text(row, "SpanKind")),
        service: text(row, "ServiceName"),
        end: start.strict_add_unsigned(number(row, "Duration").unwrap()),
        place: Place::of(parent, text(row, "JoinState")),
        class: Class::of(text(row, "Operation")),
        source: Source::Scope(text(row, "ScopeName")),
        response_id: TrustedId::new(text(row, "ResponseId")),
        has_usage: has_usage(number(row, "InputTokens"), number(row, "OutputTokens"), false),
        tokens: number(row, "InputTokens").zip(number(row, "OutputTokens")),
        is_error: text(row, "StatusCode") == "Error",
    }
}

fn tokens(row: &Row) -> merge::Tokens {
    merge::Tokens { input: number(row, "InputTokens"), output: number(row, "OutputTokens"), ..merge::Tokens::default() }
}

fn recordings() -> Vec<(String, Vec<Row>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dialects");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let recorded = files.filter(|path| path.extension().is_some_and(|extension| extension == "binpb"));
    recorded
        .map(|path| {
            let bytes = fs::read(&path).unwrap();
            let decoded = decode_traces(&bytes, Encoding::Protobuf, &Workspace::default(), &Limits::default()).unwrap();
            (path.file_name().unwrap().to_string_lossy().into_owned(), testing::rows(&decoded.rows))
        })
        .collect()
}

#[test]
fn each_instrumentation_reports_the_same_three_calls() {
    let recordings = recordings();
    assert!(recordings.len() >= 33, "{}", recordings.len());
    for (name, rows) in recordings {
        let mut traces: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        rows.iter().for_each(|row| traces.entry(text(row, "TraceId")).or_default().push(row));
        let mut found = Vec::new();
        for rows in traces.values() {
            let spans: Vec<Span<'_>> = rows.iter().map(|row| span(row)).collect();
            for call in count(&spans).calls {
                let of_reports: Vec<_> = call.reports.iter().map(|report| tokens(rows[report.span])).collect();
                let merged = merge::tokens(&of_reports);
                found.push((merged.input, merged.output));
            }
        }
        found.sort_unstable();
        // DSPy asks once, and its sender says nothing of tokens
        let want = match name.as_str() {
            "dspy.binpb" => vec![(None, None)],
            _ => CALLS.map(|(input, output)| (Some(input), Some(output))).to_vec(),
        };
        assert_eq!(found, want, "{name}");
    }
}
