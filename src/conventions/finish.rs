//! Why the model stopped: a list, a list in a text, words with commas, or one word.

use super::keys::{Family, Slot};
use super::slots::Slots;
use super::sources;
use crate::columns::typed::Text;
use crate::conventions::read_json;
use crate::genai::finish_reason;
use crate::json::document::Value;
use std::str;

/// Most reasons of one span: there is one a choice, and no provider gives more than 128 of those.
const REASONS_MAX: usize = 1_024;

/// The reasons as sent, one a choice, where attributes say them.
pub(crate) fn of<'a>(slots: &Slots<'a>) -> Vec<Text<'a>> {
    let listed = sources::FINISH_REASONS.iter().filter_map(|slot| slots.get(*slot)).map(list);
    let listed = listed.chain(std::iter::once_with(|| of_completions(slots)));
    let listed = listed.chain(slots.get(Slot::AiFinishReason).map(|reason| vec![reason.into()]));
    listed.into_iter().find(|reasons| !reasons.is_empty()).unwrap_or_default()
}

/// `gen_ai.completion.{i}.finish_reason`, by number.
fn of_completions<'a>(slots: &Slots<'a>) -> Vec<Text<'a>> {
    let members = slots.members(Family::Completions).iter();
    let mut reasons: Vec<(u64, &'a [u8])> = members
        .filter_map(|(key, value)| {
            let number = key.strip_suffix(b".finish_reason").filter(|_| !value.is_empty())?;
            Some((str::from_utf8(number).ok()?.parse().ok()?, *value))
        })
        .collect();
    reasons.sort_unstable();
    reasons.into_iter().take(REASONS_MAX).map(|(_, reason)| reason.into()).collect()
}

fn list(value: &[u8]) -> Vec<Text<'_>> {
    if let [b'[', b'"', one @ .., b'"', b']'] = value
        && !one.iter().any(|byte| matches!(byte, b'"' | b'\\'))
    {
        return vec![one.into()];
    }
    let text = str::from_utf8(value).unwrap_or_default().trim();
    match read_json(text) {
        Ok(document) if document.root().is_array() => of_items(document.root()),
        Ok(document) if document.root().is_string() => {
            document.root().filled_str().map(|text| text.into_owned().into_bytes().into()).into_iter().collect()
        }
        _ => words(text),
    }
}

fn of_items<'a>(items: Value<'_>) -> Vec<Text<'a>> {
    let word = |item: Value<'_>| item.str().map_or_else(|| finish_reason::ERROR.to_owned(), |text| text.into_owned());
    items.items().take(REASONS_MAX).map(|item| word(item).into_bytes().into()).collect()
}

/// Words with commas between them, in Python's brackets and quotes perhaps.
fn words(text: &str) -> Vec<Text<'_>> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let words = inner.split(',').map(|word| word.trim().trim_matches(['\'', '"']));
    words.filter(|word| !word.is_empty()).take(REASONS_MAX).map(|word| word.as_bytes().into()).collect()
}

/// A reason in the conventions' words.
pub(crate) fn normalised<'a>(reason: &Text<'a>) -> Text<'a> {
    let text = str::from_utf8(reason).unwrap_or_default();
    let word = finish_reason::normalise(Some(text));
    if word == text { reason.clone() } else { word.as_bytes().to_vec().into() }
}
