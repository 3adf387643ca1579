//! Why the model stopped: a list, a list in a text, words with commas, or one word.

use super::keys::{Family, Slot};
use super::slots::Slots;
use super::{sources, usage};
use crate::conventions::read_json;
use crate::genai::call::Text;
use crate::genai::finish_reason::{self, COUNT_MAX};
use crate::json::document::Value;

/// The reasons as sent, one a choice, where attributes say them.
pub(crate) fn of<'a>(slots: &Slots<'a>) -> Vec<Text<'a>> {
    let listed = sources::FINISH_REASONS.iter().filter_map(|slot| slots.get(*slot)).map(list);
    let mut listed = listed.chain(std::iter::once_with(|| of_completions(slots)));
    let first = listed.find(|reasons| !reasons.is_empty());
    first.unwrap_or_else(|| {
        let of_ai_sdk = slots.get(Slot::AiFinishReason).map(Text::Borrowed);
        of_ai_sdk.or_else(|| of_haystack(slots)).or_else(|| of_genkit(slots)).into_iter().collect()
    })
}

/// Genkit has it in the output of a model.
fn of_genkit<'a>(slots: &Slots<'a>) -> Option<Text<'a>> {
    slots.get(Slot::GenkitOutput).filter(|text| text.contains("finishReason"))?;
    let output = slots.json(Slot::GenkitOutput)?;
    Some(Text::Owned(output.root().get("finishReason")?.filled_str()?.into_owned()))
}

/// Haystack has it beside the reply.
fn of_haystack<'a>(slots: &Slots<'a>) -> Option<Text<'a>> {
    let output = usage::haystack_output(slots)?;
    let reason = usage::haystack_meta(output.root())?.get("finish_reason")?.filled_str()?;
    Some(Text::Owned(reason.into_owned()))
}

/// `gen_ai.completion.{i}.finish_reason`, by number.
fn of_completions<'a>(slots: &Slots<'a>) -> Vec<Text<'a>> {
    let members = slots.members(Family::Completions).iter();
    let mut reasons: Vec<(u64, &'a str)> = members
        .filter_map(|(key, value)| {
            let number = key.strip_suffix(".finish_reason").filter(|_| !value.is_empty())?;
            Some((number.parse().ok()?, *value))
        })
        .collect();
    reasons.sort_unstable();
    reasons.into_iter().take(COUNT_MAX).map(|(_, reason)| reason.into()).collect()
}

fn list(value: &str) -> Vec<Text<'_>> {
    if let Some(one) = value.strip_prefix("[\"").and_then(|rest| rest.strip_suffix("\"]"))
        && !one.contains(['"', '\\'])
    {
        return vec![one.into()];
    }
    let text = value.trim();
    let Ok(document) = read_json(text) else { return words(text) };
    let root = document.root();
    if root.is_array() {
        return root.items().take(COUNT_MAX).map(word).collect();
    }
    match root.str() {
        Some(reason) => Some(reason).filter(|reason| !reason.is_empty()).map(owned).into_iter().collect(),
        None => words(text),
    }
}

fn word<'a>(item: Value<'_>) -> Text<'a> {
    item.str().map_or(Text::Borrowed(finish_reason::ERROR), owned)
}

fn owned<'a>(text: Text<'_>) -> Text<'a> {
    Text::Owned(text.into_owned())
}

/// Words with commas between them, in Python's brackets and quotes perhaps.
fn words(text: &str) -> Vec<Text<'_>> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let words = inner.split(',').map(|word| word.trim().trim_matches(['\'', '"']));
    words.filter(|word| !word.is_empty()).take(COUNT_MAX).map(Text::Borrowed).collect()
}
