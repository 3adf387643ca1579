//! The request and the response as they were sent: the texts of the columns `RawRequest` and `RawResponse`.
//!
//! ```text
//! sent  { "a": "long text", "url":"data:image/png;base64,AAECAw...", "n": 1.50 }
//! raw   { "a": "long…[5 bytes cut by millrace]", "url":"millrace://blob/sha256/...", "n": 1.50 }
//! ```
//!
//! What is within the limits is a slice of the body. What is not is replaced in its place, and all around it stays byte
//! for byte; media are looked for where the attributes look for them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use memchr::memmem;

use super::capture::{KeptRaw, ParseOptions};
use crate::genai::messages::media;
use crate::genai::messages::media::Digest;
use crate::json::document::{Document, Value};
use crate::json::limits;
use crate::json::limits::Limits;
use crate::json::writer::Losses;
use crate::steps;
use crate::text::write_escaped;

/// What marks text of an event stream that may carry media.
const SIGNS_OF_MEDIA: [&str; 2] = [";base64,", "\"audio\""];

/// The text of a value as it was sent, within the limits, and what they took; empty when it is not to be kept.
pub(super) fn kept<'d>(sent: Option<Value<'d>>, options: &ParseOptions) -> KeptRaw<'d> {
    let Some(sent) = sent.filter(|_| options.keep_raw) else { return KeptRaw::default() };
    let (written, limits) = (sent.whole_text(), options.limits);
    // nothing in it is longer than all of it
    if written.len() <= limits.max_value_bytes.min(limits.max_inline_media_bytes) {
        return (Cow::Borrowed(written), Losses::default());
    }
    let mut bounds = Bounds::new(limits, sent);
    let edits = bounds.edits(sent, Place::Events);
    (edits.apply(sent), bounds.losses)
}

/// The same for some members of an object, as an object.
pub(super) fn kept_members<'d>(object: Value<'d>, names: &[&str], options: &ParseOptions) -> KeptRaw<'d> {
    let (mut text, mut losses) = (String::new(), Losses::default());
    let members = object.members().filter(|(key, _)| names.iter().any(|name| key.is_key(name)));
    for (key, value) in members.filter(|_| options.keep_raw) {
        let (member, lost) = kept(Some(value), options);
        text.push(if text.is_empty() { '{' } else { ',' });
        text.extend(["\"", key.raw(), "\":", &*member]);
        losses.bytes_cut += lost.bytes_cut;
        losses.media_replaced += lost.media_replaced;
    }
    if !text.is_empty() {
        text.push('}');
    }
    (text.into(), losses)
}

/// Places of one document and what is to stand there instead.
#[derive(Default)]
struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    fn apply(mut self, value: Value<'_>) -> Cow<'_, str> {
        let Range { start, end } = value.whole_span();
        steps::take(end.saturating_sub(start));
        let text = value.document_text();
        if self.0.is_empty() {
            return Cow::Borrowed(part(text, start..end));
        }
        self.0.sort_by_key(|(place, _)| place.start);
        let mut out = String::with_capacity(256);
        let mut at = start;
        for (place, instead) in self.0 {
            out.push_str(part(text, at..place.start));
            out.push_str(&instead);
            at = place.end;
        }
        out.push_str(part(text, at..end));
        Cow::Owned(out)
    }
}

/// What stands between edits, which do not overlap.
fn part(text: &str, place: Range<usize>) -> &str {
    debug_assert!(text.get(place.clone()).is_some(), "{place:?} of {} bytes is not a text", text.len());
    text.get(place).unwrap_or_default()
}

/// Where a text stands decides whether it can be a medium.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    /// Text of an event stream: the whole response, or one of a list of lines.
    Events,
    /// A URL, which may be a data URL.
    Url,
    /// Base64, or a URL.
    Data,
}

impl Place {
    /// The place of the member `key` in an object that is itself the member `owner`.
    fn of(owner: &str, key: Value<'_>) -> Self {
        let is = |name: &str| key.is_key(name);
        let is_url = |name: &str| matches!(name, "image_url" | "video_url" | "audio_url");
        match owner {
            _ if is("image_url") || is("video_url") || is("audio_url") || is("images") => Self::Url,
            owner if is_url(owner) && is("url") => Self::Url,
            "audio" | "input_audio" if is("data") => Self::Data,
            "file" if is("file_data") => Self::Data,
            _ => Self::Text,
        }
    }
}

/// Applies the limits to documents, one after the other.
struct Bounds {
    limits: Limits,
    /// Sounds that came in pieces and are too large as a whole, by the index of their choice.
    sounds: BTreeMap<i64, Digest>,
    /// Whose first piece has been passed.
    begun: BTreeSet<i64>,
    losses: Losses,
}

impl Bounds {
    fn new(limits: Limits, sent: Value<'_>) -> Self {
        let mut sounds = BTreeMap::<i64, Digest>::new();
        each_chunk(sent, &mut |chunk| {
            each_piece(chunk, &mut |index, piece| {
                if let Some(text) = piece.str() {
                    sounds.entry(index).or_default().add(&text);
                }
            })
        });
        sounds.retain(|_, sound| media::are_too_many(sound.bytes, limits));
        Self { limits, sounds, begun: BTreeSet::new(), losses: Losses::default() }
    }

    fn edits(&mut self, value: Value<'_>, place: Place) -> Edits {
        let mut edits = Edits::default();
        if value.is_array() {
            value.items().for_each(|chunk| self.pieces(chunk, &mut edits));
        } else {
            self.pieces(value, &mut edits);
        }
        let pieces: BTreeSet<usize> = edits.0.iter().map(|(place, _)| place.start).collect();
        self.walk(value, "", place, &pieces, &mut edits);
        edits
    }

    /// The first piece of a large sound becomes its reference, the others nothing.
    fn pieces(&mut self, chunk: Value<'_>, edits: &mut Edits) {
        if self.sounds.is_empty() {
            return;
        }
        each_piece(chunk, &mut |index, piece| {
            let Some(sound) = self.sounds.get(&index) else {
                return;
            };
            let is_first = self.begun.insert(index);
            self.losses.media_replaced += u64::from(is_first);
            edits.0.push((piece.span(), if is_first { sound.uri() } else { String::new() }));
        });
    }

    fn walk(&mut self, value: Value<'_>, owner: &str, place: Place, pieces: &BTreeSet<usize>, edits: &mut Edits) {
        if value.is_string() {
            if !pieces.contains(&value.span().start)
                && let Some(instead) = self.instead(value, place)
            {
                edits.0.push((value.span(), instead));
            }
        } else if value.is_object() {
            for (key, member) in value.members() {
                let name = if member.is_object() { key.raw() } else { owner };
                self.walk(member, name, Place::of(owner, key), pieces, edits);
            }
        } else {
            value.items().for_each(|item| self.walk(item, "", place, pieces, edits));
        }
    }

    /// What is to stand instead of the inside of a string, when it is too large.
    fn instead(&mut self, value: Value<'_>, place: Place) -> Option<String> {
        let may_hold_pieces = place == Place::Events && !self.sounds.is_empty();
        let fits = value.raw().len() <= self.limits.max_value_bytes.min(self.limits.max_inline_media_bytes);
        if fits && !may_hold_pieces {
            return None;
        }
        let text = value.str()?;
        match place {
            Place::Text => self.within_limit(&text),
            Place::Events => match self.events(&text) {
                Some(events) => self.within_limit(&events).or_else(|| Some(escaped(&events))),
                None => self.within_limit(&text),
            },
            Place::Url | Place::Data => match media::inline(&text, place == Place::Data) {
                Some((base64, _)) if media::is_too_large(&base64, self.limits) => Some(self.reference(&base64)),
                Some((_, header)) if header <= self.limits.max_value_bytes => None,
                _ => self.within_limit(&text),
            },
        }
    }

    fn within_limit(&mut self, text: &str) -> Option<String> {
        let (kept, missing) = limits::cut(text, self.limits.max_value_bytes)?;
        self.losses.bytes_cut += missing;
        Some(escaped(kept) + &limits::marker(missing))
    }

    fn reference(&mut self, base64: &str) -> String {
        let mut digest = Digest::default();
        digest.add(base64);
        self.losses.media_replaced += 1;
        digest.uri()
    }

    /// Lines of an event stream, their chunks within the limits; `None` when they are already.
    fn events(&mut self, text: &str) -> Option<String> {
        let mut edited = None::<String>;
        let mut copied_to = 0;
        for (at, json) in event_chunks(text) {
            let Ok(chunk) = Document::parse(json) else {
                continue;
            };
            let edits = self.edits(chunk.root(), Place::Text);
            if edits.0.is_empty() {
                continue;
            }
            let out = edited.get_or_insert_with(String::new);
            out.push_str(part(text, copied_to..at));
            out.push_str(&edits.apply(chunk.root()));
            copied_to = at + json.len();
        }
        let mut edited = edited?;
        edited.push_str(part(text, copied_to..text.len()));
        Some(edited)
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    write_escaped(&mut out, text);
    out
}

/// The chunks of a response that was captured as a stream.
fn each_chunk(sent: Value<'_>, see: &mut impl FnMut(Value<'_>)) {
    if sent.is_array() {
        sent.items().for_each(|item| each_chunk_of_item(item, see));
    } else {
        each_chunk_of_item(sent, see);
    }
}

fn each_chunk_of_item(item: Value<'_>, see: &mut impl FnMut(Value<'_>)) {
    let Some(text) = item.str() else {
        return see(item);
    };
    for (_, json) in event_chunks(&text) {
        if let Ok(chunk) = Document::parse(json) {
            see(chunk.root());
        }
    }
}

/// What may be chunks in a text, with their offsets; nothing when it carries no media.
fn event_chunks(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let may_carry = SIGNS_OF_MEDIA.iter().any(|sign| memmem::find(text.as_bytes(), sign.as_bytes()).is_some());
    let text = if may_carry { text } else { "" };
    let mut after = 0;
    text.split(['\n', '\r']).filter_map(move |line| {
        after += line.len() + 1;
        let data = line.trim_start();
        let json = data.strip_prefix("data:").map_or(data, str::trim_start);
        json.starts_with(['{', '[']).then(|| (after - 1 - json.len(), json.trim_end()))
    })
}

/// The pieces of sound in a chunk, with the index of their choice.
fn each_piece<'d>(chunk: Value<'d>, see: &mut impl FnMut(i64, Value<'d>)) {
    for choice in chunk.get("choices").into_iter().flat_map(Value::items) {
        let piece = choice.get("delta").and_then(|delta| delta.get("audio")?.get("data"));
        if let Some(piece) = piece.filter(|piece| piece.is_string()) {
            see(choice.get("index").and_then(Value::int).unwrap_or(0), piece);
        }
    }
}
