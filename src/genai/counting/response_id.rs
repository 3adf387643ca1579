//! Which response ids say that two reports are about one call.

/// A response id that says which call it was, at least together with who reported it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustedId<'a>(&'a str);

/// Digits of a number that servers draw anew for each response, or count up: too few to tell two calls of a trace apart.
const DIGITS_MAX: usize = 3;

impl<'a> TrustedId<'a> {
    /// The id, unless it is empty or one that a server draws from a thousand.
    ///
    /// Source: ollama/ollama, `openai/openai.go`: `chatcmpl-%d` and `cmpl-%d` with `rand.Intn(999)`.
    #[must_use]
    pub fn new(id: &'a str) -> Option<Self> {
        let number = id.strip_prefix("chatcmpl-").or_else(|| id.strip_prefix("cmpl-"));
        let is_small = number.is_some_and(|number| {
            (1..=DIGITS_MAX).contains(&number.len()) && number.bytes().all(|letter| letter.is_ascii_digit())
        });
        (!id.is_empty() && !is_small).then_some(Self(id))
    }

    /// The text of the id.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_a_server_draws_from_a_thousand_is_not_trusted() {
        for id in ["", "chatcmpl-1", "chatcmpl-12", "chatcmpl-998", "cmpl-7"] {
            assert_eq!(TrustedId::new(id), None, "{id}");
        }
        for id in ["chatcmpl-1234", "chatcmpl-", "chatcmpl-1a", "chatcmpl-9xKq", "resp_12", "12", "koboldcpp"] {
            assert_eq!(TrustedId::new(id).map(TrustedId::text), Some(id));
        }
    }
}
