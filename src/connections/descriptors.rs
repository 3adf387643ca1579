//! How many descriptors the process may have, and which of them are for connections.
//!
//! ```text
//! RLIMIT_NOFILE   reserve 256   journal, the engine's pipes, connections to ClickHouse, the runtime
//!                 operator 64   health and metrics
//!                 receivers     the rest, up to CONNECTIONS_MAX
//! ```

use crate::numbers::saturating_usize;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that no connection takes.
const RESERVE: u64 = 256;
/// Connections of the operator.
const OPERATOR_MAX: u64 = 64;
/// Connections of senders, however many descriptors there are: each takes memory too.
const CONNECTIONS_MAX: u64 = 16_384;
/// Descriptors of a process whose limit is not known: what Linux gives by default.
const DESCRIPTORS_DEFAULT: u64 = 1_024;

/// Connections of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) receivers: usize,
    pub(super) operator: usize,
}

impl Shares {
    /// Shares out this many descriptors. A process with few of them gives half to connections.
    pub(super) fn of(descriptors: u64) -> Self {
        let connections = descriptors - RESERVE.min(descriptors / 2);
        let operator = OPERATOR_MAX.min(connections / 4).max(1);
        let receivers = connections.saturating_sub(operator).clamp(1, CONNECTIONS_MAX);
        Self { receivers: saturating_usize(receivers), operator: saturating_usize(operator) }
    }
}

/// Connections of a process that needs as many descriptors for files, at most `max`.
#[must_use]
pub fn half_of_the_descriptors(max: usize) -> usize {
    // `None` stands for no limit
    match getrlimit(Resource::Nofile).current {
        Some(descriptors) => saturating_usize(descriptors / 2).clamp(1, max),
        None => max,
    }
}

/// Raises the soft limit of descriptors to the hard one, for this process and the engine that it starts, and returns how many
/// there may be.
#[must_use]
pub fn raise_to_the_hard_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::debug!(%error, "failed to raise the limit of open files");
    }
    // `None` stands for no limit
    match getrlimit(Resource::Nofile).current {
        Some(descriptors) => descriptors.max(8),
        None if current.is_none() => u64::MAX,
        None => DESCRIPTORS_DEFAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        for descriptors in [8, 64, 256, 1_024, 4_096, 20_000, 1 << 20, u64::MAX] {
            let Shares { receivers, operator } = Shares::of(descriptors);
            let connections = u64::try_from(receivers + operator).unwrap();
            assert!(receivers >= 1 && operator >= 1);
            assert!(descriptors - connections >= RESERVE.min(descriptors / 2), "{descriptors}: {connections}");
        }
        assert_eq!(Shares::of(1_024), Shares { receivers: 704, operator: 64 });
        assert_eq!(Shares::of(u64::MAX), Shares { receivers: 16_384, operator: 64 });
    }
}
