//! `millrace dead-letter`: what ClickHouse refused for good, for a person to look at, send again or throw away.

use crate::app;
use crate::clickhouse::Target;
use crate::config::Config;
use crate::journal::{DeadLetter, DeadLetterReason, DeadLetters};
use crate::text::counted;
use crate::time::Clock;
use clap::Subcommand;
use serde_json::json;
use std::io::{self, Write};
use std::time::Duration;

/// How long ClickHouse may take to confirm an insert.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(600);
/// Rows that `show` prints, unless told otherwise.
const ROWS_SHOWN: usize = 10;
/// What `list` shows of ClickHouse's words.
const ERROR_CHARS: usize = 100;

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// List them, oldest first
    List,
    /// Show why one is here, and its rows as JSON, one a line
    Show {
        /// Its name, as `list` shows it
        name: String,
        /// Most rows to show
        #[arg(long, default_value_t = ROWS_SHOWN)]
        rows: usize,
    },
    /// Send them to ClickHouse again; those that it takes are removed
    Retry(Which),
    /// Remove them for good
    Drop(Which),
}

/// Which dead letters.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// Their names, as `list` shows them
    names: Vec<String>,
    /// All of them
    #[arg(long)]
    all: bool,
}

impl Which {
    fn choose(&self, letters: Vec<DeadLetter>) -> anyhow::Result<Vec<DeadLetter>> {
        if self.all {
            return Ok(letters);
        }
        for name in &self.names {
            anyhow::ensure!(
                letters.iter().any(|letter| letter.name == *name),
                "there is no dead letter {name}; `millrace dead-letter list` shows them"
            );
        }
        Ok(letters.into_iter().filter(|letter| self.names.contains(&letter.name)).collect())
    }
}

/// Does it, and says on `out` what was done.
///
/// # Errors
/// When the folder cannot be read or written, or ClickHouse refuses again.
pub async fn run(config: &Config, action: &Action, out: &mut impl Write) -> anyhow::Result<()> {
    let letters = app::dead_letters(config);
    match action {
        Action::List => list(&letters.list()?, out)?,
        Action::Show { name, rows } => {
            let only = Which { names: vec![name.clone()], all: false }.choose(letters.list()?)?;
            for letter in only {
                writeln!(out, "{}", serde_json::to_string_pretty(&letter.verdict)?)?;
            }
            for row in letters.rows(name, *rows)? {
                writeln!(out, "{row}")?;
            }
        }
        Action::Retry(which) => retry(config, &letters, which.choose(letters.list()?)?, out).await?,
        Action::Drop(which) => {
            for letter in which.choose(letters.list()?)? {
                letters.remove(&letter.name)?;
                writeln!(out, "{}: dropped, {}", letter.name, rows(&letter.verdict))?;
            }
        }
    }
    Ok(())
}

fn list(letters: &[DeadLetter], out: &mut impl Write) -> io::Result<()> {
    if letters.is_empty() {
        return writeln!(out, "There are no dead letters.");
    }
    let now = Clock::System.now();
    for DeadLetter { name, verdict, bytes } in letters {
        let minutes = now.nanos().saturating_sub(verdict.at_nanos).max(0) / 60_000_000_000;
        let error: String = verdict.error.chars().take(ERROR_CHARS).collect();
        let error = json!(error);
        writeln!(out, "{name}  {}  {}  {minutes} min ago  {error}", rows(verdict), counted(bytes, "byte"))?;
    }
    Ok(())
}

/// How many rows, and of what.
fn rows(reason: &DeadLetterReason) -> String {
    counted(reason.rows, reason.table().row_kind().row_word())
}

async fn retry(
    config: &Config,
    letters: &DeadLetters,
    chosen: Vec<DeadLetter>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let client = app::client(config);
    let (all, mut failed) = (chosen.len(), 0_usize);
    for (place, DeadLetter { name, verdict, .. }) in chosen.into_iter().enumerate() {
        write!(out, "{}/{all} {name}: ", place + 1)?;
        let (frames, columns) = match letters.frames(&name) {
            Ok(read) => read,
            Err(error) => {
                failed += 1;
                writeln!(out, "cannot be read: {error}")?;
                continue;
            }
        };
        let target = Target { table: verdict.table(), columns: Some(&columns) };
        match client.insert_frames(frames, target, &name, CONFIRM_TIMEOUT).await {
            Ok(()) => {
                letters.remove(&name)?;
                writeln!(out, "stored, {}", rows(&verdict))?;
            }
            Err(failure) => {
                failed += 1;
                writeln!(out, "not stored: {}", failure.detail)?;
            }
        }
    }
    anyhow::ensure!(failed == 0, "{failed} of {all} were not stored; they are still here");
    Ok(())
}
