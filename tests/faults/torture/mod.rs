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
mod ledger;
mod load;
#[cfg(feature = "torture")]
mod mounted;
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
fn is_long() -> bool {
    cfg!(feature = "torture")
}

/// Waits until everything accepted is in ClickHouse, which answers.
fn wait_until_drained(service: &Service, sql: &Sql) {
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

/// Numbers that nobody can foresee, whose seed is shown so that a failed run can be told from another.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).expect("the machine has a random source");
        let seed = u64::from_le_bytes(seed) | 1;
        eprintln!("dice: {seed}");
        Self(seed)
    }

    /// A duration below `limit`.
    fn below(&mut self, limit: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let limit_micros = u64::try_from(limit.as_micros()).expect("a short time");
        Duration::from_micros(self.0 % limit_micros)
    }
}
