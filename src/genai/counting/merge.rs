//! Which report's values a call has.
//!
//! | value | from |
//! | --- | --- |
//! | span id, parent, name, service, time, operation | the report that counts |
//! | model, provider, response id, session, user, agent, messages, time to first token, ... | the first report that knows it |
//! | session, conversation, user, agent, workflow, if no report knows it | the nearest span above that does: [`Lineage`](super::Lineage); session and user else of the trace |
//! | tokens | the first report with usage; what it lacks, from reports that agree with it ([`tokens`]) |
//! | cost, its parts and where it comes from | the first report that was given one, else one that nobody can read, else the computed one of the report that knows most ([`cost`]) |
//! | whether it failed, and how | the reports of which [`Report::decides_failure`](super::Report::decides_failure) holds |

/// The token counts of a report, or of a call: wholes, and parts of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the input, parts included.
    pub input: Option<u64>,
    /// Of the output, parts included.
    pub output: Option<u64>,
    /// Of the input, read from a cache.
    pub cache_read: Option<u64>,
    /// Of the input, written to a cache.
    pub cache_write: Option<u64>,
    /// Of those, written to be kept for an hour.
    pub cache_write_1h: Option<u64>,
    /// Of the output, spent on reasoning.
    pub reasoning: Option<u64>,
    /// Of the input, audio.
    pub input_audio: Option<u64>,
    /// Of the output, audio.
    pub output_audio: Option<u64>,
}

impl Tokens {
    fn is_usage(&self) -> bool {
        super::has_usage(self.input, self.output, false)
    }

    /// Whether both know the input or the output, and neither says something else than the other.
    fn agrees_with(&self, other: &Self) -> bool {
        let sides = [self.input.zip(other.input), self.output.zip(other.output)];
        let mut known = sides.into_iter().flatten().peekable();
        known.peek().is_some() && known.all(|(one, other)| one == other)
    }

    fn or(self, other: Self) -> Self {
        Self {
            input: self.input.or(other.input),
            output: self.output.or(other.output),
            cache_read: self.cache_read.or(other.cache_read),
            cache_write: self.cache_write.or(other.cache_write),
            cache_write_1h: self.cache_write_1h.or(other.cache_write_1h),
            reasoning: self.reasoning.or(other.reasoning),
            input_audio: self.input_audio.or(other.input_audio),
            output_audio: self.output_audio.or(other.output_audio),
        }
    }
}

/// The tokens of a call. `reports` are those of its reports, in order of precedence.
///
/// The counts of two reports that differ are two measurements, and the input of one with the output of the other would be
/// none. So a report fills in what another one lacks only if they agree on the input or the output, and differ in neither.
#[must_use]
pub fn tokens(reports: &[Tokens]) -> Tokens {
    let counted = reports.iter().find(|tokens| tokens.is_usage()).or_else(|| reports.first());
    let Some(counted) = counted else { return Tokens::default() };
    let agreeing = reports.iter().filter(|other| counted.agrees_with(other));
    agreeing.fold(*counted, |merged, other| if merged.agrees_with(other) { merged.or(*other) } else { merged })
}

/// Whether the sender of a report gave it a cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostIs {
    /// There is none.
    Unknown,
    /// Computed here, from tokens and a price book.
    Computed,
    /// Sent, and nobody can read it: a computed one is not what was sent.
    Unreadable,
    /// Sent. It knows of discounts that a price book does not.
    Given,
}

impl Tokens {
    /// How much of what a price depends on a report with these tokens knows: nothing if its wholes are not those of the call.
    #[must_use]
    pub fn known_of(&self, call: &Self) -> usize {
        if (self.input, self.output) != (call.input, call.output) {
            return 0;
        }
        let parts = [self.cache_read, self.cache_write, self.cache_write_1h, self.input_audio, self.output_audio];
        1 + parts.into_iter().flatten().count()
    }
}

/// The report whose cost the call has. `reports` are in order of precedence. Of costs that were computed it is that of the report
/// that `knows` most of what a price depends on: one that lacks the cached tokens has them at the price of the others.
#[must_use]
pub fn cost<R>(reports: &[R], cost_is: impl Fn(&R) -> CostIs, knows: impl Fn(&R) -> usize) -> Option<&R> {
    let first = |wanted| reports.iter().find(|report| cost_is(report) == wanted);
    let computed = reports.iter().filter(|report| cost_is(report) == CostIs::Computed);
    // `max_by_key` takes the last of equals, so the order is reversed
    first(CostIs::Given).or_else(|| first(CostIs::Unreadable)).or_else(|| computed.rev().max_by_key(|one| knows(one)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(input: u64, output: u64) -> Tokens {
        Tokens { input: Some(input), output: Some(output), ..Tokens::default() }
    }

    #[test]
    fn parts_come_from_a_report_that_agrees_on_the_wholes() {
        let cached = Tokens { cache_read: Some(1_500), ..of(2_000, 50) };
        assert_eq!(tokens(&[of(2_000, 50), cached]), cached);
        assert_eq!(tokens(&[of(2_001, 50), cached]), of(2_001, 50));
        assert_eq!(tokens(&[of(2_000, 51), cached]), of(2_000, 51));
    }

    #[test]
    fn a_report_without_usage_is_passed_over() {
        let unknown = Tokens::default();
        assert_eq!(tokens(&[unknown, of(0, 0), of(10, 4), of(12, 3)]), of(10, 4));
        assert_eq!(tokens(&[of(0, 0), unknown]), of(0, 0));
        assert_eq!(tokens(&[unknown, unknown]), unknown);
        assert_eq!(tokens(&[]), unknown);
    }

    #[test]
    fn a_side_comes_from_a_report_that_agrees_on_the_other() {
        let input = |input| Tokens { input: Some(input), ..Tokens::default() };
        let output = |output| Tokens { output: Some(output), ..Tokens::default() };
        assert_eq!(tokens(&[input(10), of(10, 4)]), of(10, 4));
        assert_eq!(tokens(&[input(10), of(11, 4)]), input(10));
        assert_eq!(tokens(&[input(10), output(4)]), input(10), "nothing says that they measured the same");
        // the first of those that fit decides
        assert_eq!(tokens(&[input(10), of(10, 4), Tokens { reasoning: Some(2), ..of(10, 5) }]), of(10, 4));
    }

    #[test]
    fn a_cost_that_was_given_wins_over_one_that_was_computed() {
        use CostIs::{Computed, Given, Unknown, Unreadable};
        let first = |costs: &[CostIs]| cost(costs, |cost| *cost, |_| 0).copied();
        assert_eq!(first(&[Unknown, Computed, Given]), Some(Given));
        assert_eq!(first(&[Unknown, Computed, Unknown]), Some(Computed));
        assert_eq!(first(&[Computed, Unreadable]), Some(Unreadable));
        assert_eq!(first(&[Unreadable, Given]), Some(Given));
        assert_eq!(first(&[Unknown]), None);
    }

    #[test]
    fn a_cost_is_computed_from_the_report_that_knows_most_of_the_call() {
        let cached = Tokens { cache_read: Some(1_500), ..of(2_000, 50) };
        let another = Tokens { cache_read: Some(1), cache_write: Some(1), ..of(2_001, 50) };
        let reports = [of(2_000, 50), another, cached, cached];
        let chosen = cost(&[0, 1, 2, 3], |_| CostIs::Computed, |at: &usize| reports[*at].known_of(&cached)).copied();
        assert_eq!(chosen, Some(2));
    }
}
