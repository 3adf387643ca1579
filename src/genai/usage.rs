//! Token counts as the provider billed them, made comparable: totals include what is cached and what was reasoned.
//!
//! Source: genai, `gen_ai.usage.*`; table 3.3 for the providers that count differently.

use super::provider;
use crate::json::document::Value;
use crate::json::writer::JsonWriter;

/// The token counts of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the input, cached ones included.
    pub input: Option<u64>,
    /// Tokens of the output, reasoning included.
    pub output: Option<u64>,
    /// Both together, as the provider says or as their sum.
    pub total: Option<u64>,
    /// Of the input, read from a cache.
    pub cache_read: Option<u64>,
    /// Of the input, written to a cache.
    pub cache_write: Option<u64>,
    /// Of those, written to be kept for an hour; the others are kept for minutes.
    pub cache_write_1h: Option<u64>,
    /// Of the output, spent on reasoning.
    pub reasoning: Option<u64>,
    /// Text tokens.
    pub text: Sides,
    /// Image tokens.
    pub image: Sides,
    /// Audio tokens.
    pub audio: Sides,
}

/// A count of the input and one of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sides {
    /// Of the input.
    pub input: Option<u64>,
    /// Of the output.
    pub output: Option<u64>,
}

const INPUT_DETAILS: [&str; 2] = ["prompt_tokens_details", "input_tokens_details"];
const OUTPUT_DETAILS: [&str; 2] = ["completion_tokens_details", "output_tokens_details"];

/// Members of the usage that attributes hold. Of two names for one count the one not used is kept if it differs.
const CACHE_READ: [&str; 3] = ["prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens"];
const CACHE_WRITE: [&str; 1] = ["cache_creation_input_tokens"];
const CACHE_READ_DETAILS: [&str; 1] = ["cached_tokens"];
const CACHE_WRITE_DETAILS: [&str; 2] = ["cache_write_tokens", "cache_creation_tokens"];
const REASONING: [&str; 1] = ["reasoning_tokens"];
const INPUT: [&str; 2] = ["prompt_tokens", "input_tokens"];
const OUTPUT: [&str; 2] = ["completion_tokens", "output_tokens"];
const MODALITIES: [&str; 3] = ["text_tokens", "image_tokens", "audio_tokens"];

impl Usage {
    /// Reads a `usage`.
    pub(crate) fn read(usage: Value<'_>, provider: &str) -> Self {
        let input_details = || details(usage, &INPUT_DETAILS);
        let output_details = || details(usage, &OUTPUT_DETAILS);
        let side = |name: &str| Sides {
            input: input_details().find_map(|details| count(details, name)),
            output: output_details().find_map(|details| count(details, name)),
        };
        let mut read = Self {
            input: first_count(usage, &INPUT),
            output: first_count(usage, &OUTPUT),
            total: count(usage, "total_tokens"),
            cache_read: input_details()
                .find_map(|details| first_count(details, &CACHE_READ_DETAILS))
                .or_else(|| first_count(usage, &CACHE_READ)),
            cache_write: input_details()
                .find_map(|details| first_count(details, &CACHE_WRITE_DETAILS))
                .or_else(|| first_count(usage, &CACHE_WRITE)),
            cache_write_1h: hour_cache_writes(usage),
            reasoning: output_details()
                .find_map(|details| first_count(details, &REASONING))
                .or_else(|| first_count(usage, &REASONING)),
            text: side("text_tokens"),
            image: side("image_tokens"),
            audio: side("audio_tokens"),
        };
        let sent_input = read.input;
        read.include_cached(usage);
        read.include_reasoning(sent_input, provider);
        let sides = [read.input, read.output].into_iter().flatten();
        read.total = read.total.or_else(|| sides.reduce(u64::saturating_add));
        read
    }

    /// Anthropic's own counts, and xAI's at times, leave cached tokens out of the input.
    fn include_cached(&mut self, usage: Value<'_>) {
        let is_anthropic = count(usage, "prompt_tokens").is_none()
            && count(usage, "input_tokens").is_some()
            && (usage.has("cache_read_input_tokens") || usage.has("cache_creation_input_tokens"));
        let Some(input) = &mut self.input else { return };
        if is_anthropic {
            *input = [self.cache_read, self.cache_write].into_iter().flatten().fold(*input, u64::saturating_add);
        } else if let Some(read) = self.cache_read.filter(|read| *read > *input) {
            *input = input.saturating_add(read);
        }
    }

    /// xAI leaves reasoning out of the output; its total gives it away.
    fn include_reasoning(&mut self, sent_input: Option<u64>, provider: &str) {
        let (Some(output), Some(reasoning)) = (self.output, self.reasoning.filter(|count| *count > 0)) else {
            return;
        };
        let with = output.saturating_add(reasoning);
        let is_excluded = match self.total {
            Some(total) => {
                [sent_input, self.input].into_iter().flatten().any(|input| total == input.saturating_add(with))
            }
            None => provider == provider::X_AI || reasoning > output,
        };
        if is_excluded {
            self.output = Some(with);
        }
    }

    /// Every count.
    pub(super) fn counts_mut(&mut self) -> [&mut Option<u64>; 13] {
        let Self { input, output, total, cache_read, cache_write, cache_write_1h, reasoning, text, image, audio } =
            self;
        let [text, image, audio] = [text, image, audio].map(|Sides { input, output }| [input, output]);
        let [[a, b], [c, d], [e, f]] = [text, image, audio];
        [input, output, total, cache_read, cache_write, cache_write_1h, reasoning, a, b, c, d, e, f]
    }

    /// These counts, and for those that are not known the counts of `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let sides =
            |one: Sides, other: Sides| Sides { input: one.input.or(other.input), output: one.output.or(other.output) };
        Self {
            input: self.input.or(other.input),
            output: self.output.or(other.output),
            total: self.total.or(other.total),
            cache_read: self.cache_read.or(other.cache_read),
            cache_write: self.cache_write.or(other.cache_write),
            cache_write_1h: self.cache_write_1h.or(other.cache_write_1h),
            reasoning: self.reasoning.or(other.reasoning),
            text: sides(self.text, other.text),
            image: sides(self.image, other.image),
            audio: sides(self.audio, other.audio),
        }
    }

    /// Whether there is something for [`Usage::write_rest`] to write.
    pub(crate) fn has_rest(&self, usage: Value<'_>, cost: Option<&str>) -> bool {
        self.rest(usage, cost).next().is_some()
    }

    fn rest<'d>(&self, usage: Value<'d>, cost: Option<&str>) -> impl Iterator<Item = (Value<'d>, Value<'d>)> {
        usage
            .members()
            .filter(move |(key, value)| cost.is_none_or(|cost| !key.is_key(cost)) && !self.holds(*key, *value))
    }

    /// What of the usage no attribute holds; `cost` is the member the cost was taken from. Writes nothing when there
    /// is nothing.
    pub(crate) fn write_rest(&self, json: &mut JsonWriter, usage: Value<'_>, cost: Option<&str>) {
        if !self.has_rest(usage, cost) {
            return;
        }
        json.key("usage");
        json.begin_object();
        for (key, value) in self.rest(usage, cost) {
            match details_side(key) {
                Some(side) if value.is_object() => self.write_details(json, key, value, side),
                _ => json.copy_member(key, value),
            }
        }
        json.end_object();
    }

    /// Whether attributes hold all of a member.
    fn holds(&self, key: Value<'_>, value: Value<'_>) -> bool {
        let name = key.text();
        let is = |names: &[&str], held: Option<u64>| {
            names.contains(&&*name) && token_count(value).is_some_and(|count| held == Some(count))
        };
        // the totals may have been completed, so any count will do
        let is_total = INPUT.contains(&&*name) || OUTPUT.contains(&&*name) || name == "total_tokens";
        value.is_null()
            || (is_total && token_count(value).is_some())
            || is(&CACHE_READ, self.cache_read)
            || is(&CACHE_WRITE, self.cache_write)
            || is(&REASONING, self.reasoning)
            || details_side(key)
                .is_some_and(|side| value.is_object() && self.rest_of_details(value, side).next().is_none())
    }

    /// The members of details that no attribute holds. A count of zero says nothing.
    fn rest_of_details<'d>(&self, details: Value<'d>, side: Side) -> impl Iterator<Item = (Value<'d>, Value<'d>)> {
        let held = *self;
        details.members().filter(move |(key, value)| {
            let name = key.text();
            let is = |names: &[&str], held: Option<u64>| {
                names.contains(&&*name) && held.is_some() && token_count(*value) == held
            };
            let is_held = match side {
                Side::Input => is(&CACHE_READ_DETAILS, held.cache_read) || is(&CACHE_WRITE_DETAILS, held.cache_write),
                Side::Output => is(&REASONING, held.reasoning),
            };
            let is_modality = MODALITIES.contains(&&*name) && token_count(*value).is_some();
            !is_held && !is_modality && !value.is_empty() && token_count(*value) != Some(0)
        })
    }

    /// Prediction tokens go up to the usage, where they are looked for; other details stay in their object.
    fn write_details(&self, json: &mut JsonWriter, key: Value<'_>, details: Value<'_>, side: Side) {
        let is_prediction =
            |key: Value<'_>| key.is_key("accepted_prediction_tokens") || key.is_key("rejected_prediction_tokens");
        for (name, value) in self.rest_of_details(details, side).filter(|(name, _)| is_prediction(*name)) {
            json.copy_member(name, value);
        }
        let others = || self.rest_of_details(details, side).filter(|(name, _)| !is_prediction(*name));
        if others().next().is_some() {
            json.key(&key.text());
            json.begin_object();
            for (name, value) in others() {
                json.copy_member(name, value);
            }
            json.end_object();
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Input,
    Output,
}

fn details_side(key: Value<'_>) -> Option<Side> {
    let is = |names: &[&str]| names.iter().any(|name| key.is_key(name));
    is(&INPUT_DETAILS).then_some(Side::Input).or_else(|| is(&OUTPUT_DETAILS).then_some(Side::Output))
}

fn details<'d>(usage: Value<'d>, names: &[&str]) -> impl Iterator<Item = Value<'d>> {
    names.iter().filter_map(move |name| usage.get(name))
}

/// Tokens written to a cache that keeps them for an hour.
///
/// Source: Anthropic's Messages API, `usage.cache_creation`; LiteLLM has it among the details of the prompt.
fn hour_cache_writes(usage: Value<'_>) -> Option<u64> {
    let among_details =
        || details(usage, &INPUT_DETAILS).find_map(|details| details.get("cache_creation_token_details"));
    let by_time = usage.get("cache_creation").filter(|writes| writes.is_object()).or_else(among_details)?;
    count(by_time, "ephemeral_1h_input_tokens")
}

fn first_count(object: Value<'_>, names: &[&str]) -> Option<u64> {
    names.iter().find_map(|name| count(object, name))
}

fn count(object: Value<'_>, name: &str) -> Option<u64> {
    object.get(name).and_then(token_count)
}

/// Integers and integral floats from 0 up; never booleans or texts.
fn token_count(value: Value<'_>) -> Option<u64> {
    value.int().and_then(|count| u64::try_from(count).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::document::Document;
    use crate::json::limits::Limits;

    fn read(usage: &str, provider: &str) -> Usage {
        Usage::read(Document::parse(usage.to_owned()).unwrap().root(), provider)
    }

    fn rest(usage: &str, cost: Option<&str>) -> String {
        let document = Document::parse(usage.to_owned()).unwrap();
        let mut json = JsonWriter::new(Limits::default());
        json.begin_object();
        Usage::read(document.root(), "openai").write_rest(&mut json, document.root(), cost);
        json.end_object();
        json.finish().0
    }

    #[test]
    fn xai_counts_reasoning_and_cache_apart() {
        let by_total = read(
            r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":35,"completion_tokens_details":{"reasoning_tokens":20}}"#,
            "openai",
        );
        assert_eq!((by_total.output, by_total.reasoning, by_total.total), (Some(25), Some(20), Some(35)));
        let without_total =
            r#"{"prompt_tokens":10,"completion_tokens":50,"completion_tokens_details":{"reasoning_tokens":20}}"#;
        assert_eq!(read(without_total, "x_ai").output, Some(70));
        assert_eq!(read(without_total, "openai").output, Some(50));
        let more = r#"{"prompt_tokens":10,"completion_tokens":5,"reasoning_tokens":20}"#;
        assert_eq!((read(more, "sglang").output, read(more, "sglang").total), (Some(25), Some(35)));
        let cached = r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":35,"prompt_tokens_details":{"cached_tokens":30},"completion_tokens_details":{"reasoning_tokens":20}}"#;
        assert_eq!((read(cached, "x_ai").input, read(cached, "x_ai").output), (Some(40), Some(25)));
    }

    #[test]
    fn anthropic_counts_leave_the_cache_out_and_litellms_do_not() {
        let own = read(
            r#"{"input_tokens":10,"output_tokens":5,"cache_read_input_tokens":100,"cache_creation_input_tokens":7}"#,
            "anthropic",
        );
        let want = (Some(117), Some(100), Some(7), Some(122));
        assert_eq!((own.input, own.cache_read, own.cache_write, own.total), want);
        let litellm = read(
            r#"{"prompt_tokens":117,"completion_tokens":5,"cache_read_input_tokens":100,"prompt_tokens_details":{"cache_creation_tokens":7}}"#,
            "anthropic",
        );
        assert_eq!((litellm.input, litellm.cache_read, litellm.cache_write), (Some(117), Some(100), Some(7)));
    }

    #[test]
    fn anthropic_says_how_long_what_is_cached_is_kept() {
        let both = read(
            r#"{"input_tokens":10,"output_tokens":5,"cache_creation_input_tokens":7,
                "cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":4},"service_tier":"batch"}"#,
            "anthropic",
        );
        assert_eq!((both.cache_write, both.cache_write_1h), (Some(7), Some(4)));
        let unsaid = read(r#"{"input_tokens":10,"output_tokens":5,"cache_creation_input_tokens":7}"#, "anthropic");
        assert_eq!((unsaid.cache_write, unsaid.cache_write_1h), (Some(7), None));
    }

    #[test]
    fn counts_are_integers_or_integral_floats_only() {
        let odd =
            read(r#"{"prompt_tokens":10.0,"completion_tokens":"5","total_tokens":true,"cached_tokens":-1}"#, "openai");
        assert_eq!((odd.input, odd.output, odd.total, odd.cache_read), (Some(10), None, Some(10), None));
        assert_eq!(read("{}", "openai"), Usage::default());
    }

    #[test]
    fn what_no_attribute_holds_is_kept() {
        let usage = r#"{"prompt_tokens":1,"completion_tokens":"5","queue_time":0.1,"cost":0.5,"is_byok":false,"x":null,
            "prompt_cache_hit_tokens":3,"prompt_tokens_details":{"cached_tokens":4,"video_tokens":9,"audio_tokens":2},
            "completion_tokens_details":{"accepted_prediction_tokens":9,"rejected_prediction_tokens":0}}"#;
        let want = r#"{"usage":{"completion_tokens":"5","queue_time":0.1,"is_byok":false,"prompt_cache_hit_tokens":3,"prompt_tokens_details":{"video_tokens":9},"accepted_prediction_tokens":9}}"#;
        assert_eq!(rest(usage, Some("cost")), want);
        assert_eq!(
            rest(r#"{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0}}"#, None),
            "{}"
        );
    }
}
