//! What the caller asked for, as attributes: table 3.2. What no attribute holds goes to `millrace.request.extra`.

use std::borrow::Cow;

use super::content_members::may_hold;
use super::span::{AttrValue, Attributes};
use crate::genai::messages::parts::PartReader;
use crate::genai::messages::{media, message, system, tools};
use crate::genai::semconv;
use crate::json::document::Value;
use crate::json::writer::JsonWriter;

/// The members of a request that have an attribute, and the rest in order.
#[derive(Default)]
pub(super) struct Request<'d> {
    messages: Option<Value<'d>>,
    pub(super) model: Cow<'d, str>,
    max_completion_tokens: Option<i64>,
    max_tokens: Option<i64>,
    choice_count: Option<i64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
    top_k: Option<i64>,
    stop: Vec<Cow<'d, str>>,
    seed: Option<i64>,
    random_seed: Option<i64>,
    stream: bool,
    reasoning_effort: Option<Cow<'d, str>>,
    /// The effort in `reasoning`, and all of `reasoning`.
    effort_of_reasoning: Option<(Cow<'d, str>, Value<'d>)>,
    service_tier: Option<Cow<'d, str>>,
    tools: Option<Value<'d>>,
    functions: Option<Value<'d>>,
    modalities: Option<Value<'d>>,
    response_format: Option<Value<'d>>,
    is_guided: bool,
    user: Option<Cow<'d, str>>,
    safety_identifier: Option<Cow<'d, str>>,
    rest: Vec<(Value<'d>, Value<'d>)>,
}

impl<'d> Request<'d> {
    pub(super) fn read(request: Value<'d>) -> Self {
        let mut read = Self::default();
        for (key, value) in request.members().filter(|(_, value)| !value.is_null()) {
            if !read.take(&key.text(), value) {
                read.rest.push((key, value));
            }
        }
        read
    }

    /// Takes a member of the right type. Gives whether an attribute holds all of it.
    fn take(&mut self, name: &str, value: Value<'d>) -> bool {
        match name {
            "model" => set(&mut self.model, value.str()),
            "messages" => put(&mut self.messages, Some(value)),
            "max_completion_tokens" => put(&mut self.max_completion_tokens, value.int()),
            "max_tokens" => put(&mut self.max_tokens, value.int()),
            "n" => put(&mut self.choice_count, value.int()),
            "temperature" => put(&mut self.temperature, value.double()),
            "top_p" => put(&mut self.top_p, value.double()),
            "frequency_penalty" => put(&mut self.frequency_penalty, value.double()),
            "presence_penalty" => put(&mut self.presence_penalty, value.double()),
            "top_k" => put(&mut self.top_k, value.int()),
            "stop" => stop_sequences(value).is_some_and(|stop| set(&mut self.stop, Some(stop))),
            "seed" => put(&mut self.seed, value.int()),
            "random_seed" => put(&mut self.random_seed, value.int()),
            "stream" => value.bool().is_some_and(|stream| set(&mut self.stream, Some(stream))),
            "reasoning_effort" => put(&mut self.reasoning_effort, value.filled_str()),
            "service_tier" => put(&mut self.service_tier, value.filled_str()),
            "tools" if value.is_array() => put(&mut self.tools, Some(value)),
            "functions" if value.is_array() => put(&mut self.functions, Some(value)),
            _ => self.take_in_part(name, value),
        }
    }

    /// Takes members of which an attribute holds a part only: they stay in the rest too.
    fn take_in_part(&mut self, name: &str, value: Value<'d>) -> bool {
        match name {
            "reasoning" => {
                let effort = value.get("effort").and_then(Value::filled_str);
                let is_all = effort.is_some() && value.members().count() == 1;
                self.effort_of_reasoning = effort.map(|effort| (effort, value));
                return is_all;
            }
            "modalities" => self.modalities = Some(value),
            "response_format" => self.response_format = Some(value),
            "guided_json" | "structured_outputs" => self.is_guided = true,
            "user" => self.user = value.filled_str(),
            "safety_identifier" => self.safety_identifier = value.filled_str(),
            _ => {}
        }
        false
    }

    /// The MIME type of sound that was asked for, by its format.
    pub(super) fn audio_mime(&self) -> Option<&'static str> {
        let (_, audio) = self.rest.iter().find(|(key, _)| key.is_key("audio"))?;
        media::mime_of_audio(&audio.get("format")?.str()?)
    }

    pub(super) fn user(&self) -> Option<Cow<'d, str>> {
        self.user.clone().or_else(|| self.safety_identifier.clone())
    }

    /// Writes everything. `reader` reads parts of messages that are not those of chat-completions.
    pub(super) fn put(&self, attributes: &mut Attributes<'d>, was_streamed: bool, reader: Option<PartReader>) {
        attributes.call.request_model = attributes.stated(semconv::REQUEST_MODEL, Some(self.model.clone()));
        self.put_parameters(attributes, was_streamed);
        self.put_content(attributes, reader);
    }

    fn put_parameters(&self, attributes: &mut Attributes<'d>, was_streamed: bool) {
        let int = |value: Option<i64>| value.map(AttrValue::Int);
        let max_tokens = int(self.max_completion_tokens.or(self.max_tokens));
        attributes.parameter(semconv::REQUEST_MAX_TOKENS, "max_tokens", max_tokens);
        let choice_count = int(self.choice_count.filter(|count| *count != 1));
        attributes.parameter(semconv::REQUEST_CHOICE_COUNT, "choice.count", choice_count);
        for (key, name, value) in [
            (semconv::REQUEST_TEMPERATURE, "temperature", self.temperature),
            (semconv::REQUEST_TOP_P, "top_p", self.top_p),
            (semconv::REQUEST_FREQUENCY_PENALTY, "frequency_penalty", self.frequency_penalty),
            (semconv::REQUEST_PRESENCE_PENALTY, "presence_penalty", self.presence_penalty),
        ] {
            attributes.parameter(key, name, value.map(AttrValue::Double));
        }
        attributes.parameter(semconv::REQUEST_TOP_K, "top_k", int(self.top_k.filter(|top_k| *top_k > 0)));
        if !self.stop.is_empty() {
            let stop = attributes.within_limits(semconv::REQUEST_STOP_SEQUENCES, self.stop.clone());
            let stop = Some(AttrValue::StrList(stop));
            attributes.parameter(semconv::REQUEST_STOP_SEQUENCES, "stop_sequences", stop);
        }
        attributes.parameter(semconv::REQUEST_SEED, "seed", int(self.seed.or(self.random_seed)));
        if self.stream || was_streamed {
            attributes.call.streaming = Some(true);
            attributes.put(semconv::REQUEST_STREAM, AttrValue::Bool(true));
        }
        let second_effort = || self.effort_of_reasoning.as_ref().map(|(effort, _)| effort.clone());
        let effort = self.reasoning_effort.clone().or_else(second_effort);
        let tier = self.service_tier.clone().filter(|tier| tier != "auto");
        attributes.call.service_tier = tier.clone().unwrap_or_default();
        let output_type = self.output_type().map(Cow::Borrowed);
        for (key, name, text) in [
            (semconv::REQUEST_REASONING_LEVEL, "reasoning.level", effort),
            (semconv::OPENAI_REQUEST_SERVICE_TIER, "service_tier", tier),
            (semconv::OUTPUT_TYPE, "output_type", output_type),
        ] {
            let text = text.map(|text| AttrValue::Str(attributes.within_limit(key, text)));
            attributes.parameter(key, name, text);
        }
    }

    fn put_content(&self, attributes: &mut Attributes<'d>, reader: Option<PartReader>) {
        if [self.tools, self.functions].into_iter().flatten().any(|tools| !tools.is_empty()) {
            let write = |json: &mut JsonWriter| tools::write(json, self.tools, self.functions);
            attributes.call.tool_definitions = attributes.content(semconv::TOOL_DEFINITIONS, write);
        }
        if let Some(messages) = self.messages {
            attributes.call.system_prompt = system::of_messages(messages, attributes.limits()).into();
            let write = |json: &mut JsonWriter| match reader {
                Some(reader) => message::write_input_of(json, messages, reader),
                None => message::write_input(json, messages),
            };
            attributes.call.input_messages = attributes.content(semconv::INPUT_MESSAGES, write);
        }
        self.put_rest(attributes);
    }

    fn put_rest(&self, attributes: &mut Attributes<'d>) {
        let (content, rest): (Vec<_>, Vec<_>) = self.rest.iter().partition(|(key, value)| may_hold(*key, *value));
        if !content.is_empty() {
            attributes.json(semconv::MILLRACE_REQUEST_CONTENT, |json| {
                json.begin_object();
                content.iter().for_each(|(key, value)| json.copy_member(*key, *value));
                json.end_object();
            });
        }
        let (counts, effort) = (self.overruled_counts(), self.overruled_effort());
        if rest.is_empty() && effort.is_none() && counts.iter().all(|(_, count)| count.is_none()) {
            return;
        }
        attributes.json(semconv::MILLRACE_REQUEST_EXTRA, |json| {
            json.begin_object();
            rest.iter().for_each(|(key, value)| json.copy_member(*key, *value));
            for (name, count) in counts.into_iter().filter_map(|(name, count)| Some((name, count?))) {
                json.key(name);
                json.number(&count.to_string());
            }
            if let Some(reasoning) = effort {
                json.member("reasoning", reasoning);
            }
            json.end_object();
        });
    }

    /// `reasoning`, when `reasoning_effort` says otherwise and it is not in the rest already.
    fn overruled_effort(&self) -> Option<Value<'d>> {
        let (effort, reasoning) = self.effort_of_reasoning.as_ref()?;
        let is_overruled = self.reasoning_effort.as_ref().is_some_and(|used| used != effort);
        (is_overruled && reasoning.members().count() == 1).then_some(*reasoning)
    }

    /// Counts under a second name, when the first name says otherwise.
    fn overruled_counts(&self) -> [(&'static str, Option<i64>); 2] {
        let second =
            |first: Option<i64>, second: Option<i64>| second.filter(|value| first.is_some_and(|it| it != *value));
        [
            ("max_tokens", second(self.max_completion_tokens, self.max_tokens)),
            ("random_seed", second(self.seed, self.random_seed)),
        ]
    }

    /// What is asked for in the end: sound and pictures before JSON, JSON before text.
    fn output_type(&self) -> Option<&'static str> {
        let modality = |name: &str| self.modalities.into_iter().flat_map(Value::items).any(|item| item.is_key(name));
        let format = self.response_format.and_then(|format| format.str().or_else(|| format.get("type")?.str()));
        match format.as_deref() {
            _ if modality("audio") => Some("speech"),
            _ if modality("image") => Some("image"),
            Some("json_object" | "json_schema" | "json") => Some("json"),
            _ if self.is_guided => Some("json"),
            Some("text") => Some("text"),
            _ if modality("text") => Some("text"),
            _ => None,
        }
    }
}

fn put<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let is_taken = value.is_some();
    *slot = value.or_else(|| slot.take());
    is_taken
}

fn set<T>(slot: &mut T, value: Option<T>) -> bool {
    value.map(|value| *slot = value).is_some()
}

/// A text or a list of texts.
fn stop_sequences(value: Value<'_>) -> Option<Vec<Cow<'_, str>>> {
    if value.is_array() { value.items().map(Value::str).collect() } else { value.str().map(|stop| vec![stop]) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::json::document::Document;
    use crate::json::limits::Limits;

    /// The attributes of a request beside its model and messages, as JSON where they are JSON.
    fn attributes(mut request: Json) -> Json {
        request["model"] = json!("m");
        let document = Document::parse(request.to_string()).unwrap();
        let mut attributes = Attributes::new(Limits::default());
        Request::read(document.root()).put(&mut attributes, false, None);
        let column = |value: &AttrValue<'_>| {
            let mut text = String::new();
            value.as_column_text(&mut text);
            serde_json::from_str(&text).unwrap_or(Json::String(text))
        };
        let (call, mut list) = attributes.finish();
        if !call.tool_definitions.is_empty() {
            list.push((semconv::TOOL_DEFINITIONS.into(), AttrValue::Json(call.tool_definitions)));
        }
        list.iter()
            .filter(|(key, _)| key != semconv::REQUEST_MODEL)
            .map(|(key, value)| (key.to_string(), column(value)))
            .collect()
    }

    #[test]
    fn every_parameter_has_its_attribute() {
        let table = [
            (json!({"max_completion_tokens":5,"max_tokens":5}), json!({"gen_ai.request.max_tokens":5})),
            (
                json!({"max_tokens":9,"max_completion_tokens":5}),
                json!({"gen_ai.request.max_tokens":5,"millrace.request.extra":{"max_tokens":9}}),
            ),
            (json!({"n":1}), json!({})),
            (json!({"n":2}), json!({"gen_ai.request.choice.count":2})),
            (
                json!({"temperature":0,"top_p":1,"frequency_penalty":0.5,"presence_penalty":-1}),
                json!({"gen_ai.request.temperature":0,"gen_ai.request.top_p":1,"gen_ai.request.frequency_penalty":0.5,"gen_ai.request.presence_penalty":-1}),
            ),
            (json!({"top_k":20}), json!({"gen_ai.request.top_k":20})),
            (json!({"top_k":-1,"top_logprobs":3}), json!({"millrace.request.extra":{"top_logprobs":3}})),
            (json!({"stop":["a","b"]}), json!({"gen_ai.request.stop_sequences":["a","b"]})),
            (json!({"stop":"a"}), json!({"gen_ai.request.stop_sequences":["a"]})),
            (json!({"stop":[]}), json!({})),
            (json!({"seed":7,"random_seed":7}), json!({"gen_ai.request.seed":7})),
            (
                json!({"seed":7,"random_seed":8}),
                json!({"gen_ai.request.seed":7,"millrace.request.extra":{"random_seed":8}}),
            ),
            (
                json!({"reasoning":{"effort":"low"},"reasoning_effort":"high"}),
                json!({"gen_ai.request.reasoning.level":"high","millrace.request.extra":{"reasoning":{"effort":"low"}}}),
            ),
            (json!({"random_seed":8}), json!({"gen_ai.request.seed":8})),
            (json!({"seed":1.5}), json!({"millrace.request.extra":{"seed":1.5}})),
            (json!({"stream":false}), json!({})),
            (json!({"stream":true}), json!({"gen_ai.request.stream":true})),
            (json!({"reasoning_effort":"max"}), json!({"gen_ai.request.reasoning.level":"max"})),
            (json!({"reasoning":{"effort":"low"}}), json!({"gen_ai.request.reasoning.level":"low"})),
            (
                json!({"reasoning":{"effort":"low","x":1}}),
                json!({"gen_ai.request.reasoning.level":"low","millrace.request.extra":{"reasoning":{"effort":"low","x":1}}}),
            ),
            (json!({"service_tier":"auto"}), json!({})),
            (json!({"service_tier":"flex"}), json!({"openai.request.service_tier":"flex"})),
            (json!({"temperature":"hot"}), json!({"millrace.request.extra":{"temperature":"hot"}})),
            (json!({"user":"u","x":null}), json!({"millrace.request.extra":{"user":"u"}})),
            (
                json!({"user":"u","documents":["secret"],"suffix":"s"}),
                json!({"millrace.request.extra":{"user":"u"},"millrace.request.content":{"documents":["secret"],"suffix":"s"}}),
            ),
            (json!({"tools":[],"functions":[]}), json!({})),
            (json!({"functions":[{"name":"f"}]}), json!({"gen_ai.tool.definitions":[{"type":"function","name":"f"}]})),
        ];
        for (request, want) in table {
            assert_eq!(attributes(request.clone()), want, "{request}");
        }
    }

    #[test]
    fn the_output_type_is_what_is_asked_for() {
        let table = [
            (json!({"modalities":["text","audio"],"response_format":{"type":"json_object"}}), "speech"),
            (json!({"modalities":["image","text"]}), "image"),
            (json!({"modalities":["text"],"response_format":{"type":"json_schema"}}), "json"),
            (json!({"response_format":"json_object"}), "json"),
            (json!({"guided_json":{}}), "json"),
            (json!({"structured_outputs":{"json":{}}}), "json"),
            (json!({"response_format":{"type":"text"}}), "text"),
            (json!({"modalities":["text"]}), "text"),
        ];
        for (request, want) in table {
            assert_eq!(attributes(request.clone())["gen_ai.output.type"], want, "{request}");
        }
        assert_eq!(attributes(json!({"response_format":{"type":"grammar"}})).get("gen_ai.output.type"), None);
    }
}
