//! What a call costs when its sender does not say: by a book of prices, exact, and with the name of the price on the row.
//!
//! ```text
//! Call --names--> found     which provider and model: own overrides first, then the book (rule, book; form: how they are written)
//!      --time, tier--> schedule    which of the model's prices hold (dated, variants)
//!      --usage--> charge    tokens by the smallest part that has a price (units), summed in 1e-24 dollars
//!      <-- cost, price_id, price_book              a given cost is never touched, nor one that cannot be read
//! ```
//!
//! The book that Millrace is built with is made of genai-prices by `tools/prices/make.py`; its rules are those of that package,
//! except that a call with tokens that have no price has no cost, where the package leaves them out. docs/prices.md is for users.

mod book;
mod charge;
mod form;
mod found;
mod rule;
mod schedule;
mod units;
mod unpriced;

#[cfg(test)]
mod tests;

pub use book::Book;
pub use charge::{Charge, NoCost};
pub use form::{Amount, Form, FormError};
pub use units::{UNITS, Unit};
pub use unpriced::{OTHER, PAIRS_MAX};

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};

use self::charge::FACTOR_ONE;
use self::found::{Found, Lookups, Names};
use self::schedule::Tier;
use self::unpriced::Unpriced;
use super::call::{Call, Text};
use super::cost::{Cost, CostSource, Usd};
use super::decimal::scaled;
use super::operation;
use super::usage::Usage;
use crate::time::UnixNanos;

/// The book of genai-prices, compressed. Licence: `data/LICENSE` (MIT).
const BUILT_IN: &[u8] = include_bytes!("data/genai-prices.json.zst");
/// Most that it unpacks to.
const BUILT_IN_BYTES_MAX: usize = 4 << 20;
/// Most that prices can be multiplied by.
const FACTOR_MAX: u64 = 100;

/// All prices of this process, chosen when it starts.
#[derive(Debug)]
pub struct Prices {
    /// Own ones before the one that is built in.
    books: Vec<Book>,
    /// By provider: what its prices are multiplied by in millionths, and the names of the books with that.
    discounts: BTreeMap<String, Discount>,
    lookups: Lookups,
    unpriced: Unpriced,
}

#[derive(Debug)]
struct Discount {
    factor: u64,
    book_names: Vec<Box<str>>,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is no call of a model, or used nothing: it has no price.
    NotPriced,
    /// Its sender says what it cost.
    Given,
    /// Its sender says what it cost, and that cannot be read.
    Unreadable,
    /// Its cost was computed.
    Computed,
    /// Its model has no price.
    NoPrice,
    /// Its model has a price, and it cannot be computed.
    NoCost(NoCost),
}

/// A call's cost and where it comes from.
#[derive(Debug)]
pub struct Quote<'p> {
    /// The provider that sells the model, and the provider in whose list its price is.
    pub providers: [&'p str; 2],
    /// The model.
    pub model: &'p str,
    /// The part of its rule that holds for the name.
    pub rule: String,
    /// Whether the model that answered was found, and not only the one asked for.
    pub by_response: bool,
    /// `openai/gpt-5@2026-04-01#batch`
    pub price_id: &'p str,
    /// `genai-prices 0.2.3+1a2b3c4d`
    pub price_book: &'p str,
    /// What the prices were multiplied by, in millionths.
    pub factor: u64,
    /// Each thing that was counted.
    pub charges: Vec<Charge>,
    /// Total, input and output.
    pub cost: [Usd; 3],
}

/// What a price depends on.
#[derive(Debug, Clone, Copy)]
pub struct PriceQuery<'a> {
    /// The provider; may be empty.
    pub provider: &'a str,
    /// The model that answered; may be empty.
    pub response_model: &'a str,
    /// The model asked for; may be empty.
    pub request_model: &'a str,
    /// The service tier; may be empty.
    pub service_tier: &'a str,
    /// When the call began.
    pub at: UnixNanos,
    /// What it used.
    pub usage: &'a Usage,
}

/// Why there is no quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoQuote {
    /// Nobody has a price for that model.
    #[error("no book has a price for the model")]
    NoPrice,
    /// There is a price, and it cannot be computed.
    #[error("the cost cannot be computed: {0}")]
    NoCost(NoCost),
}

impl Prices {
    /// The prices of own books, the first before the others, and of the one that is built in, some of them multiplied:
    /// `discounts` has a decimal number by the name of a provider.
    ///
    /// # Errors
    /// If a number is not one from 0 to 100, or a book has no such provider.
    pub fn new(own: Vec<Book>, discounts: &BTreeMap<String, String>) -> Result<Self, FormError> {
        let mut books = own;
        books.push(built_in());
        let mut prices =
            Self { books, discounts: BTreeMap::new(), lookups: Lookups::default(), unpriced: Unpriced::default() };
        for (provider, factor) in discounts {
            let (id, discount) = prices.discount(provider, factor)?;
            prices.discounts.insert(id, discount);
        }
        Ok(prices)
    }

    fn discount(&self, provider: &str, text: &str) -> Result<(String, Discount), FormError> {
        let error = |what: String| FormError::new(format!("discount.{provider}"), what);
        let id = provider.to_lowercase();
        if !self.books.iter().any(|book| book.providers.iter().any(|known| *known.id == *id)) {
            let known = self.books.iter().flat_map(|book| &book.providers).map(|provider| &*provider.id);
            let nearest = known.min_by_key(|known| strsim::levenshtein(known, &id));
            let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest:?}?"));
            return Err(error(format!("no book of prices has a provider of that id{hint}")));
        }
        let factor = scaled(text, 6).map_err(|reason| error(format!("{text:?} {reason}")))?;
        let is_exact = scaled(text, 12).is_ok_and(|fine| fine == factor.saturating_mul(FACTOR_ONE));
        if factor > FACTOR_MAX * FACTOR_ONE || !is_exact {
            return Err(error(format!("{text:?} is not a number from 0 to {FACTOR_MAX} with at most six decimals")));
        }
        let name = |book: &Book| format!("{} *{text}", book.name).into();
        Ok((id, Discount { factor, book_names: self.books.iter().map(name).collect() }))
    }

    /// Gives a call the cost that its sender did not give, if all that it used has a price. Only calls of models get one: what an
    /// agent or a workflow reports is the sum of its calls, which have their own.
    pub fn complete<'p>(&'p self, call: &mut Call<'p>, at: UnixNanos) -> Outcome {
        if !operation::is_of_model(&call.operation) || !uses_anything(&call.usage) {
            return Outcome::NotPriced;
        }
        if call.cost.is_unreadable() {
            return Outcome::Unreadable;
        }
        if call.cost != Cost::default() {
            return Outcome::Given;
        }
        let outcome = match self.computed(call, at) {
            Ok((cost, id, book)) => {
                call.cost = cost;
                call.price_id = Text::Borrowed(id);
                call.price_book = Text::Borrowed(book);
                return Outcome::Computed;
            }
            Err(NoQuote::NoPrice) => Outcome::NoPrice,
            Err(NoQuote::NoCost(why)) => Outcome::NoCost(why),
        };
        let model = if call.response_model.is_empty() { &call.request_model } else { &call.response_model };
        self.unpriced.add(&call.provider, model);
        outcome
    }

    fn computed(&self, call: &Call<'_>, at: UnixNanos) -> Result<(Cost, &str, &str), NoQuote> {
        is_known(&call.usage, has_output(&call.operation)).map_err(NoQuote::NoCost)?;
        let query = PriceQuery {
            provider: &call.provider,
            response_model: &call.response_model,
            request_model: &call.request_model,
            service_tier: &call.service_tier,
            at,
            usage: &call.usage,
        };
        let (found, priced) = self.priced(&query, |_| ())?;
        let Priced { sum, id, .. } = priced;
        let cost = Cost {
            total: Some(sum.total),
            input: Some(sum.input),
            output: Some(sum.output),
            source: Some(CostSource::Computed),
        };
        Ok((cost, id, self.book_name(found)))
    }

    /// Looks a price up and says all about it.
    ///
    /// # Errors
    /// If there is none.
    pub fn quote(&self, query: &PriceQuery<'_>) -> Result<Quote<'_>, NoQuote> {
        let mut charges = Vec::new();
        let (found, priced) = self.priced(query, |charge| charges.push(charge))?;
        let (provider, model) = self.at(found).ok_or(NoQuote::NoPrice)?;
        let seller = self.seller(found).ok_or(NoQuote::NoPrice)?;
        let name = if found.by_response { query.response_model } else { query.request_model };
        Ok(Quote {
            providers: [seller, &provider.id],
            model: &model.id,
            rule: model.rule.reason(&name.trim().to_lowercase()),
            by_response: found.by_response,
            price_id: priced.id,
            price_book: self.book_name(found),
            factor: self.factor(found),
            charges,
            cost: [priced.sum.total, priced.sum.input, priced.sum.output],
        })
    }

    fn priced(&self, query: &PriceQuery<'_>, see: impl FnMut(Charge)) -> Result<(Found, Priced<'_>), NoQuote> {
        let names = Names {
            provider: query.provider,
            response_model: query.response_model,
            request_model: query.request_model,
        };
        let found = self.lookups.find(&self.books, names).ok_or(NoQuote::NoPrice)?;
        let (provider, model) = self.at(found).ok_or(NoQuote::NoPrice)?;
        let has_variants = found.place.seller == found.place.provider;
        let chosen = model.schedule.choose(query.at, Tier(query.service_tier), has_variants);
        let rates = chosen.rates();
        let sum = charge::price(&rates, query.usage, self.factor(found), see).map_err(NoQuote::NoCost)?;
        let is_cache_time_assumed = query.usage.cache_write.is_some_and(|count| count > 0)
            && query.usage.cache_write_1h.is_none()
            && rates.iter().any(|(unit, _)| unit.is_cached_for_an_hour());
        let id = chosen.id(&provider.id, &model.id, chosen.is_tier_assumed || is_cache_time_assumed);
        Ok((found, Priced { sum, id }))
    }

    fn at(&self, found: Found) -> Option<(&book::Provider, &book::Model)> {
        self.books.get(found.book)?.at(found.place)
    }

    /// The id of the provider that sells it.
    fn seller(&self, found: Found) -> Option<&str> {
        Some(&self.books.get(found.book)?.providers.get(found.place.seller)?.id)
    }

    fn discount_of(&self, found: Found) -> Option<&Discount> {
        if self.discounts.is_empty() {
            return None;
        }
        self.discounts.get(self.seller(found)?)
    }

    fn factor(&self, found: Found) -> u64 {
        self.discount_of(found).map_or(FACTOR_ONE, |discount| discount.factor)
    }

    fn book_name(&self, found: Found) -> &str {
        let discounted = self.discount_of(found).and_then(|discount| discount.book_names.get(found.book));
        let name = discounted.or_else(|| self.books.get(found.book).map(|book| &book.name));
        name.expect("what was found is in a book")
    }

    /// Every model that has prices: the book, the provider and the model.
    pub fn listed(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.books.iter().flat_map(|book| {
            let models =
                book.providers.iter().flat_map(|provider| provider.models.iter().map(move |model| (provider, model)));
            models.map(|(provider, model)| (&*book.name, &*provider.id, &*model.id))
        })
    }

    /// Calls without a price since the start: provider, model and count of each pair, at most [`PAIRS_MAX`] of them and
    /// [`OTHER`].
    #[must_use]
    pub fn unpriced(&self) -> Vec<(String, String, u64)> {
        self.unpriced.counts()
    }
}

/// Only the prices that are built in.
impl Default for Prices {
    fn default() -> Self {
        Self {
            books: vec![built_in()],
            discounts: BTreeMap::new(),
            lookups: Lookups::default(),
            unpriced: Unpriced::default(),
        }
    }
}

struct Priced<'p> {
    sum: charge::Sum,
    id: &'p str,
}

/// Whether any tokens were used.
fn uses_anything(usage: &Usage) -> bool {
    [usage.input, usage.output].into_iter().flatten().any(|count| count > 0)
}

/// Vectors and rankings are not made of tokens.
fn has_output(operation: &str) -> bool {
    !matches!(operation, operation::EMBEDDINGS | operation::RERANK)
}

fn is_known(usage: &Usage, has_output: bool) -> Result<(), NoCost> {
    let is_known = usage.input.is_some() && (usage.output.is_some() || !has_output);
    is_known.then_some(()).ok_or(NoCost::Unknown)
}

/// The book that is built in.
fn built_in() -> Book {
    let text = zstd::bulk::decompress(BUILT_IN, BUILT_IN_BYTES_MAX).expect("the file is compressed by the script");
    let form: Form = serde_json::from_slice(&text).expect("the script writes the form");
    let mut book = Book::new(form, "built in").expect("the script writes a book without mistakes");
    book.name = named(&book.name, &text).into();
    book
}

/// A book's name with the beginning of the hash of what is in it.
#[must_use]
pub fn named(name: &str, content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let start = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{name}+{start}")
}

/// Dollars for as many as a unit says, as short as it gets.
impl Charge {
    /// The price in US dollars as a decimal text.
    #[must_use]
    pub fn price_text(&self) -> impl fmt::Display {
        let (whole, fraction) = (self.price / 1_000_000_000_000_000_000, self.price % 1_000_000_000_000_000_000);
        let fraction = format!("{fraction:018}");
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") }
    }
}
