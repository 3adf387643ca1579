//! What is configured of tokens.
//!
//! ```text
//! auth:                      absent: everybody may do everything, on this machine alone
//! auth: none                 the same, wherever Millrace listens
//! auth: { tokens: [...], tokens_file: PATH }
//! ```

use super::file;
use super::set::TokenSet;
use super::token::Token;
use serde::de::value::MapAccessDeserializer;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::path::PathBuf;

/// Who may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nothing is configured: everybody, on this machine alone.
    #[default]
    Unset,
    /// Everybody, wherever Millrace listens.
    Open,
    /// Who has a token.
    Tokens(Tokens),
}

/// Where the tokens are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// In the configuration itself.
    pub tokens: Vec<Token>,
    /// In a file that `millrace token` edits.
    pub tokens_file: Option<PathBuf>,
}

impl Auth {
    /// # Errors
    /// What is wrong with what the configuration itself has.
    pub fn check(&self) -> Result<(), String> {
        let Self::Tokens(Tokens { tokens, tokens_file }) = self else { return Ok(()) };
        if tokens.is_empty() && tokens_file.is_none() {
            return Err("auth: needs tokens or tokens_file; auth: none lets everybody do everything".to_owned());
        }
        TokenSet::new(tokens).map(|_set| ()).map_err(|why| format!("auth.tokens: {why}"))
    }

    /// All tokens, those of the file too; `None` if none are asked for.
    ///
    /// # Errors
    /// If the file cannot be read, or a token is wrong.
    pub fn load(&self) -> Result<Option<TokenSet>, String> {
        let Self::Tokens(Tokens { tokens, tokens_file }) = self else { return Ok(None) };
        let mut all = tokens.clone();
        if let Some(path) = tokens_file {
            all.extend(file::read(path).map_err(|why| format!("auth.tokens_file: {why}"))?);
        }
        TokenSet::new(&all).map(Some).map_err(|why| format!("auth: {why}"))
    }

    /// Whether who asks must have a token.
    #[must_use]
    pub fn needs_tokens(&self) -> bool {
        matches!(self, Self::Tokens(_))
    }
}

impl Serialize for Auth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unset => serializer.serialize_none(),
            Self::Open => serializer.serialize_str("none"),
            Self::Tokens(tokens) => tokens.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AuthVisitor)
    }
}

struct AuthVisitor;

impl<'de> de::Visitor<'de> for AuthVisitor {
    type Value = Auth;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none, or the keys tokens and tokens_file")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Auth, E> {
        Ok(Auth::Unset)
    }

    fn visit_none<E: de::Error>(self) -> Result<Auth, E> {
        Ok(Auth::Unset)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Auth, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Auth, E> {
        if text == "none" { Ok(Auth::Open) } else { Err(E::custom("must be none, or the keys tokens and tokens_file")) }
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Auth, A::Error> {
        Tokens::deserialize(MapAccessDeserializer::new(map)).map(Auth::Tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Auth, String> {
        serde_saphyr::from_str(yaml).map_err(|error| error.without_snippet().to_string())
    }

    #[test]
    fn nothing_none_and_tokens_are_told_apart_and_written_as_they_are_read() {
        assert_eq!(read("~").unwrap(), Auth::Unset);
        assert_eq!(read("none").unwrap(), Auth::Open);
        let tokens = read("{ tokens_file: /etc/tokens.yaml }").unwrap();
        assert!(tokens.needs_tokens() && tokens.check().is_ok());
        for auth in [Auth::Unset, Auth::Open, tokens] {
            assert_eq!(read(&serde_saphyr::to_string(&auth).unwrap()).unwrap(), auth);
        }
        assert!(read("everybody").unwrap_err().contains("must be none, or the keys"));
        assert!(read("{ token: [] }").unwrap_err().contains("unknown field `token`"));
        assert!(read("{}").unwrap().check().unwrap_err().starts_with("auth: needs tokens"));
    }
}
