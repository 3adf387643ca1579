//! A response captured as a stream, in the shapes captures have, put together into the response it stands for.
//!
//! ```text
//! [{chunk},{chunk}]    ["data: {chunk}","data: [DONE]"]    "data: {chunk}\n\ndata: [DONE]\n\n"    {chunk}
//!        \_________________________|______________________________/______________________________/
//!                                  v
//!                    Merge (one chunk at a time)  ->  {"id",...,"choices":[{"message":{...}}],"usage":{...}}
//! ```
//!
//! Source: server-sent events (WHATWG HTML, section 9.2) and table 3.6.

use super::merge::Merge;
use crate::json::document::{Document, Value};

/// A response put together.
#[derive(Debug, Clone)]
pub(crate) struct Merged {
    pub(crate) document: Document<'static>,
    /// It was a stream, not only a response in an unusual wrapping.
    pub(crate) is_stream: bool,
    /// The stream had an end: each choice a finish reason, each line readable.
    pub(crate) is_complete: bool,
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
    let has_choices = root.get("choices").is_some_and(Value::is_array);
    let is_whole =
        root.is_object() && !is_chunk(root) && (has_choices || crate::genai::response_error::find(root).is_some());
    is_whole.then_some(Merged { document, is_stream: false, is_complete: true })
}

/// Takes chunks out of the form that carries them.
#[derive(Default)]
struct Reader {
    merge: Merge,
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
            chunk.items().for_each(|item| self.merge.chunk(item));
        } else if chunk.is_object() {
            self.merge.chunk(chunk);
        } else if !chunk.is_null() {
            self.has_rubbish = true;
        }
    }

    fn finish(self) -> Option<Merged> {
        let is_stream = self.merge.has_choices();
        let is_complete = self.merge.is_finished() && !self.has_rubbish;
        let document = Document::parse(self.merge.into_json()).ok()?;
        let found = is_stream || crate::genai::response_error::find(document.root()).is_some();
        found.then_some(Merged { document, is_stream, is_complete: is_complete || !is_stream })
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
