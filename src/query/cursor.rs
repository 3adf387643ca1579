//! The parameter `cursor`, instead of `page`: where the last page ended, in a text that only this service reads. What is stored meanwhile
//! moves no page, and nothing is counted.
//!
//! ```text
//! base64url( ["1", hash of list, sort and filter, nanoseconds, keys of the last row ...] )
//! ```

use super::answer::Refusal;
use super::filter::Filter;
use super::parameters::Parameters;
use super::q::Search;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// Longest cursor that is read.
const BYTES_MAX: usize = 8 << 10;
const VERSION: &str = "1";

/// A list, as far as a cursor is about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursors {
    /// Tells lists, their sorts, filters and searches apart.
    hash: String,
}

/// Where a page begins: after this row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct After {
    /// The time by which rows are sorted: nanoseconds since 1970.
    pub(crate) at: i64,
    /// What else they are sorted by.
    pub(crate) keys: Vec<String>,
}

/// Where the page that a request asks for begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PageStart {
    /// It asks for a page by its number.
    No,
    /// It asks for the first page.
    First,
    /// It asks for the page after a row.
    After(After),
}

impl Cursors {
    pub(crate) fn of(list: &str, sort: &str, filter: Option<&Filter>, search: Option<&Search>) -> Self {
        let said = match search {
            None => json!([list, sort, filter.map(Filter::echo)]),
            Some(search) => json!([list, sort, filter.map(Filter::echo), search.text()]),
        };
        let said = said.to_string();
        let digest = Sha256::digest(said.as_bytes());
        Self { hash: digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect() }
    }

    /// Reads the parameter.
    ///
    /// # Errors
    /// 400 if it is not a cursor of this list with this sort and filter, or there is a page beside it.
    pub(crate) fn read(&self, parameters: &Parameters, keys: usize) -> Result<PageStart, Refusal> {
        let Some(text) = parameters.get("cursor") else { return Ok(PageStart::No) };
        if parameters.get("page").is_some() {
            return Err(Refusal::bad_request("Either page or cursor may be given, not both"));
        }
        if text.is_empty() {
            return Ok(PageStart::First);
        }
        let invalid = || Refusal::bad_request("Invalid cursor");
        let bytes = Some(text).filter(|text| text.len() <= BYTES_MAX).map(|text| URL_SAFE_NO_PAD.decode(text));
        let bytes = bytes.and_then(Result::ok).ok_or_else(invalid)?;
        let (version, hash, at, own): (String, String, i64, Vec<String>) =
            serde_json::from_slice(&bytes).map_err(|_| invalid())?;
        if version != VERSION || own.len() != keys {
            return Err(invalid());
        }
        if hash != self.hash {
            return Err(Refusal::bad_request("The cursor belongs to another list, sort or filter"));
        }
        Ok(PageStart::After(After { at, keys: own }))
    }

    /// The cursor of the page after a row.
    pub(crate) fn next(&self, after: &After) -> String {
        URL_SAFE_NO_PAD.encode(json!([VERSION, self.hash, after.at, after.keys]).to_string())
    }
}

/// A page of a list that is read by cursors.
pub(crate) fn answer(
    data: Vec<Value>,
    size: u64,
    next: Option<String>,
    sort: &str,
    filter: Option<&Filter>,
) -> Map<String, Value> {
    let mut answer = Map::new();
    let pagination = json!({"page_size": size, "current_page_size": data.len()});
    answer.insert("data".to_owned(), data.into());
    answer.insert("pagination".to_owned(), pagination);
    answer.insert("next_cursor".to_owned(), next.into());
    answer.insert("sort".to_owned(), sort.into());
    if let Some(filter) = filter {
        answer.insert("filter".to_owned(), filter.echo());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(cursor: &str) -> Parameters {
        Parameters::parse(Some(&format!("cursor={cursor}"))).unwrap()
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written_by_its_own_list_alone() {
        let list = Cursors::of("spans", "-started_at", None, None);
        let after = After { at: 7, keys: vec!["a".to_owned(), "'\u{fc}".to_owned()] };
        let cursor = list.next(&after);
        assert_eq!(list.read(&parameters(&cursor), 2), Ok(PageStart::After(after)));
        assert_eq!(list.read(&parameters(""), 2), Ok(PageStart::First));
        assert_eq!(list.read(&Parameters::default(), 2), Ok(PageStart::No));
        let others = [
            Cursors::of("traces", "-started_at", None, None),
            Cursors::of("spans", "started_at", None, None),
            Cursors::of("spans", "-started_at", Some(&Filter::is("kind", "LLM".into())), None),
        ];
        for other in others {
            assert!(other.read(&parameters(&cursor), 2).is_err());
        }
        let both = Parameters::parse(Some("cursor=&page=2")).unwrap();
        assert!(list.read(&both, 2).is_err());
    }

    #[test]
    fn what_is_not_a_cursor_is_refused() {
        let list = Cursors::of("spans", "-started_at", None, None);
        let cursor = list.next(&After { at: i64::MIN, keys: vec!["a".to_owned()] });
        assert!(list.read(&parameters(&cursor), 2).is_err(), "it has too few keys");
        for end in 1..cursor.len() {
            assert!(list.read(&parameters(&cursor[..end]), 1).is_err(), "{end}");
        }
        for text in ["x", "****", "bnVsbA", &"A".repeat(9_000)] {
            assert!(list.read(&parameters(text), 1).is_err());
        }
    }
}
