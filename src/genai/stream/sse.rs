//! A response captured as a stream, in the shapes captures have, put together into the response it stands for.
//!
//! ```text
//! [{chunk},{chunk}]    ["data: {chunk}","data: [DONE]"]    "data: {chunk}\n\ndata: [DONE]\n\n"    {chunk}
//!        \_________________________|______________________________/______________________________/
//!                                  v
//!                    Merge (one chunk at a time)  ->  {"id",...,"choices":[{"message":{...}}],"usage":{...}}
//! ```
//!
//! Streams of other APIs become the same form (`events`).
//!
//! Source: server-sent events (WHATWG HTML, section 9.2) and table 3.6.

use super::events::Streamed;
use super::merge::Merge;
use crate::genai::apis::{self, Api};
use crate::json::document::{Document, Value};

/// A response put together.
#[derive(Debug, Clone)]
pub(crate) struct Merged {
    pub(crate) document: Document<'static>,
    /// It was a stream, not only a response in an unusual wrapping.
    pub(crate) is_stream: bool,
    /// The stream had an end: each choice a finish reason, each line readable.
    pub(crate) is_complete: bool,
    /// Whose form it had.
    pub(crate) api: Api,
}

/// Whether an object is a chunk of a stream.
pub(crate) fn is_chunk(object: Value<'_>) -> bool {
    let marked = object.get("object").is_some_and(|kind| kind.is_key("chat.completion.chunk"));
    let by_delta = || {
        let choices = || object.get("choices").into_iter().flat_map(Value::items);
        choices().any(|choice| choice.has("delta")) && !choices().any(|choice| choice.get("message").is_some())
    };
    marked || by_delta()
}

/// Whether an object is a chunk, or an event, of a stream of any API.
pub(crate) fn is_stream(object: Value<'_>) -> bool {
    is_chunk(object) || (object.is_object() && Streamed::of(object).is_some())
}

/// Puts the response together. `None` when neither a choice nor an error comes out.
pub(crate) fn merge(response: Value<'_>) -> Option<Merged> {
    if let Some(whole) = whole_in_text(response) {
        return Some(whole);
    }
    let mut reader = Reader::default();
    if response.is_array() {
        for item in response.items() {
            match item.str() {
                Some(text) => reader.text(&text),
                None => reader.chunk(item),
            }
        }
    } else if let Some(text) = response.str() {
        reader.text(&text);
    } else {
        reader.chunk(response);
    }
    reader.finish()
}

/// A complete response as a JSON text.
fn whole_in_text(response: Value<'_>) -> Option<Merged> {
    let text = response.str()?;
    let document = Document::parse(text.trim().to_owned()).ok()?;
    let root = document.root();
    if !root.is_object() || is_chunk(root) {
        return None;
    }
    let whole = |document, api| Some(Merged { document, is_stream: false, is_complete: true, api });
    match Api::of_response(root) {
        Some(Api::ChatCompletions) => whole(document, Api::ChatCompletions),
        Some(api) => whole(apis::response(api, root), api),
        None if crate::genai::response_error::find(root).is_some() => whole(document, Api::ChatCompletions),
        None => None,
    }
}

/// Takes chunks out of the form that carries them.
#[derive(Default)]
struct Reader {
    merge: Merge,
    /// A stream of another API.
    other: Option<Streamed>,
    /// Data lines that did not read alone: a chunk may be spread over several.
    pending: String,
    /// Something was no chunk and no comment.
    has_rubbish: bool,
}

impl Reader {
    /// Takes lines of an event stream, or one chunk as JSON.
    fn text(&mut self, text: &str) {
        // a line ends in LF, CR LF or CR
        for line in text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')) {
            let line = line.trim();
            if line.is_empty() {
                self.flush();
            } else if let Some(data) = line.strip_prefix("data:") {
                self.data(data.trim());
            } else if line.starts_with(['{', '[']) || !self.pending.is_empty() {
                self.data(line);
            } else if !line.starts_with([':'])
                && !["event:", "id:", "retry:"].iter().any(|field| line.starts_with(field))
            {
                self.has_rubbish = true;
            }
        }
        self.flush();
    }

    fn data(&mut self, data: &str) {
        if data == "[DONE]" {
            return self.flush();
        }
        if let Ok(document) = Document::parse(data) {
            return self.chunk(document.root());
        }
        self.pending.push_str(data);
        self.pending.push('\n');
    }

    fn flush(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        match Document::parse(std::mem::take(&mut self.pending)) {
            Ok(document) => self.chunk(document.root()),
            Err(_) => self.has_rubbish = true,
        }
    }

    fn chunk(&mut self, chunk: Value<'_>) {
        if chunk.is_array() {
            chunk.items().for_each(|item| self.object(item));
        } else if chunk.is_object() {
            self.object(chunk);
        } else if !chunk.is_null() {
            self.has_rubbish = true;
        }
    }

    fn object(&mut self, chunk: Value<'_>) {
        if self.other.is_none() && !self.merge.has_choices() {
            self.other = Streamed::of(chunk);
        }
        match &mut self.other {
            Some(other) => other.event(chunk),
            None => self.merge.chunk(chunk),
        }
    }

    fn finish(self) -> Option<Merged> {
        if let Some(other) = self.other {
            let (api, document, is_ended) = other.finish()?;
            return Some(Merged { document, is_stream: true, is_complete: is_ended && !self.has_rubbish, api });
        }
        let api = if self.merge.is_of_texts() { Api::Completions } else { Api::ChatCompletions };
        let is_stream = self.merge.has_choices();
        let is_complete = self.merge.is_finished() && !self.has_rubbish;
        let document = Document::parse(self.merge.into_json()).ok()?;
        let found = is_stream || crate::genai::response_error::find(document.root()).is_some();
        found.then_some(Merged { document, is_stream, is_complete: is_complete || !is_stream, api })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn merged(response: &Json) -> (Json, bool, bool) {
        let document = Document::parse(response.to_string()).unwrap();
        let merged = merge(document.root()).unwrap();
        let mut json = crate::json::writer::JsonWriter::new(crate::json::limits::Limits::default());
        json.value(merged.document.root());
        (serde_json::from_str(&json.finish().0).unwrap(), merged.is_stream, merged.is_complete)
    }

    fn delta(delta: Json) -> Json {
        json!({"object":"chat.completion.chunk","choices":[{"index":0,"delta":delta}]})
    }

    fn end() -> Json {
        json!({"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})
    }

    fn message(response: &Json) -> Json {
        merged(response).0["choices"][0]["message"].clone()
    }

    #[test]
    fn every_wrapping_of_a_stream_is_read() {
        let (first, last) = (delta(json!({"role":"assistant","content":"a"})), end());
        let sse = format!(": hello\n\nevent: x\ndata: {first}\n\ndata:{last}\r\n\r\ndata: [DONE]\n\n");
        let shapes = [
            json!([first, last]),
            json!([
                ": OPENROUTER PROCESSING",
                format!("data: {first}"),
                {},
                last.to_string(),
                "data: [DONE]",
                "[DONE]"
            ]),
            json!(sse),
            json!(sse.replace("\n\n", "\n")),
            json!(format!(
                "data: {{\"choices\":\r\ndata: [{{\"delta\":{{\"role\":\"assistant\",\"content\":\"a\"}},\"finish_reason\":\"stop\"}}]}}\n\n"
            )),
        ];
        for shape in shapes {
            let (response, is_stream, is_complete) = merged(&shape);
            assert!(is_stream && is_complete, "{shape}");
            assert_eq!(response["choices"][0]["message"], json!({"role":"assistant","content":"a"}), "{shape}");
            assert_eq!(response["choices"][0]["finish_reason"], "stop");
        }
        let (response, is_stream, is_complete) = merged(&first);
        assert_eq!(
            (response["choices"][0]["message"]["content"].as_str(), is_stream, is_complete),
            (Some("a"), true, false)
        );
    }

    #[test]
    fn a_response_as_text_is_a_response() {
        let whole = json!({"id":"x","choices":[{"message":{"content":"a"}}]});
        let (response, is_stream, is_complete) = merged(&json!(whole.to_string()));
        assert_eq!((response, is_stream, is_complete), (whole, false, true));
    }

    #[test]
    fn a_stream_cut_off_is_kept_and_marked() {
        let sse = format!("data: {}\n\ndata: {{\"choices\":[{{\"del", delta(json!({"content":"a"})));
        let (response, is_stream, is_complete) = merged(&json!(sse));
        assert_eq!(response["choices"][0]["message"], json!({"content":"a"}));
        assert!(is_stream && !is_complete);
    }

    #[test]
    fn errors_in_streams_and_lists_are_errors() {
        let error = json!({"code":502,"message":"m"});
        let (response, is_stream, _) =
            merged(&json!([delta(json!({"content":"a"})), {"error": error}, {"error":{"code":1}}]));
        assert_eq!((response["error"].clone(), is_stream), (error.clone(), true));
        let (response, is_stream, _) = merged(&json!([{"error": error}]));
        assert_eq!((response["error"].clone(), is_stream), (error, false));
    }

    #[test]
    fn what_holds_neither_choice_nor_error_is_nothing() {
        for response in [
            json!([]),
            json!(""),
            json!("hello"),
            json!([{}]),
            json!(["[DONE]"]),
            json!(7),
            json!(null),
            json!([{"choices":[]}]),
        ] {
            let document = Document::parse(response.to_string()).unwrap();
            assert!(merge(document.root()).is_none(), "{response}");
        }
    }

    #[test]
    fn tool_calls_join_by_index_by_id_or_to_the_last() {
        let call = |call: Json| delta(json!({"tool_calls":[call]}));
        let by_index = json!([
            call(json!({"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}})),
            call(json!({"index":1,"id":"b","function":{"name":"g","arguments":"{"}})),
            call(json!({"index":0,"id":"","function":{"name":"f","arguments":"{}"}})),
            call(json!({"index":1,"function":{"name":null,"arguments":"}"}})),
        ]);
        let want = json!([
            {"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},
            {"id":"b","function":{"name":"g","arguments":"{}"}},
        ]);
        assert_eq!(message(&by_index)["tool_calls"], want);
        let by_id = json!([
            call(json!({"id":"a","function":{"name":"get_","arguments":"{"}})),
            call(json!({"id":"b","function":{"name":"g","arguments":{"x":1}}})),
            call(json!({"function":{"arguments":""}})),
            call(json!({"id":"a","function":{"name":"time","arguments":"}"}})),
        ]);
        let want = json!([
            {"id":"a","function":{"name":"get_time","arguments":"{}"}},
            {"id":"b","function":{"name":"g","arguments":"{\"x\":1}"}},
        ]);
        assert_eq!(message(&by_id)["tool_calls"], want);
    }

    #[test]
    fn parallel_calls_that_share_an_index_are_told_apart_by_their_ids() {
        let call = |call: Json| delta(json!({"tool_calls":[call]}));
        let function = |name: &str, arguments: &str| json!({"name":name,"arguments":arguments});
        let chunks = json!([
            call(json!({"index":0,"id":"a","function":function("f", "{\"x\":")})),
            call(json!({"index":0,"id":"b","function":function("f", "{}")})),
            call(json!({"index":0,"id":"a","function":function("f", "1}")})),
            call(json!({"index":0,"id":"c","function":{"name":"g"}})),
            call(json!({"index":0,"function":{"arguments":"{\"y\":2}"}})),
        ]);
        let want = json!([
            {"id":"a","function":function("f", "{\"x\":1}")},
            {"id":"b","function":function("f", "{}")},
            {"id":"c","function":function("g", "{\"y\":2}")},
        ]);
        assert_eq!(message(&chunks)["tool_calls"], want);
        // an id that changes from piece to piece, without a name, is one call
        let unnamed = json!([
            call(json!({"index":0,"id":"a","function":function("f", "{")})),
            call(json!({"index":0,"id":"b","function":{"arguments":"}"}})),
        ]);
        assert_eq!(message(&unnamed)["tool_calls"], json!([{"id":"a","function":function("f", "{}")}]));
        let whole = call(json!({"index":0,"id":"a","function":function("f", "{\"x\":1}")}));
        let once = message(&json!([whole]))["tool_calls"].clone();
        assert_eq!(message(&json!([whole, whole, whole]))["tool_calls"], once, "a call that is whole in each chunk");
    }

    #[test]
    fn content_may_change_its_form() {
        let thought = |text: &str| json!([{"type":"thinking","thinking":[{"type":"text","text":text}],"closed":true}]);
        let chunks = json!([
            delta(json!({"content":""})),
            delta(json!({"content":thought("two and ")})),
            delta(json!({"content":thought("two")})),
            delta(json!({"content":"It is "})),
            delta(json!({"content":[{"type":"text","text":"4"},{"type":"reference","reference_ids":[1]},"."]})),
        ]);
        let want = json!([
            {"type":"thinking","thinking":"two and two"}, {"type":"text","text":"It is 4"},
            {"type":"reference","reference_ids":[1]}, {"type":"text","text":"."},
        ]);
        assert_eq!(message(&chunks)["content"], want);
        let text_first =
            json!([delta(json!({"content":"a"})), delta(json!({"content":[{"type":"image_url","image_url":"u"}]}))]);
        assert_eq!(
            message(&text_first)["content"],
            json!([{"type":"text","text":"a"},{"type":"image_url","image_url":"u"}])
        );
    }

    #[test]
    fn what_says_nothing_replaces_nothing() {
        let reason = |reason: Json| json!({"service_tier":"","choices":[{"index":0,"delta":{},"finish_reason":reason,"stop_reason":""}]});
        let tier = json!({"service_tier":"flex","choices":[]});
        let of = |chunks: Json| {
            let (response, _, is_complete) = merged(&chunks);
            (response["choices"][0]["finish_reason"].clone(), response["service_tier"].clone(), is_complete)
        };
        let stopped = json!([reason(json!("")), tier, reason(json!("stop")), reason(json!("")), reason(json!("null"))]);
        assert_eq!(of(stopped), (json!("stop"), json!("flex"), true));
        assert_eq!(of(json!([reason(json!("")), tier])), (json!(""), json!("flex"), false));
        let camel = json!({"choices":[{"index":0,"delta":{},"finish_reason":null,"finishReason":"stop"}]});
        assert_eq!(of(json!([camel])).0, "stop");
    }

    #[test]
    fn halves_of_a_character_in_two_chunks_are_one() {
        let piece = |text: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#);
        let stream = format!("[{},{}]", piece(r"Hi \ud83d"), piece(r"\ude00!"));
        let document = Document::parse(stream).unwrap();
        let merged = merge(document.root()).unwrap();
        let choice = merged.document.root().get("choices").unwrap().items().next().unwrap();
        assert_eq!(choice.get("message").unwrap().get("content").unwrap().str().unwrap(), "Hi 😀!");
    }

    #[test]
    fn texts_join_lists_append_and_audio_joins_as_bytes() {
        let chunks = json!([
            delta(json!({"content":"","reasoning":"r1","annotations":[1],"custom":"x"})),
            delta(
                json!({"content":"a","reasoning":"r2","annotations":[2],"custom":"y","audio":{"id":"i","data":"AA==","transcript":"h"}})
            ),
            delta(
                json!({"refusal":"no","audio":{"data":"AQI=","transcript":"i","expires_at":5},"function_call":{"name":"f","arguments":"{"}})
            ),
            delta(json!({"audio":{"expires_at":6},"function_call":{"name":"f","arguments":"}"}})),
        ]);
        let want = json!({
            "reasoning":"r1r2","annotations":[1,2],"custom":"xy","content":"a",
            "audio":{"id":"i","data":"AAEC","transcript":"hi","expires_at":6},"refusal":"no","function_call":{"name":"f","arguments":"{}"}
        });
        assert_eq!(message(&chunks), want);
        let order: Vec<_> = message(&chunks).as_object().unwrap().keys().cloned().collect();
        assert_eq!(order, ["reasoning", "annotations", "custom", "content", "audio", "refusal", "function_call"]);
    }

    #[test]
    fn the_frame_of_chunks_merges_by_its_rules() {
        let chunks = json!([
            {"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[1],"obfuscation":"x"},
            {"id":"a","created":7,"model":"m","usage":{"total_tokens":1},"choices":[{"index":1,"delta":{"content":"b"},"logprobs":{"content":[1],"refusal":null}}]},
            {"id":"z","created":9,"model":"n","usage":{"total_tokens":2},"service_tier":"t","choices":[
                {"index":1,"delta":{},"finish_reason":"stop","logprobs":{"content":[2]},"content_filter_results":{"hate":1}},
                {"delta":{"content":"a"},"finish_reason":"length","matched_stop":7}]},
            {"usage":null,"choices":[{"index":1,"delta":{},"content_filter_results":{"hate":2,"self":3}}]},
        ]);
        let want = json!({
            "prompt_filter_results":[1],"id":"a","created":7,"model":"m","service_tier":"t","usage":{"total_tokens":2},
            "choices":[
                {"index":0,"message":{"content":"a"},"finish_reason":"length","matched_stop":7},
                {"index":1,"message":{"content":"b"},"finish_reason":"stop","content_filter_results":{"hate":2,"self":3},"logprobs":{"content":[1,2]}},
            ]
        });
        assert_eq!(merged(&chunks).0, want);
    }

    #[test]
    fn usage_may_be_in_x_groq_or_in_a_choice() {
        let groq = json!([{"x_groq":{"id":"r"},"choices":[{"delta":{"content":"a"}}]}, {"x_groq":{"usage":{"total_tokens":3}},"choices":[]}]);
        let response = merged(&groq).0;
        assert_eq!((&response["usage"], &response["x_groq"]["id"]), (&json!({"total_tokens":3}), &json!("r")));
        let moonshot =
            json!([{"choices":[{"delta":{"content":"a"},"finish_reason":"stop","usage":{"total_tokens":4}}]}]);
        assert_eq!(merged(&moonshot).0["usage"], json!({"total_tokens":4}));
    }

    #[test]
    fn a_message_inside_a_chunk_replaces_what_was_gathered() {
        let chunks = json!([delta(json!({"content":"a"})), {"object":"chat.completion.chunk","choices":[{"index":0,"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}]}]);
        assert_eq!(message(&chunks), json!({"role":"assistant","content":"whole"}));
    }
}
