//! `millrace prices reprice`: costs of stored calls by the prices of now, an hour after the other. What is right stays as it is,
//! so the command can be repeated, and goes on where it was stopped.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};

use anyhow::Context as _;

use crate::audit;
use crate::clickhouse::Client;
use crate::clickhouse::prices::{self, Alike, Repriced, Which};
use crate::genai::call::Call;
use crate::genai::cost::Usd;
use crate::genai::prices::Prices;
use crate::genai::usage::{Sides, Usage};
use crate::rollup::hours_bar;
use crate::text::counted;
use crate::time::UnixNanos;

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_HOUR: i64 = 3_600 * NANOS_PER_SECOND;
const PICO_PER_USD: u128 = 1_000_000_000_000;

/// What became of a model's calls.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Change {
    calls: u64,
    changed: u64,
    before: u128,
    after: u128,
}

/// Calls by provider and model.
type Changes = BTreeMap<(String, String), Change>;

/// Gives calls that began in a time the costs of now, or only says which they are.
///
/// # Errors
/// If ClickHouse is unreachable or refuses. What was done until then is right.
pub(super) async fn reprice(
    prices: &Prices,
    client: &Client,
    which: &Which,
    is_dry_run: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    anyhow::ensure!(which.from < which.to, "--since must be before --until");
    let (from, to, model) = (which.from, which.to, which.model.as_deref());
    tracing::info!(target: audit::TARGET, from, to, model, is_dry_run, "reprice");
    let hours = prices::hours(client, which).await.context("failed to ask ClickHouse which hours have such calls")?;
    let mut changes = Changes::new();
    for (done, hour) in hours.iter().enumerate() {
        let start = hour.saturating_mul(NANOS_PER_SECOND);
        let hour = Which {
            from: which.from.max(start),
            to: which.to.min(start.saturating_add(NANOS_PER_HOUR)),
            model: which.model.clone(),
        };
        reprice_hour(prices, client, &hour, is_dry_run, &mut changes)
            .await
            .context("failed to reprice; what was done until then is right, and the command can be repeated")?;
        show_progress(done + 1, hours.len());
    }
    Ok(show(&changes, is_dry_run, out)?)
}

async fn reprice_hour(
    prices: &Prices,
    client: &Client,
    hour: &Which,
    is_dry_run: bool,
    changes: &mut Changes,
) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let page = prices::alike(client, hour, after).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.key);
        let mut repriced: Vec<Repriced> = Vec::new();
        for alike in &page {
            let new = priced(prices, alike);
            let is_changed = note(changes, alike, &new);
            if is_changed && repriced.last().is_none_or(|one| one.key != alike.key) {
                repriced.push(new);
            }
        }
        if !is_dry_run {
            prices::reprice(client, hour, &repriced).await?;
        }
    }
}

/// What such calls cost now.
fn priced(prices: &Prices, alike: &Alike) -> Repriced {
    let mut call = Call {
        operation: alike.operation.as_str().into(),
        provider: alike.provider.as_str().into(),
        response_model: alike.response_model.as_str().into(),
        request_model: alike.request_model.as_str().into(),
        service_tier: alike.service_tier.as_str().into(),
        usage: Usage {
            input: alike.input,
            output: alike.output,
            cache_read: alike.cache_read,
            cache_write: alike.cache_write,
            cache_write_1h: alike.cache_write_1h,
            reasoning: alike.reasoning,
            audio: Sides { input: alike.audio_input, output: alike.audio_output },
            image: Sides { input: alike.image_input, output: alike.image_output },
            video: Sides { input: alike.video_input, output: alike.video_output },
            cache_read_audio: alike.cached_audio,
            cache_read_image: alike.cached_images,
            ..Usage::default()
        },
        ..Call::default()
    };
    let at = UnixNanos::from_i64(alike.minute.saturating_mul(NANOS_PER_SECOND));
    let _no_cost_is_empty = prices.complete(&mut call, at.unwrap_or_default());
    let text = |usd: Option<Usd>| usd.map_or_else(String::new, |usd| usd.to_string());
    Repriced {
        key: alike.key,
        costs: [call.cost.total, call.cost.input, call.cost.output].map(text),
        price_id: call.price_id.into_owned(),
        price_book: call.price_book.into_owned(),
    }
}

/// Adds what becomes of such calls; gives whether their rows change.
fn note(changes: &mut Changes, alike: &Alike, new: &Repriced) -> bool {
    let pico = |text: &str| Usd::parse(text).map_or(0, |usd| u128::from(usd.pico()));
    let (before, after) = (alike.total.as_deref().map_or(0, pico), new.costs.first().map_or(0, |total| pico(total)));
    let has_cost = new.costs.first().is_some_and(|total| !total.is_empty());
    let is_same = alike.total.is_some() == has_cost
        && before == after
        && alike.price_id == new.price_id
        && alike.price_book == new.price_book;
    let model = if alike.response_model.is_empty() { &alike.request_model } else { &alike.response_model };
    let change = changes.entry((alike.provider.clone(), model.clone())).or_default();
    let calls = u128::from(alike.calls);
    change.calls += alike.calls;
    change.changed += if is_same { 0 } else { alike.calls };
    change.before += before * calls;
    change.after += after * calls;
    !is_same
}

fn show_progress(hours: usize, all: usize) {
    if !io::stderr().is_terminal() {
        return;
    }
    let end = if hours == all { "\n" } else { "" };
    let _reader_gone = write!(io::stderr(), "\r{}{end}", hours_bar(hours, all)).and_then(|()| io::stderr().flush());
}

fn show(changes: &Changes, is_dry_run: bool, out: &mut impl Write) -> io::Result<()> {
    let changed: Vec<_> = changes.iter().filter(|(_, change)| change.changed > 0).collect();
    let (calls, of) = (
        changed.iter().map(|(_, change)| change.changed).sum::<u64>(),
        changes.values().map(|change| change.calls).sum::<u64>(),
    );
    if !changed.is_empty() {
        writeln!(out, "{:>10} {:>18} {:>18}  {:<24} model", "changed", "USD before", "USD after", "provider")?;
    }
    for ((provider, model), Change { changed, before, after, .. }) in changed {
        let provider = if provider.is_empty() { "-" } else { provider };
        writeln!(out, "{changed:>10} {:>18} {:>18}  {provider:<24} {model}", dollars(*before), dollars(*after))?;
    }
    let verb = if is_dry_run { "would get" } else { "got" };
    writeln!(out, "{calls} of {} without a given cost {verb} another price.", counted(of, "call"))
}

/// Dollars with six decimals, rounded half up.
fn dollars(pico: u128) -> String {
    let micro = (pico + PICO_PER_USD / 2_000_000) / (PICO_PER_USD / 1_000_000);
    format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000)
}
