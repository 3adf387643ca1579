//! What a call costs by given prices, exact: each token once, at the price of the smallest part that it is counted in.

use super::schedule::{Atto, UnitRates};
use super::units::{UNITS, Unit};
use crate::genai::cost::Usd;
use crate::genai::usage::Usage;

/// US dollars in steps of 1e-24: a price in 1e-18 for a million, times tokens.
type Yocto = u128;

const YOCTO_PER_PICO: Yocto = 1_000_000_000_000;
/// A million dollars: no call costs that, and with what is below nothing here overflows.
const YOCTO_END: Yocto = 1_000_000 * 1_000_000_000_000 * YOCTO_PER_PICO;
/// What prices are multiplied by in steps of a millionth.
pub(super) const FACTOR_ONE: u64 = 1_000_000;

/// What one unit of a call costs.
#[derive(Debug, Clone, Copy)]
pub struct Charge {
    /// What was counted.
    pub unit: &'static Unit,
    /// How many, without those that a smaller unit has.
    pub count: u64,
    /// The price for as many as the unit says, in 1e-18 US dollars, without a discount.
    pub price: u128,
    /// What they cost together, with the discount.
    amount: Yocto,
}

impl Charge {
    /// What they cost together; `None` from a million dollars on.
    #[must_use]
    pub fn cost(&self) -> Option<Usd> {
        usd(self.amount)
    }
}

/// What a call costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) total: Usd,
    pub(super) input: Usd,
    pub(super) output: Usd,
}

/// Why a call whose model has prices has no cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCost {
    /// Nobody says how many tokens went in or came out.
    #[error("the tokens of its input or output are not known")]
    Unknown,
    /// Something was used that has no price.
    #[error("there are tokens that have no price")]
    Uncovered,
    /// The counts contradict each other.
    #[error("parts of its tokens are more than all of them, or nobody says how many are of two kinds")]
    Contradiction,
    /// More than a million dollars.
    #[error("it is a million dollars or more")]
    TooLarge,
}

/// Prices a call. `see` gets each charge.
pub(super) fn price(
    rates: &UnitRates<'_>,
    usage: &Usage,
    factor: u64,
    mut see: impl FnMut(Charge),
) -> Result<Sum, NoCost> {
    let mut counts = Counts { own: [None; UNITS.len()], len: 0 };
    let input_tokens = usage.input.unwrap_or(0);
    for (unit, _) in rates.iter() {
        let all = unit.count_in(usage).ok_or(NoCost::Contradiction)?;
        let parts = counts.parts_of(unit);
        counts.push(unit, all.checked_sub(parts).ok_or(NoCost::Contradiction)?);
    }
    if !counts.cover(usage) {
        return Err(NoCost::Uncovered);
    }
    let (mut total, mut input, mut output) = (0, 0, 0);
    for ((unit, rate), (_, count)) in rates.iter().zip(counts.iter()) {
        let price = rate.at(input_tokens);
        let amount = amount(price, count, unit, factor).ok_or(NoCost::TooLarge)?;
        total += amount;
        match unit {
            unit if unit.is_input() => input += amount,
            unit if unit.is_output() => output += amount,
            _ => {}
        }
        if count > 0 {
            see(Charge { unit, count, price, amount });
        }
    }
    let usd = |amount| usd(amount).ok_or(NoCost::TooLarge);
    Ok(Sum { total: usd(total)?, input: usd(input)?, output: usd(output)? })
}

/// A price times a count; `None` from a million dollars on.
fn amount(price: Atto, count: u64, unit: &Unit, factor: u64) -> Option<Yocto> {
    // exact for units per million and per thousand; an hour has 3,600 seconds, of which a part of 1e-24 may be lost
    let product = price.checked_mul(Atto::from(count))?;
    let whole = match unit.per {
        1_000_000 => product,
        per => product.checked_mul(1_000_000)? / Yocto::from(per),
    };
    let whole = Some(whole).filter(|whole| *whole < YOCTO_END)?;
    Some(if factor == FACTOR_ONE { whole } else { whole * Yocto::from(factor) / Yocto::from(FACTOR_ONE) })
}

/// Rounded half to even.
fn usd(amount: Yocto) -> Option<Usd> {
    let (pico, rest) = (amount / YOCTO_PER_PICO, amount % YOCTO_PER_PICO);
    let half = YOCTO_PER_PICO / 2;
    let up = rest > half || (rest == half && pico % 2 == 1);
    Usd::from_pico(u64::try_from(pico + Yocto::from(up)).ok()?)
}

/// How many of each unit that has a price, each without its parts.
struct Counts {
    own: [Option<(&'static Unit, u64)>; UNITS.len()],
    len: usize,
}

impl Counts {
    fn push(&mut self, unit: &'static Unit, count: u64) {
        let place = self.own.get_mut(self.len).expect("there is a place for each unit");
        *place = Some((unit, count));
        self.len += 1;
    }

    fn iter(&self) -> impl Iterator<Item = (&'static Unit, u64)> {
        self.own.iter().map_while(|own| *own)
    }

    fn parts_of(&self, whole: &Unit) -> u64 {
        self.iter().filter(|(unit, _)| unit.is_part_of(whole)).map(|(_, count)| count).fold(0, u64::saturating_add)
    }

    /// Whether each token of the call has a price.
    fn cover(&self, usage: &Usage) -> bool {
        let sum = |is_side: fn(&Unit) -> bool| {
            self.iter().filter(|(unit, _)| unit.is_tokens() && is_side(unit)).map(|(_, count)| count).sum::<u64>()
        };
        [(usage.input, sum(Unit::is_input)), (usage.output, sum(Unit::is_output))]
            .into_iter()
            .all(|(all, priced)| all.is_none_or(|all| all == priced))
    }
}
