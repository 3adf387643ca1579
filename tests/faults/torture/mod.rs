//! Faults against the real binary: it is killed, its ClickHouse is killed, cut off or answers nonsense, its disk fails.
//!
//! ```text
//! load     senders that behave like an SDK        ledger   what they were told, and what ClickHouse has
//! watch    the law of the counters, memory        proxy    breaks what passes between exporter and ClickHouse
//! shim     breaks the journal's disk (LD_PRELOAD)
//! ```
//!
//! `make test` runs the short form of each, `make torture` the long one; `MILLRACE_TORTURE_ROUNDS` says how many rounds.
//! Each test also proves that it met what it is about: acknowledgements, retries, replays, duplicate attempts.

mod away;
mod codes;
mod disk;
mod engine_killed;
mod killed;
pub(crate) mod ledger;
pub(crate) mod load;
#[cfg(feature = "torture")]
mod mounted;
mod parts;
mod poison;
#[cfg(feature = "torture")]
mod power_cut;
mod proxy_faults;
mod shim;
mod shutdown;
#[cfg(feature = "torture")]
mod small_disk;
pub(crate) mod watch;

use std::time::Duration;

use millrace::config::environment;

use support::sql::Sql;
use support::{Service, wait_at_most};

/// How long a backlog may take to be stored. No measurement: a bound for a machine under load.
const DRAINED_WITHIN: Duration = Duration::from_secs(if cfg!(feature = "torture") { 3_600 } else { 120 });

/// How many rounds: the short form in `make test`, the long one in `make torture`, or what the environment says.
fn rounds(short: usize, long: usize) -> usize {
    let asked = environment().get("MILLRACE_TORTURE_ROUNDS").map(|text| text.parse().expect("a number of rounds"));
    asked.unwrap_or(if is_long() { long } else { short })
}

/// Whether this is `make torture`.
pub(crate) fn is_long() -> bool {
    cfg!(feature = "torture")
}

/// Waits until everything accepted is in ClickHouse, which answers.
pub(crate) fn wait_until_drained(service: &Service, sql: &Sql) {
    wait_at_most(DRAINED_WITHIN, "everything accepted is stored", || {
        let pending = service.metric("millrace_spans_pending").expect("the gauge is there");
        (pending == 0.0).then_some(())
    });
    wait_at_most(DRAINED_WITHIN, "ClickHouse answers", || sql.try_rows("SELECT 1 AS one", &[]).ok());
}

/// How many starts of the service so far found spans in the journal that ClickHouse did not have.
fn replays(service: &Service) -> usize {
    service.log().matches("found spans in the journal").count()
}

/// Numbers that nobody can foresee, whose seed is shown; `MILLRACE_TORTURE_SEED` chooses one that was shown.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        let asked = environment().get("MILLRACE_TORTURE_SEED").map(|text| text.parse().expect("a seed is a number"));
        let seed: u64 = asked.unwrap_or_else(|| {
            let mut seed = [0; 8];
            getrandom::fill(&mut seed).expect("the machine has a random source");
            u64::from_le_bytes(seed)
        });
        eprintln!("dice: MILLRACE_TORTURE_SEED={}", seed | 1);
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `count`.
    pub(crate) fn place(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).expect("few");
        // the low bits of a xorshift are its worst
        usize::try_from((self.next() >> 16) % count).expect("below a usize")
    }

    /// A duration below `limit`.
    pub(crate) fn below(&mut self, limit: Duration) -> Duration {
        let limit_micros = u64::try_from(limit.as_micros()).expect("a short time");
        Duration::from_micros(self.next() % limit_micros)
    }
}
