//! What is noted of who did what: events of the log's target `audit`, which are lines of JSON whatever form the other lines have.
//!
//! ```text
//! {"timestamp":"...","level":"INFO","message":"token refused","reason":"scope","token":"team-a","route":"POST /v1/traces",
//!  "peer":"10.0.0.7:51234","unnoted":0,"target":"audit"}
//! ```

use crate::locks::locked;
use sha2::{Digest as _, Sha256};
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The target of the events.
pub const TARGET: &str = "audit";

/// Refusals that are noted in a second. Anybody can cause them; all are counted.
const REFUSALS_PER_SECOND: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);

/// The other end of the connection that a request came by: its client, or a proxy before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Lets few enough refusals through to be noted.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    noted: u32,
    unnoted: u64,
}

impl Refusals {
    /// Notes that a request was refused: why, with whose token if with one that is known, on which route, and from where.
    pub fn note(&self, reason: &str, token: Option<&str>, route: &str, peer: Option<Peer>) {
        if let Some(unnoted) = self.admit(Instant::now()) {
            let peer = peer.map(tracing::field::display);
            tracing::info!(target: TARGET, reason, token, route, peer, unnoted, "token refused");
        }
    }

    /// How many were left out before this one; `None` if it is left out too.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = locked(&self.0);
        if state.since.is_none_or(|since| since + SECOND <= now) {
            (state.since, state.noted) = (Some(now), 0);
        }
        if state.noted == REFUSALS_PER_SECOND {
            state.unnoted += 1;
            return None;
        }
        state.noted += 1;
        Some(std::mem::take(&mut state.unnoted))
    }
}

/// What stands for somebody's name where the name itself should not be: the beginning of its SHA-256, in hex.
#[must_use]
pub fn stands_for(name: &str) -> String {
    let hash = Sha256::digest(name.as_bytes());
    hash.iter().take(8).fold(String::new(), |mut text, byte| {
        let _writing_to_a_string_cannot_fail = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_refusals_are_noted_and_the_others_are_numbered() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let admitted = (0..100).filter(|_| refusals.admit(now).is_some()).count();
        assert_eq!(admitted, 10);
        assert_eq!(refusals.admit(now + SECOND), Some(90));
        assert_eq!(refusals.admit(now + SECOND), Some(0));
    }

    #[test]
    fn a_name_is_known_again_by_who_knows_it() {
        assert_eq!(stands_for("abc"), "ba7816bf8f01cfea");
    }
}
