//! The service tier: the one that answered, or else the one that was asked for.

use super::keys::Slot;
use super::slots::Slots;
use super::sources;
use super::usage::{litellm_usage, provider_metadata};
use crate::genai::call::Text;
use crate::genai::usage::tier;
use crate::json::document::Value;
use std::borrow::Cow;

/// The service tier of a call with these request parameters.
pub(crate) fn of<'a>(slots: &Slots<'a>, parameters: &[(Text<'a>, Text<'a>)]) -> Text<'a> {
    let asked = || parameters.iter().find(|(name, _)| name == "service_tier").map(|(_, tier)| tier.clone());
    slots
        .first_text(sources::SERVICE_TIER)
        .or_else(|| ai_sdk(slots))
        .or_else(|| litellm(slots))
        .or_else(|| asked().filter(|tier| tier != "auto"))
        .unwrap_or_default()
}

/// Vercel AI SDK: `{"openai":{"serviceTier":"flex"}}`, `{"anthropic":{"usage":{"service_tier":"standard","speed":"fast"}}}`.
fn ai_sdk(slots: &Slots<'_>) -> Option<Text<'static>> {
    let said = provider_metadata(slots, "ervice").or_else(|| provider_metadata(slots, "\"speed\""))?;
    let of_provider =
        |of: Value<'_>| of.get("serviceTier").and_then(Value::filled_str).map(Cow::into_owned).or_else(|| of_usage(of));
    said.root().members().find_map(|(_, of)| of_provider(of)).map(Text::Owned)
}

fn of_usage(of: Value<'_>) -> Option<String> {
    of.get("usage").and_then(tier).map(Cow::into_owned)
}

/// LiteLLM: in the usage, as Anthropic has it.
fn litellm(slots: &Slots<'_>) -> Option<Text<'static>> {
    slots.get(Slot::LitellmUsage).filter(|text| text.contains("service_tier") || text.contains("speed"))?;
    let usage = litellm_usage(slots)?;
    Some(Text::Owned(tier(usage.root())?.into_owned()))
}
