//! `millrace delete`: everything of a user, a session or a trace goes, wherever it is.
//!
//! ```text
//! ClickHouse     spans, log records, data points, scores, what was counted     page by page, with a progress bar
//! dead letters   rows of the folder on this machine                            before they can be sent again
//! the journal    what waits on its way                                         waited for, and removed once it is stored
//! ```

use crate::admin::PageConfig;
use crate::app;
use crate::audit;
use crate::clickhouse::Client;
use crate::clickhouse::deletion::{self, Deletion, Subject};
use crate::config::Config;
use crate::journal::DeadLetters;
use crate::peer::{self, TlsOptions};
use crate::reconciler::sums::sum_all;
use crate::rollup::show_progress;
use crate::secret::Secret;
use crate::text::counted;
use crate::time::{Clock, UnixNanos};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;
use tokio::net::TcpStream;

/// How long what is on its way is waited for.
const ARRIVES_WITHIN: Duration = Duration::from_secs(120);
const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);
/// How long a running Millrace may take to say what waits in it.
const ASKED_FOR: Duration = Duration::from_secs(2);
/// Counters of rows that are acknowledged and not stored yet.
const PENDING: [&str; 4] = [
    "millrace_spans_pending ",
    "millrace_log_records_pending ",
    "millrace_metric_points_pending ",
    "millrace_scores_pending ",
];

/// Where a Millrace serves its metrics.
type Metrics = PageConfig<8888>;

/// Rows by table.
#[derive(Debug, Default)]
struct Rows(BTreeMap<&'static str, u64>);

impl Rows {
    fn add(&mut self, counts: Vec<(&'static str, u64)>) {
        for (table, rows) in counts {
            *self.0.entry(table).or_default() += rows;
        }
    }

    fn all(&self) -> u64 {
        self.0.values().sum()
    }
}

/// Deletes, or says what would be deleted.
///
/// # Errors
/// When ClickHouse is unreachable or refuses, or rows are left that could not be waited for. The command can be repeated.
pub async fn run(
    config: &Config,
    deletion: &Deletion,
    is_real: bool,
    (tls, token): (&TlsOptions, Option<&Secret>),
    out: &mut impl Write,
) -> anyhow::Result<()> {
    note(deletion, is_real);
    let client = app::client(config);
    let (letters, mut rows, mut traces) = (app::dead_letters(config), Rows::default(), 0);
    let in_letters = of_dead_letters(&letters, deletion, is_real).context("failed to look through the dead letters")?;
    let mut left = ARRIVES_WITHIN;
    loop {
        traces += of_all_tables(&client, deletion, is_real, &mut rows).await.context(BROKEN_OFF)?;
        if !is_real {
            break;
        }
        match waiting(&config.admin.metrics, tls, token).await {
            Ok(0) => break,
            Ok(_) if left > Duration::ZERO => {
                tokio::time::sleep(LOOKED_AT_EVERY).await;
                left = left.saturating_sub(LOOKED_AT_EVERY);
            }
            Ok(waiting) => anyhow::bail!(
                "ClickHouse does not have everything yet ({} on the way), and some may be of what was to be deleted; run it again when it has",
                counted(waiting, "row")
            ),
            Err(Unknown::Unsaid(why)) => anyhow::bail!(
                "the Millrace on {} does not say what waits in it ({why}), and some may be of what was to be deleted; if it wants a token, \
                 set MILLRACE_TOKEN to one that may read all workspaces, and run it again",
                config.admin.metrics.listen
            ),
            Err(Unknown::Away(error)) => {
                writeln!(
                    out,
                    "No Millrace answers on {} ({error}): if one is stopped with rows in its journal, run this again after its next start.",
                    config.admin.metrics.listen
                )?;
                break;
            }
        }
    }
    // what came while the last page was removed
    if is_real {
        traces += of_all_tables(&client, deletion, is_real, &mut rows).await.context(BROKEN_OFF)?;
        sum_all(&client, Clock::System.now())
            .await
            .context("failed to sum the calls of days; `millrace serve` does it")?;
    }
    let done = if is_real { "deleted" } else { "to be deleted" };
    writeln!(
        out,
        "{}, {} in ClickHouse and {in_letters} in dead letters {done}.",
        counted(traces, "trace"),
        counted(rows.all(), "row")
    )?;
    for (table, rows) in rows.0.iter().filter(|(_, rows)| **rows > 0) {
        writeln!(out, "  {table}: {rows}")?;
    }
    Ok(())
}

const BROKEN_OFF: &str = "the deletion was broken off; what is deleted is deleted, and the command can be repeated";

/// Rows of traces, and those that no trace leads to; returns how many traces.
async fn of_all_tables(client: &Client, deletion: &Deletion, is_real: bool, rows: &mut Rows) -> anyhow::Result<usize> {
    let traces = of_traces(client, deletion, is_real, rows).await?;
    rows.add(deletion::remove_by_attributes(client, deletion, is_real).await?);
    Ok(traces)
}

/// Page by page; returns how many traces.
async fn of_traces(client: &Client, deletion: &Deletion, is_real: bool, rows: &mut Rows) -> anyhow::Result<usize> {
    let (mut after, mut done) = (String::new(), 0);
    let is_terminal = io::stderr().is_terminal();
    loop {
        let page = deletion::traces(client, deletion, &after).await?;
        let Some(last) = page.last() else { break };
        after.clone_from(last);
        let page = deletion::begun_before(client, deletion, &page).await?;
        if page.is_empty() {
            continue;
        }
        rows.add(deletion::remove_scores(client, deletion, &page, is_real).await?);
        rows.add(deletion::count(client, deletion, &page).await?);
        if is_real {
            deletion::remove(client, deletion, &page).await?;
        }
        done += page.len();
        show_progress(&format!("{}, {}", counted(done, "trace"), counted(rows.all(), "row")), is_terminal);
    }
    if is_terminal && done > 0 {
        let _reader_gone = writeln!(io::stderr());
    }
    Ok(done)
}

/// Rows of dead letters that go.
fn of_dead_letters(letters: &DeadLetters, deletion: &Deletion, is_real: bool) -> io::Result<usize> {
    let mut removed = 0;
    for letter in letters.list()? {
        removed += letters.leave_out(&letter, |row| is_of(row, deletion), is_real)?;
    }
    Ok(removed)
}

/// Whether a row, as JSON, is one of those.
fn is_of(row: &serde_json::Value, deletion: &Deletion) -> bool {
    let text = |column: &str| row.get(column).and_then(serde_json::Value::as_str).unwrap_or_default();
    let in_maps = |value: &str, keys: &[&str]| {
        let maps = ["SpanAttributes", "LogAttributes", "Attributes"].into_iter().filter_map(|map| row.get(map));
        maps.into_iter().any(|map| keys.iter().any(|key| map.get(key).and_then(|value| value.as_str()) == Some(value)))
    };
    let is_subject = match &deletion.subject {
        Subject::Trace(trace) => text("TraceId") == trace.to_string(),
        Subject::User(user) => {
            text("UserId") == user || text("CreatedBy") == user || in_maps(user, &deletion::USER_KEYS)
        }
        Subject::Session(session) => text("SessionId") == session || in_maps(session, &deletion::SESSION_KEYS),
    };
    let began = ["Timestamp", "TimeUnixNano", "CreatedAt"].into_iter().map(text).find(|time| !time.is_empty());
    let began = began.and_then(|time| time.parse::<jiff::Timestamp>().ok()).map(jiff::Timestamp::as_nanosecond);
    let is_before = |before: crate::time::UnixNanos| began.is_none_or(|began| began < i128::from(before.nanos()));
    is_subject && text("Workspace") == deletion.workspace.as_str() && deletion.before.is_none_or(is_before)
}

/// Why it is not known what waits.
enum Unknown {
    /// Nobody answers.
    Away(io::Error),
    /// Somebody answers something else.
    Unsaid(String),
}

/// Notes who is deleted: by what stands for the name, which is personal.
fn note(deletion: &Deletion, is_real: bool) {
    let (kind, name) = match &deletion.subject {
        Subject::Trace(trace) => ("trace", trace.to_string()),
        Subject::User(user) => ("user", user.clone()),
        Subject::Session(session) => ("session", session.clone()),
    };
    let (workspace, sha256, before) =
        (deletion.workspace.as_str(), audit::stands_for(&name), deletion.before.map(UnixNanos::nanos));
    tracing::info!(target: audit::TARGET, workspace, kind, sha256, before, is_real, "delete");
}

/// How many rows wait in the Millrace of this configuration; `None` if nobody answers.
///
/// # Errors
/// If somebody answers something else.
pub(crate) async fn waiting_rows(
    metrics: &Metrics,
    tls: &TlsOptions,
    token: Option<&Secret>,
) -> anyhow::Result<Option<u64>> {
    match waiting(metrics, tls, token).await {
        Ok(rows) => Ok(Some(rows)),
        Err(Unknown::Away(_)) => Ok(None),
        Err(Unknown::Unsaid(why)) => anyhow::bail!(
            "the Millrace on {} does not say what waits in it ({why}); if it wants a token, set MILLRACE_TOKEN to one that may \
             read all workspaces",
            metrics.listen
        ),
    }
}

/// How many rows wait in the Millrace that serves its metrics there.
async fn waiting(metrics: &Metrics, tls: &TlsOptions, token: Option<&Secret>) -> Result<u64, Unknown> {
    let unsaid = |error: anyhow::Error| Unknown::Unsaid(format!("{error:#}"));
    // whether somebody is there: a connection that fails later, as in TLS, says nothing about that
    let connected = tokio::time::timeout(ASKED_FOR, TcpStream::connect(peer::nearby(metrics.listen))).await;
    connected.map_err(|_| Unknown::Away(io::ErrorKind::TimedOut.into()))?.map_err(Unknown::Away)?;
    let url = format!("{}/metrics", peer::url(metrics.listen, metrics.tls.is_some()));
    let answer = peer::page(&tls.client().map_err(unsaid)?, &url, token).await.map_err(unsaid)?;
    let of = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<i64>().ok());
    let counts = PENDING.map(of).into_iter().collect::<Option<Vec<i64>>>();
    let counts = counts.ok_or_else(|| Unknown::Unsaid("its page has no such counters".to_owned()))?;
    Ok(counts.into_iter().map(i64::unsigned_abs).sum())
}
