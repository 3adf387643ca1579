//! `millrace rollup`: counts calls and traces anew, after a rule has changed or somebody deleted spans.

use crate::app;
use crate::audit;
use crate::clickhouse::Client;
use crate::config::Config;
use crate::reconciler::counting::rebuild::{Rebuilt, rebuild};
use crate::reconciler::sums::sum_all;
use crate::text::counted;
use crate::time::{Clock, UnixNanos};
use anyhow::Context as _;
use clap::Subcommand;
use std::io::{IsTerminal as _, Write};

/// Letters of the progress bar.
const BAR_LETTERS: usize = 30;

/// What to do with the roll-up tables.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Count calls and traces anew; what was right stays as it is
    Rebuild {
        /// Spans that began from then on: a date, a time (RFC 3339), or how long ago (7d, 12h); absent: all
        #[arg(long, value_name = "TIME", value_parser = moment)]
        since: Option<UnixNanos>,
        /// Spans that began before then; absent: all
        #[arg(long, value_name = "TIME", value_parser = moment)]
        until: Option<UnixNanos>,
    },
}

/// Does it; progress goes to `progress`, a bar if that is a terminal and a line an hour if not, and what was done to `out`.
///
/// # Errors
/// When the range is empty, or ClickHouse is unreachable or refuses.
pub async fn run(config: &Config, action: &Action, client: &Client, out: &mut impl Write) -> anyhow::Result<()> {
    let Action::Rebuild { since, until } = action;
    let (from, to) = (since.map_or(0, UnixNanos::nanos), until.map_or(i64::MAX, |until| until.nanos() - 1));
    anyhow::ensure!(from <= to, "--since must be before --until");
    app::schema(config).prepare(client).await.context("failed to prepare the tables")?;
    let is_terminal = std::io::stderr().is_terminal();
    let now = Clock::System.now();
    tracing::info!(target: audit::TARGET, from, to, "rebuild");
    let done = rebuild(client, &config.retention, now, &(from..=to), |done| show(done, is_terminal)).await;
    if is_terminal {
        let _reader_gone = writeln!(std::io::stderr());
    }
    let done = done.context("failed to count; what was counted so far is right, and the command can be repeated")?;
    writeln!(out, "{} counted, {} corrected.", counted(done.traces, "trace"), counted(done.rows, "row"))?;
    let days =
        sum_all(client, now).await.context("failed to sum the calls of days; `millrace serve` does it as well")?;
    writeln!(out, "The calls of {} are summed.", counted(days, "day"))?;
    Ok(())
}

fn show(done: Rebuilt, is_terminal: bool) {
    let Rebuilt { hours, hours_all, traces, rows } = done;
    let text = format!("{}, {}, {}", hours_bar(hours, hours_all), counted(traces, "trace"), counted(rows, "row"));
    show_progress(&text, is_terminal);
}

/// Writes to standard error how far something is: in the place of what was written before if that is a terminal, else as a line.
pub(crate) fn show_progress(text: &str, is_terminal: bool) {
    let (begin, end) = if is_terminal { ("\r", "") } else { ("", "\n") };
    let _reader_gone = write!(std::io::stderr(), "{begin}{text}{end}").and_then(|()| std::io::stderr().flush());
}

/// How many hours are done, as a bar and in numbers.
pub(crate) fn hours_bar(done: usize, all: usize) -> String {
    let filled = BAR_LETTERS * done / all.max(1);
    format!(
        "[{}{}] {done}/{}",
        "#".repeat(filled),
        "-".repeat(BAR_LETTERS.saturating_sub(filled)),
        counted(all, "hour")
    )
}

/// A time on the command line.
pub(crate) fn moment(text: &str) -> Result<UnixNanos, String> {
    let at = |nanos: i128| i64::try_from(nanos).ok().and_then(UnixNanos::from_i64);
    if let Ok(ago) = humantime_serde::re::humantime::parse_duration(text) {
        return Ok(Clock::System.now().saturating_sub(ago));
    }
    let time = text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_nanosecond);
    let day = || format!("{text}T00:00:00Z").parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_nanosecond);
    time.or_else(day).and_then(at).ok_or_else(|| {
        "must be a date (2026-11-25), a time (2026-11-25T08:00:00Z) from 1970 on, or how long ago (7d, 12h)".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    #[test]
    fn a_time_is_a_date_or_a_moment_or_how_long_ago() {
        assert_eq!(moment("2026-11-25").unwrap().nanos(), 1_795_564_800_000_000_000);
        assert_eq!(moment("2026-11-25T00:00:01Z").unwrap().nanos(), 1_795_564_801_000_000_000);
        assert_eq!(moment("2026-11-25T01:00:00+01:00"), moment("2026-11-25"));
        let since = moment("7d").unwrap();
        let week = Clock::System.now().nanos_since(since);
        assert!(u128::from(week) >= (DAY * 7).as_nanos());
        for wrong in ["", "yesterday", "1969-12-31", "-1d"] {
            assert!(moment(wrong).unwrap_err().contains("2026-11-25"), "{wrong}");
        }
    }
}
