//! What people download of their own conversations: `conversations.json` of ChatGPT and of claude.ai.
//!
//! ```text
//! ChatGPT     mapping: a tree of messages     an answer that was asked for again, and a question that was edited, are branches of it
//! claude.ai   chat_messages, in order         what tools got and gave is among the parts of an answer
//!
//! a question, and what follows up to the next one     a trace: a span of the agent, its calls and tools
//! answers after each other                            a call, with what the model was told since the one before
//! ```
//!
//! Neither has tokens, and claude.ai names no model, so that calls have no cost. Messages are known by their ids: of two downloads
//! with the same conversation, what the second one repeats is not sent again. Turns and calls that it tells more of are: they may have been
//! downloaded before they were answered.
//!
//! Sources: files of that shape in public parsers (polylogue, chatgpt-export-parser, claude-conversation-exporter).

mod chatgpt;
mod claude_ai;
mod turns;

use super::span::{Service, nanos_of, str_of};
use super::{Reader, Sink, Source};
use serde_json::Value;
use turns::Read;

/// Whose conversations they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    ChatGpt,
    ClaudeAi,
}

/// Reads conversations.
pub(super) struct Conversations {
    whose: Whose,
    service: Service,
}

impl Whose {
    fn name(self) -> &'static str {
        match self {
            Self::ChatGpt => "chatgpt",
            Self::ClaudeAi => "claude-ai",
        }
    }

    fn provider(self) -> &'static str {
        match self {
            Self::ChatGpt => "openai",
            Self::ClaudeAi => "anthropic",
        }
    }
}

impl Conversations {
    pub(super) fn new(source: &Source, whose: Whose) -> Self {
        let scope = match whose {
            Whose::ChatGpt => "millrace.import.chatgpt",
            Whose::ClaudeAi => "millrace.import.claude-ai",
        };
        Self { whose, service: Service::new(source, whose.name(), scope) }
    }
}

impl Reader for Conversations {
    fn piece(&mut self, piece: &[u8], sink: &mut Sink) {
        let conversation: Value = match serde_json::from_slice(piece) {
            Ok(conversation) => conversation,
            Err(error) => return sink.reject(format!("it is not JSON: {error}")),
        };
        let named = ["conversation_id", "id", "uuid"].map(|name| str_of(&conversation, name));
        let Some(name) = named.into_iter().find(|name| !name.is_empty()) else {
            return sink.reject("the conversation has no id");
        };
        let began = ["create_time", "created_at"].iter().find_map(|name| conversation.get(name).and_then(nanos_of));
        let Some(began) = began else { return sink.reject("create_time must be a time") };
        let mut read = Read::new(name, began);
        let why = match self.whose {
            Whose::ChatGpt => read.tree(&conversation, sink),
            Whose::ClaudeAi => read.list(&conversation, sink),
        };
        match why {
            Ok(()) => read.report(self.whose, &self.service, sink),
            Err(why) => sink.reject(why),
        }
    }
}

/// Parts as the content of a message: a text alone is itself.
fn one(mut parts: Vec<Value>) -> Value {
    match parts.as_mut_slice() {
        [only] if str_of(only, "type") == "text" => only.get_mut("text").map_or(Value::Null, Value::take),
        _ => Value::Array(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Format, Record};
    use crate::otlp::proto::collector::trace::v1::ExportTraceServiceRequest;
    use crate::otlp::proto::common::v1::any_value;
    use crate::otlp::proto::trace::v1::Span as Made;
    use crate::workspace::Workspace;
    use prost::Message as _;
    use serde_json::{Map, json};
    use std::collections::HashSet;

    fn read(format: Format, conversation: &Value) -> (Vec<Made>, Sink) {
        let source = Source {
            workspace: Workspace::default(),
            import_id: "i".to_owned(),
            file_name: "conversations.json".to_owned(),
            drops_content: false,
        };
        let mut sink = Sink::default();
        format.reader(&source).piece(conversation.to_string().as_bytes(), &mut sink);
        let requests = sink.records.iter().filter_map(|record| match record {
            Record::Otlp { request, .. } => Some(ExportTraceServiceRequest::decode(&request[..]).unwrap()),
            Record::Body { .. } => None,
        });
        let scopes = requests.flat_map(|request| request.resource_spans).flat_map(|resource| resource.scope_spans);
        (scopes.flat_map(|scope| scope.spans).collect(), sink)
    }

    fn text(span: &Made, key: &str) -> String {
        let found = span.attributes.iter().find(|attribute| attribute.key == key);
        match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
            Some(any_value::Value::StringValue(text)) => text.clone(),
            _ => String::new(),
        }
    }

    fn node(id: &str, parent: Option<&str>, children: &[&str], message: Value) -> (String, Value) {
        (id.to_owned(), json!({"id": id, "parent": parent, "children": children, "message": message}))
    }

    fn message(id: &str, role: &str, second: u64, said: &str, more: &Value) -> Value {
        let mut message = json!({"id": id, "author": {"role": role, "name": null, "metadata": {}}, "create_time": 1_780_272_000 + second,
            "content": {"content_type": "text", "parts": [said]}, "recipient": "all", "metadata": {}});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    }

    #[test]
    fn a_conversation_of_chatgpt_is_turns_with_calls_and_tools_and_another_answer_is_a_call_of_its_own() {
        let slug = |slug: &str| json!({"metadata": {"model_slug": slug}});
        let nodes = [
            node("root", None, &["s"], Value::Null),
            node("s", Some("root"), &["q1"], message("s", "system", 0, "", &json!({}))),
            node("q1", Some("s"), &["t1", "b1"], message("q1", "user", 1, "Grind?", &json!({}))),
            node(
                "t1",
                Some("q1"),
                &["r1"],
                message(
                    "t1",
                    "assistant",
                    2,
                    "sieve()",
                    &json!({"recipient": "python", "metadata": {"model_slug": "gpt-5"}}),
                ),
            ),
            node(
                "r1",
                Some("t1"),
                &["a1"],
                message("r1", "tool", 4, "fine", &json!({"author": {"role": "tool", "name": "python"}})),
            ),
            node("a1", Some("r1"), &["q2"], message("a1", "assistant", 6, "Yes.", &slug("gpt-5"))),
            node("b1", Some("q1"), &[], message("b1", "assistant", 9, "No.", &slug("gpt-4o"))),
            node("q2", Some("a1"), &["a2"], message("q2", "user", 20, "More?", &json!({}))),
            node("a2", Some("q2"), &[], message("a2", "assistant", 21, "Done.", &json!({}))),
        ];
        let conversation = json!({"conversation_id": "c-1", "title": "Mill", "create_time": 1_780_272_000.5, "current_node": "a2",
            "default_model_slug": "auto", "mapping": nodes.into_iter().collect::<Map<_, _>>()});
        let (spans, sink) = read(Format::ChatGpt, &conversation);
        assert_eq!(sink.rejects, Vec::<String>::new());
        assert_eq!(sink.others.get("message without content"), Some(&1));
        let calls: Vec<_> = spans.iter().filter(|span| span.name.starts_with("chat ")).collect();
        let said = |span: &Made| {
            (span.name.clone(), text(span, "gen_ai.input.messages"), text(span, "gen_ai.output.messages"))
        };
        let told = [
            r#"[{"role":"user","content":"Grind?"}]"#,
            r#"[{"role":"tool","name":"python","content":"fine"}]"#,
            r#"[{"role":"user","content":"Grind?"}]"#,
            r#"[{"role":"user","content":"More?"}]"#,
        ];
        let all: Vec<_> = calls.iter().map(|span| said(span)).collect();
        let find = |name: &str, told: &str, answer: &str| {
            all.iter().any(|(of, input, output)| of == name && input == told && output.contains(answer))
        };
        assert_eq!(all.len(), 4, "{all:?}");
        assert!(find("chat gpt-5", told[0], "sieve()") && find("chat gpt-5", told[1], "Yes."), "{all:?}");
        assert!(find("chat gpt-4o", told[2], "No.") && find("chat auto", told[3], "Done."), "{all:?}");
        let tool = spans.iter().find(|span| span.name == "execute_tool python").unwrap();
        assert_eq!(
            (text(tool, "gen_ai.tool.call.arguments"), text(tool, "gen_ai.tool.call.result")),
            ("sieve()".to_owned(), "fine".to_owned())
        );
        assert_eq!(tool.end_time_unix_nano - tool.start_time_unix_nano, 2_000_000_000);
        let turns: Vec<_> = spans.iter().filter(|span| span.name == "chatgpt.turn").collect();
        assert_eq!(turns.len(), 2);
        for span in &spans {
            let turn = turns.iter().find(|turn| turn.trace_id == span.trace_id).unwrap();
            assert!(span.name == "chatgpt.turn" || span.parent_span_id == turn.span_id);
            assert_eq!(text(span, "gen_ai.conversation.id"), "c-1");
        }
        let ids: HashSet<_> = spans.iter().map(|span| &span.span_id).collect();
        assert_eq!(ids.len(), spans.len());
    }

    #[test]
    fn a_question_that_is_downloaded_again_with_its_answer_is_told_more_of() {
        let known = |said: &[&str]| {
            let mut nodes = vec![(
                "q".to_owned(),
                json!({"id": "q", "children": [], "message": message("q", "user", 1, "Grind?", &json!({}))}),
            )];
            for (number, text) in said.iter().enumerate() {
                let (id, before) = (format!("a{number}"), nodes.last().unwrap().0.clone());
                nodes.last_mut().unwrap().1["children"] = json!([id]);
                nodes.push(node(&id, Some(&before), &[], message(&id, "assistant", 2, text, &json!({}))));
            }
            let conversation =
                json!({"id": "c", "create_time": 1_780_272_000, "mapping": nodes.into_iter().collect::<Map<_, _>>()});
            let records = read(Format::ChatGpt, &conversation).1.records;
            let known = records.iter().map(|record| match record {
                Record::Otlp { known: Some(known), .. } => (known.identity, known.extent),
                other => panic!("{other:?}"),
            });
            known.collect::<Vec<_>>()
        };
        let [asked, begun, answered, more] = [&[] as &[&str], &["Y"], &["Yes."], &["Yes.", "Gladly."]].map(known);
        assert_eq!((asked.len(), begun.len(), answered.len(), more.len()), (1, 2, 2, 2));
        for (less, greater) in [(&asked, &begun), (&begun, &answered), (&answered, &more)] {
            for ((identity, extent), (of_other, larger)) in less.iter().zip(greater) {
                assert!(identity == of_other && extent < larger, "{less:?} {greater:?}");
            }
        }
        assert_eq!(more, known(&["Yes.", "Gladly."]));
    }

    #[test]
    fn a_conversation_of_claude_has_the_tools_that_are_among_the_parts_of_an_answer() {
        let block = |kind: &str, more: Value| {
            let mut block = json!({"type": kind, "start_timestamp": "2026-06-01T00:00:02Z", "stop_timestamp": "2026-06-01T00:00:04Z"});
            block.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            block
        };
        let conversation = json!({"uuid": "c-2", "name": "Mill", "created_at": "2026-06-01T00:00:00.5Z", "account": {"uuid": "u"}, "chat_messages": [
            {"uuid": "m1", "sender": "human", "text": "Grind?", "created_at": "2026-06-01T00:00:01Z", "content": [block("text", json!({"text": "Grind?"}))],
                "attachments": [{"file_name": "a.txt", "extracted_content": "wheat"}], "files": []},
            {"uuid": "m2", "sender": "assistant", "text": "", "created_at": "2026-06-01T00:00:02Z", "content": [
                block("thinking", json!({"thinking": "hm"})),
                block("tool_use", json!({"id": "toolu_1", "name": "sieve", "input": {"n": 1}})),
                block("tool_result", json!({"tool_use_id": "toolu_1", "name": "sieve", "content": [{"type": "text", "text": "torn"}], "is_error": true})),
                block("text", json!({"text": "No."}))]},
            {"uuid": "m3", "sender": "human", "text": "Old form", "created_at": "2026-06-01T00:01:00Z"},
            {"uuid": "m4", "sender": "assistant", "text": "Yes.", "created_at": "2026-06-01T00:01:02Z"},
            {"uuid": "m5", "sender": "assistant", "text": "", "content": []},
        ]});
        let (spans, sink) = read(Format::ClaudeAi, &conversation);
        assert_eq!((sink.rejects.len(), sink.others.get("message without content or id")), (0, Some(&1)));
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["claude-ai.turn", "claude-ai.turn", "chat", "chat", "chat", "execute_tool sieve"]);
        let asked =
            r#"[{"role":"user","content":[{"type":"text","text":"Grind?"},{"type":"text","text":"[a.txt]\nwheat"}]}]"#;
        assert_eq!(text(&spans[2], "gen_ai.input.messages"), asked);
        assert!(text(&spans[2], "gen_ai.output.messages").contains("toolu_1"));
        assert!(
            text(&spans[3], "gen_ai.input.messages").contains("torn")
                && text(&spans[3], "gen_ai.output.messages").contains("No.")
        );
        assert!(text(&spans[4], "gen_ai.output.messages").contains("Yes."));
        assert_eq!(spans[4].end_time_unix_nano - spans[4].start_time_unix_nano, 2_000_000_000);
        assert_eq!(spans[5].status.as_ref().map(|status| status.code), Some(2));
    }

    #[test]
    fn a_tree_with_a_circle_ends_and_what_is_not_reached_is_counted() {
        let nodes = [
            node("a", None, &["b", "b"], message("a", "user", 1, "Q", &json!({}))),
            node("b", Some("a"), &["a"], message("b", "assistant", 2, "A", &json!({}))),
            node("c", Some("d"), &["d"], message("c", "user", 3, "Q", &json!({}))),
            node("d", Some("c"), &["c"], message("d", "assistant", 4, "A", &json!({}))),
        ];
        let conversation =
            json!({"id": "c", "create_time": 1_780_272_000, "mapping": nodes.into_iter().collect::<Map<_, _>>()});
        let (spans, sink) = read(Format::ChatGpt, &conversation);
        assert_eq!((spans.len(), sink.others.get("message that is in no branch")), (2, Some(&2)));
    }
}
