//! Who may do what: tokens, what each of them may do, and the one place that decides it for every request.
//!
//! ```text
//! Authorization --> credentials.rs --> SHA-256 --> set.rs --> Principal --> scope, workspace --> handler
//!                   the secret                     the token               routes.rs: every route names what it needs
//! ```
//!
//! A token is 256 random bits, and its SHA-256 is what is kept. A slow hash with salt (argon2) protects secrets that somebody can guess;
//! nobody guesses 256 bits, so a fast hash gives nothing away, and checking a token costs less than a microsecond.
//!
//! Without tokens the gate is open, and nothing of this runs. How much each workspace may send is in `quotas.rs`.

pub mod config;
mod credentials;
pub mod file;
pub mod quotas;
pub mod routes;
mod set;
pub mod token;

pub use config::Auth;
pub use quotas::{OverQuota, Quotas};
pub use set::TokenSet;
pub use token::{Scope, Token, TokenHash};

use crate::audit::{Peer, Refusals};
use crate::reloadable::Reloadable;
use crate::secret::Secret;
use crate::telemetry::AccessMetrics;
use crate::time::Clock;
use crate::workspace::Workspace;
use axum::http::{Extensions, HeaderMap};
use set::KnownToken;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long the answer to a wrong token waits.
const SLOWED_BY: Duration = Duration::from_millis(250);
/// Answers that may wait at once; those of further requests are sent without.
const SLOWED_AT_ONCE_MAX: usize = 256;

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It has no `Authorization`.
    #[error("a token is needed: send Authorization: Bearer TOKEN, or Basic with the token as password")]
    Missing,
    /// It has an `Authorization` that is neither of the two.
    #[error("Authorization must be Bearer TOKEN, or Basic with the token as password")]
    Malformed,
    /// No token is this one.
    #[error("the token is not valid")]
    Unknown,
    /// Its token was valid once.
    #[error("the token has expired")]
    Expired,
    /// Its token may not do this.
    #[error("the token lacks the scope {0}")]
    Scope(Scope),
    /// Its token is for others.
    #[error("the token is not for this workspace")]
    Workspace,
    /// The route speaks of all workspaces, and its token is not for all.
    #[error("the token is not for all workspaces, of which this tells")]
    NotForAll,
}

impl Denied {
    /// Whether another token is needed, rather than more rights.
    #[must_use]
    pub fn is_unauthenticated(self) -> bool {
        matches!(self, Self::Missing | Self::Malformed | Self::Unknown | Self::Expired)
    }

    /// The reason in a word, for metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Scope(_) => "scope",
            Self::Workspace | Self::NotForAll => "workspace",
        }
    }
}

/// What a route needs of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it shows nothing of anybody.
    Nothing,
    /// A scope, in the workspace that is `{workspace}` in its path.
    InWorkspace(Scope),
    /// A scope; its handler finds the workspace and asks the [`Principal`].
    Own(Scope),
    /// A scope in all workspaces: it tells of all of them.
    Everywhere(Scope),
}

impl Needs {
    /// Whether `principal` has what is needed; `workspace` is the one in the path.
    ///
    /// # Errors
    /// If not.
    pub fn met_by(self, principal: &Principal, workspace: Option<&str>) -> Result<(), Denied> {
        match self {
            Self::Nothing => Ok(()),
            Self::Own(scope) => principal.may(scope),
            Self::Everywhere(scope) => principal.may(scope).and_then(|()| principal.is_everywhere()),
            Self::InWorkspace(scope) => {
                principal.may(scope)?;
                workspace.map_or(Err(Denied::Workspace), |workspace| principal.is_in(workspace))
            }
        }
    }
}

/// Who asks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Principal(Option<Arc<KnownToken>>);

impl Principal {
    /// Whoever asks a Millrace without tokens.
    #[must_use]
    pub fn anyone() -> Self {
        Self(None)
    }

    /// The token's name; `None` for anyone.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|token| token.name())
    }

    /// # Errors
    /// If it lacks the scope.
    pub fn may(&self, scope: Scope) -> Result<(), Denied> {
        let may = self.0.as_ref().is_none_or(|token| token.may(scope));
        if may { Ok(()) } else { Err(Denied::Scope(scope)) }
    }

    /// # Errors
    /// If it is not for this workspace.
    pub fn is_in(&self, workspace: &str) -> Result<(), Denied> {
        let is_in = self.0.as_ref().is_none_or(|token| token.is_for(workspace));
        if is_in { Ok(()) } else { Err(Denied::Workspace) }
    }

    /// # Errors
    /// If it is not for all workspaces.
    pub fn is_everywhere(&self) -> Result<(), Denied> {
        let is_everywhere = self.0.as_ref().is_none_or(|token| token.is_for_all());
        if is_everywhere { Ok(()) } else { Err(Denied::NotForAll) }
    }

    /// The one workspace that its token names.
    #[must_use]
    pub fn own_workspace(&self) -> Option<&Workspace> {
        self.0.as_ref().and_then(|token| token.own_workspace())
    }
}

/// Decides who may ask. Clones decide alike, also after [`replace`](Self::replace).
#[derive(Debug, Clone)]
pub struct Gate(Option<Arc<Guarding>>);

#[derive(Debug)]
struct Guarding {
    tokens: Reloadable<TokenSet>,
    clock: Clock,
    metrics: AccessMetrics,
    slowed: Semaphore,
    refusals: Refusals,
}

impl Gate {
    /// Lets everybody do everything.
    #[must_use]
    pub fn open() -> Self {
        Self(None)
    }

    /// Lets those do something who have one of these tokens.
    #[must_use]
    pub fn new(tokens: TokenSet, clock: Clock, metrics: AccessMetrics) -> Self {
        let slowed = Semaphore::new(SLOWED_AT_ONCE_MAX);
        Self(Some(Arc::new(Guarding {
            tokens: Reloadable::new(tokens),
            clock,
            metrics,
            slowed,
            refusals: Refusals::default(),
        })))
    }

    /// Whether everybody may do everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// From now on these tokens are valid, and no others.
    pub fn replace(&self, tokens: TokenSet) {
        debug_assert!(!self.is_open(), "an open gate knows no tokens");
        if let Some(guarding) = &self.0 {
            guarding.tokens.replace(tokens);
        }
    }

    /// Who sends a request with these headers.
    ///
    /// # Errors
    /// If they have no valid token.
    pub fn identify(&self, headers: &HeaderMap) -> Result<Principal, Denied> {
        let Some(guarding) = &self.0 else { return Ok(Principal::anyone()) };
        let tokens = guarding.tokens.now();
        let token = credentials::with_secret(headers, |secret| tokens.find(secret).cloned())?;
        drop(tokens);
        let token = token.ok_or(Denied::Unknown)?;
        if token.expires().is_some_and(|expires| expires <= guarding.clock.now()) {
            return Err(Denied::Expired);
        }
        Ok(Principal(Some(token)))
    }

    /// Who sent a request that passed: what [`routes`] noted in it.
    ///
    /// # Errors
    /// If nothing is noted: the request did not come by a route that asks.
    pub fn principal_of(&self, extensions: &Extensions) -> Result<Principal, Denied> {
        if self.is_open() {
            return Ok(Principal::anyone());
        }
        extensions.get::<Principal>().cloned().ok_or(Denied::Missing)
    }

    /// The secret of a request, for one that is sent on its behalf; `None` where nobody needs one.
    #[must_use]
    pub fn secret_of(&self, headers: &HeaderMap) -> Option<Secret> {
        self.0.as_ref()?;
        credentials::with_secret(headers, |secret| String::from_utf8(secret.to_vec()).ok()).ok()?.map(Secret::from)
    }

    /// Counts and notes a refusal, as [`refuse`](Self::refuse) does.
    pub fn note(&self, denied: Denied, principal: Option<&Principal>, route: &str, peer: Option<Peer>) {
        if let Some(guarding) = &self.0 {
            guarding.metrics.count(denied.reason());
            guarding.refusals.note(denied.reason(), principal.and_then(Principal::name), route, peer);
        }
    }

    /// Counts and notes a refusal: of whom, if that is known, on which route, and from where. The answer to a request without a valid token
    /// waits a moment.
    pub async fn refuse(&self, denied: Denied, principal: Option<&Principal>, route: &str, peer: Option<Peer>) {
        self.note(denied, principal, route, peer);
        let Some(guarding) = &self.0 else { return };
        if denied.is_unauthenticated()
            && let Ok(_permit) = guarding.slowed.try_acquire()
        {
            tokio::time::sleep(SLOWED_BY).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;
    use crate::time::UnixNanos;

    fn token(name: &str, secret: &str, workspaces: &[&str], scopes: &[Scope], expires: Option<&str>) -> Token {
        Token {
            name: name.to_owned(),
            workspaces: workspaces.iter().map(|name| (*name).to_owned()).collect(),
            scopes: scopes.to_vec(),
            expires: expires.map(|time| time.parse().unwrap()),
            hash: TokenHash::of(secret.as_bytes()),
        }
    }

    fn gate(tokens: &[Token]) -> Gate {
        let now = Clock::Fixed(UnixNanos::new(1_790_000_000_000_000_000).unwrap());
        Gate::new(TokenSet::new(tokens).unwrap(), now, Metrics::new().unwrap().access)
    }

    fn identify(gate: &Gate, authorization: &str) -> Result<Principal, Denied> {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", authorization.parse().unwrap());
        gate.identify(&headers)
    }

    #[test]
    fn a_token_does_what_its_scopes_say_in_its_workspaces_until_it_expires() {
        let gate = gate(&[
            token("a", "secret-a", &["team-a"], &[Scope::Ingest], None),
            token("b", "secret-b", &["team-*", "x"], &[Scope::Read], Some("2026-09-21T14:13:21Z")),
            token("old", "secret-c", &["*"], &[Scope::Admin], Some("2026-09-21T14:13:20Z")),
            token("all", "secret-d", &["*"], &[Scope::Read], None),
        ]);
        let a = identify(&gate, "Bearer secret-a").unwrap();
        assert_eq!((a.name(), a.own_workspace().map(Workspace::as_str)), (Some("a"), Some("team-a")));
        for (needs, workspace, want) in [
            (Needs::InWorkspace(Scope::Ingest), Some("team-a"), Ok(())),
            (Needs::InWorkspace(Scope::Ingest), Some("team-b"), Err(Denied::Workspace)),
            (Needs::InWorkspace(Scope::Ingest), None, Err(Denied::Workspace)),
            (Needs::InWorkspace(Scope::Read), Some("team-a"), Err(Denied::Scope(Scope::Read))),
            (Needs::Own(Scope::Ingest), None, Ok(())),
            (Needs::Everywhere(Scope::Ingest), None, Err(Denied::NotForAll)),
            (Needs::Everywhere(Scope::Admin), None, Err(Denied::Scope(Scope::Admin))),
            (Needs::Nothing, None, Ok(())),
        ] {
            assert_eq!(needs.met_by(&a, workspace), want, "{needs:?} {workspace:?}");
        }
        let b = identify(&gate, "bearer secret-b").unwrap();
        assert_eq!((b.is_in("team-z"), b.is_in("x"), b.is_in("xy")), (Ok(()), Ok(()), Err(Denied::Workspace)));
        assert!(b.own_workspace().is_none());
        assert_eq!(identify(&gate, "Bearer secret-c").unwrap_err(), Denied::Expired);
        assert_eq!(identify(&gate, "Bearer secret-").unwrap_err(), Denied::Unknown);
        let all = identify(&gate, "Basic YWxsOnNlY3JldC1k").unwrap();
        assert_eq!(Needs::Everywhere(Scope::Read).met_by(&all, None), Ok(()));
        assert_eq!(gate.identify(&HeaderMap::new()).unwrap_err(), Denied::Missing);
        assert_eq!(gate.principal_of(&Extensions::new()).unwrap_err(), Denied::Missing, "no route asked");
    }

    #[test]
    fn tokens_that_are_replaced_are_not_valid_any_more() {
        let gate = gate(&[token("a", "secret-a", &["*"], &[Scope::Read], None)]);
        let other = gate.clone();
        gate.replace(TokenSet::new(&[token("b", "secret-b", &["*"], &[Scope::Read], None)]).unwrap());
        assert_eq!(identify(&other, "Bearer secret-a").unwrap_err(), Denied::Unknown);
        assert_eq!(identify(&other, "Bearer secret-b").unwrap().name(), Some("b"));
    }

    #[test]
    fn an_open_gate_lets_everybody_do_everything() {
        let anyone = identify(&Gate::open(), "Basic nonsense").unwrap();
        assert_eq!(Needs::Everywhere(Scope::Admin).met_by(&anyone, None), Ok(()));
        assert_eq!(Needs::InWorkspace(Scope::Admin).met_by(&anyone, Some("w")), Ok(()));
    }

    #[test]
    fn a_new_secret_is_one_block_of_sha_256_and_never_the_same() {
        let (one, other) = (Secret::generate(), Secret::generate());
        assert_ne!(one.reveal(), other.reveal());
        // 64 bytes less the padding: one more byte would double the cost of every request
        assert!(one.reveal().len() <= 55 && one.reveal().starts_with("millrace_"), "{}", one.reveal().len());
        let gate = gate(&[token("new", one.reveal(), &["*"], &[Scope::Read], None)]);
        assert!(identify(&gate, &format!("Bearer {}", one.reveal())).is_ok());
    }
}
