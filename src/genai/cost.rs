//! US dollars, exact to 1e-12: a single call may cost a millionth of a dollar and less.

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

/// What a call cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Of the whole call.
    pub total: Option<Usd>,
    /// Of its input.
    pub input: Option<Usd>,
    /// Of its output.
    pub output: Option<Usd>,
    /// Where the total comes from; none without a total.
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
}

/// The literal of costs that nobody gave.
pub const COMPUTED: &str = "computed";

impl CostSource {
    /// The table's literal.
    #[must_use]
    pub fn literal(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Response => "response",
            Self::Attributes => "attributes",
            Self::Computed => COMPUTED,
        }
    }
}

impl Cost {
    /// The sum of both sides; unknown when it is more than there can be.
    #[must_use]
    pub fn sum_of(input: Option<Usd>, output: Option<Usd>) -> Option<Usd> {
        match (input, output) {
            (Some(input), Some(output)) => input.checked_add(output),
            (one, other) => one.or(other),
        }
    }
}

/// What a response says that it cost, and the member of its usage that this is all of.
pub(crate) fn of_response(response: Value<'_>) -> Option<(Usd, Option<&'static str>)> {
    of_usage(response).or_else(|| Some((usd(response.get("_hidden_params")?.get("response_cost")?, 0)?, None)))
}

fn of_usage(response: Value<'_>) -> Option<(Usd, Option<&'static str>)> {
    let usage = response.get("usage")?;
    let number = |name: &str, unit: i64| usage.get(name).and_then(|value| usd(value, unit));
    if let Some(cost) = number("cost", 0) {
        // with the caller's own key OpenRouter's number is its fee alone
        let is_byok = usage.get("is_byok").and_then(Value::bool) == Some(true);
        let upstream = usage.get("cost_details").and_then(|details| usd(details.get("upstream_inference_cost")?, 0));
        let total = upstream.filter(|_| is_byok).map_or(Some(cost), |upstream| cost.checked_add(upstream))?;
        return Some((total, Some("cost").filter(|_| total == cost)));
    }
    if let Some(total) = usage.get("cost").and_then(|cost| usd(cost.get("total_cost")?, 0)) {
        return Some((total, None));
    }
    // xAI counts in units of 1e-10 dollars
    let ticks = number("cost_in_usd_ticks", 10).map(|total| (total, Some("cost_in_usd_ticks")));
    ticks.or_else(|| number("estimated_cost", 0).map(|total| (total, Some("estimated_cost"))))
}

/// A cost in units of `10^-unit` dollars.
fn usd(value: Value<'_>, unit: i64) -> Option<Usd> {
    Usd::parse_scaled(value.number()?, unit).ok()
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

    proptest! {
        #[test]
        fn what_is_printed_reads_back(pico in 0..PICO_END) {
            let usd = Usd::from_pico(pico).unwrap();
            prop_assert_eq!(Usd::parse(&usd.to_string()), Ok(usd));
        }
    }
}
