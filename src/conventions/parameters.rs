//! Parameters of the request under the conventions' names, without `gen_ai.request.`.

use super::keys::Slot;
use super::slots::Slots;
use crate::conventions::read_json;
use crate::genai::call::Text;
use crate::json::document::Value;
use crate::text::write_string;
use std::borrow::Cow;

/// Attributes that are one parameter each, ranked after `gen_ai.request.*`.
const ATTRIBUTES: &[(Slot, &str)] = &[
    (Slot::OpenaiSeed, "seed"),
    (Slot::ServiceTier, "service_tier"),
    (Slot::OldServiceTier, "service_tier"),
    (Slot::OutputType, "output_type"),
];
const ATTRIBUTES_LAST: &[(Slot, &str)] = &[
    (Slot::AiMaxOutputTokens, "max_tokens"),
    (Slot::AiMaxTokens, "max_tokens"),
    (Slot::AiTemperature, "temperature"),
    (Slot::AiTopP, "top_p"),
    (Slot::AiTopK, "top_k"),
    (Slot::AiFrequencyPenalty, "frequency_penalty"),
    (Slot::AiPresencePenalty, "presence_penalty"),
    (Slot::AiStopSequences, "stop_sequences"),
    (Slot::AiSeed, "seed"),
    (Slot::LangsmithTemperature, "temperature"),
    (Slot::LangsmithMaxTokens, "max_tokens"),
    (Slot::LlmTemperature, "temperature"),
    (Slot::LlmTopP, "top_p"),
    (Slot::LlmTopK, "top_k"),
    (Slot::LlmFrequencyPenalty, "frequency_penalty"),
    (Slot::LlmPresencePenalty, "presence_penalty"),
    (Slot::LlmStopSequences, "stop_sequences"),
];

/// A name and a value.
type Parameter<'a> = (Text<'a>, Text<'a>);

/// The parameters, sorted by name: of several sources of one the first wins.
pub(crate) fn of<'a>(slots: &Slots<'a>, invocation: Option<Value<'_>>) -> Vec<Parameter<'a>> {
    let mut found = Vec::new();
    for (name, value) in &slots.parameters {
        if let Some(name) = attribute_name(name) {
            found.push((name.into(), (*value).into()));
        }
    }
    let attributes = |found: &mut Vec<Parameter<'a>>, table: &[(Slot, &'static str)]| {
        for (slot, name) in table {
            if let Some(value) = slots.get(*slot).filter(|value| !is_default(name, value)) {
                found.push((Text::Borrowed(*name), value.into()));
            }
        }
    };
    attributes(&mut found, ATTRIBUTES);
    if let Some(format) = slots.get(Slot::ResponseFormat).and_then(output_type) {
        found.push(("output_type".into(), format.into()));
    }
    if let Some(invocation) = invocation {
        of_body(&mut found, invocation);
    }
    attributes(&mut found, ATTRIBUTES_LAST);
    if let Some(langfuse) = slots.json(Slot::LangfuseParameters) {
        of_body(&mut found, langfuse.root());
    }
    if let Some(genkit) = slots.get(Slot::GenkitInput).filter(|text| text.contains("\"config\""))
        && let Ok(input) = read_json(genkit)
        && let Some(config) = input.root().get("config")
    {
        of_body(&mut found, config);
    }
    // stable: among equals the first stays first
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found.dedup_by(|later, first| later.0 == first.0);
    found
}

/// The conventions' name of what follows `gen_ai.request.`; none for what is not a parameter.
fn attribute_name(name: &str) -> Option<&str> {
    Some(match name {
        "n" => "choice.count",
        "reasoning_effort" => "reasoning.level",
        "max_completion_tokens" | "max_output_tokens" => "max_tokens",
        "structured_output_schema" | "tools" | "headers" | "type" | "" => return None,
        name => name,
    })
}

/// Values that stand for nothing being asked for.
fn is_default(name: &str, value: &str) -> bool {
    match name {
        "service_tier" => value == "auto",
        "choice.count" => value == "1",
        "top_k" => value.starts_with('-') || value == "0",
        _ => false,
    }
}

/// Reads the members of a request's body by the specification's table 3.2.
fn of_body(found: &mut Vec<Parameter<'_>>, body: Value<'_>) {
    const NUMBERS: [(&str, &str); 13] = [
        ("max_completion_tokens", "max_tokens"),
        ("max_tokens", "max_tokens"),
        ("max_output_tokens", "max_tokens"),
        ("maxTokens", "max_tokens"),
        ("maxOutputTokens", "max_tokens"),
        ("n", "choice.count"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("frequency_penalty", "frequency_penalty"),
        ("presence_penalty", "presence_penalty"),
        ("top_k", "top_k"),
        ("seed", "seed"),
        ("random_seed", "seed"),
    ];
    for (member, name) in NUMBERS {
        let text = body.get(member).and_then(|value| value.number().map(Cow::from).or_else(|| value.str()));
        if let Some(text) = text.filter(|text| is_number(text) && !is_default(name, text)) {
            push(found, name, &text);
        }
    }
    let text = |value: Option<Value<'_>>| value.and_then(Value::filled_str).map(Cow::into_owned);
    let effort = text(body.get("reasoning_effort"))
        .or_else(|| text(body.get("reasoning").and_then(|reasoning| reasoning.get("effort"))));
    if let Some(effort) = effort {
        push(found, "reasoning.level", &effort);
    }
    if let Some(tier) = text(body.get("service_tier")).filter(|tier| tier != "auto") {
        push(found, "service_tier", &tier);
    }
    if let Some(stops) = body.get("stop").or_else(|| body.get("stop_sequences")).and_then(stop_sequences) {
        push(found, "stop_sequences", &stops);
    }
    if let Some(kind) = asked_output(body) {
        push(found, "output_type", kind);
    }
}

fn push(found: &mut Vec<Parameter<'_>>, name: &'static str, value: &str) {
    found.push((name.into(), Text::Owned(value.to_owned())));
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// A list of texts as JSON; a text alone is a list of one.
fn stop_sequences(value: Value<'_>) -> Option<String> {
    let texts: Vec<_> = match value.str() {
        Some(text) => vec![text],
        None => value.items().map(Value::str).collect::<Option<_>>()?,
    };
    if texts.is_empty() {
        return None;
    }
    let mut out = String::from("[");
    for (number, text) in texts.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        write_string(&mut out, text);
    }
    out.push(']');
    Some(out)
}

fn asked_output(body: Value<'_>) -> Option<&'static str> {
    let modality = |name: &str| body.get("modalities").into_iter().flat_map(Value::items).any(|item| item.is_key(name));
    let format = body.get("response_format").and_then(|format| format.str().or_else(|| format.get("type")?.str()));
    match format.as_deref() {
        _ if modality("audio") => Some("speech"),
        _ if modality("image") => Some("image"),
        Some(format) => output_type(format),
        None => modality("text").then_some("text"),
    }
}

fn output_type(format: &str) -> Option<&'static str> {
    match format {
        "json_object" | "json_schema" | "json" => Some("json"),
        "text" => Some("text"),
        _ => None,
    }
}
