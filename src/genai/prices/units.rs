//! What providers count, and what is a part of what.
//!
//! ```text
//! input_mtok ─┬─ cache_read_mtok ──── cache_audio_read_mtok ─┐
//!             ├─ cache_write_mtok ─┬─ cache_write_5m_mtok    │ a part of both
//!             │                    └─ cache_write_1h_mtok    │
//!             └─ input_audio_mtok ───────────────────────────┘
//! ```
//!
//! A unit is a set of properties; it is a part of each unit whose properties it has too. Names and properties are those of
//! genai-prices (`genai_prices/data_units.py`).

use crate::genai::usage::Usage;

/// One thing that is counted and has a price.
#[derive(Debug)]
pub struct Unit {
    /// The key of its price: `input_mtok`.
    pub key: &'static str,
    /// How many the price is for.
    pub per: u64,
    /// Its properties, one a bit.
    properties: u32,
    /// How many of it there are in a call.
    count: fn(&Usage) -> Option<u64>,
}

const TOKENS: u32 = 1;
const INPUT: u32 = 1 << 1;
const OUTPUT: u32 = 1 << 2;
const CACHE_READ: u32 = 1 << 3;
const CACHE_WRITE: u32 = 1 << 4;
const MINUTES: u32 = 1 << 5;
const HOUR: u32 = 1 << 6;
const REASONING: u32 = 1 << 7;
const CITATION: u32 = 1 << 8;
const TEXT: u32 = 1 << 9;
const AUDIO: u32 = 1 << 10;
const IMAGE: u32 = 1 << 11;
const VIDEO: u32 = 1 << 12;
const CHARACTERS: u32 = 1 << 13;
const MESSAGES: u32 = 1 << 14;
const SECONDS: u32 = 1 << 15;
const PAGES: u32 = 1 << 16;
const ANNOTATED: u32 = 1 << 17;
const WEB_SEARCHES: u32 = 1 << 18;
const STORAGE_SEARCHES: u32 = 1 << 19;
const REQUESTS: u32 = 1 << 20;

/// Properties of all that goes in, or comes out: which of the two, and that it is tokens.
pub(super) const SIDE_DEPTH: u32 = 2;

/// The key of what is written to a cache for an hour.
const CACHE_WRITE_1H: &str = "cache_write_1h_mtok";

const MILLION: u64 = 1_000_000;
const THOUSAND: u64 = 1_000;
const HOUR_SECONDS: u64 = 3_600;

/// Every unit that a price may be for.
pub const UNITS: &[Unit] = &[
    unit("input_mtok", MILLION, TOKENS | INPUT, |usage| of(usage.input)),
    unit("output_mtok", MILLION, TOKENS | OUTPUT, |usage| of(usage.output)),
    unit("cache_read_mtok", MILLION, TOKENS | INPUT | CACHE_READ, |usage| of(usage.cache_read)),
    unit("cache_write_mtok", MILLION, TOKENS | INPUT | CACHE_WRITE, |usage| of(usage.cache_write)),
    unit("cache_write_5m_mtok", MILLION, TOKENS | INPUT | CACHE_WRITE | MINUTES, cached_for_minutes),
    unit(CACHE_WRITE_1H, MILLION, TOKENS | INPUT | CACHE_WRITE | HOUR, |usage| of(usage.cache_write_1h)),
    unit("input_text_mtok", MILLION, TOKENS | INPUT | TEXT, |usage| of(usage.text.input)),
    unit("output_text_mtok", MILLION, TOKENS | OUTPUT | TEXT, |usage| of(usage.text.output)),
    unit("input_audio_mtok", MILLION, TOKENS | INPUT | AUDIO, |usage| of(usage.audio.input)),
    unit("output_audio_mtok", MILLION, TOKENS | OUTPUT | AUDIO, |usage| of(usage.audio.output)),
    unit("cache_audio_read_mtok", MILLION, TOKENS | INPUT | CACHE_READ | AUDIO, |usage| {
        usage.cache_read_audio.or_else(|| both(usage.cache_read, usage.audio.input))
    }),
    unit("input_image_mtok", MILLION, TOKENS | INPUT | IMAGE, |usage| of(usage.image.input)),
    unit("output_image_mtok", MILLION, TOKENS | OUTPUT | IMAGE, |usage| of(usage.image.output)),
    unit("cache_image_read_mtok", MILLION, TOKENS | INPUT | CACHE_READ | IMAGE, |usage| {
        usage.cache_read_image.or_else(|| both(usage.cache_read, usage.image.input))
    }),
    unit("input_video_mtok", MILLION, TOKENS | INPUT | VIDEO, |usage| of(usage.video.input)),
    unit("output_video_mtok", MILLION, TOKENS | OUTPUT | VIDEO, |usage| of(usage.video.output)),
    unit("output_reasoning_mtok", MILLION, TOKENS | OUTPUT | REASONING, |usage| of(usage.reasoning)),
    unit("output_citation_mtok", MILLION, TOKENS | OUTPUT | CITATION, |_| Some(0)),
    unit("input_mchars", MILLION, CHARACTERS | INPUT, |_| Some(0)),
    unit("input_text_messages_kcount", THOUSAND, MESSAGES | INPUT | TEXT, |_| Some(0)),
    unit("audio_hours", HOUR_SECONDS, SECONDS | AUDIO, |_| Some(0)),
    unit("input_audio_hours", HOUR_SECONDS, SECONDS | AUDIO | INPUT, |_| Some(0)),
    unit("input_document_kpages", THOUSAND, PAGES | INPUT, |_| Some(0)),
    unit("input_annotated_document_kpages", THOUSAND, PAGES | INPUT | ANNOTATED, |_| Some(0)),
    unit("web_searches_kcount", THOUSAND, WEB_SEARCHES, |_| Some(0)),
    unit("storage_searches_kcount", THOUSAND, STORAGE_SEARCHES, |_| Some(0)),
    unit("requests_kcount", THOUSAND, REQUESTS, |_| Some(1)),
];

const fn unit(key: &'static str, per: u64, properties: u32, count: fn(&Usage) -> Option<u64>) -> Unit {
    Unit { key, per, properties, count }
}

/// A count that nobody gives is none.
fn of(count: Option<u64>) -> Option<u64> {
    count.or(Some(0))
}

/// What is of two kinds: none if one of them is none, else unknown.
fn both(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    let is_none = |count: Option<u64>| count.is_none_or(|count| count == 0);
    (is_none(one) || is_none(other)).then_some(0)
}

/// A cache is kept for minutes unless somebody says for an hour.
fn cached_for_minutes(usage: &Usage) -> Option<u64> {
    of(usage.cache_write)?.checked_sub(of(usage.cache_write_1h)?)
}

/// No two units have the same properties.
impl PartialEq for Unit {
    fn eq(&self, other: &Self) -> bool {
        self.properties == other.properties
    }
}

impl Unit {
    /// The unit of a price's key.
    pub(super) fn of_key(key: &str) -> Option<&'static Self> {
        UNITS.iter().find(|unit| unit.key == key)
    }

    /// Whether all of it is counted among `whole` too. Each unit is a part of itself.
    pub(super) fn is_part_of(&self, whole: &Self) -> bool {
        self.properties & whole.properties == whole.properties
    }

    /// How many properties it has: a part has more than its whole.
    pub(super) fn depth(&self) -> u32 {
        self.properties.count_ones()
    }

    /// Whether it is counted among the input.
    #[must_use]
    pub fn is_input(&self) -> bool {
        self.properties & INPUT != 0
    }

    /// Whether it is counted among the output.
    #[must_use]
    pub fn is_output(&self) -> bool {
        self.properties & OUTPUT != 0
    }

    /// Whether it is what is written to a cache for an hour.
    pub(super) fn is_cached_for_an_hour(&self) -> bool {
        self.properties == TOKENS | INPUT | CACHE_WRITE | HOUR
    }

    /// Whether tokens are counted.
    pub(super) fn is_tokens(&self) -> bool {
        self.properties & TOKENS != 0
    }

    /// How many of it there are in a call. `None` when there are some and nobody says how many: of tokens that are audio and
    /// tokens that came from a cache, how many are both. What a call's usage has no count for (searches, pages, seconds) is
    /// taken for none.
    pub(super) fn count_in(&self, usage: &Usage) -> Option<u64> {
        (self.count)(usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_a_part_of_those_whose_properties_it_has() {
        let unit = |key| Unit::of_key(key).unwrap();
        let wholes =
            |key| UNITS.iter().filter(|whole| unit(key).is_part_of(whole)).map(|whole| whole.key).collect::<Vec<_>>();
        assert_eq!(wholes("input_mtok"), ["input_mtok"]);
        assert_eq!(wholes("cache_write_1h_mtok"), ["input_mtok", "cache_write_mtok", "cache_write_1h_mtok"]);
        let cached_audio = ["input_mtok", "cache_read_mtok", "input_audio_mtok", "cache_audio_read_mtok"];
        assert_eq!(wholes("cache_audio_read_mtok"), cached_audio);
        assert_eq!(wholes("input_audio_hours"), ["audio_hours", "input_audio_hours"]);
        assert_eq!(wholes("output_reasoning_mtok"), ["output_mtok", "output_reasoning_mtok"]);
    }

    #[test]
    fn keys_and_properties_are_there_once() {
        let mut keys: Vec<_> = UNITS.iter().map(|unit| unit.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), UNITS.len());
        let is_like = |unit: &Unit| UNITS.iter().filter(|other| *other == unit).count() == 1;
        assert!(UNITS.iter().all(is_like), "equality looks at the properties alone");
    }
}
