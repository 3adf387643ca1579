//! The tokens that are valid, found by the hash of a secret.

use super::token::{Scope, Token, TokenHash};
use crate::text::is_like;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Most tokens.
const TOKENS_MAX: usize = 100_000;

/// A token, ready to be asked.
#[derive(Debug)]
pub(super) struct KnownToken {
    name: String,
    hash: TokenHash,
    workspaces: Vec<Pattern>,
    scopes: Vec<Scope>,
    expires: Option<UnixNanos>,
}

#[derive(Debug)]
enum Pattern {
    All,
    Exact(Workspace),
    Like(String),
}

impl Pattern {
    fn of(text: &str) -> Self {
        match Workspace::new(text) {
            Ok(workspace) => Self::Exact(workspace),
            Err(_has_a_star) if text.bytes().all(|byte| byte == b'*') => Self::All,
            Err(_has_a_star) => Self::Like(text.to_owned()),
        }
    }

    fn fits(&self, workspace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Exact(exact) => exact.as_str() == workspace,
            Self::Like(pattern) => is_like(pattern.as_bytes(), workspace.as_bytes()),
        }
    }
}

impl KnownToken {
    fn of(token: &Token) -> Self {
        Self {
            name: token.name.clone(),
            hash: token.hash,
            workspaces: token.workspaces.iter().map(|text| Pattern::of(text)).collect(),
            scopes: token.scopes.clone(),
            expires: token.expires.and_then(super::token::Expiry::at),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    pub(super) fn is_for(&self, workspace: &str) -> bool {
        self.workspaces.iter().any(|pattern| pattern.fits(workspace))
    }

    pub(super) fn is_for_all(&self) -> bool {
        self.workspaces.iter().any(|pattern| matches!(pattern, Pattern::All))
    }

    pub(super) fn own_workspace(&self) -> Option<&Workspace> {
        match self.workspaces.as_slice() {
            [Pattern::Exact(workspace)] => Some(workspace),
            _ => None,
        }
    }

    pub(super) fn expires(&self) -> Option<UnixNanos> {
        self.expires
    }
}

/// All tokens that are valid.
#[derive(Debug, Default)]
pub struct TokenSet(HashMap<u64, Vec<Arc<KnownToken>>>);

impl TokenSet {
    /// # Errors
    /// If a token is not well-formed, or two have one name or one secret; it is named.
    pub fn new(tokens: &[Token]) -> Result<Self, String> {
        if tokens.len() > TOKENS_MAX {
            return Err(format!("there are {} tokens, more than {TOKENS_MAX}", tokens.len()));
        }
        let (mut set, mut names) = (Self::default(), HashSet::new());
        for token in tokens {
            token.check()?;
            if !names.insert(&token.name) {
                return Err(format!("two tokens have the name {}", token.name));
            }
            let alike = set.0.entry(token.hash.beginning()).or_default();
            if let Some(other) = alike.iter().find(|other| other.hash == token.hash) {
                return Err(format!("the tokens {} and {} have the same hash", other.name, token.name));
            }
            alike.push(Arc::new(KnownToken::of(token)));
        }
        Ok(set)
    }

    /// The token with this secret.
    pub(super) fn find(&self, secret: &[u8]) -> Option<&Arc<KnownToken>> {
        let hash = TokenHash::of(secret);
        self.0.get(&hash.beginning())?.iter().find(|token| token.hash == hash)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_secrets_are_unique() {
        let token = |name: &str, secret: &[u8]| Token {
            name: name.to_owned(),
            workspaces: vec!["*".to_owned()],
            scopes: vec![Scope::Read],
            expires: None,
            hash: TokenHash::of(secret),
        };
        assert_eq!(TokenSet::new(&[token("a", b"1"), token("b", b"2")]).unwrap().count(), 2);
        assert_eq!(TokenSet::new(&[token("a", b"1"), token("a", b"2")]).unwrap_err(), "two tokens have the name a");
        let error = TokenSet::new(&[token("a", b"1"), token("b", b"1")]).unwrap_err();
        assert_eq!(error, "the tokens a and b have the same hash");
    }
}
