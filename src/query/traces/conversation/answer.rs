//! A conversation as it is answered.

use super::Call;
use super::agents::{Agent, Agents};
use super::chain::{Chain, Message, Side};
use super::statements::{Light, Texts, ToolTexts, Wanted, ids_of};
use crate::genai::operation::EXECUTE_TOOL;
use crate::query::spans::ended;
use crate::query::times::{milliseconds, shown};
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

/// A conversation in the making.
pub(super) struct Conversation<'s> {
    spans: HashMap<&'s str, &'s Light>,
    tools: Vec<&'s Light>,
    agents: &'s [Agent],
    messages: Vec<Message>,
    calls: Vec<Call>,
    /// The call that each system prompt was first sent by, and of each call which one it has.
    systems: Vec<usize>,
    system_of: Vec<Option<usize>>,
    /// From which message of its input on a call is read.
    from: HashMap<String, usize>,
    texts: HashMap<String, Texts>,
    tool_texts: HashMap<String, ToolTexts>,
}

impl<'s> Conversation<'s> {
    pub(super) fn new(spans: &'s [Light], agents: &'s Agents, (chain, calls): (Chain, Vec<Call>)) -> Self {
        let mut numbers: HashMap<u64, usize> = HashMap::new();
        let mut systems = Vec::new();
        let system_of = calls.iter().enumerate().map(|(call, of)| {
            (of.said.system != 0).then(|| {
                *numbers.entry(of.said.system).or_insert_with(|| {
                    systems.push(call);
                    systems.len() - 1
                })
            })
        });
        let system_of = system_of.collect();
        Self {
            spans: spans.iter().map(|span| (span.span_id.as_str(), span)).collect(),
            tools: spans.iter().filter(|span| span.operation == EXECUTE_TOOL).collect(),
            agents: &agents.agents,
            messages: chain.messages,
            calls,
            systems,
            system_of,
            from: HashMap::new(),
            texts: HashMap::new(),
            tool_texts: HashMap::new(),
        }
    }

    /// What is to be read: of each call the messages from the first new one on.
    pub(super) fn wanted(&mut self) -> Vec<Wanted> {
        let mut first: HashMap<usize, usize> = HashMap::new();
        for message in &self.messages {
            let place = match message.side {
                Side::Input => message.place,
                Side::Output => usize::MAX,
            };
            let least = first.entry(message.call).or_insert(place);
            *least = place.min(*least);
        }
        let has_system: HashSet<usize> = self.systems.iter().copied().collect();
        let calls = self.calls.iter().enumerate();
        let wanted: Vec<Wanted> = calls
            .filter(|(number, _)| first.contains_key(number) || has_system.contains(number))
            .map(|(number, call)| {
                let place = first.get(&number).copied().unwrap_or(usize::MAX);
                let from = place.saturating_add(call.skipped).min(call.said.input.len());
                Wanted { span_id: call.said.span_id.clone(), from, system: has_system.contains(&number) }
            })
            .collect();
        self.from = wanted.iter().map(|wanted| (wanted.span_id.clone(), wanted.from)).collect();
        wanted
    }

    pub(super) fn put_texts(&mut self, texts: Vec<Texts>) {
        self.texts.extend(texts.into_iter().map(|texts| (texts.span_id.clone(), texts)));
    }

    pub(super) fn put_tools(&mut self, texts: Vec<ToolTexts>) {
        self.tool_texts.extend(texts.into_iter().map(|texts| (texts.span_id.clone(), texts)));
    }

    /// Spans of tools whose result no message has.
    pub(super) fn tools_without_result(&self) -> Vec<String> {
        let (_, results) = self.tool_messages(&self.parsed());
        let lacks = |tool: &&&Light| tool.tool_call_id.is_empty() || !results.contains_key(&tool.tool_call_id);
        self.tools.iter().filter(lacks).map(|tool| tool.span_id.clone()).collect()
    }

    /// The messages as JSON.
    fn parsed(&self) -> Vec<Value> {
        let text = |message: &Message| {
            let call = self.calls.get(message.call)?;
            let texts = self.texts.get(&call.said.span_id)?;
            match message.side {
                Side::Output => texts.output.get(message.place),
                Side::Input => {
                    let from = self.from.get(&call.said.span_id)?;
                    texts.input.get(message.place.checked_add(call.skipped)?.checked_sub(*from)?)
                }
            }
        };
        let read = |message: &Message| serde_json::from_str(text(message)?).ok();
        self.messages.iter().map(|message| read(message).unwrap_or_default()).collect()
    }

    /// The messages that ask for a tool, and those that have its result, by the id of the call.
    fn tool_messages(&self, parsed: &[Value]) -> (HashMap<String, usize>, HashMap<String, usize>) {
        let (mut asked, mut results) = (HashMap::new(), HashMap::new());
        for (number, message) in parsed.iter().enumerate() {
            for part in message["parts"].as_array().into_iter().flatten() {
                let Some(id) = part["id"].as_str() else { continue };
                match part["type"].as_str() {
                    Some("tool_call") => asked.entry(id.to_owned()).or_insert(number),
                    Some("tool_call_response") => results.entry(id.to_owned()).or_insert(number),
                    _ => continue,
                };
            }
        }
        (asked, results)
    }

    pub(super) fn to_json(&self) -> Map<String, Value> {
        let parsed = self.parsed();
        let tools = self.tools(&parsed);
        let messages: Vec<Value> =
            self.messages.iter().zip(parsed).map(|(message, parsed)| self.message(message, parsed)).collect();
        let calls: Vec<Value> =
            self.calls.iter().zip(&self.system_of).map(|(call, system)| self.call(call, *system)).collect();
        let agents = self.agents.iter();
        let agents = agents
            .map(|of| json!({"span_id": some(ids_of(&of.span_id).1), "name": some(&of.name), "parent": of.parent}));
        let systems = self.systems.iter().filter_map(|call| self.calls.get(*call)).map(|call| {
            let text = self.texts.get(&call.said.span_id).map_or("", |texts| &texts.system);
            json!({"text": text, "span_id": ids_of(&call.said.span_id).1})
        });
        let members = [
            ("agents", agents.collect()),
            ("systems", systems.collect()),
            ("calls", calls.into()),
            ("messages", messages.into()),
            ("tools", tools.into()),
        ];
        members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn message(&self, message: &Message, mut parsed: Value) -> Value {
        let span = self.calls.get(message.call).map(|call| ids_of(&call.said.span_id).1);
        let mut member = |name: &str| parsed.get_mut(name).map(Value::take);
        json!({
            "role": member("role"), "parts": member("parts"), "finish_reason": member("finish_reason"),
            "span_id": span, "call": message.call,
            "side": match message.side { Side::Input => "input", Side::Output => "output" },
        })
    }

    fn call(&self, call: &Call, system: Option<usize>) -> Value {
        let linked = &call.linked;
        let (trace_id, span_id) = ids_of(&call.said.span_id);
        let mut shown_call = json!({
            "trace_id": trace_id, "span_id": span_id, "agent": call.agent, "system": system, "base": linked.base, "kept": linked.kept,
            "dropped": linked.dropped, "added": linked.added, "output": linked.output,
        });
        if let (Some(span), Some(members)) = (self.spans.get(call.said.span_id.as_str()), shown_call.as_object_mut()) {
            members.extend(timed(span));
            let more = [
                ("model", some(&span.model)),
                ("provider", some(&span.provider)),
                ("input_tokens", span.input_tokens.into()),
                ("output_tokens", span.output_tokens.into()),
                ("cost_usd", span.cost.into()),
            ];
            members.extend(more.map(|(name, value)| (name.to_owned(), value)));
        }
        shown_call
    }

    /// Each run of a tool, and the messages that it belongs to.
    fn tools(&self, parsed: &[Value]) -> Vec<Value> {
        let (asked, results) = self.tool_messages(parsed);
        let one = |tool: &&Light| {
            let texts = self.tool_texts.get(&tool.span_id);
            let (trace_id, span_id) = ids_of(&tool.span_id);
            let mut shown_tool = json!({
                "trace_id": trace_id, "span_id": span_id, "call_id": some(&tool.tool_call_id),
                "name": some(if tool.tool_name.is_empty() { &tool.name } else { &tool.tool_name }),
                "message": asked.get(&tool.tool_call_id), "result": results.get(&tool.tool_call_id),
                "input": texts.map_or(Value::Null, |texts| some(&texts.input)),
                "output": texts.map_or(Value::Null, |texts| some(&texts.output)),
            });
            if let Some(members) = shown_tool.as_object_mut() {
                members.extend(timed(tool));
            }
            shown_tool
        };
        self.tools.iter().map(one).collect()
    }
}

/// A text, or null if it is empty.
fn some(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

/// When a span was, and how it ended.
fn timed(span: &Light) -> [(String, Value); 3] {
    let length = ended(span.started, span.duration, &span.timing).map(|_| milliseconds(span.duration));
    [
        ("started_at", shown(span.started).into()),
        ("duration_ms", length.into()),
        ("status", span.status.as_str().into()),
    ]
    .map(|(name, value): (&str, Value)| (name.to_owned(), value))
}
