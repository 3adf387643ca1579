//! Token counts as the provider billed them, made comparable: totals include what is cached and what was reasoned.
//!
//! Source: genai, `gen_ai.usage.*`; table 3.3 for the providers that count differently.

use super::provider;
use crate::json::document::Value;
use crate::json::writer::JsonWriter;
use std::borrow::Cow;

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
    /// Of those read from a cache, audio.
    pub cache_read_audio: Option<u64>,
    /// Of those read from a cache, images.
    pub cache_read_image: Option<u64>,
    /// Of the output, spent on reasoning.
    pub reasoning: Option<u64>,
    /// Text tokens.
    pub text: Sides,
    /// Image tokens.
    pub image: Sides,
    /// Audio tokens.
    pub audio: Sides,
    /// Video tokens.
    pub video: Sides,
}

/// A count of the input and one of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sides {
    /// Of the input.
    pub input: Option<u64>,
    /// Of the output.
    pub output: Option<u64>,
}

/// The last of each is what OpenAI's Realtime and transcription APIs have, and LangChain's `UsageMetadata`.
const INPUT_DETAILS: [&str; 3] = ["prompt_tokens_details", "input_tokens_details", "input_token_details"];
const OUTPUT_DETAILS: [&str; 3] = ["completion_tokens_details", "output_tokens_details", "output_token_details"];

/// Members of the usage that attributes hold. Of two names for one count the one not used is kept if it differs.
const CACHE_READ: [&str; 3] = ["prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens"];
const CACHE_WRITE: [&str; 1] = ["cache_creation_input_tokens"];
const CACHE_READ_DETAILS: [&str; 2] = ["cached_tokens", "cache_read"];
/// OpenRouter, LiteLLM, DashScope, LangChain.
const CACHE_WRITE_DETAILS: [&str; 4] =
    ["cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens", "cache_creation"];
/// The last two are Anthropic's and LangChain's.
const REASONING: [&str; 3] = ["reasoning_tokens", "thinking_tokens", "reasoning"];
const INPUT: [&str; 2] = ["prompt_tokens", "input_tokens"];
const OUTPUT: [&str; 2] = ["completion_tokens", "output_tokens"];
const MODALITIES: [&str; 4] = ["text_tokens", "image_tokens", "audio_tokens", "video_tokens"];

impl Usage {
    /// Reads a `usage`.
    pub(crate) fn read(usage: Value<'_>, provider: &str) -> Self {
        let [of_input, of_output] =
            [&INPUT_DETAILS, &OUTPUT_DETAILS].map(|names| details(usage, names).collect::<Vec<_>>());
        let input_details = || of_input.iter().copied();
        let output_details = || of_output.iter().copied();
        // the first that is told, in the details before the usage itself
        let part = |details: &[Value<'_>], names_of_details: &[&str], names: &[&str]| {
            let in_details = details.iter().filter_map(|details| first_count(*details, names_of_details));
            first_told(in_details.chain(first_count(usage, names)))
        };
        let side = |name: &str| Sides {
            input: input_details().find_map(|details| count(details, name)),
            output: output_details().find_map(|details| count(details, name)),
        };
        let writes = CacheWrites::read(usage, &of_input);
        let cached =
            |name: &str| input_details().find_map(|details| count(details.get("cached_tokens_details")?, name));
        let mut read = Self {
            input: first_count(usage, &INPUT),
            output: first_count(usage, &OUTPUT),
            total: count(usage, "total_tokens"),
            cache_read: part(&of_input, &CACHE_READ_DETAILS, &CACHE_READ),
            cache_write: writes.whole(part(&of_input, &CACHE_WRITE_DETAILS, &CACHE_WRITE)),
            cache_write_1h: writes.for_an_hour,
            cache_read_audio: cached("audio_tokens"),
            cache_read_image: cached("image_tokens"),
            reasoning: part(&of_output, &REASONING, &REASONING),
            text: side("text_tokens"),
            image: side("image_tokens"),
            audio: side("audio_tokens"),
            video: side("video_tokens"),
        };
        let sent_input = read.input;
        read.include_cached(usage, !of_input.is_empty());
        read.include_reasoning(sent_input, provider);
        let sides = [read.input, read.output].into_iter().flatten();
        read.total = read.total.or_else(|| sides.reduce(u64::saturating_add));
        read.include_compactions(usage);
        read
    }

    /// Anthropic's own counts, and xAI's at times, leave cached tokens out of the input. Haystack gives Anthropic's the names of
    /// OpenAI's, which come with a total or with details.
    fn include_cached(&mut self, usage: Value<'_>, has_details: bool) {
        let has_names_of_anthropic =
            ["cache_read_input_tokens", "cache_creation_input_tokens"].iter().any(|name| usage.has(name));
        let is_openai =
            count(usage, "prompt_tokens").is_some() && (has_details || count(usage, "total_tokens").is_some());
        let Some(input) = &mut self.input else { return };
        if has_names_of_anthropic && !is_openai {
            *input = [self.cache_read, self.cache_write].into_iter().flatten().fold(*input, u64::saturating_add);
        } else if let Some(read) = self.cache_read.filter(|read| *read > *input) {
            *input = input.saturating_add(read);
        }
    }

    /// Anthropic bills what it took to summarize a conversation on the way, and leaves it out of the counts of the call.
    ///
    /// Source: Anthropic's documentation of compaction, `usage.iterations`.
    fn include_compactions(&mut self, usage: Value<'_>) {
        let iterations = usage.get("iterations").into_iter().flat_map(Value::items);
        for iteration in iterations.filter(|it| it.get("type").is_some_and(|kind| kind.is_key("compaction"))) {
            let compaction = Self::read(iteration, "");
            for (whole, part) in [
                (&mut self.input, compaction.input),
                (&mut self.output, compaction.output),
                (&mut self.total, compaction.total),
                (&mut self.cache_read, compaction.cache_read),
                (&mut self.cache_write, compaction.cache_write),
                (&mut self.cache_write_1h, compaction.cache_write_1h),
            ] {
                *whole = [*whole, part].into_iter().flatten().reduce(u64::saturating_add);
            }
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
    pub(super) fn counts_mut(&mut self) -> impl Iterator<Item = &mut Option<u64>> {
        let of_kinds = [&mut self.text, &mut self.image, &mut self.audio, &mut self.video];
        let of_kinds = of_kinds.into_iter().flat_map(|Sides { input, output }| [input, output]);
        let wholes = [&mut self.input, &mut self.output, &mut self.total, &mut self.reasoning];
        let written = [&mut self.cache_write, &mut self.cache_write_1h];
        let read = [&mut self.cache_read, &mut self.cache_read_audio, &mut self.cache_read_image];
        wholes.into_iter().chain(written).chain(read).chain(of_kinds)
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
            cache_read_audio: self.cache_read_audio.or(other.cache_read_audio),
            cache_read_image: self.cache_read_image.or(other.cache_read_image),
            reasoning: self.reasoning.or(other.reasoning),
            text: sides(self.text, other.text),
            image: sides(self.image, other.image),
            audio: sides(self.audio, other.audio),
            video: sides(self.video, other.video),
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

/// The service tier that a usage says, as Anthropic's does: `fast` comes before it, for which Anthropic asks more.
pub(crate) fn tier(usage: Value<'_>) -> Option<Cow<'_, str>> {
    let text = |name: &str| usage.get(name).and_then(Value::filled_str);
    text("speed").filter(|speed| speed == "fast").or_else(|| text("service_tier"))
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

/// Tokens written to a cache, by how long it keeps them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CacheWrites {
    /// For minutes.
    pub(crate) for_minutes: Option<u64>,
    /// For an hour.
    pub(crate) for_an_hour: Option<u64>,
}

impl CacheWrites {
    /// Reads the object that has them, wherever it is.
    ///
    /// Source: Anthropic's Messages API, `usage.cache_creation`; LiteLLM and DashScope have it among the details of the prompt,
    /// LangChain its members.
    fn read(usage: Value<'_>, input_details: &[Value<'_>]) -> Self {
        let of_details = input_details.iter().flat_map(|details| {
            [details.get("cache_creation_token_details"), details.get("cache_creation"), Some(*details)]
        });
        let objects: Vec<_> = [usage.get("cache_creation")].into_iter().chain(of_details).flatten().collect();
        let first = |name: &str| objects.iter().find_map(|writes| count(*writes, name));
        Self { for_minutes: first("ephemeral_5m_input_tokens"), for_an_hour: first("ephemeral_1h_input_tokens") }
    }

    /// All of them. LangChain writes zero for the whole where it knows the parts.
    pub(crate) fn whole(self, said: Option<u64>) -> Option<u64> {
        let sum = [self.for_minutes, self.for_an_hour].into_iter().flatten().reduce(u64::saturating_add);
        first_told(said.into_iter().chain(sum))
    }
}

/// The first count that is not zero, else zero: some senders write zeros under the names that they do not use.
pub(crate) fn first_told(counts: impl IntoIterator<Item = u64>) -> Option<u64> {
    counts.into_iter().reduce(|first, next| if first == 0 { next } else { first })
}

fn first_count(object: Value<'_>, names: &[&str]) -> Option<u64> {
    first_told(names.iter().filter_map(|name| count(object, name)))
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
    fn a_zero_says_nothing_where_another_name_has_a_count() {
        // LiteLLM's streams of Anthropic: BerriAI/litellm#11789
        let streamed = read(
            r#"{"total_tokens":2482,"prompt_tokens":2459,"completion_tokens":23,
                "prompt_tokens_details":{"cached_tokens":0},"cache_read_input_tokens":2455,"cache_creation_input_tokens":0}"#,
            "anthropic",
        );
        assert_eq!((streamed.input, streamed.cache_read, streamed.cache_write), (Some(2_459), Some(2_455), Some(0)));
        let gateway = read(r#"{"prompt_tokens":7,"completion_tokens":3,"input_tokens":0,"output_tokens":0}"#, "openai");
        assert_eq!((gateway.input, gateway.output), (Some(7), Some(3)));
    }

    #[test]
    fn counts_of_anthropic_under_the_names_of_openai_leave_the_cache_out_too() {
        // Haystack renames the two sides, and nothing else
        let renamed = r#"{"prompt_tokens":300,"completion_tokens":12,"cache_read_input_tokens":200,"cache_creation_input_tokens":50}"#;
        assert_eq!(read(renamed, "anthropic").input, Some(550));
        let with_total =
            r#"{"prompt_tokens":300,"completion_tokens":12,"total_tokens":312,"cache_read_input_tokens":200}"#;
        assert_eq!(read(with_total, "anthropic").input, Some(300));
    }

    #[test]
    fn what_is_written_to_a_cache_is_at_least_the_sum_of_its_parts() {
        for (sender, usage) in [
            (
                "LangChain",
                r#"{"input_tokens":360,"output_tokens":30,"total_tokens":390,"input_token_details":
                    {"cache_read":10,"cache_creation":0,"ephemeral_5m_input_tokens":80,"ephemeral_1h_input_tokens":70}}"#,
            ),
            (
                "DashScope",
                r#"{"prompt_tokens":360,"completion_tokens":30,"total_tokens":390,"prompt_tokens_details":{"cached_tokens":10,
                    "cache_creation":{"ephemeral_5m_input_tokens":80,"ephemeral_1h_input_tokens":70},"cache_creation_input_tokens":150}}"#,
            ),
            (
                "Anthropic",
                r#"{"input_tokens":200,"output_tokens":30,"cache_read_input_tokens":10,"cache_creation_input_tokens":150,
                    "cache_creation":{"ephemeral_5m_input_tokens":80,"ephemeral_1h_input_tokens":70}}"#,
            ),
        ] {
            let read = read(usage, "");
            let cached = (read.cache_read, read.cache_write, read.cache_write_1h);
            assert_eq!((read.input, cached), (Some(360), (Some(10), Some(150), Some(70))), "{sender}");
        }
    }

    #[test]
    fn what_a_compaction_used_is_added_to_what_the_call_used() {
        let compacted = read(
            r#"{"input_tokens":23000,"output_tokens":1000,"iterations":[
                {"type":"compaction","input_tokens":180000,"output_tokens":3500,"cache_read_input_tokens":7},
                {"type":"message","input_tokens":23000,"output_tokens":1000},
                {"type":"advisor_message","model":"another","input_tokens":5,"output_tokens":5}]}"#,
            "anthropic",
        );
        assert_eq!((compacted.input, compacted.output), (Some(203_007), Some(4_500)));
        assert_eq!((compacted.total, compacted.cache_read), (Some(207_507), Some(7)));
    }

    #[test]
    fn kinds_of_tokens_are_read_from_details_of_either_name() {
        let realtime = read(
            r#"{"input_tokens":253,"output_tokens":122,"total_tokens":375,"input_token_details":{"text_tokens":119,"audio_tokens":134,
                "cached_tokens":64,"cached_tokens_details":{"text_tokens":50,"audio_tokens":14}},
                "output_token_details":{"text_tokens":30,"audio_tokens":92}}"#,
            "openai",
        );
        assert_eq!(realtime.audio, Sides { input: Some(134), output: Some(92) });
        assert_eq!((realtime.cache_read, realtime.cache_read_audio), (Some(64), Some(14)));
        let thought = r#"{"input_tokens":1,"output_tokens":100,"output_tokens_details":{"thinking_tokens":60}}"#;
        assert_eq!(read(thought, "anthropic").reasoning, Some(60));
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
            "prompt_cache_hit_tokens":3,"prompt_tokens_details":{"cached_tokens":4,"other_tokens":9,"audio_tokens":2},
            "completion_tokens_details":{"accepted_prediction_tokens":9,"rejected_prediction_tokens":0}}"#;
        let want = r#"{"usage":{"completion_tokens":"5","queue_time":0.1,"is_byok":false,"prompt_cache_hit_tokens":3,"prompt_tokens_details":{"other_tokens":9},"accepted_prediction_tokens":9}}"#;
        assert_eq!(rest(usage, Some("cost")), want);
        assert_eq!(
            rest(r#"{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":0,"cache_write_tokens":0}}"#, None),
            "{}"
        );
    }
}
