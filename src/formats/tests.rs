//! What formats are told by, and what of sessions is told by no other test.

use super::span::{span_id, trace_id};
use super::*;
use crate::otlp::proto::collector::trace::v1::ExportTraceServiceRequest;
use crate::otlp::proto::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};

fn source() -> Source {
    let workspace = Workspace::default();
    Source { workspace, import_id: "i".to_owned(), file_name: "f.jsonl".to_owned(), drops_content: false }
}

fn read(format: Format, pieces: &[Value]) -> Sink {
    let (mut reader, mut sink) = (format.reader(&source()), Sink::default());
    pieces.iter().for_each(|piece| reader.piece(piece.to_string().as_bytes(), &mut sink));
    reader.end(&mut sink);
    sink
}

fn spans(sink: &Sink) -> Vec<Span> {
    let requests = sink.records.iter().filter_map(|record| match record {
        Record::Otlp { request, .. } => Some(ExportTraceServiceRequest::decode(&request[..]).unwrap()),
        Record::Body { .. } => None,
    });
    let scopes = requests.flat_map(|request| request.resource_spans).flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

#[test]
fn every_format_is_told_by_its_first_piece() {
    for (format, first) in [
        (Format::OtlpJson, json!({"resourceSpans": []})),
        (Format::OtlpJson, json!({"resource_logs": []})),
        (Format::Phoenix, json!({"data": [{"trace_id": "1"}]})),
        (Format::Phoenix, json!({"traceId": "1", "spanId": "2", "startTimeUnixNano": "3"})),
        (Format::ClaudeCode, json!({"type": "user", "sessionId": "s", "timestamp": "t", "message": {}})),
        (Format::ClaudeCode, json!({"type": "summary", "summary": "s", "leafUuid": "u"})),
        (Format::Codex, json!({"timestamp": "t", "type": "session_meta", "payload": {}})),
        (Format::ChatGpt, json!({"title": "t", "create_time": 1, "mapping": {}, "current_node": "n"})),
        (Format::ClaudeAi, json!({"uuid": "u", "name": "n", "created_at": "t", "chat_messages": []})),
        (Format::SpendLogs, json!({"request_id": "r", "call_type": "c", "spend": 1, "startTime": "t"})),
        (Format::LiteLlm, json!({"id": "r", "call_type": "c", "response_cost": 1, "startTime": 1})),
        (Format::Calls, json!({"request": {}, "response": {}})),
        (Format::OpenAiBatch, json!({"custom_id": "c", "method": "POST", "url": "/v1/responses", "body": {}})),
        (Format::OpenAiBatch, json!({"id": "b", "custom_id": "c", "response": null, "error": {}})),
        (Format::Atif, json!({"schema_version": "ATIF-v1.4", "agent": {}, "steps": []})),
        (Format::Langfuse, json!({"id": "o", "trace_id": "t", "type": "SPAN", "start_time": "t"})),
        (Format::LangSmith, json!({"id": "o", "trace_id": "t", "run_type": "llm", "start_time": "t"})),
        (Format::Helicone, json!({"providerRequest": {}, "providerResponse": {}, "timing": {}})),
    ] {
        assert_eq!(detect(b"{", Some(&first)), Some(format), "{first}");
        assert_eq!(named(format.name()), Some(format));
    }
    assert_eq!(detect(b"\x0a\x05\x0a\x03", None), Some(Format::OtlpProtobuf));
    assert_eq!(detect(b"\x00\x00\x00\x07\x0a\x05\x0a\x03", None), Some(Format::OtlpProtobuf));
    for nothing in [json!({}), json!({"a": 1}), json!([])] {
        assert_eq!(detect(b"{", Some(&nothing)), None, "{nothing}");
    }
    assert_eq!(detect(b"Dear miller", None), None);
}

fn line(kind: &str, second: u32, side: &str, message: &Value) -> Value {
    json!({"type": kind, "uuid": format!("{kind}{second}{side}"), "sessionId": "s", "timestamp": format!("2026-06-01T00:00:{second:02}Z"),
        "isSidechain": !side.is_empty(), "agentId": side, "message": message})
}

#[test]
fn a_sub_agent_works_below_the_turn_that_began_it_and_its_lines_do_not_end_an_answer() {
    let answer = |id: &str, text: &str| json!({"id": id, "role": "assistant", "model": "m", "content": [{"type": "text", "text": text}], "usage": {"output_tokens": 1}});
    let sink = read(
        Format::ClaudeCode,
        &[
            line("user", 1, "", &json!({"role": "user", "content": "Go"})),
            line("assistant", 2, "", &answer("main", "a")),
            line("user", 3, "sub", &json!({"role": "user", "content": "Search"})),
            line("assistant", 4, "sub", &answer("side", "found")),
            line("assistant", 5, "", &answer("main", "b")),
        ],
    );
    assert_eq!(sink.rejects, Vec::<String>::new());
    let spans = spans(&sink);
    let calls: Vec<&Span> = spans.iter().filter(|span| span.name == "claude_code.llm_request").collect();
    let turns: Vec<&Span> = spans.iter().filter(|span| span.name == "claude_code.interaction").collect();
    assert_eq!((calls.len(), turns.len()), (2, 2), "{spans:#?}");
    assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id), "one trace");
    let root = turns.iter().find(|turn| turn.parent_span_id.is_empty()).unwrap();
    let side = turns.iter().find(|turn| !turn.parent_span_id.is_empty()).unwrap();
    assert_eq!(side.parent_span_id, root.span_id);
}

#[test]
fn the_same_pieces_make_the_same_records_and_a_longer_answer_the_same_span() {
    let answer = |text: &str, output: u64| {
        line(
            "assistant",
            2,
            "",
            &json!({"id": "m1", "model": "m", "content": [{"type": "text", "text": text}], "usage": {"output_tokens": output}}),
        )
    };
    let prompt = line("user", 1, "", &json!({"role": "user", "content": "Go"}));
    let (short, again) = (
        read(Format::ClaudeCode, &[prompt.clone(), answer("a", 1)]),
        read(Format::ClaudeCode, &[prompt.clone(), answer("a", 1)]),
    );
    assert_eq!(short.records, again.records);
    let long = read(Format::ClaudeCode, &[prompt, answer("a", 1), answer("b", 9)]);
    let ids = |sink: &Sink| spans(sink).iter().map(|span| span.span_id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&short), ids(&long));
    assert_ne!(short.records, long.records);
}

#[test]
fn ids_of_other_systems_are_those_that_captured_calls_would_have() {
    let hex = "4bf92f3577b34da6a3ce929d0e0e4736";
    let uuid = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736";
    assert_eq!(trace_id(hex), trace_id(uuid));
    let text = crate::chat::trace_of_text("any text").unwrap();
    assert_eq!(trace_id("any text"), *text.bytes());
    assert_eq!(span_id("00f067aa0ba902b7"), [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    assert_ne!(span_id("a"), span_id("b"));
}

#[test]
fn what_is_no_line_of_its_format_is_rejected_with_a_reason_or_counted() {
    for format in Format::ALL.into_iter().filter(|format| *format != Format::OtlpProtobuf) {
        let (mut reader, mut sink) = (format.reader(&source()), Sink::default());
        reader.piece(b"{\"a\":", &mut sink);
        assert_eq!((sink.records.len(), sink.rejects.len()), (0, 1), "{format}: {sink:?}");
    }
    for (format, piece, why) in [
        (Format::Langfuse, json!({"id": "a", "trace_id": "t"}), "start_time must be a time"),
        (Format::LangSmith, json!({"run_type": "llm"}), "id must be a text"),
        (Format::SpendLogs, json!({"request_id": "r", "startTime": "soon"}), "startTime must be a time"),
        (Format::ClaudeCode, json!({"type": "user", "message": {}}), "timestamp must be a time"),
        (Format::OpenAiBatch, json!({"custom_id": "x", "response": {}}), "custom_id \"x\" has no request"),
    ] {
        let sink = read(format, &[piece]);
        assert!(sink.rejects.len() == 1 && sink.rejects[0].contains(why), "{format}: {:?}", sink.rejects);
    }
    let sink = read(Format::ClaudeCode, &[json!({"type": "progress"}), json!({"type": "progress"}), json!({})]);
    assert_eq!((sink.others["progress"], sink.others["(no type)"]), (2, 1));
}
