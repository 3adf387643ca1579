//! The query string of a request: names and values as they came, decoded.

use super::answer::Refusal;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// Pairs of a query string that are read; a request with more is refused.
const PAIRS_MAX: usize = 1_000;

/// The parameters of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the part of a URL after its question mark.
    ///
    /// # Errors
    /// 400 if there are very many.
    pub fn parse(query: Option<&str>) -> Result<Self, Refusal> {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let owned = |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.into_owned());
        let pairs: Vec<_> = pairs.map(owned).take(PAIRS_MAX + 1).collect();
        if pairs.len() > PAIRS_MAX {
            return Err(Refusal::bad_request(&format!("More than {PAIRS_MAX} query parameters")));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter; of several with this name the last.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs().filter(|(own, _)| *own == name).last().map(|(_, value)| value)
    }

    /// All, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Refuses what a list does not know; `filter` with brackets goes by the name before them.
    ///
    /// # Errors
    /// 400 that names them, sorted.
    pub fn refuse_others(&self, known: &[&str]) -> Result<(), Refusal> {
        let base = |name: &str| if name.starts_with("filter[") { "filter".to_owned() } else { name.to_owned() };
        let unknown: BTreeSet<String> =
            self.pairs().map(|(name, _)| base(name)).filter(|name| !known.contains(&name.as_str())).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let names = unknown.into_iter().collect::<Vec<_>>().join(", ");
        Err(Refusal::bad_request(&format!("Unsupported query parameter(s): {names}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_the_last_of_a_name_counts() {
        let parameters = Parameters::parse(Some("by=a&by=b+c&filter%5Bx%5D=%C3%BC&e=")).unwrap();
        assert_eq!((parameters.get("by"), parameters.get("e"), parameters.get("no")), (Some("b c"), Some(""), None));
        assert_eq!(parameters.pairs().nth(2), Some(("filter[x]", "ü")));
        assert!(Parameters::parse(Some(&"a=1&".repeat(1_001))).is_err());
    }

    #[test]
    fn unknown_parameters_are_named_in_order() {
        let parameters = Parameters::parse(Some("foo=1&bar=2&filter[a]=1&page=1&foo=2")).unwrap();
        let refusal = parameters.refuse_others(&["filter", "page"]).unwrap_err();
        assert_eq!(refusal.detail(), "Unsupported query parameter(s): bar, foo");
        assert_eq!(parameters.refuse_others(&["bar", "filter", "foo", "page"]), Ok(()));
    }
}
