//! A token as it is kept: its name, what it may do, where, until when, and the hash of its secret.

use crate::random;
use crate::secret::Secret;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;
use subtle::ConstantTimeEq as _;

/// What tokens begin with, so that scanners for leaked secrets know them.
const PREFIX: &str = "millrace_";
/// What stands before the digits of a hash.
const SHA256: &str = "sha256:";
/// Most workspaces, or patterns of them, of one token.
const WORKSPACES_MAX: usize = 256;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Send spans, log records, metrics, captured calls and what is said about them.
    Ingest,
    /// Read what is stored.
    Read,
    /// Change and delete what is stored.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Read, Self::Admin];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        named.ok_or_else(|| format!("{text:?} is not ingest, read or admin"))
    }
}

/// A token as it is configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// By what it is known to its operator: 1 to 64 of `a-z A-Z 0-9 . _ -`.
    pub name: String,
    /// Workspaces; a `*` stands for any text.
    pub workspaces: Vec<String>,
    /// What it may do there.
    pub scopes: Vec<Scope>,
    /// When it ends; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Expiry>,
    /// Of its secret.
    pub hash: TokenHash,
}

impl Token {
    /// # Errors
    /// What is wrong with it, by its name.
    pub fn check(&self) -> Result<(), String> {
        let Self { name, workspaces, scopes, .. } = self;
        if Workspace::new(name).is_err() {
            return Err(format!("the name {name:?} of a token must be 1 to 64 of the characters a-z A-Z 0-9 . _ -"));
        }
        if workspaces.is_empty() || workspaces.len() > WORKSPACES_MAX {
            return Err(format!(
                "the token {name} must have 1 to {WORKSPACES_MAX} workspaces, such as [team-a] or ['*']"
            ));
        }
        let is_pattern = |pattern: &&String| Workspace::new(&pattern.replace('*', "x")).is_ok();
        if let Some(wrong) = workspaces.iter().find(|pattern| !is_pattern(pattern)) {
            return Err(format!("the token {name}: {wrong:?} is neither a workspace nor a pattern of workspaces"));
        }
        if scopes.is_empty() {
            return Err(format!("the token {name} must have a scope: ingest, read or admin"));
        }
        Ok(())
    }
}

/// When a token ends. In RFC 3339, such as `2027-01-31T00:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry(Timestamp);

impl Expiry {
    /// The time; what is later than times can be is never reached.
    #[must_use]
    pub fn at(self) -> Option<UnixNanos> {
        let nanos = self.0.as_nanosecond().max(0);
        i64::try_from(nanos).ok().and_then(UnixNanos::from_i64)
    }

    /// So many nanoseconds after 1970.
    #[must_use]
    pub fn from_time(time: UnixNanos) -> Self {
        Self(Timestamp::from_nanosecond(time.nanos().into()).expect("jiff has the times until 9999"))
    }
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| format!("{text:?} is not a time, such as 2027-01-31T00:00:00Z"))
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Expiry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The SHA-256 of a token's secret. Compared in constant time.
#[derive(Clone, Copy, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a secret.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Where it is looked up: those that begin alike are compared whole.
    pub(super) fn beginning(&self) -> u64 {
        let beginning = self.0.first_chunk().expect("a hash has 32 bytes");
        u64::from_le_bytes(*beginning)
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(SHA256)?.as_bytes();
        let (pairs, rest) = digits.as_chunks::<2>();
        let mut hash = [0; 32];
        if pairs.len() != hash.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
            let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(hash))
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHA256)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // never with the text: somebody may have written the token itself
        Self::parse(&text).ok_or_else(|| {
            de::Error::custom("a hash must be sha256: and 64 hex digits, as `millrace token create` writes it")
        })
    }
}

impl Secret {
    /// The secret of a new token: 256 random bits.
    #[must_use]
    pub fn generate() -> Self {
        let mut text = PREFIX.to_owned();
        URL_SAFE_NO_PAD.encode_string(random::bytes::<32>(), &mut text);
        Self::from(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "name: a\nworkspaces: [team-a, 'x-*']\nscopes: [ingest, read]\nexpires: 2027-01-31T00:00:00Z\n\
                        hash: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";

    #[test]
    fn a_token_is_written_as_it_is_read() {
        let token: Token = serde_saphyr::from_str(YAML).unwrap();
        assert_eq!(token.check(), Ok(()));
        assert_eq!(token.hash, TokenHash::of(b""));
        assert_eq!(token.expires.unwrap().at().unwrap().nanos(), 1_801_353_600_000_000_000);
        let written = serde_saphyr::to_string(&token).unwrap();
        assert_eq!(serde_saphyr::from_str::<Token>(&written).unwrap(), token, "{written}");
    }

    #[test]
    fn what_is_wrong_with_a_token_is_said_without_its_secret() {
        for (from, to, said) in [
            ("name: a", "name: a b", "the name \"a b\""),
            ("[team-a, 'x-*']", "[]", "the token a must have 1 to 256 workspaces"),
            ("team-a", "'te/am'", "the token a: \"te/am\" is neither"),
            ("[ingest, read]", "[]", "the token a must have a scope"),
        ] {
            let token: Token = serde_saphyr::from_str(&YAML.replace(from, to)).unwrap();
            assert!(token.check().unwrap_err().contains(said), "{to}");
        }
        let plain = YAML.replace("sha256:e3b0", "millrace_secret");
        let error = serde_saphyr::from_str::<Token>(&plain).unwrap_err().without_snippet().to_string();
        assert!(error.contains("sha256: and 64 hex digits") && !error.contains("millrace_secret"), "{error}");
        for scope in ["write", ""] {
            assert!(serde_saphyr::from_str::<Token>(&YAML.replace("ingest", scope)).is_err());
        }
    }
}
