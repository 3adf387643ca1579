//! `millrace prices`: what a call costs and why, what prices there are, and which models have none.

mod reprice;

use std::io::{self, Write};

use anyhow::Context as _;
use clap::Subcommand;

use crate::clickhouse::Client;
use crate::clickhouse::prices::{UnpricedModel, Which, unpriced};
use crate::config::PricesConfig;
use crate::genai::cost::Usd;
use crate::genai::prices::{Charge, PriceQuery, Prices, Quote};
use crate::genai::usage::{Sides, Usage};
use crate::rollup::moment;
use crate::time::{Clock, UnixNanos};

/// Models that `list --unpriced` shows, unless told otherwise.
const MODELS_SHOWN: usize = 100;
/// How far back it looks, unless told otherwise.
const SINCE: &str = "30d";
/// A factor of one, in millionths.
const FACTOR_ONE: u64 = 1_000_000;

/// What to do with prices.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Look a price up: what matches, by which rule, and what each part of a call costs
    Resolve(Box<Call>),
    /// Give stored calls whose cost nobody gave the costs of the prices of now
    Reprice(Reprice),
    /// List the models that have prices, or with --unpriced those that calls used and that have none
    List {
        /// Ask ClickHouse which models were used and have no cost
        #[arg(long)]
        unpriced: bool,
        /// Only calls that began from then on: a date, a time (RFC 3339), or how long ago (7d, 12h)
        #[arg(long, value_name = "TIME", value_parser = moment, default_value = SINCE, requires = "unpriced")]
        since: UnixNanos,
        /// Most models to show
        #[arg(long, default_value_t = MODELS_SHOWN, requires = "unpriced")]
        limit: usize,
        /// Only models of this provider, by its id in the book
        #[arg(long, conflicts_with = "unpriced")]
        provider: Option<String>,
    },
}

/// Which calls get new costs.
#[derive(Debug, clap::Args)]
pub struct Reprice {
    /// Calls that began from then on: a date, a time (RFC 3339), or how long ago (7d, 12h)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: UnixNanos,
    /// Calls that began before then; absent: until now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<UnixNanos>,
    /// Only calls of this model, asked for or answered
    #[arg(long)]
    model: Option<String>,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
}

/// A call whose cost is asked for.
#[derive(Debug, clap::Args)]
pub struct Call {
    /// The model, as the call names it
    #[arg(long)]
    model: String,
    /// The provider, as the column `Provider` has it; absent: found by the model
    #[arg(long, default_value = "")]
    provider: String,
    /// The service tier: batch, flex, priority, ...
    #[arg(long, default_value = "")]
    tier: String,
    /// When it was: a date, a time (RFC 3339), or how long ago (7d, 12h); absent: now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<UnixNanos>,
    /// Tokens of the input, cached ones included
    #[arg(long, value_name = "TOKENS", default_value_t = 0)]
    input: u64,
    /// Tokens of the output, reasoning included
    #[arg(long, value_name = "TOKENS", default_value_t = 0)]
    output: u64,
    /// Of the input, read from a cache
    #[arg(long, value_name = "TOKENS")]
    cache_read: Option<u64>,
    /// Of the input, written to a cache
    #[arg(long, value_name = "TOKENS")]
    cache_write: Option<u64>,
    /// Of those, written to be kept for an hour
    #[arg(long, value_name = "TOKENS")]
    cache_write_1h: Option<u64>,
    /// Of the output, spent on reasoning
    #[arg(long, value_name = "TOKENS")]
    reasoning: Option<u64>,
    /// Of the input, audio
    #[arg(long, value_name = "TOKENS")]
    audio_input: Option<u64>,
    /// Of the output, audio
    #[arg(long, value_name = "TOKENS")]
    audio_output: Option<u64>,
}

impl Call {
    fn usage(&self) -> Usage {
        Usage {
            input: Some(self.input),
            output: Some(self.output),
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            cache_write_1h: self.cache_write_1h,
            reasoning: self.reasoning,
            audio: Sides { input: self.audio_input, output: self.audio_output },
            ..Usage::default()
        }
    }
}

/// Does it, and says on `out` what was found.
///
/// # Errors
/// If the prices cannot be read, there is none for the call, or ClickHouse is unreachable.
pub async fn run(
    config: &PricesConfig,
    action: &Action,
    client: impl FnOnce() -> Client,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    match action {
        Action::Resolve(call) => resolve(&config.read()?, call, out),
        Action::List { unpriced: true, since, limit, .. } => {
            let models = unpriced(&client(), *since, *limit).await.context("failed to ask ClickHouse")?;
            Ok(show_unpriced(&models, out)?)
        }
        Action::Reprice(Reprice { since, until, model, dry_run }) => {
            let until = until.unwrap_or_else(|| Clock::System.now());
            let which = Which { from: since.nanos(), to: until.nanos(), model: model.clone() };
            reprice::reprice(&config.read()?, &client(), &which, *dry_run, out).await
        }
        Action::List { provider, .. } => {
            let prices = config.read()?;
            for (book, seller, model) in prices.listed() {
                if provider.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(seller)) {
                    writeln!(out, "{seller}/{model}  {book}")?;
                }
            }
            Ok(())
        }
    }
}

fn resolve(prices: &Prices, call: &Call, out: &mut impl Write) -> anyhow::Result<()> {
    let usage = call.usage();
    let query = PriceQuery {
        provider: &call.provider,
        response_model: &call.model,
        request_model: "",
        service_tier: &call.tier,
        at: call.at.unwrap_or_else(|| Clock::System.now()),
        usage: &usage,
    };
    let quote =
        prices.quote(&query).with_context(|| format!("model {:?} of provider {:?}", call.model, call.provider))?;
    Ok(show(&quote, out)?)
}

fn show(quote: &Quote<'_>, out: &mut impl Write) -> io::Result<()> {
    let Quote { providers: [seller, provider], model, rule, price_id, price_book, factor, charges, cost, .. } = quote;
    writeln!(out, "match  {provider}/{model}, sold by {seller}")?;
    writeln!(out, "rule   {rule}")?;
    writeln!(out, "price  {price_id}")?;
    writeln!(out, "book   {price_book}")?;
    for charge @ Charge { unit, count, .. } in charges {
        let cost = charge.cost().map_or_else(|| "too much".to_owned(), |cost| cost.to_string());
        writeln!(out, "{:<32}{count:>12} at {:>8} per {:<9} {cost:>18}", unit.key, charge.price_text(), unit.per)?;
    }
    if *factor != FACTOR_ONE {
        writeln!(out, "times  {} (discount; in the costs above)", factor_text(*factor))?;
    }
    let [total, input, output] = cost;
    writeln!(out, "total  {total} USD (input {input}, output {output})")
}

/// A factor in millionths as a decimal number.
fn factor_text(factor: u64) -> String {
    Usd::from_pico(factor.saturating_mul(FACTOR_ONE)).map_or_else(|| factor.to_string(), |number| number.to_string())
}

fn show_unpriced(models: &[UnpricedModel], out: &mut impl Write) -> io::Result<()> {
    if models.is_empty() {
        return writeln!(out, "Every call has a cost.");
    }
    writeln!(out, "{:>10} {:>14} {:>14}  {:<24} model", "calls", "input", "output", "provider")?;
    for UnpricedModel { provider, model, calls, input_tokens, output_tokens } in models {
        let provider = if provider.is_empty() { "-" } else { provider };
        writeln!(out, "{calls:>10} {input_tokens:>14} {output_tokens:>14}  {provider:<24} {model}")?;
    }
    Ok(())
}
