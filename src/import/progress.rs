//! How far an import is: a bar on a terminal, lines of JSON for programs, and a summary at the end.

use super::left_out::LeftOut;
use crate::locks::locked;
use crate::rollup::show_progress;
use crate::text::counted;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often it is shown.
const EVERY: Duration = Duration::from_millis(500);
const BAR_LETTERS: u64 = 24;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// A bar on standard error, if that is a terminal.
    Bar,
    /// Lines of JSON on standard output.
    Json,
    /// Not at all.
    None,
}

/// What was done so far.
#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    pub(super) files: u64,
    pub(super) files_all: u64,
    /// Files that were imported before, as far as they go.
    pub(super) unchanged: u64,
    pub(super) bytes: u64,
    pub(super) bytes_all: u64,
    pub(super) pieces: u64,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    pub(super) copied: u64,
    pub(super) others: BTreeMap<String, u64>,
    /// Files that are not read, by reason.
    pub(super) left_out: BTreeMap<String, u64>,
}

/// So many rejects are kept, and so many notes.
const TOLD_MAX: usize = 200;

/// Progress as others read it, while it goes on.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<Telling>);

#[derive(Debug, Default, Clone)]
pub(super) struct Telling {
    /// As `--progress json` has it.
    pub(super) counts: serde_json::Value,
    pub(super) notes: Vec<String>,
    /// File, line and reason.
    pub(super) rejects: Vec<serde_json::Value>,
}

impl Told {
    /// How far it is now.
    pub(super) fn now(&self) -> Telling {
        locked(&self.0).clone()
    }

    /// Keeps what a person should know.
    pub(super) fn note(&self, text: &str) {
        const LAST: usize = TOLD_MAX - 1;
        self.change(|told| match told.notes.len() {
            TOLD_MAX.. => {}
            LAST => told.notes.push("More was said, and is not kept here.".to_owned()),
            _ => told.notes.push(text.to_owned()),
        });
    }

    fn change(&self, change: impl FnOnce(&mut Telling)) {
        change(&mut locked(&self.0));
    }
}

/// Shows progress.
#[derive(Debug)]
pub(super) struct Progress {
    form: Form,
    /// Where it is kept for others to read, instead of being shown.
    told: Option<Arc<Told>>,
    started: Instant,
    shown: Option<Instant>,
    pub(super) counts: Counts,
    /// The files that have what was rejected, of each import one.
    pub(super) rejects: BTreeSet<PathBuf>,
}

impl Progress {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            told: None,
            started: Instant::now(),
            shown: None,
            counts: Counts::default(),
            rejects: BTreeSet::new(),
        }
    }

    /// Progress that is kept there, and not shown.
    pub(super) fn told(told: Arc<Told>) -> Self {
        Self { told: Some(told), ..Self::new(Form::None) }
    }

    /// Something was rejected.
    pub(super) fn rejected(&mut self, file: &str, line: u64, reason: &str) {
        self.counts.rejected += 1;
        if let Some(told) = &self.told {
            told.change(|told| {
                if told.rejects.len() < TOLD_MAX {
                    told.rejects.push(json!({"file": file, "line": line, "reason": reason}));
                }
            });
        }
    }

    /// Shows how far it is, if it was not shown a moment ago.
    pub(super) fn show(&mut self) {
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= EVERY);
        if !is_due {
            return;
        }
        self.shown = Some(Instant::now());
        self.tell();
        match self.form {
            Form::Bar if io::stderr().is_terminal() => show_progress(&format!("{}\u{1b}[K", self.bar()), true),
            Form::Json => line(&self.json("progress")),
            Form::Bar | Form::None => {}
        }
    }

    /// Keeps how far it is for others to read, however short the time since the last time.
    pub(super) fn tell(&self) {
        if let Some(told) = &self.told {
            let counts = self.json("progress");
            told.change(|told| told.counts = counts);
        }
    }

    fn bar(&self) -> String {
        let counts = &self.counts;
        let part = counts.bytes.min(counts.bytes_all).saturating_mul(BAR_LETTERS) / counts.bytes_all.max(1);
        let filled = usize::try_from(part).map_or(0, |filled| filled);
        let bar = format!("{:<24}", "#".repeat(filled));
        let left = self.left().map_or_else(String::new, |left| format!(", {} s left", left.as_secs()));
        format!(
            "[{bar}] {}/{} files, {} MiB, {} rows/s, {} accepted, {} rejected{left}",
            counts.files,
            counts.files_all,
            counts.bytes >> 20,
            self.per_second(counts.accepted),
            counts.accepted,
            counts.rejected,
        )
    }

    fn per_second(&self, count: u64) -> u64 {
        let millis = u64::try_from(self.started.elapsed().as_millis()).map_or(u64::MAX, |millis| millis);
        count.saturating_mul(1_000) / millis.max(1)
    }

    fn left(&self) -> Option<Duration> {
        let millis = u64::try_from(self.started.elapsed().as_millis()).ok()?;
        let left = self.counts.bytes_all.checked_sub(self.counts.bytes)?;
        (self.counts.bytes > 0).then(|| Duration::from_millis(left.saturating_mul(millis) / self.counts.bytes))
    }

    fn json(&self, event: &str) -> serde_json::Value {
        let counts = &self.counts;
        json!({
            "event": event, "files": counts.files, "files_all": counts.files_all, "unchanged": counts.unchanged,
            "bytes": counts.bytes, "bytes_all": counts.bytes_all, "pieces": counts.pieces, "accepted": counts.accepted,
            "rejected": counts.rejected, "copied": counts.copied, "others": counts.others, "left_out": counts.left_out,
            "rows_per_second": self.per_second(counts.accepted),
            "seconds_left": self.left().map(|left| left.as_secs()),
        })
    }

    /// Counts and names what is not read, besides what was counted before.
    pub(super) fn leave_out(&mut self, left_out: &LeftOut) {
        for (why, count) in left_out.by_reason() {
            *self.counts.left_out.entry(why).or_default() += count;
        }
        left_out.notes().for_each(|note| self.say(&note));
    }

    /// Counts all that is not read now, and names what of it was not `said` before.
    pub(super) fn leave_out_now(&mut self, left_out: &LeftOut, said: &LeftOut) {
        self.counts.left_out = left_out.by_reason();
        left_out.beyond(said).notes().for_each(|note| self.say(&note));
    }

    /// Something that a person should know.
    pub(super) fn say(&self, text: &str) {
        if let Some(told) = &self.told {
            return told.note(text);
        }
        match self.form {
            Form::Json => line(&json!({"event": "note", "text": text})),
            Form::Bar if io::stderr().is_terminal() => {
                let _reader_gone = writeln!(io::stderr(), "\r{text}\u{1b}[K");
            }
            Form::Bar | Form::None => {
                let _reader_gone = writeln!(io::stderr(), "{text}");
            }
        }
    }

    /// Says where it is told what was rejected.
    pub(super) fn say_where_rejects_are(&self) {
        let Some(first) = self.rejects.first() else { return };
        let others = self.rejects.len() - 1;
        let beside = if others == 0 { String::new() } else { format!(" and {others} more beside it") };
        self.say(&format!("What was rejected, and why, is in {}{beside}.", first.display()));
    }

    /// What was done, at the end.
    pub(super) fn finish(&self, is_dry: bool) {
        if self.form == Form::Json {
            return line(&self.json("summary"));
        }
        if self.form == Form::Bar && io::stderr().is_terminal() {
            show_progress("\u{1b}[K", true);
        }
        let counts = &self.counts;
        let (seconds, what) = (self.started.elapsed().as_secs_f64(), if is_dry { "would be sent" } else { "accepted" });
        let mut text = format!(
            "{}, {} in {seconds:.1} s: {} {what} ({} a second), {} rejected.\n",
            counted(counts.files, "file"),
            counted(counts.pieces, "piece"),
            counted(counts.accepted, "row"),
            self.per_second(counts.accepted),
            counts.rejected
        );
        if counts.unchanged > 0 {
            text.push_str(&format!("Nothing is new in {} imported before.\n", counted(counts.unchanged, "file")));
        }
        if counts.copied > 0 {
            text.push_str(&format!("In another file too, and counted there: {}.\n", counted(counts.copied, "row")));
        }
        let left_out = counts.left_out.values().sum::<u64>();
        if left_out > 0 {
            text.push_str(&format!("Left out, for the reasons above: {}.\n", counted(left_out, "file")));
        }
        if !counts.others.is_empty() {
            let kinds = counts.others.iter().map(|(kind, count)| format!("{kind} {count}"));
            text.push_str(&format!("Not about calls: {}.\n", kinds.collect::<Vec<_>>().join(", ")));
        }
        let _reader_gone = io::stdout().write_all(text.as_bytes());
    }
}

fn line(value: &serde_json::Value) {
    let _reader_gone = writeln!(io::stdout(), "{value}");
}
