//! LangSmith's runs: each becomes a span with the attributes of LangSmith's OpenTelemetry export; feedback becomes evaluator results.
//!
//! Sources: LangSmith, "Run (span) data format", "Feedback data format"; langsmith-sdk, `_otel_exporter.py`.

use super::evaluation::Evaluation;
use super::span::{Service, Span, count_of, nanos_of, span_id, str_of, trace_id};
use super::{Reader, Sink, Source};
use serde_json::Value;

/// Metadata that names a session, and a user.
const METADATA: [&str; 5] = ["session_id", "thread_id", "conversation_id", "user_id", "ls_temperature"];

/// Reads runs.
pub(super) struct Runs {
    service: Service,
}

impl Runs {
    pub(super) fn new(source: &Source) -> Self {
        Self { service: Service::new(source, "langsmith", "millrace.import.langsmith") }
    }
}

impl Reader for Runs {
    fn piece(&mut self, piece: &[u8], sink: &mut Sink) {
        let run: Value = match serde_json::from_slice(piece) {
            Ok(run) => run,
            Err(error) => return sink.reject(format!("it is not JSON: {error}")),
        };
        if run.get("run_id").is_some() && run.get("key").is_some() {
            return match feedback(&run).and_then(|feedback| feedback.record(&self.service)) {
                Ok(record) => sink.records.push(record),
                Err(why) => sink.reject(why),
            };
        }
        match span(&run) {
            Ok(span) => sink.records.push(self.service.record(span, None)),
            Err(why) => return sink.reject(why),
        }
        sink.records.extend(stats(&run).iter().filter_map(|of| of.record(&self.service).ok()));
    }
}

/// Feedback by itself, as its API lists it.
fn feedback(row: &Value) -> Result<Evaluation<'_>, &'static str> {
    let there = |name: &str| Some(str_of(row, name)).filter(|text| !text.is_empty());
    let trace = there("trace_id").ok_or("trace_id must be a text: without it, no span is known by the run alone")?;
    let at = ["created_at", "modified_at"].into_iter().find_map(|name| row.get(name).and_then(nanos_of));
    Ok(Evaluation {
        trace: Some(trace_id(trace)),
        span: Some(span_id(there("run_id").ok_or("run_id must be a text")?)),
        at: at.ok_or("created_at must be a time")?,
        name: there("key").ok_or("key must be a text")?,
        value: row.get("score"),
        label: row.get("value"),
        explanation: row.get("comment"),
        session: None,
    })
}

/// What the feedback of a run comes to: the mean of each key.
fn stats(run: &Value) -> Vec<Evaluation<'_>> {
    let (own, trace) = (str_of(run, "id"), str_of(run, "trace_id"));
    let trace = trace_id(if trace.is_empty() { own } else { trace });
    let at = run.get("end_time").and_then(nanos_of).or_else(|| run.get("start_time").and_then(nanos_of));
    let keys = run.get("feedback_stats").and_then(Value::as_object).into_iter().flatten();
    let mut found = Vec::new();
    for (name, of) in keys {
        let mean = of.get("avg");
        let (Some(at), Some(_)) = (at, mean.and_then(Value::as_f64)) else { continue };
        let (label, explanation, session) = (None, None, None);
        found.push(Evaluation {
            trace: Some(trace),
            span: Some(span_id(own)),
            at,
            name,
            value: mean,
            label,
            explanation,
            session,
        });
    }
    found
}

fn span(run: &Value) -> Result<Span, &'static str> {
    let own = Some(str_of(run, "id")).filter(|id| !id.is_empty()).ok_or("id must be a text")?;
    let start = run.get("start_time").and_then(nanos_of).ok_or("start_time must be a time")?;
    let end = run.get("end_time").and_then(nanos_of).map_or(start, |end| end);
    // the first run of a trace may leave it out
    let trace = Some(str_of(run, "trace_id")).filter(|id| !id.is_empty()).map_or(own, |id| id);
    let parent = Some(str_of(run, "parent_run_id")).filter(|id| !id.is_empty()).map(span_id);
    let kind = str_of(run, "run_type");
    let mut span = Span::new(trace_id(trace), span_id(own), parent, str_of(run, "name")).between(start, end);
    let is_call = matches!(kind, "llm" | "embedding");
    if is_call {
        span = span.call();
    }
    span.text("langsmith.span.kind", kind);
    span.text("langsmith.span.id", own);
    let extra = run.get("extra").map_or(&Value::Null, |extra| extra);
    let metadata = extra.get("metadata").map_or(&Value::Null, |metadata| metadata);
    for name in METADATA {
        span.value(&format!("langsmith.metadata.{name}"), metadata.get(name));
    }
    span.value("langsmith.span.tags", run.get("tags"));
    if is_call {
        call(run, extra, metadata, &mut span);
    }
    if kind == "tool" {
        span.text("gen_ai.tool.name", str_of(run, "name"));
    }
    span.content("gen_ai.prompt", run.get("inputs"));
    span.content("gen_ai.completion", run.get("outputs"));
    let error = str_of(run, "error");
    if !error.is_empty() || str_of(run, "status") == "error" {
        span.fail(error);
    }
    Ok(span)
}

/// What only calls have: model, provider, usage, cost, the first token.
fn call(run: &Value, extra: &Value, metadata: &Value, span: &mut Span) {
    let parameters = extra.get("invocation_params").map_or(&Value::Null, |parameters| parameters);
    let named = [str_of(metadata, "ls_model_name"), str_of(parameters, "model"), str_of(parameters, "model_name")];
    span.text("gen_ai.request.model", named.into_iter().find(|name| !name.is_empty()).map_or("", |name| name));
    span.text("gen_ai.system", str_of(metadata, "ls_provider"));
    let usage = run.get("outputs").and_then(|outputs| outputs.get("usage_metadata"));
    let usage = usage.or_else(|| metadata.get("usage_metadata"));
    if usage.is_some() {
        span.value("langsmith.metadata.usage_metadata", usage);
    } else {
        span.count("gen_ai.usage.input_tokens", count_of(run, "prompt_tokens"));
        span.count("gen_ai.usage.output_tokens", count_of(run, "completion_tokens"));
    }
    span.value("gen_ai.usage.cost", run.get("total_cost"));
    let start = run.get("start_time").and_then(nanos_of);
    let first = run.get("first_token_time").and_then(nanos_of);
    if let (Some(start), Some(first)) = (start, first)
        && first > start
    {
        let nanos = first - start;
        span.text(
            "gen_ai.response.time_to_first_chunk",
            &format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000),
        );
    }
}
