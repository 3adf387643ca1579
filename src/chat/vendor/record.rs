//! What records of other tools have in common on their way to a captured call.
//!
//! ```text
//! record --litellm::read | helicone::read--> Capture { typed members, request, response, identity, rest }
//! ```
//!
//! Request and response are the record's own values where they will do, and are built node by node from several members where
//! not. Nothing of a record is lost: what has no place of its own goes into one attribute, as it was written.

use std::borrow::Cow;

use crate::chat::capture::{Body, Leftover, Part, Rest};
use crate::chat::identity::{CallDigest, Fingerprint, RecordIdentity};
use crate::chat::parse::{ROLES, TAGS_MAX};
use crate::chat::timing;
use crate::chat::trace_ref;
use crate::chat::validate::{Found, ValidationErrors};
use crate::genai::apis::{self, Api};
use crate::genai::stream::sse;
use crate::genai::stream::sse::Merged;
use crate::ids::TraceId;
use crate::json::build::{self, ObjectBuilder};
use crate::json::canonical::CanonicalHash;
use crate::json::document::{Document, Value};

/// A record of another tool, and which of its members have found a place in the call.
pub(super) struct VendorRecord<'d> {
    root: Value<'d>,
    taken: Vec<&'static str>,
}

impl<'d> VendorRecord<'d> {
    /// Takes a record that is an object and has the members `needed`.
    pub(super) fn read(body: &'d Body<'_>, needed: &[&'static str]) -> Result<Self, ValidationErrors> {
        let mut found = Found::default();
        let Some(root) = found.object(&[], body.root()) else { return Err(found.into_errors()) };
        for name in needed.iter().filter(|name| root.get(name).is_none()) {
            found.missing(&[(*name).into()]);
        }
        found.into_result()?;
        Ok(Self { root, taken: Vec::new() })
    }

    pub(super) fn root(&self) -> Value<'d> {
        self.root
    }

    pub(super) fn get(&self, name: &str) -> Option<Value<'d>> {
        self.root.get(name)
    }

    /// Keeps a member out of the rest.
    pub(super) fn take(&mut self, name: &'static str) {
        self.taken.push(name);
    }

    /// A member that `read` understands, which is taken then.
    pub(super) fn take_as<T>(&mut self, name: &'static str, read: impl FnOnce(Value<'d>) -> Option<T>) -> Option<T> {
        let read = self.get(name).and_then(read);
        if read.is_some() {
            self.take(name);
        }
        read
    }

    /// The members that were not taken, and `more`.
    pub(super) fn rest(self, key: &'static str, more: Vec<(&'static str, Leftover<'d>)>) -> Rest<'d> {
        Rest { key, record: self.root, taken: self.taken, more }
    }
}

/// A text that is not blank.
pub(super) fn text(value: Value<'_>) -> Option<Cow<'_, str>> {
    value.str().filter(|text| !text.trim().is_empty())
}

/// A trace, and its id as it was spelt.
pub(super) fn trace(value: Value<'_>) -> Option<(TraceId, Cow<'_, str>)> {
    let spelt = value.str()?;
    let trace = trace_ref::parse_trace_id(&spelt).ok()??;
    Some((trace, spelt))
}

/// A list of texts, no longer than that of our own tags.
pub(super) fn tags(value: Value<'_>) -> Option<Vec<Cow<'_, str>>> {
    if !value.is_array() || value.is_empty() || value.items().count() > TAGS_MAX {
        return None;
    }
    value.items().map(Value::str).collect()
}

/// Adds the member `messages` of a request: a list of messages, of items, of texts, or a text, which is what the user says. Gives
/// whether it is one of these: of what is not, nothing is added.
pub(super) fn put_messages(request: &mut ObjectBuilder<'_>, messages: Option<Value<'_>>) -> bool {
    match messages {
        Some(list) if are_messages(list) => {
            request.member("messages", list);
            true
        }
        other => apis::put_messages(request, None, other),
    }
}

/// Whether a value is a list of messages that ours allow.
pub(super) fn are_messages(value: Value<'_>) -> bool {
    let is_message =
        |value: Value<'_>| value.last_member("role").and_then(Value::str).is_some_and(|role| ROLES.contains(&&*role));
    value.is_array() && value.items().all(is_message)
}

/// Adds members to an object that is being built.
pub(super) type Add<'f> = &'f dyn Fn(&mut ObjectBuilder<'_>);

/// A response that is of another API, or a stream of events, or a text of either: put into our form.
pub(super) fn converted(response: Option<Value<'_>>) -> Option<Merged> {
    let response = response?;
    if !response.is_object() {
        return sse::merge(response);
    }
    let api = Api::of_response(response).filter(|api| *api != Api::ChatCompletions)?;
    Some(Merged { document: apis::response(api, response), is_stream: false, is_complete: true, api })
}

/// What a record says about the answer of its call.
pub(super) struct Answer<'d, 'f> {
    /// The provider's object.
    pub(super) response: Option<Value<'d>>,
    /// The choices in it, when they are a list.
    pub(super) choices: Option<Value<'d>>,
    /// It failed, so that it need not have choices.
    pub(super) has_failed: bool,
    /// What the response does not say itself: the error that the tool names, before all else.
    pub(super) error: Option<Add<'f>>,
    /// And what comes after all else.
    pub(super) more: Option<Add<'f>>,
}

impl<'d> Answer<'d, '_> {
    /// The response as an object that has choices or an error, merged where it is a chunk of a stream: the provider's own where
    /// that will do.
    pub(super) fn into_response(self) -> (Part<'d>, Option<Merged>) {
        let chunk = self.response.filter(|response| sse::is_chunk(*response));
        let merged = chunk.and_then(sse::merge);
        let is_false_chunk = chunk.is_some() && merged.is_none();
        match self.response.filter(|response| !is_false_chunk && self.will_do(*response)) {
            Some(response) => (Part::Sent(response), merged),
            None => {
                let built = build::object(|object| self.build(object, is_false_chunk));
                let merged = Some(built.root()).filter(|root| sse::is_chunk(*root)).and_then(sse::merge);
                (Part::Built(built), merged)
            }
        }
    }

    /// The response that was put into our form, with what the tool says beside it.
    pub(super) fn into_built(self) -> Document<'static> {
        build::object(|object| self.build(object, false))
    }

    fn will_do(&self, response: Value<'_>) -> bool {
        let is_list =
            |(key, value): (Value<'_>, Value<'_>)| !key.is_key("choices") || value.is_array() || value.is_null();
        self.error.is_none()
            && self.more.is_none()
            && self.choices.is_some_and(|choices| !choices.items().any(|choice| bare_text(choice).is_some()))
            && response.members().all(is_list)
    }

    fn build(&self, object: &mut ObjectBuilder<'_>, is_false_chunk: bool) {
        if let Some(add) = self.error {
            add(object);
        }
        if self.choices.is_some() || !self.has_failed {
            put_choices(object, self.choices);
        }
        let is_built = |key: Value<'_>| key.is_key("choices") || self.error.is_some() && key.is_key("error");
        let members = self.response.into_iter().flat_map(Value::members);
        for (key, value) in members.filter(|(key, _)| !is_built(*key)) {
            // what calls itself a chunk and is none must not be taken for a stream
            if is_false_chunk && key.is_key("object") {
                object.member("provider_object", value);
            } else {
                object.copy(key, value);
            }
        }
        if let Some(add) = self.more {
            add(object);
        }
    }
}

/// The text of a completion's choice, which has no message.
fn bare_text(choice: Value<'_>) -> Option<Value<'_>> {
    choice.get("text").filter(|text| text.is_string() && !choice.has("message") && !choice.has("delta"))
}

/// Adds the choices of a response; a completion's bare text becomes a message.
fn put_choices(response: &mut ObjectBuilder<'_>, choices: Option<Value<'_>>) {
    response.list("choices", |list| {
        for choice in choices.into_iter().flat_map(Value::items) {
            let Some(text) = bare_text(choice) else {
                list.value(choice);
                continue;
            };
            list.object(|object| {
                object.object("message", |message| {
                    message.word("role", "assistant");
                    message.member("content", text);
                });
                let others = choice.members().filter(|(key, _)| !key.is_key("text"));
                others.for_each(|(key, value)| object.copy(key, value));
            });
        }
    });
}

/// Works out which call a record is about, while all of it is hashed for its fingerprint; no value is written twice.
pub(super) struct Identifying<'r> {
    said: CanonicalHash<'r>,
    call: CallDigest,
    hashed: Vec<Value<'r>>,
}

impl<'r> Identifying<'r> {
    /// Starts with the tool and with what names the call.
    pub(super) fn begin(tool: &str, names: &[Option<&str>]) -> Self {
        let mut call = CallDigest::default();
        call.part(tool.as_bytes());
        names.iter().for_each(|name| call.part(name.map_or(&[][..], str::as_bytes)));
        Self { said: CanonicalHash::default(), call, hashed: Vec::new() }
    }

    /// Adds a member; `counts` when the call is another one with another value.
    pub(super) fn member(&mut self, name: &str, value: Option<Value<'r>>, counts: bool) {
        let Some(value) = value else { return };
        let text = self.said.member(name, value);
        if counts {
            self.call.given(name, Some(text.as_bytes()));
        }
        self.hashed.push(value);
    }

    /// Adds a time, in whatever spelling. It says which call it is.
    pub(super) fn time(&mut self, name: &str, value: Option<Value<'r>>) {
        let Some((value, at)) = value.map(|value| (value, timing::from_json(value))) else { return };
        let Some(at) = at else { return self.member(name, Some(value), true) };
        let nanos = at.nanos().to_string();
        self.said.text(name, &nanos);
        self.call.given(name, Some(nanos.as_bytes()));
        self.hashed.push(value);
    }

    /// Adds a text that came beside the record.
    pub(super) fn beside(&mut self, name: &str, text: &str) {
        self.said.text(name, text);
    }

    /// Adds what is left of an object to the fingerprint.
    pub(super) fn rest(&mut self, object: Value<'r>) {
        self.said.members(object, |_, value| !self.hashed.iter().any(|hashed| hashed.is_same(value)));
        self.hashed.push(object);
    }

    /// `replaces_all` when what names the call tells it from every other one.
    pub(super) fn finish(self, replaces_all: bool) -> RecordIdentity {
        RecordIdentity { key: self.call.hex(), replaces_all, fingerprint: Fingerprint::of(&self.said) }
    }
}
