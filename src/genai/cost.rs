//! US dollars, exact to 1e-12: a single call may cost a millionth of a dollar and less.
//!
//! A sender gives a cost, or none, or something that cannot be read as one ([`Given`]). Only a call of the second kind may get
//! a computed cost: what was given is never replaced, whether it could be read or not.

use std::fmt;

use super::decimal::{DecimalError, scaled};
use crate::json::document::Value;

/// An amount of US dollars, from 0 to just below a million, in steps of 1e-12: what `Decimal(18, 12)` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usd {
    /// Below `PICO_END`.
    pico: u64,
}

const DIGITS: usize = 12;
const PICO_PER_USD: u64 = 1_000_000_000_000;
const PICO_END: u64 = 1_000_000 * PICO_PER_USD;

impl Usd {
    /// Reads dollars from a number's text, rounding half to even beyond 1e-12.
    ///
    /// # Errors
    /// When it is not a number, is negative or not finite, or is a million dollars or more.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        Self::parse_scaled(text, 0)
    }

    /// Reads an amount that counts in units of `10^-unit` dollars: xAI's ticks are 1e-10.
    ///
    /// # Errors
    /// As [`Usd::parse`].
    pub fn parse_scaled(text: &str, unit: i64) -> Result<Self, DecimalError> {
        Self::from_pico(scaled(text.trim(), 12 - unit)?).ok_or(DecimalError::TooLarge)
    }

    /// Takes an amount in 1e-12 dollars; `None` from a million dollars on.
    #[must_use]
    pub fn from_pico(pico: u64) -> Option<Self> {
        (pico < PICO_END).then_some(Self { pico })
    }

    /// The amount in 1e-12 dollars: the unscaled value of a `Decimal(18, 12)`.
    #[must_use]
    pub fn pico(self) -> u64 {
        self.pico
    }

    /// The sum, `None` from a million dollars on.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.pico.checked_add(other.pico).and_then(Self::from_pico)
    }
}

/// What a sender gives as a cost. Null and an empty text are absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Given {
    /// Nothing.
    #[default]
    Absent,
    /// An amount: a number, or the text of one.
    Amount(Usd),
    /// Anything else: `None`, `NaN`, a negative number, a million dollars, an object, another currency.
    Unreadable,
}

impl Given {
    /// Reads an attribute's text.
    pub(crate) fn of_text(text: &str) -> Self {
        Self::of_text_in(text, 0)
    }

    fn of_text_in(text: &str, unit: i64) -> Self {
        if matches!(text.trim(), "" | "null" | "[]" | "\"\"") {
            return Self::Absent;
        }
        Usd::parse_scaled(text, unit).map_or(Self::Unreadable, Self::Amount)
    }

    /// Reads a member.
    pub(crate) fn of_json(value: Option<Value<'_>>) -> Self {
        Self::of_json_in(value, 0)
    }

    /// Reads a member that counts in units of `10^-unit` dollars.
    fn of_json_in(value: Option<Value<'_>>, unit: i64) -> Self {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Self::Absent };
        match value.number().map(Into::into).or_else(|| value.str()) {
            Some(text) => Self::of_text_in(&text, unit),
            None => Self::Unreadable,
        }
    }

    /// The first of several places that has an amount; without one, whether any of them has something.
    #[must_use]
    pub fn or_else(self, next: impl FnOnce() -> Self) -> Self {
        match self {
            Self::Amount(_) => self,
            Self::Absent => next(),
            Self::Unreadable => match next() {
                Self::Absent => Self::Unreadable,
                found => found,
            },
        }
    }

    /// Both together: an amount only when both are one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Amount(one), Self::Amount(other)) => one.checked_add(other).map_or(Self::Unreadable, Self::Amount),
            (Self::Unreadable, _) | (_, Self::Unreadable) => Self::Unreadable,
            _ => Self::Absent,
        }
    }

    /// The sum of what is given: what is absent adds nothing.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Absent, one) | (one, Self::Absent) => one,
            (one, other) => one.and(other),
        }
    }

    /// The amount.
    #[must_use]
    pub fn usd(self) -> Option<Usd> {
        match self {
            Self::Amount(usd) => Some(usd),
            Self::Absent | Self::Unreadable => None,
        }
    }
}

impl From<Option<Usd>> for Given {
    fn from(usd: Option<Usd>) -> Self {
        usd.map_or(Self::Absent, Self::Amount)
    }
}

/// What a call cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Of the whole call.
    pub total: Option<Usd>,
    /// Of its input.
    pub input: Option<Usd>,
    /// Of its output.
    pub output: Option<Usd>,
    /// Where the total comes from, or that it could not be read; none when nobody gave one.
    pub source: Option<CostSource>,
}

/// Who says what a call cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostSource {
    /// Whoever made the call.
    Caller,
    /// The provider's response.
    Response,
    /// The attributes of a span.
    Attributes,
    /// Nobody: it was computed by a book of prices.
    Computed,
    /// A sender gave one that is not an amount of US dollars: there is no total, and none is computed.
    Unreadable,
}

/// The literal of costs that nobody gave.
pub const COMPUTED: &str = "computed";
/// The literal of costs that were given and could not be read.
pub const UNREADABLE: &str = "unreadable";

impl CostSource {
    /// The table's literal.
    #[must_use]
    pub fn literal(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Response => "response",
            Self::Attributes => "attributes",
            Self::Computed => COMPUTED,
            Self::Unreadable => UNREADABLE,
        }
    }
}

impl Cost {
    /// The cost of a call with what was given of it. A total that is absent is the sum of the sides that are known, unless one
    /// of them cannot be read; `source` says who gave it.
    #[must_use]
    pub fn of(total: Given, [input, output]: [Given; 2], source: CostSource) -> Self {
        let total = total.or_else(|| input.plus(output));
        let source = match total {
            Given::Amount(_) => Some(source),
            Given::Unreadable => Some(CostSource::Unreadable),
            Given::Absent => None,
        };
        Self { total: total.usd(), input: input.usd(), output: output.usd(), source }
    }

    /// Whether a total was given that could not be read.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.source == Some(CostSource::Unreadable)
    }
}

/// What a response says that it cost, and the member of its usage that this is all of.
pub(crate) fn of_response(response: Value<'_>) -> (Given, Option<&'static str>) {
    let (of_usage, member) = response.get("usage").map_or((Given::Absent, None), of_usage);
    let hidden = || Given::of_json(response.get("_hidden_params").and_then(|hidden| hidden.get("response_cost")));
    (of_usage.or_else(hidden), member)
}

fn of_usage(usage: Value<'_>) -> (Given, Option<&'static str>) {
    let said = usage.get("cost");
    // Perplexity's is an object
    let in_object = said.filter(|cost| cost.is_object()).and_then(|cost| cost.get("total_cost"));
    let cost = Given::of_json(in_object.or(said));
    // with the caller's own key OpenRouter's number is its fee alone
    let is_byok = usage.get("is_byok").and_then(Value::bool) == Some(true);
    let upstream = usage.get("cost_details").filter(|_| is_byok && in_object.is_none());
    let upstream = Given::of_json(upstream.and_then(|details| details.get("upstream_inference_cost")));
    let total = if upstream == Given::Absent { cost } else { cost.and(upstream) };
    // xAI counts in units of 1e-10 dollars
    let others = [("cost_in_usd_ticks", 10), ("estimated_cost", 0)];
    let mut member = Some("cost").filter(|_| in_object.is_none() && total == cost && cost.usd().is_some());
    let found = others.into_iter().fold(total, |found, (name, unit)| {
        found.or_else(|| {
            let given = Given::of_json_in(usage.get(name), unit);
            member = given.usd().map(|_| name);
            given
        })
    });
    (found, member)
}

/// Plain decimal, as short as it gets: `0.0000483`, `12`, `0`. A JSON number.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, mut fraction) = (self.pico / PICO_PER_USD, self.pico % PICO_PER_USD);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        let mut width = DIGITS;
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        write!(f, "{whole}.{fraction:0width$}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::json::document::Document;

    #[test]
    fn small_amounts_are_exact_and_print_plain() {
        for (text, want) in [
            ("4.83e-05", "0.0000483"),
            ("0.0", "0"),
            ("12.50", "12.5"),
            ("1e-12", "0.000000000001"),
            ("3", "3"),
            (" 7 ", "7"),
        ] {
            assert_eq!(Usd::parse(text).unwrap().to_string(), want);
        }
        assert_eq!(Usd::parse_scaled("37756000", 10).unwrap().to_string(), "0.0037756");
    }

    #[test]
    fn sums_are_exact_and_bounded() {
        let sum = Usd::parse("0.1").unwrap().checked_add(Usd::parse("0.2").unwrap());
        assert_eq!(sum.unwrap().to_string(), "0.3");
        let most = Usd::parse("999999.999999999999").unwrap();
        assert_eq!(most.checked_add(Usd::parse("1e-12").unwrap()), None);
        assert_eq!(Usd::parse("1000000"), Err(DecimalError::TooLarge));
    }

    #[test]
    fn what_is_given_is_an_amount_or_absent_or_unreadable() {
        let amount = |text: &str| Given::from(Usd::parse(text).ok());
        for (json, want) in [
            ("0.5", amount("0.5")),
            ("0", amount("0")),
            (r#""0.00012""#, amount("0.00012")),
            (r#"" 1.2e-4 ""#, amount("0.00012")),
            ("null", Given::Absent),
            (r#""""#, Given::Absent),
            (r#""  ""#, Given::Absent),
            ("{}", Given::Absent),
            (r#""None""#, Given::Unreadable),
            (r#""NaN""#, Given::Unreadable),
            (r#""free""#, Given::Unreadable),
            ("-1", Given::Unreadable),
            ("1000000", Given::Unreadable),
            ("false", Given::Unreadable),
            ("NaN", Given::Unreadable),
            (r#"{"eur":1}"#, Given::Unreadable),
            ("[0.5]", Given::Unreadable),
        ] {
            let document = Document::parse(json).unwrap();
            assert_eq!(Given::of_json(Some(document.root())), want, "{json}");
        }
        assert_eq!(Given::of_json(None), Given::Absent);
    }

    #[test]
    fn the_first_amount_counts_and_what_cannot_be_read_is_never_forgotten() {
        use Given::{Absent, Unreadable};
        let [one, two] = ["1", "2"].map(|text| Given::from(Usd::parse(text).ok()));
        for (first, second, want) in [
            (Absent, Absent, Absent),
            (Absent, one, one),
            (one, two, one),
            (one, Unreadable, one),
            (Unreadable, one, one),
            (Unreadable, Absent, Unreadable),
            (Absent, Unreadable, Unreadable),
        ] {
            assert_eq!(first.or_else(|| second), want, "{first:?} {second:?}");
        }
        let of = |total, sides| {
            let cost = Cost::of(total, sides, CostSource::Caller);
            (cost.total.map(|usd| usd.to_string()), cost.source.map_or("", CostSource::literal))
        };
        assert_eq!(of(Absent, [one, two]), (Some("3".into()), "caller"));
        assert_eq!(of(Absent, [one, Absent]), (Some("1".into()), "caller"));
        assert_eq!(of(two, [one, Unreadable]), (Some("2".into()), "caller"));
        assert_eq!(of(Absent, [one, Unreadable]), (None, "unreadable"), "half of a cost is not the cost");
        assert_eq!(of(Absent, [Absent, Absent]), (None, ""));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(pico in 0..PICO_END) {
            let usd = Usd::from_pico(pico).unwrap();
            prop_assert_eq!(Usd::parse(&usd.to_string()), Ok(usd));
        }
    }
}
