//! Every sample of the corpus, body in and span out, compared with what it expects: each attribute, and no other.

mod cases;
mod coverage;
mod rows;

use std::collections::BTreeSet;
use std::path::Path;

use millrace::chat::{ChatSpan, Status};
use millrace::columns::{MapRow, RowGroup, SpanScalars, StatusCode};
use millrace::conventions;
use millrace::genai::call::Call;
use millrace::genai::usage::{Sides, Usage};
use serde_json::Value;

use support::corpus::{NOT_IN_EXPECT, same, samples};

use crate::spans::{as_read, with_span_of_sample};

fn differences(span: &ChatSpan<'_>, ingest: &Value, expect: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |what: &str, ours: Value, theirs: &Value| {
        if !same(&ours, theirs) {
            found.push(format!("{what}\n    is       {ours}\n    expected {theirs}"));
        }
    };
    check("name", span.name.clone().into(), &expect["name"]);
    let code = if span.status == Status::Error { 2 } else { 0 };
    check("status.code", code.into(), &expect["status"]["code"]);
    let message = expect["status"].get("message").cloned().unwrap_or("".into());
    check("status.message", span.status_message.clone().into(), &message);
    let [raw_request, raw_response] = ["request", "response"].map(|member| ingest[member].to_string());
    check("RawRequest", (*span.raw.request).into(), &raw_request.into());
    check("RawResponse", (*span.raw.response).into(), &raw_response.into());
    if let Some(trace) = expect.get("traceId") {
        check("traceId", span.trace.id().to_string().into(), trace);
    }
    if let Some(start) = expect.get("startTimeUnixNano") {
        check("startTimeUnixNano", span.start.nanos().to_string().into(), start);
    }
    if let Some(end) = expect.get("endTimeUnixNano") {
        check("endTimeUnixNano", span.end.nanos().to_string().into(), end);
    }
    if let Some(parent) = expect.get("parentSpanId") {
        check("parentSpanId", span.parent.map(|id| id.to_string()).into(), parent);
    }
    assert_eq!(expect["kind"], 3, "every chat span is a client's");
    let expected = expect["attributes"].as_object().unwrap();
    for (key, want) in expected {
        check(key, span.attribute(key).map_or(Value::Null, |it| as_read(&it)), want);
    }
    let keys: Vec<_> = span.all_attributes().map(|(key, _)| key).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "a key is there twice: {keys:?}");
    for (key, value) in span.all_attributes() {
        if !expected.contains_key(&*key) && !NOT_IN_EXPECT.contains(&&*key) {
            check(&key, as_read(&value), &"nothing".into());
        }
    }
    found
}

#[test]
fn every_sample_becomes_the_span_it_expects() {
    let mut wrong = String::new();
    for (name, sample) in samples() {
        for difference in with_span_of_sample(&sample, |span| differences(span, &sample["ingest"], &sample["expect"])) {
            wrong += &format!("{name}: {difference}\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// What conventions make of a span that has the attributes of a captured call.
fn call_by_conventions(span: &ChatSpan<'_>, compare: impl FnOnce(&Call<'_>)) {
    let (mut rows, mut text) = (RowGroup::default(), String::new());
    let mark = rows.begin();
    for (key, value) in span.all_attributes() {
        text.clear();
        value.as_column_text(&mut text);
        rows.attribute_of(conventions::kind(key.as_bytes()), key.as_bytes(), text.as_bytes());
    }
    let scalars = SpanScalars {
        status: if span.status == Status::Error { StatusCode::Error } else { StatusCode::Unset },
        status_message: span.status_message.as_bytes(),
        ..SpanScalars::new(span.start, span.trace.id(), span.span_id)
    };
    let resource = MapRow::default();
    let (view, _) = rows.view(mark, &scalars, &resource).unwrap();
    compare(&conventions::normalise(&view));
}

#[test]
fn a_captured_call_fills_the_columns_that_its_attributes_would_fill() {
    // messages with what a part holds otherwise: conventions would read them once more, as they do what others write
    const READ_AGAIN: [&str; 2] = ["130_messages_of_history", "132_thinking_of_every_form"];
    for (name, sample) in samples().into_iter().chain(cases::cases()) {
        with_span_of_sample(&sample, |span| {
            call_by_conventions(span, |by_conventions| {
                let usage = Usage { text: Sides::default(), ..span.call.usage };
                let held_attributes = by_conventions.held_attributes.clone();
                let mut own = Call { usage, held_attributes, ..span.call.clone() };
                let content = [&own.input_messages, &own.output_messages, &own.tool_definitions];
                let filled = content.iter().filter(|json| !json.is_empty()).count();
                assert_eq!(own.held_attributes.len() != filled, READ_AGAIN.contains(&&*name), "{name}");
                if READ_AGAIN.contains(&&*name) {
                    own.input_messages = by_conventions.input_messages.clone();
                }
                assert_eq!(own, *by_conventions, "{name}");
            });
        });
    }
}

#[test]
fn the_content_of_every_sample_validates_against_the_conventions_schemas() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemas");
    for (attribute, file) in [
        ("gen_ai.input.messages", "gen-ai-input-messages.2026-08-15.json"),
        ("gen_ai.output.messages", "gen-ai-output-messages.2026-08-15.json"),
        ("gen_ai.tool.definitions", "gen-ai-tool-definitions.2026-08-15.json"),
    ] {
        let schema: Value = serde_json::from_slice(&std::fs::read(folder.join(file)).unwrap()).unwrap();
        let validator = jsonschema::draft7::new(&schema).unwrap();
        let mut validated = 0;
        for (name, sample) in samples() {
            let Some(content) = with_span_of_sample(&sample, |span| span.attribute(attribute).map(|it| as_read(&it)))
            else {
                continue;
            };
            let errors: Vec<String> = validator.iter_errors(&content).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{name} {attribute}: {errors:?}");
            validated += 1;
        }
        assert!(validated > 0, "no sample has {attribute}");
    }
}
