//! Which row of the mapping is exercised by which sample: read off the samples and the spans they become.
//!
//! A row is exercised by a sample when its source is in the sample's body and its target in the span. A row exercised by
//! nothing fails the test.

use std::fmt::Write as _;

use millrace::chat::{ChatSpan, Status};
use serde_json::{Map, Value};

use crate::corpus::cases::cases;
use crate::corpus::rows;
use crate::spans::{as_read, with_span_of_sample};
use support::corpus::{same, samples};

/// A sample and the span it became, both as JSON.
pub(crate) struct Exercise {
    pub(crate) ingest: Value,
    pub(crate) traceparent: bool,
    pub(crate) attributes: Map<String, Value>,
    pub(crate) failed: bool,
    pub(crate) message: String,
    pub(crate) name: String,
    pub(crate) trace: String,
    /// The span's id, and that of the same pair with its members the other way round.
    pub(crate) span_ids: [String; 2],
    pub(crate) parent: Option<String>,
    pub(crate) start_nanos: i64,
    pub(crate) end_nanos: i64,
    pub(crate) received_nanos: Option<i64>,
    /// Whether the raw request and the raw response are the texts that were sent.
    pub(crate) raw_as_sent: [bool; 2],
}

/// A row of a table: its id, what it says, and when a sample exercises it.
pub(crate) type Row = (&'static str, &'static str, fn(&Exercise) -> bool);

impl Exercise {
    fn new(sample: &Value, span: &ChatSpan<'_>) -> Self {
        let again = with_span_of_sample(&turned(sample), |span| span.span_id.to_string());
        Self {
            span_ids: [span.span_id.to_string(), again],
            ingest: sample["ingest"].clone(),
            traceparent: sample["headers"]["traceparent"].is_string(),
            attributes: span.all_attributes().map(|(key, value)| (key.to_string(), as_read(&value))).collect(),
            failed: span.status == Status::Error,
            message: span.status_message.to_string(),
            name: span.name.clone(),
            trace: span.trace.id().to_string(),
            parent: span.parent.map(|id| id.to_string()),
            start_nanos: span.start.nanos(),
            end_nanos: span.end.nanos(),
            raw_as_sent: [("request", &span.raw.request), ("response", &span.raw.response)]
                .map(|(member, raw)| *raw == sample["ingest"][member].to_string()),
            received_nanos: sample["receivedAtUnixNano"].as_str().map(|nanos| nanos.parse().unwrap()),
        }
    }

    /// A value of the body, by JSON pointer; null when it is not there.
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.ingest.pointer(pointer).unwrap_or(&Value::Null)
    }

    pub(crate) fn has(&self, pointer: &str) -> bool {
        !self.at(pointer).is_null()
    }

    /// An attribute; null when it is not there.
    pub(crate) fn attribute(&self, key: &str) -> &Value {
        self.attributes.get(key).unwrap_or(&Value::Null)
    }

    /// Whether the value at `pointer` is the attribute's.
    pub(crate) fn carries(&self, pointer: &str, key: &str) -> bool {
        self.has(pointer) && same(self.at(pointer), self.attribute(key))
    }

    /// Chunks of a stream, when the response is a list of them; texts read as JSON.
    pub(crate) fn chunks(&self) -> Vec<Value> {
        let read = |text: &str| serde_json::from_str(text.strip_prefix("data: ").unwrap_or(text)).ok();
        let items = self.at("/response").as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().map_or(Some(item.clone()), read)).collect()
    }

    /// Members of the chunks' choices, of any chunk.
    pub(crate) fn deltas(&self, pointer: &str) -> Vec<Value> {
        let chunks = self.chunks();
        let choices = chunks.iter().filter_map(|chunk| chunk["choices"].as_array()).flatten();
        choices.filter_map(|choice| choice.pointer(pointer)).filter(|value| !value.is_null()).cloned().collect()
    }

    /// Messages of the request.
    pub(crate) fn sent(&self) -> impl Iterator<Item = &Value> {
        self.at("/request/messages").as_array().into_iter().flatten()
    }

    /// Messages of the response's choices.
    pub(crate) fn received(&self) -> impl Iterator<Item = &Value> {
        self.at("/response/choices").as_array().into_iter().flatten().map(|choice| &choice["message"])
    }

    /// Content parts as they were sent, those of tools too.
    pub(crate) fn sent_parts(&self, kind: &str) -> Vec<&Value> {
        let parts = self.sent().filter_map(|message| message["content"].as_array()).flatten();
        parts.filter(|part| part["type"] == kind).collect()
    }

    /// Messages of the span, input and output.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &Value> {
        let lists = ["gen_ai.input.messages", "gen_ai.output.messages"].map(|key| self.attribute(key).as_array());
        lists.into_iter().flatten().flatten()
    }

    /// Parts of the span's messages, those of a type.
    pub(crate) fn parts(&self, kind: &str) -> Vec<&Value> {
        let parts = self.messages().filter_map(|message| message["parts"].as_array()).flatten();
        parts.filter(|part| part["type"] == kind).collect()
    }

    pub(crate) fn finish_reasons(&self) -> Vec<&str> {
        let reasons = self.attribute("gen_ai.response.finish_reasons").as_array();
        reasons.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

/// The same sample with the members of the request in the opposite order.
fn turned(sample: &Value) -> Value {
    let mut turned = sample.clone();
    if let Some(request) = turned["ingest"]["request"].as_object_mut() {
        *request = request.clone().into_iter().rev().collect();
    }
    turned
}

fn exercises() -> Vec<(String, Exercise)> {
    let all = samples().into_iter().chain(cases());
    all.map(|(name, sample)| (name, with_span_of_sample(&sample, |span| Exercise::new(&sample, span)))).collect()
}

#[test]
fn every_row_of_the_mapping_is_exercised() {
    const NAMED_MAX: usize = 4;
    let exercises = exercises();
    let mut table = String::new();
    let mut unexercised = Vec::new();
    for (id, what, holds) in rows::all() {
        let by: Vec<&str> = exercises.iter().filter(|(_, it)| holds(it)).map(|(name, _)| name.as_str()).collect();
        let more = if by.len() > NAMED_MAX { format!(" and {} more", by.len() - NAMED_MAX) } else { String::new() };
        let named = by.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
        writeln!(table, "{id:<22} {what:<72} {named}{more}").unwrap();
        if by.is_empty() {
            unexercised.push(format!("{id} {what}"));
        }
    }
    println!("{table}");
    assert!(unexercised.is_empty(), "no sample exercises:\n{}", unexercised.join("\n"));
}

#[test]
fn rows_have_ids_of_their_own_and_none_holds_for_everything() {
    let exercises = exercises();
    let rows = rows::all();
    let ids: std::collections::BTreeSet<_> = rows.iter().map(|(id, ..)| id).collect();
    assert_eq!(ids.len(), rows.len());
    let constant = ["3.1 operation", "3.1 name", "3.1 span id", "3.2 model", "3.2 api type"];
    for (id, _, holds) in rows.iter().filter(|(id, ..)| !constant.contains(id)) {
        assert!(exercises.iter().any(|(_, it)| !holds(it)), "{id} holds for every sample: it says nothing");
    }
}

#[test]
fn every_small_case_is_as_expected() {
    for (name, case) in cases() {
        with_span_of_sample(&case, |span| {
            for (key, want) in case["expect"]["attributes"].as_object().unwrap() {
                assert_eq!(span.attribute(key).map_or(Value::Null, |it| as_read(&it)), *want, "{name}: {key}");
            }
            if let Some(start) = case["expect"]["startTimeUnixNano"].as_str() {
                assert_eq!(span.start.nanos().to_string(), start, "{name}");
            }
        });
    }
}
