//! Values that cannot be true, corrected or dropped: the one place where that is decided. Attributes keep what was sent.
//!
//! | rule | what is wrong | what the column gets |
//! | --- | --- | --- |
//! | `count_too_large` | a count of 2^54 or more, such as an unsigned -1 | NULL |
//! | `cache_beside_input` | cached tokens are not part of the input: they are more, or the total is the sum of both | both added |
//! | `reasoning_beside_output` | the same of reasoning and output | both added |
//! | `part_larger_than_whole` | more audio tokens than tokens, more cached for an hour than cached | NULL |
//! | `first_token_in_milliseconds` | the first token is later than the end, and not if its seconds are milliseconds | those |
//! | `first_token_after_end` | the first token is later than the end | NULL |
//! | `cost_unreadable` | a cost that is not an amount of US dollars | NULL, and none is computed |

use super::cost::Cost;
use super::usage::{Sides, Usage};

/// A count from here on is a mistake; a few of them would overflow a sum.
const TOKENS_END: u64 = 1 << 54;
const MILLIS_IN_A_SECOND: u64 = 1_000;

/// Why a value cannot be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Rule {
    /// A count beyond all counts.
    CountTooLarge,
    /// Cached tokens left out of the input.
    CacheBesideInput,
    /// Reasoning left out of the output.
    ReasoningBesideOutput,
    /// A part that is larger than its whole.
    PartLargerThanWhole,
    /// Milliseconds under a name that means seconds.
    FirstTokenInMilliseconds,
    /// A first token later than the end of the call.
    FirstTokenAfterEnd,
    /// A cost that is not an amount of US dollars.
    CostUnreadable,
}

impl Rule {
    /// Every rule, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::CountTooLarge,
        Self::CacheBesideInput,
        Self::ReasoningBesideOutput,
        Self::PartLargerThanWhole,
        Self::FirstTokenInMilliseconds,
        Self::FirstTokenAfterEnd,
        Self::CostUnreadable,
    ];

    /// Its name on /metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CountTooLarge => "count_too_large",
            Self::CacheBesideInput => "cache_beside_input",
            Self::ReasoningBesideOutput => "reasoning_beside_output",
            Self::PartLargerThanWhole => "part_larger_than_whole",
            Self::FirstTokenInMilliseconds => "first_token_in_milliseconds",
            Self::FirstTokenAfterEnd => "first_token_after_end",
            Self::CostUnreadable => "cost_unreadable",
        }
    }
}

/// The rules that one call fell under.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules(u8);

impl Rules {
    fn add(&mut self, rule: Rule) {
        self.0 |= 1 << rule as u8;
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each rule, in the order of [`Rule::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Rule> {
        Rule::ALL.into_iter().filter(move |rule| self.0 & (1 << *rule as u8) != 0)
    }
}

/// How many calls fell under each rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally([u64; Rule::ALL.len()]);

impl Tally {
    /// Counts the rules of a call.
    pub fn count(&mut self, rules: Rules) {
        for rule in rules.iter() {
            if let Some(count) = self.0.get_mut(rule as usize) {
                *count += 1;
            }
        }
    }

    /// Each rule that some call fell under, and how many calls did.
    pub fn iter(&self) -> impl Iterator<Item = (Rule, u64)> {
        Rule::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}

/// What is known of a call's times beside the call itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// How long it took in nanoseconds; `None` if that is not known.
    pub duration: Option<u64>,
    /// The time to the first token came as seconds, by a name under which some send milliseconds.
    pub first_token_was_seconds: bool,
}

/// Makes token counts and the time to the first token plausible; returns the rules that took, with that of the cost.
pub(super) fn settle(usage: &mut Usage, time_to_first_token: &mut Option<u64>, cost: &Cost, times: Times) -> Rules {
    let mut rules = Rules::default();
    if cost.is_unreadable() {
        rules.add(Rule::CostUnreadable);
    }
    settle_usage(usage, &mut rules);
    *time_to_first_token = first_token(*time_to_first_token, times, &mut rules);
    rules
}

fn settle_usage(usage: &mut Usage, rules: &mut Rules) {
    for count in usage.counts_mut() {
        if count.is_some_and(|count| count >= TOKENS_END) {
            *count = None;
            rules.add(Rule::CountTooLarge);
        }
    }
    include_parts(usage, rules);
    let Usage { input, output, cache_write, cache_write_1h, audio, .. } = usage;
    let Sides { input: audio_input, output: audio_output } = audio;
    for (part, whole) in [(audio_input, input), (audio_output, output), (cache_write_1h, cache_write)] {
        if part.zip(*whole).is_some_and(|(part, whole)| part > whole) {
            *part = None;
            rules.add(Rule::PartLargerThanWhole);
        }
    }
}

/// Adds cached tokens to the input and reasoning to the output, where they are not part of it: because they are more than it,
/// or because only so the total is the sum. LiteLLM counted what Bedrock read from a cache with the input, and what it wrote not.
fn include_parts(usage: &mut Usage, rules: &mut Rules) {
    let [read, written, reasoning] =
        [usage.cache_read, usage.cache_write, usage.reasoning].map(|count| count.unwrap_or_default());
    let cached = read + written;
    let has_room = |whole: Option<u64>, part: u64, added: u64| whole.is_none_or(|whole| whole + added >= part);
    let by_total = || {
        let (input, output, total) = (usage.input?, usage.output?, usage.total?);
        let beside = [0, written, read, cached].into_iter().flat_map(|cache| [(cache, 0), (cache, reasoning)]);
        let mut possible = beside.filter(|(cache, thought)| {
            has_room(usage.input, cached, *cache) && has_room(usage.output, reasoning, *thought)
        });
        possible.find(|(cache, thought)| total == input + output + cache + thought)
    };
    let missing = |whole: Option<u64>, part: u64| if has_room(whole, part, 0) { 0 } else { part };
    let (cache_beside, reasoning_beside) =
        by_total().unwrap_or_else(|| (missing(usage.input, cached), missing(usage.output, reasoning)));
    for (whole, beside, rule) in [
        (&mut usage.input, cache_beside, Rule::CacheBesideInput),
        (&mut usage.output, reasoning_beside, Rule::ReasoningBesideOutput),
    ] {
        if let Some(whole) = whole.as_mut().filter(|_| beside > 0) {
            *whole += beside;
            rules.add(rule);
        }
    }
}

fn first_token(nanos: Option<u64>, times: Times, rules: &mut Rules) -> Option<u64> {
    let given = nanos?;
    let Some(duration) = times.duration.filter(|duration| given > *duration) else { return Some(given) };
    let as_millis = given / MILLIS_IN_A_SECOND;
    if times.first_token_was_seconds && as_millis <= duration {
        rules.add(Rule::FirstTokenInMilliseconds);
        return Some(as_millis);
    }
    rules.add(Rule::FirstTokenAfterEnd);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn settled(usage: Usage) -> (Usage, Vec<&'static str>) {
        let mut usage = usage;
        let rules = settle(&mut usage, &mut None, &Cost::default(), Times::default());
        (usage, rules.iter().map(Rule::name).collect())
    }

    fn counts(input: u64, output: u64, [read, write, reasoning, total]: [Option<u64>; 4]) -> Usage {
        Usage {
            input: Some(input),
            output: Some(output),
            cache_read: read,
            cache_write: write,
            reasoning,
            total,
            ..Usage::default()
        }
    }

    #[test]
    fn a_part_that_is_beside_its_whole_is_added_to_it() {
        const CACHE: &str = "cache_beside_input";
        const REASONING: &str = "reasoning_beside_output";
        for (sender, usage, (input, output), rules) in [
            ("conventions", counts(100, 20, [Some(40), None, Some(5), Some(120)]), (100, 20), &[][..]),
            ("no total", counts(100, 20, [Some(40), Some(21), Some(5), None]), (100, 20), &[]),
            ("OpenLLMetry, Anthropic", counts(3, 9, [Some(130_000), Some(210), None, None]), (130_213, 9), &[CACHE]),
            ("Strands, Bedrock", counts(100, 20, [Some(40), None, None, Some(160)]), (140, 20), &[CACHE]),
            ("ADK, Gemini", counts(40, 3, [None, None, Some(66), Some(109)]), (40, 69), &[REASONING]),
            ("AI SDK, Gemini", counts(40, 70, [None, None, Some(66), Some(176)]), (40, 136), &[REASONING]),
            ("AI SDK, no total", counts(40, 3, [None, None, Some(66), None]), (40, 69), &[REASONING]),
            ("either", counts(40, 50, [Some(30), None, Some(30), Some(120)]), (40, 80), &[REASONING]),
            ("both", counts(10, 5, [Some(30), None, Some(20), Some(65)]), (40, 25), &[CACHE, REASONING]),
            ("a cache of as many", counts(40, 5, [Some(40), None, None, Some(45)]), (40, 5), &[]),
            ("LiteLLM, Bedrock", counts(110, 5, [Some(100), Some(50), None, Some(165)]), (160, 5), &[CACHE]),
            ("a total of something else", counts(40, 5, [Some(9), None, Some(2), Some(999)]), (40, 5), &[]),
        ] {
            let (got, fell) = settled(usage);
            assert_eq!(((got.input, got.output), &*fell), ((Some(input), Some(output)), rules), "{sender}");
            assert_eq!(
                settled(Usage { total: None, ..got }).0,
                Usage { total: None, ..got },
                "{sender}: twice is once"
            );
        }
    }

    #[test]
    fn one_side_alone_is_compared_with_its_own_part() {
        let alone = Usage { input: Some(5), cache_read: Some(7), ..Usage::default() };
        assert_eq!(settled(alone).0.input, Some(12));
        let unknown = Usage { cache_read: Some(7), reasoning: Some(3), ..Usage::default() };
        assert_eq!(settled(unknown), (unknown, vec![]));
    }

    #[test]
    fn counts_that_cannot_be_are_null() {
        let audio = |count| Sides { input: Some(count), output: Some(count) };
        let (got, rules) = settled(Usage { audio: audio(6), ..counts(5, 7, [None; 4]) });
        assert_eq!((got.audio.input, got.audio.output), (None, Some(6)));
        assert_eq!(rules, ["part_larger_than_whole"]);
        let (got, rules) = settled(counts(u64::MAX, 7, [Some(u64::from(u32::MAX)), Some(1 << 54), None, None]));
        assert_eq!((got.input, got.output, got.cache_write), (None, Some(7), None));
        assert_eq!(rules, ["count_too_large"]);
    }

    #[test]
    fn a_first_token_is_no_later_than_the_end() {
        for (given, duration, was_seconds, want, rule) in [
            (SECOND / 2, Some(SECOND), false, Some(SECOND / 2), None),
            (SECOND, Some(SECOND), false, Some(SECOND), None),
            (812 * SECOND, Some(SECOND), true, Some(812_000_000), Some("first_token_in_milliseconds")),
            (812 * SECOND, Some(SECOND), false, None, Some("first_token_after_end")),
            (5_000 * SECOND, Some(SECOND), true, None, Some("first_token_after_end")),
            (812 * SECOND, None, true, Some(812 * SECOND), None),
        ] {
            let mut nanos = Some(given);
            let times = Times { duration, first_token_was_seconds: was_seconds };
            let rules = settle(&mut Usage::default(), &mut nanos, &Cost::default(), times);
            assert_eq!((nanos, rules.iter().next().map(Rule::name)), (want, rule));
        }
    }

    #[test]
    fn every_rule_has_a_place_and_is_told_apart() {
        let mut tally = Tally::default();
        for (at, rule) in Rule::ALL.into_iter().enumerate() {
            assert_eq!(rule as usize, at);
            let mut rules = Rules::default();
            rules.add(rule);
            assert_eq!(rules.iter().collect::<Vec<_>>(), [rule]);
            tally.count(rules);
        }
        assert_eq!(tally.iter().collect::<Vec<_>>(), Rule::ALL.map(|rule| (rule, 1)));
    }
}
