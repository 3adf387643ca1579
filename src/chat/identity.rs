//! Which call a report is about, and what it says: the same call is always the same span.
//!
//! ```text
//! digest = SHA-256( "json"   | workspace | canonical request | canonical response | trace id | name, value of each that is given )
//!          SHA-256( "record" | workspace | key of the record                      | trace id | name, value of each that is given )
//!          SHA-256( "key"    | workspace | Idempotency-Key                        | nothing )            each part with its length
//! span id   bytes 0..8 of the digest
//! trace id  as given, or bytes 8..24 of the digest
//!
//! fingerprint = XXH3-64 of all of the body in canonical form, and of the header traceparent
//! ```
//!
//! Values that may be given: the parent, the session, the times, experiment and test case. What is merely said about a call
//! (cost, provider, tags, user) is in its fingerprint alone. Never the response id alone: some servers repeat ids.
//!
//! Source: docs/chat-api.md, "Identity".

use sha2::{Digest as _, Sha256};

use super::contexts::Contexts;
use super::timing::GivenTimes;
use super::trace_ref::{TraceRef, Traceparent};
use crate::ids::{SpanId, TraceId};
use crate::json::canonical::CanonicalHash;
use crate::json::document::Value;
use crate::numbers::to_u64;
use crate::time::UnixNanos;
use crate::workspace::Workspace;

/// What tells a report from another one of the same call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    pub(super) fn of(said: &CanonicalHash<'_>) -> Self {
        Self(said.finish())
    }

    /// With the header that came with the report.
    pub(super) fn with(self, traceparent: Option<Traceparent>) -> u64 {
        let Some(Traceparent { trace, parent, .. }) = traceparent else { return self.0 };
        let mut said = CanonicalHash::default();
        said.text("report", &self.0.to_string());
        said.text("traceparent", &format!("{trace}-{parent}"));
        said.finish()
    }
}

/// What a report says, for its fingerprint, and what of it tells which call it is about.
#[derive(Debug, Clone)]
pub(super) enum Said<'d> {
    /// A body of ours.
    Body { root: Value<'d>, request: Value<'d>, response: Value<'d> },
    /// A record of another tool.
    Record(RecordIdentity),
}

/// Which call a record of another tool is about, and what the record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RecordIdentity {
    pub(super) key: String,
    /// Its sender named it, so nothing else counts.
    pub(super) replaces_all: bool,
    pub(super) fingerprint: Fingerprint,
}

/// What the ids of a call are made from.
#[derive(Clone, Copy)]
pub(super) struct Identity<'a> {
    pub(super) workspace: &'a Workspace,
    /// The header `Idempotency-Key`, which replaces all but the workspace.
    pub(super) idempotency_key: Option<&'a str>,
    /// The trace the sender named.
    pub(super) trace: Option<TraceId>,
    /// The parent the sender named.
    pub(super) parent: Option<SpanId>,
    /// The session the sender named.
    pub(super) session: Option<&'a str>,
    pub(super) times: GivenTimes,
    pub(super) contexts: &'a Contexts<'a>,
}

impl Identity<'_> {
    /// The trace and the span of a call, and the fingerprint of what is said about it.
    pub(super) fn resolve(&self, said: &Said<'_>) -> (TraceRef, SpanId, Fingerprint) {
        let (kind, name) = match (self.idempotency_key, said) {
            (Some(key), _) => ("key", key),
            (None, Said::Record(record)) if record.replaces_all => ("named", &*record.key),
            (None, Said::Record(record)) => ("record", &*record.key),
            (None, Said::Body { .. }) => ("json", ""),
        };
        let mut digest = CallDigest::default();
        digest.part(kind.as_bytes());
        digest.part(self.workspace.as_str().as_bytes());
        let by_content = kind == "json";
        if !by_content {
            digest.part(name.as_bytes());
        }
        let fingerprint = match said {
            Said::Record(record) => record.fingerprint,
            Said::Body { root, request, response } => fingerprint(*root, [*request, *response], self.times, |text| {
                if by_content {
                    digest.part(text.as_bytes());
                }
            }),
        };
        if matches!(kind, "key" | "named") {
            digest.part(&[]);
        } else {
            digest.part(self.trace.as_ref().map_or(&[][..], |id| id.bytes()));
            self.add_what_is_given(&mut digest);
        }
        let (trace, span) = digest.ids();
        (self.trace.map_or(TraceRef::Own(trace), TraceRef::Joins), span, fingerprint)
    }

    fn add_what_is_given(&self, digest: &mut CallDigest) {
        digest.given("parent", self.parent.as_ref().map(|id| &id.bytes()[..]));
        digest.given("session", self.session.map(str::as_bytes));
        for (name, at) in self.times.named() {
            digest.given(name, at.map(|at| at.nanos().to_be_bytes()).as_ref().map(|bytes| &bytes[..]));
        }
        for (name, id) in self.contexts.ids() {
            digest.given(name, id.map(str::as_bytes));
        }
    }
}

/// Hashes all that a body says. `write` gets the canonical request, then the canonical response.
fn fingerprint(root: Value<'_>, parts: [Value<'_>; 2], times: GivenTimes, mut write: impl FnMut(&str)) -> Fingerprint {
    let mut said = CanonicalHash::default();
    for part in parts {
        write(said.value(part));
    }
    let times = times.named();
    add_times(&mut said, times);
    let is_time = |key: Value<'_>| times.iter().any(|(name, at)| at.is_some() && key.is_key(name));
    said.members(root, |key, value| !(parts.iter().any(|part| value.is_same(*part)) || is_time(key)));
    Fingerprint::of(&said)
}

/// Adds times, so that their spelling does not count.
pub(super) fn add_times<const N: usize>(said: &mut CanonicalHash<'_>, times: [(&str, Option<UnixNanos>); N]) {
    for (name, at) in times.into_iter().filter_map(|(name, at)| Some((name, at?))) {
        said.text(name, &at.nanos().to_string());
    }
}

/// What becomes the ids of a call.
#[derive(Default)]
pub(super) struct CallDigest(Sha256);

impl CallDigest {
    pub(super) fn part(&mut self, bytes: &[u8]) {
        self.0.update(to_u64(bytes.len()).to_be_bytes());
        self.0.update(bytes);
    }

    /// What is not given adds nothing.
    pub(super) fn given(&mut self, name: &str, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.part(name.as_bytes());
            self.part(value);
        }
    }

    pub(super) fn hex(self) -> String {
        self.0.finalize().iter().fold(String::with_capacity(64), |text, byte| text + &format!("{byte:02x}"))
    }

    fn ids(self) -> (TraceId, SpanId) {
        const WHY: &str = "ids of ones are not zero";
        let digest: [u8; 32] = self.0.finalize().into();
        // a digest of zeros only: nobody has ever seen one, but a digest is the sender's bytes after all
        let span = [0, 8, 16].into_iter().find_map(|at| SpanId::new(part(&digest, at)).ok());
        let trace = [8, 16].into_iter().find_map(|at| TraceId::new(part(&digest, at)).ok());
        (trace.or(TraceId::new([1; 16]).ok()).expect(WHY), span.or(SpanId::new([1; 8]).ok()).expect(WHY))
    }
}

/// `N` bytes from `at`.
fn part<const N: usize>(digest: &[u8; 32], at: usize) -> [u8; N] {
    let rest = digest.get(at..).and_then(|rest| rest.first_chunk());
    *rest.expect("an id ends within the digest")
}
