//! Which price of a model holds: by the time of the call, by its service tier, by how much goes in.

use std::cmp::Reverse;
use std::sync::OnceLock;

use super::units::{UNITS, Unit};
use crate::time::UnixNanos;

/// US dollars in steps of 1e-18, for as many as the unit's price is for.
pub(super) type Atto = u128;

/// A price that may depend on how many tokens the whole input has.
#[derive(Debug)]
pub(super) struct Rate {
    pub(super) base: Atto,
    /// From more than so many tokens on, **all** tokens cost this; ascending.
    pub(super) above: Box<[(u64, Atto)]>,
}

impl Rate {
    pub(super) fn at(&self, input_tokens: u64) -> Atto {
        let tier = self.above.iter().rev().find(|(start, _)| input_tokens > *start);
        tier.map_or(self.base, |(_, price)| *price)
    }
}

/// The prices of a model, one a unit, parts before their wholes.
pub(super) type Rates = Box<[(&'static Unit, Rate)]>;

/// When a price holds, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// From this day since 1970 on.
    From(i64),
    /// From this second of a day to before that one; past midnight if the second is earlier.
    Daily(u32, u32),
}

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

impl When {
    fn holds(self, at: UnixNanos) -> bool {
        match self {
            Self::Always => true,
            Self::From(day) => at.day() >= day,
            Self::Daily(start, end) => {
                let second = (at.nanos() / NANOS_PER_SECOND) % SECONDS_PER_DAY;
                let (start, end) = (i64::from(start), i64::from(end));
                if end < start { second >= start || second < end } else { (start..end).contains(&second) }
            }
        }
    }

    fn day(self) -> Option<i64> {
        match self {
            Self::From(day) => Some(day),
            Self::Always | Self::Daily(..) => None,
        }
    }
}

/// Prices that hold at some time.
#[derive(Debug)]
pub(super) struct Dated {
    pub(super) when: When,
    pub(super) rates: Rates,
}

/// Prices that replace the standard ones, key by key, for calls of one kind.
#[derive(Debug)]
pub(super) struct Variant {
    /// What the call is, all of it: `service_tier` is `flex`, `processing` is `batch`.
    pub(super) of: Box<[(Box<str>, Box<str>)]>,
    pub(super) dated: Dated,
}

/// The prices of a model. There is at least one.
#[derive(Debug)]
pub(super) struct Schedule {
    pub(super) prices: Box<[Dated]>,
    pub(super) variants: Box<[Variant]>,
    pub(super) ids: Ids,
}

/// The names of a model's prices, each written when it is first used: (price, variant, assumed) in order.
#[derive(Debug, Default)]
pub(super) struct Ids(OnceLock<Box<[OnceLock<Box<str>>]>>);

/// The tier in which a call was served, and whether variants may hold for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tier<'a>(pub(super) &'a str);

impl Tier<'_> {
    /// What everybody gets who asks for nothing.
    fn is_standard(self) -> bool {
        ["", "default", "standard", "standard_only", "auto", "on_demand"].iter().any(|name| self.is(name))
    }

    fn is(self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }

    /// Whether a call of the tier is what a variant is for.
    fn fits(self, variant: &Variant) -> bool {
        variant.of.iter().all(|(key, value)| match &**key {
            "service_tier" => self.is(value),
            "processing" => &**value == "batch" && self.is("batch"),
            "speed" => &**value == "fast" && self.is("fast"),
            _ => false,
        })
    }
}

/// The prices that hold for a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chosen<'p, 't> {
    schedule: &'p Schedule,
    standard: usize,
    at: UnixNanos,
    /// None where variants do not count: a model that one provider sells and another one made.
    tier: Option<Tier<'t>>,
    /// The first variant that holds, counted from 1.
    variant: usize,
    /// The tier is not the standard one, and nothing says what it costs.
    pub(super) is_tier_assumed: bool,
}

impl Schedule {
    /// The prices that hold at that time in that tier: of the standard ones the last whose time it is, else the first.
    pub(super) fn choose<'t>(&self, at: UnixNanos, tier: Tier<'t>, has_variants: bool) -> Chosen<'_, 't> {
        let standard = self.prices.iter().rposition(|price| price.when.holds(at)).unwrap_or(0);
        let holds = |variant: &Variant| has_variants && variant.dated.when.holds(at) && tier.fits(variant);
        let variant = self.variants.iter().position(holds).map_or(0, |first| first + 1);
        Chosen {
            schedule: self,
            standard,
            at,
            tier: has_variants.then_some(tier),
            variant,
            is_tier_assumed: variant == 0 && !tier.is_standard(),
        }
    }
}

impl<'p, 't> Chosen<'p, 't> {
    /// The price of each unit that has one, parts before their wholes: of a variant, first to last, else the standard one.
    pub(super) fn rates(self) -> UnitRates<'p> {
        let standard = self.schedule.prices.get(self.standard).map_or(&[][..], |dated| &dated.rates);
        let mut chosen = UnitRates::default();
        for (number, rates) in self.variants().chain([standard]).enumerate() {
            for (unit, rate) in rates {
                if number == 0 || !chosen.has(unit) {
                    chosen.push(unit, rate);
                }
            }
        }
        if self.variant > 0 {
            chosen.sort();
        }
        chosen
    }

    fn variants(self) -> impl Iterator<Item = &'p [(&'static Unit, Rate)]> + use<'p, 't> {
        let first = self.variant.checked_sub(1).unwrap_or(self.schedule.variants.len());
        let rest = self.schedule.variants.get(first..).unwrap_or_default();
        let fits = move |variant: &&Variant| {
            self.tier.is_some_and(|tier| tier.fits(variant)) && variant.dated.when.holds(self.at)
        };
        rest.iter().filter(fits).map(|variant| &*variant.dated.rates)
    }

    /// The name of the price: `openai/gpt-5@2026-04-01#batch`, and `~` at its end when something was assumed.
    pub(super) fn id(self, provider: &str, model: &str, is_assumed: bool) -> &'p str {
        let variants = self.schedule.variants.len() + 1;
        let ids = self.schedule.ids.0.get_or_init(|| {
            let count = self.schedule.prices.len() * variants * 2;
            (0..count).map(|_| OnceLock::new()).collect()
        });
        let place = (self.standard * variants + self.variant) * 2 + usize::from(is_assumed);
        let id = ids.get(place).expect("there is a place for each price in each variant");
        id.get_or_init(|| self.written_id(provider, model, is_assumed).into())
    }

    fn written_id(self, provider: &str, model: &str, is_assumed: bool) -> String {
        let mut id = format!("{provider}/{model}");
        let standard = self.schedule.prices.get(self.standard).map_or(When::Always, |dated| dated.when);
        let variant = self.variant.checked_sub(1).and_then(|place| self.schedule.variants.get(place));
        let since = [Some(standard), variant.map(|variant| variant.dated.when)];
        if let Some(day) = since.into_iter().flatten().filter_map(When::day).max() {
            id.push('@');
            id.push_str(&day_text(day));
        }
        if let When::Daily(start, end) = standard {
            let time = |second: u32| format!("{:02}:{:02}", second / 3_600, second / 60 % 60);
            id.push_str(&format!("@{}-{}", time(start), time(end)));
        }
        if let Some((_, value)) = variant.and_then(|variant| variant.of.first()) {
            id.push('#');
            id.push_str(value);
        }
        if is_assumed {
            id.push('~');
        }
        id
    }
}

/// Prices by unit, each unit once.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnitRates<'p> {
    rates: [Option<(&'static Unit, &'p Rate)>; UNITS.len()],
    len: usize,
}

impl Default for UnitRates<'_> {
    fn default() -> Self {
        Self { rates: [None; UNITS.len()], len: 0 }
    }
}

impl<'p> UnitRates<'p> {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static Unit, &'p Rate)> {
        self.rates.iter().map_while(|rate| *rate)
    }

    fn has(&self, unit: &Unit) -> bool {
        self.iter().any(|(known, _)| known == unit)
    }

    fn push(&mut self, unit: &'static Unit, rate: &'p Rate) {
        let place = self.rates.get_mut(self.len).expect("there is a place for each unit");
        *place = Some((unit, rate));
        self.len += 1;
    }

    /// Parts before their wholes.
    fn sort(&mut self) {
        let filled = self.rates.get_mut(..self.len).expect("so many are filled");
        filled.sort_by_key(|rate| Reverse(rate.map(|(unit, _)| unit.depth())));
    }
}

fn day_text(day: i64) -> String {
    let since_epoch = jiff::Span::new().try_days(day);
    let date = since_epoch.and_then(|days| jiff::civil::date(1970, 1, 1).checked_add(days));
    date.expect("a day that was read from a date is one").to_string()
}
