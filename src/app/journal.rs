//! Opens the journal and the index of accepted spans, which learns from it what an earlier run accepted.

use crate::clickhouse::schema::TABLE;
use crate::config::Config;
use crate::dedup::DedupIndex;
use crate::journal::{DeadLetters, IsNew, Journal, MachineDisk, MachineFolder, Options, Replay, ReplayedRows};
use crate::random;
use crate::telemetry::Metrics;
use crate::time::Clock;
use std::sync::Arc;

/// Which start of the machine this is. Source: proc(5).
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// The rows that ClickHouse refused for good.
#[must_use]
pub fn dead_letters(config: &Config) -> DeadLetters {
    DeadLetters::new(config.data_dir.join("dead-letter"), Arc::new(MachineDisk))
}

/// Opens the journal, whatever ended the last run, and logs what was found. Returns the index of accepted spans, too, and
/// whether the journal is new.
pub(super) fn open(config: &Config, metrics: &Metrics) -> anyhow::Result<(Journal, DedupIndex, IsNew)> {
    let (now, dir) = (Clock::System.now(), config.data_dir.join("journal"));
    let folder = MachineFolder::open(&dir)?;
    let (secret, is_new) = Journal::secret(&folder, &dir, random())?;
    let mut dedup = DedupIndex::new(secret, config.dedup.max_spans, config.dedup_window_max());
    let options = Options {
        dir,
        config: config.journal.clone(),
        table: format!("{}.{TABLE}", config.clickhouse.database),
        origin: random(),
        secret,
        keys_max: config.dedup.max_spans,
        now,
        boot: std::fs::read_to_string(BOOT_ID_FILE).ok().map(|id| id.trim().to_owned()),
        prepare_ahead: true,
    };
    let mut spans = 0_usize;
    let mut replay = |replay: &Replay<'_>| {
        spans += replay.rows.len();
        match &replay.rows {
            ReplayedRows::Keys(keys) => dedup.remember_all(keys, replay.accepted_at, now),
            ReplayedRows::Block(block) => dedup.remember_block(block, replay.accepted_at, now),
        }
        spans < config.dedup.max_spans
    };
    let (journal, recovered) = Journal::open(options, Arc::new(folder), metrics.clone(), &mut replay)?;
    if recovered.torn_bytes > 0 {
        let bytes = recovered.torn_bytes;
        tracing::warn!(bytes, "cut off the end of a commit that was interrupted, and so never acknowledged");
    }
    if recovered.segments > 0 {
        let (segments, spans) = (recovered.segments, recovered.rows);
        tracing::info!(segments, spans, "found spans in the journal that ClickHouse does not have yet");
    }
    Ok((journal, dedup, is_new))
}

/// Unlike that of any other process: segments of two journals must never share a token.
fn random() -> u64 {
    u64::from_le_bytes(random::bytes())
}
