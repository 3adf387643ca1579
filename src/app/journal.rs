//! Opens the journal and the index of accepted spans, which learns from it what an earlier run accepted: the folder is taken at once,
//! and read while the listeners may answer already.

use crate::access::Quotas;
use crate::committer::quotas::hold_what_waits;
use crate::config::Config;
use crate::dedup::{DedupIndex, Noted};
use crate::journal::{
    Backlog, DeadLetters, IsNew, Journal, MachineDisk, MachineFolder, Options, Replay, ReplayedRows, Unread,
};
use crate::random;
use crate::telemetry::Metrics;
use crate::time::{Clock, UnixNanos};
use std::sync::Arc;

/// Which start of the machine this is. Source: proc(5).
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// The rows that ClickHouse refused for good.
#[must_use]
pub fn dead_letters(config: &Config) -> DeadLetters {
    DeadLetters::new(config.data_dir.join("dead-letter"), Arc::new(MachineDisk))
}

/// The journal and the index before anything is read.
pub(super) struct Opening {
    journal: Unread,
    dedup: DedupIndex,
    spans_max: usize,
    now: UnixNanos,
}

/// Takes the folder of the journal. Returns whether it is new, too.
pub(super) fn open(config: &Config, metrics: &Metrics) -> anyhow::Result<(Opening, IsNew)> {
    let (now, dir) = (Clock::System.now(), config.data_dir.join("journal"));
    let folder = MachineFolder::open(&dir)?;
    let (secret, is_new) = Journal::secret(&folder, &dir, random())?;
    let spans_max = config.dedup.max_spans;
    let dedup = DedupIndex::new(secret, spans_max, config.dedup_window_max());
    let options = Options {
        dir,
        config: config.journal.clone(),
        database: config.clickhouse.database.to_string(),
        origin: random(),
        secret,
        keys_max: spans_max,
        now,
        boot: std::fs::read_to_string(BOOT_ID_FILE).ok().map(|id| id.trim().to_owned()),
        prepare_ahead: true,
        clickhouse_is_here: config.clickhouse.is_here(),
    };
    let journal = Unread::new(options, Arc::new(folder), metrics.clone())?;
    Ok((Opening { journal, dedup, spans_max, now }, is_new))
}

impl Opening {
    /// What waits for ClickHouse, as it is found.
    pub(super) fn backlog(&self) -> &Backlog {
        self.journal.backlog()
    }

    /// Where spans are noted that are reported again.
    pub(super) fn noted(&self) -> Noted {
        self.dedup.noted()
    }

    /// Reads the journal, whatever ended the last run, and logs what was found. Blocks the thread.
    pub(super) fn recover(self, quotas: &Quotas) -> anyhow::Result<(Journal, DedupIndex)> {
        let Self { journal, mut dedup, spans_max, now } = self;
        let mut spans = 0_usize;
        let mut replay = |replay: &Replay<'_>| {
            spans += replay.rows.len();
            match &replay.rows {
                ReplayedRows::Keys(keys) => dedup.remember_all(keys, replay.accepted_at, now),
                ReplayedRows::Block(block) => dedup.remember_block(block, replay.accepted_at, now),
            }
            spans < spans_max
        };
        let (journal, recovered) = journal.recover(&mut replay)?;
        if recovered.torn_bytes > 0 {
            let bytes = recovered.torn_bytes;
            tracing::warn!(bytes, "cut off the end of a commit that was interrupted, and so never acknowledged");
        }
        if recovered.segments > 0 {
            let (segments, spans) = (recovered.segments, recovered.rows);
            tracing::info!(segments, spans, "found spans in the journal that ClickHouse does not have yet");
            hold_what_waits(quotas, &journal);
        }
        Ok((journal, dedup))
    }
}

/// Unlike that of any other process: segments of two journals must never share a token.
fn random() -> u64 {
    u64::from_le_bytes(random::bytes())
}
