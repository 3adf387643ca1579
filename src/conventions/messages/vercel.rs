//! Answers that are spread over attributes: the AI SDK's up to version 6, and Sentry's.

use super::NormalizedMessages;
use super::forms::MessageSource;
use crate::conventions::keys::Slot;
use crate::conventions::read_json;
use crate::conventions::slots::Slots;
use crate::genai::messages::system::text_of;
use crate::json::limits::Limits;
use crate::text::write_string;

/// `ai.response.text`, `.reasoning`, `.toolCalls`, `.object`, or `ai.result.*` before version 4.
pub(crate) fn output(slots: &Slots<'_>, form: MessageSource<'_>) -> Option<NormalizedMessages<'static>> {
    let first = |sources: [Slot; 2]| sources.into_iter().find_map(|slot| slots.get(slot));
    let answer = Answer {
        text: first([Slot::AiResponseText, Slot::AiResultText])
            .or_else(|| first([Slot::AiResponseObject, Slot::AiResultObject])),
        reasoning: slots.get(Slot::AiResponseReasoning),
        calls: first([Slot::AiResponseToolCalls, Slot::AiResultToolCalls]),
    };
    answer.write(form)
}

/// `gen_ai.response.text` and `.tool_calls`: the text may be a list of texts.
pub(crate) fn sentry(slots: &Slots<'_>, form: MessageSource<'_>) -> Option<NormalizedMessages<'static>> {
    let text = slots.get(Slot::SentryText).map(|text| match read_json(text) {
        Ok(document) if document.root().is_array() => text_of(document.root(), Limits::NONE),
        _ => text.to_owned(),
    });
    Answer { text: text.as_deref(), reasoning: None, calls: slots.get(Slot::SentryToolCalls) }.write(form)
}

struct Answer<'a> {
    text: Option<&'a str>,
    reasoning: Option<&'a str>,
    calls: Option<&'a str>,
}

impl Answer<'_> {
    /// Puts the parts together as one message of the chat-completions API.
    fn write(&self, form: MessageSource<'_>) -> Option<NormalizedMessages<'static>> {
        if self.text.is_none() && self.reasoning.is_none() && self.calls.is_none() {
            return None;
        }
        let mut json = String::from(r#"{"role":"assistant""#);
        if let Some(reasoning) = self.reasoning {
            let text = match read_json(reasoning) {
                Ok(document) if document.root().is_array() => text_of(document.root(), Limits::NONE),
                _ => reasoning.to_owned(),
            };
            json.push_str(r#","reasoning_content":"#);
            write_string(&mut json, &text);
        }
        if let Some(text) = self.text {
            json.push_str(r#","content":"#);
            write_string(&mut json, text);
        }
        if let Some(calls) = self.calls.filter(|calls| read_json(*calls).is_ok_and(|it| it.root().is_array())) {
            json.push_str(r#","tool_calls":"#);
            json.push_str(calls);
        }
        json.push('}');
        let document = read_json(json).ok()?;
        form.list([document.root()].into_iter())
    }
}
