//! The form in which prices are written: the file that Millrace is built with, and a file of overrides.
//!
//! ```yaml
//! book: genai-prices 0.2.3
//! providers:
//!   - id: openai
//!     match: {contains: openai}             # of a provider's name, when it is not the id
//!     model_match: {starts_with: gpt-}      # of a model's name, when nothing names the provider
//!     fallback: [anthropic]                 # providers whose models this one sells too
//!     models:
//!       - id: gpt-5
//!         match: {or: [{equals: gpt-5}, {regex: '^gpt-5-\d{4}-'}]}
//!         prices:                           # US dollars; or one list of them, each with `from` or `daily`
//!           input_mtok: 1.25
//!           output_mtok: {base: 10, above: {200000: 15}}
//!         variants:
//!           - {when: {processing: batch}, from: 2026-04-01, prices: {input_mtok: 0.625}}
//! ```

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::rule::{Pattern, Rule};
use super::schedule::{Atto, Dated, Ids, Rate, Rates, Schedule, Variant, When};
use super::units::{SIDE_DEPTH, UNITS, Unit};
use crate::genai::decimal::scaled;

/// Why a price cannot be used: what it is, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{entry}: {what}")]
pub struct FormError {
    /// `providers.openai.models.gpt-5.prices.input_mtok`
    pub entry: String,
    /// What is wrong with it.
    pub what: String,
}

impl FormError {
    pub(super) fn new(entry: impl Into<String>, what: impl Into<String>) -> Self {
        Self { entry: entry.into(), what: what.into() }
    }
}

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// What it is called in `PriceBook`.
    pub(super) book: Option<String>,
    pub(super) providers: Vec<ProviderForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderForm {
    pub(super) id: String,
    #[serde(rename = "match")]
    pub(super) rule: Option<RuleForm>,
    pub(super) model_match: Option<RuleForm>,
    #[serde(default)]
    pub(super) fallback: Vec<String>,
    pub(super) models: Vec<ModelForm>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelForm {
    pub(super) id: String,
    #[serde(rename = "match")]
    pub(super) rule: Option<RuleForm>,
    prices: PricesForm,
    #[serde(default)]
    variants: Vec<VariantForm>,
}

#[derive(Debug)]
enum PricesForm {
    Dated(Vec<DatedForm>),
    Always(RatesForm),
}

impl<'de> Deserialize<'de> for PricesForm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = PricesForm;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("prices by their keys, or a list of such prices with `from` or `daily`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<PricesForm, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(list)).map(PricesForm::Dated)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PricesForm, A::Error> {
                Deserialize::deserialize(MapAccessDeserializer::new(map)).map(PricesForm::Always)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

type RatesForm = BTreeMap<String, FlatOrTiered>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatedForm {
    from: Option<String>,
    daily: Option<[String; 2]>,
    prices: RatesForm,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VariantForm {
    when: BTreeMap<String, String>,
    from: Option<String>,
    daily: Option<[String; 2]>,
    prices: RatesForm,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateForm {
    base: Amount,
    #[serde(default)]
    above: BTreeMap<Amount, Amount>,
}

/// One number, or a base and what holds above so many tokens of input.
#[derive(Debug)]
struct FlatOrTiered(RateForm);

/// A decimal number, as a number or as a text, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Amount(pub String);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Number)
    }
}

impl<'de> Deserialize<'de> for FlatOrTiered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberOrTiers)
    }
}

/// Gives the text of a number: of a float the shortest that is this number, which is what was written.
struct Number;

impl Visitor<'_> for Number {
    type Value = Amount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Amount, E> {
        Ok(Amount(text.to_owned()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Amount, E> {
        Ok(Amount(number.to_string()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Amount, E> {
        Ok(Amount(number.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Amount, E> {
        Ok(Amount(number.to_string()))
    }
}

struct NumberOrTiers;

impl<'de> Visitor<'de> for NumberOrTiers {
    type Value = FlatOrTiered;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or `base` and `above`")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FlatOrTiered, A::Error> {
        Deserialize::deserialize(MapAccessDeserializer::new(map)).map(FlatOrTiered)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<FlatOrTiered, E> {
        Number.visit_str(text).map(FlatOrTiered::flat)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<FlatOrTiered, E> {
        Number.visit_f64(number).map(FlatOrTiered::flat)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<FlatOrTiered, E> {
        Number.visit_u64(number).map(FlatOrTiered::flat)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<FlatOrTiered, E> {
        Number.visit_i64(number).map(FlatOrTiered::flat)
    }
}

impl FlatOrTiered {
    fn flat(base: Amount) -> Self {
        Self(RateForm { base, above: BTreeMap::new() })
    }
}

/// A rule: one key and its value.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RuleForm {
    Equals(String),
    StartsWith(String),
    EndsWith(String),
    Contains(String),
    Regex(String),
    Or(Vec<RuleForm>),
    And(Vec<RuleForm>),
    Not(Box<RuleForm>),
}

impl RuleForm {
    pub(super) fn into_rule(self) -> Rule {
        let lower = |text: String| text.to_lowercase().into();
        let all = |rules: Vec<Self>| rules.into_iter().map(Self::into_rule).collect();
        match self {
            Self::Equals(text) => Rule::Equals(lower(text)),
            Self::StartsWith(text) => Rule::StartsWith(lower(text)),
            Self::EndsWith(text) => Rule::EndsWith(lower(text)),
            Self::Contains(text) => Rule::Contains(lower(text)),
            Self::Regex(text) => Rule::Regex(Pattern::new(text)),
            Self::Or(rules) => Rule::Or(all(rules)),
            Self::And(rules) => Rule::And(all(rules)),
            Self::Not(rule) => Rule::Not(Box::new(rule.into_rule())),
        }
    }
}

impl ModelForm {
    /// When its prices hold, and what they are.
    pub(super) fn schedule(&mut self, entry: &str) -> Result<Schedule, FormError> {
        let prices = match std::mem::replace(&mut self.prices, PricesForm::Dated(Vec::new())) {
            PricesForm::Always(rates) => vec![DatedForm { from: None, daily: None, prices: rates }],
            PricesForm::Dated(prices) => prices,
        };
        let dated = |DatedForm { from, daily, prices }: DatedForm| {
            Ok(Dated { when: when(entry, from.as_deref(), daily.as_ref())?, rates: rates(entry, prices)? })
        };
        let prices: Box<[_]> = prices.into_iter().map(dated).collect::<Result<_, _>>()?;
        if prices.is_empty() {
            return Err(FormError::new(format!("{entry}.prices"), "there is no price"));
        }
        let variant = |VariantForm { when, from, daily, prices }: VariantForm| {
            if when.is_empty() {
                return Err(FormError::new(format!("{entry}.variants"), "`when` is empty"));
            }
            let of = when.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
            Ok(Variant { of, dated: dated(DatedForm { from, daily, prices })? })
        };
        let variants = std::mem::take(&mut self.variants).into_iter().map(variant).collect::<Result<_, _>>()?;
        Ok(Schedule { prices, variants, ids: Ids::default() })
    }
}

fn when(entry: &str, from: Option<&str>, daily: Option<&[String; 2]>) -> Result<When, FormError> {
    match (from, daily) {
        (None, None) => Ok(When::Always),
        (Some(from), None) => {
            let date: jiff::civil::Date = from.parse().map_err(|_| {
                FormError::new(format!("{entry}.from"), format!("{from:?} is not a date like 2026-04-01"))
            })?;
            let since = jiff::civil::date(1970, 1, 1).until(date).map(|span| i64::from(span.get_days()));
            since.map(When::From).map_err(|_| FormError::new(format!("{entry}.from"), "is too far away"))
        }
        (None, Some([start, end])) => Ok(When::Daily(second(entry, start)?, second(entry, end)?)),
        (Some(_), Some(_)) => Err(FormError::new(entry, "has `from` and `daily`; it may have one of them")),
    }
}

fn second(entry: &str, text: &str) -> Result<u32, FormError> {
    let wrong = || FormError::new(format!("{entry}.daily"), format!("{text:?} is not a time like 16:30 (UTC)"));
    let time: jiff::civil::Time = text.parse().map_err(|_| wrong())?;
    let part = |part: i8| u32::try_from(part).map_err(|_| wrong());
    Ok(part(time.hour())? * 3_600 + part(time.minute())? * 60 + part(time.second())?)
}

fn rates(entry: &str, form: RatesForm) -> Result<Rates, FormError> {
    let rate = |(key, form): (String, FlatOrTiered)| {
        let entry = format!("{entry}.prices.{key}");
        let unit = Unit::of_key(&key).ok_or_else(|| FormError::new(&*entry, "is not a key of a price"))?;
        let RateForm { base, above } = form.0;
        let tier = |(start, price): (Amount, Amount)| {
            let tokens =
                start.0.parse().map_err(|_| FormError::new(&*entry, format!("{:?} is not a count", start.0)))?;
            Ok((tokens, atto(&entry, &price)?))
        };
        let mut above: Vec<(u64, Atto)> = above.into_iter().map(tier).collect::<Result<_, FormError>>()?;
        above.sort_unstable();
        Ok((unit, Rate { base: atto(&entry, &base)?, above: above.into() }))
    };
    let mut rates: Rates = form.into_iter().map(rate).collect::<Result<_, FormError>>()?;
    rates.sort_by_key(|(unit, _)| Reverse(unit.depth()));
    check(entry, &rates)?;
    Ok(rates)
}

/// Of tokens, what is a part of something can only be taken out of it if that has a price too.
fn check(entry: &str, rates: &Rates) -> Result<(), FormError> {
    let has = |unit: &Unit| rates.iter().any(|(known, _)| *known == unit);
    for (unit, _) in rates.iter().filter(|(unit, _)| unit.is_tokens()) {
        let lacks = |whole: &&Unit| unit.is_part_of(whole) && whole.depth() > SIDE_DEPTH && !has(whole);
        if let Some(whole) = UNITS.iter().find(lacks) {
            let what = format!("has {} and not {}, of which that is a part", unit.key, whole.key);
            return Err(FormError::new(format!("{entry}.prices"), what));
        }
    }
    Ok(())
}

/// Most that a price can be: a million dollars.
const DOLLARS_MAX: u64 = 1_000_000;
const ATTO_PER_NANO: Atto = 1_000_000_000;

/// A price in steps of 1e-18.
fn atto(entry: &str, amount: &Amount) -> Result<Atto, FormError> {
    let text = amount.0.trim();
    let wrong = |error: &dyn fmt::Display| FormError::new(entry, format!("{text:?} {error}"));
    let whole_nanos = scaled(text, 9).map_err(|error| wrong(&error))?;
    if whole_nanos > DOLLARS_MAX * 1_000_000_000 {
        return Err(wrong(&"is more than a million dollars"));
    }
    if whole_nanos > 10_000_000_000 {
        // the finer steps of a number that large do not fit, and no price has them
        let is_exact = scaled(text, 12).is_ok_and(|fine| Atto::from(fine) == Atto::from(whole_nanos) * 1_000);
        return if is_exact { Ok(Atto::from(whole_nanos) * ATTO_PER_NANO) } else { Err(wrong(&"has too many digits")) };
    }
    scaled(text, 18).map(Atto::from).map_err(|error| wrong(&error))
}
