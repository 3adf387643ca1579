//! Which page of a list, in which order: the parameters `page`, `page_size`, `sort`, `mode`, and the frame of the answer.
//!
//! What is out of range, no number or no known word is a 422 in the reference's form; all of them are told at once.

use super::answer::{Problem, Refusal};
use super::filter::Filter;
use super::parameters::Parameters;
use serde_json::{Map, Value, json};

/// Most rows of a page.
pub const PAGE_SIZE_MAX: u64 = 1_000;

/// The page that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Counted from 1.
    pub number: u64,
    /// Rows of a page.
    pub size: u64,
}

impl Page {
    /// Whether so many rows are all that it may have: there may be more.
    #[must_use]
    pub fn is_full(&self, rows: usize) -> bool {
        u64::try_from(rows).is_ok_and(|rows| rows >= self.size)
    }

    /// Rows before this page.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.number.saturating_sub(1).saturating_mul(self.size)
    }
}

/// Reads parameters and collects what is wrong with them.
#[derive(Debug)]
pub struct Checks<'p> {
    parameters: &'p Parameters,
    problems: Vec<Problem>,
}

impl<'p> Checks<'p> {
    /// Nothing was read yet.
    #[must_use]
    pub fn new(parameters: &'p Parameters) -> Self {
        Self { parameters, problems: Vec::new() }
    }

    /// The parameters `page` and `page_size`.
    pub fn page(&mut self, size_default: u64) -> Page {
        let number = self.integer("page", 1, u64::MAX).unwrap_or(1);
        let size = self.integer("page_size", 1, PAGE_SIZE_MAX).unwrap_or(size_default);
        Page { number, size }
    }

    /// A whole number within bounds, if the parameter is there.
    pub fn integer(&mut self, name: &str, min: u64, max: u64) -> Option<u64> {
        let text = self.parameters.get(name)?;
        let mut problem = |kind: &str, msg: String, ctx: Value| {
            self.problems.push(Problem::new(kind, &["query", name], &msg, text.into(), ctx));
        };
        let Ok(number) = text.trim().parse::<i128>() else {
            let msg = "Input should be a valid integer, unable to parse string as an integer";
            problem("int_parsing", msg.to_owned(), Value::Null);
            return None;
        };
        if number < i128::from(min) {
            let msg = format!("Input should be greater than or equal to {min}");
            problem("greater_than_equal", msg, json!({"ge": min}));
        } else if number > i128::from(max) && max != u64::MAX {
            problem("less_than_equal", format!("Input should be less than or equal to {max}"), json!({"le": max}));
        }
        Some(u64::try_from(number).unwrap_or(u64::MAX))
    }

    /// The parameter `sort`: one of `allowed`, of which the first is the default.
    pub fn sort(&mut self, allowed: &[&'static str]) -> &'static str {
        self.word("sort", "enum", allowed).unwrap_or_else(|| allowed.first().copied().unwrap_or_default())
    }

    /// A parameter that is one of `allowed`, if it is there. `kind` is the reference's type of the problem: `enum` lists what is
    /// allowed in its own order, `literal_error` in that of `allowed`.
    pub fn word(&mut self, name: &str, kind: &str, allowed: &[&'static str]) -> Option<&'static str> {
        let text = self.parameters.get(name)?;
        let found = allowed.iter().find(|word| **word == text).copied();
        if found.is_none() {
            let mut words: Vec<&str> = allowed.to_vec();
            if kind == "enum" {
                // ascending before descending, key by key
                words.sort_by_key(|word| position_of_key(allowed, word));
            }
            let expected = listed(&words);
            let msg = format!("Input should be {expected}");
            let ctx = json!({"expected": expected});
            self.problems.push(Problem::new(kind, &["query", name], &msg, text.into(), ctx));
        }
        found
    }

    /// A problem that the caller found.
    pub fn add(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// # Errors
    /// 422 with everything that is wrong.
    pub fn finish(self) -> Result<(), Refusal> {
        if self.problems.is_empty() { Ok(()) } else { Err(Refusal::invalid(self.problems)) }
    }
}

/// The place of a sort's key in `allowed`, and whether it descends.
fn position_of_key(allowed: &[&str], word: &str) -> (usize, bool) {
    let key = |word: &str| word.trim_start_matches('-').to_owned();
    let place = allowed.iter().position(|other| key(other) == key(word)).unwrap_or(allowed.len());
    (place, word.starts_with('-'))
}

/// `'a', 'b' or 'c'`
fn listed(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    match quoted.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        _ => quoted.concat(),
    }
}

/// Whether a list says `null` for a sort and a filter that were not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nulls {
    /// Telemetry: they are left out.
    Omitted,
    /// Experiments: they are written.
    Written,
}

/// A page of a list, as it is answered.
#[must_use]
pub fn answer(
    data: Vec<Value>,
    page: Page,
    total: u64,
    sort: Option<&str>,
    filter: Option<&Filter>,
    nulls: Nulls,
) -> Map<String, Value> {
    let mut answer = Map::new();
    let pagination = json!({
        "page": page.number,
        "page_size": page.size,
        "current_page_size": data.len(),
        "total_pages": total.div_ceil(page.size.max(1)),
        "total_results": total,
    });
    answer.insert("data".to_owned(), data.into());
    answer.insert("pagination".to_owned(), pagination);
    let members = [("sort", sort.map(Value::from)), ("filter", filter.map(Filter::echo))];
    for (name, value) in members {
        match (value, nulls) {
            (Some(value), _) => drop(answer.insert(name.to_owned(), value)),
            (None, Nulls::Written) => drop(answer.insert(name.to_owned(), Value::Null)),
            (None, Nulls::Omitted) => {}
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const SORTS: [&str; 4] = ["-created_at", "created_at", "value", "-value"];

    fn checked(query: &str) -> Result<(Page, &'static str, Option<&'static str>), Value> {
        let parameters = Parameters::parse(Some(query)).unwrap();
        let mut checks = Checks::new(&parameters);
        let read =
            (checks.page(10), checks.sort(&SORTS), checks.word("mode", "literal_error", &["summary", "detailed"]));
        checks.finish().map(|()| read).map_err(|refusal| refusal.detail().clone())
    }

    #[test]
    fn what_is_not_given_is_the_default() {
        assert_eq!(checked(""), Ok((Page { number: 1, size: 10 }, "-created_at", None)));
        let given = checked("page=3&page_size=1000&sort=value&mode=summary");
        assert_eq!(given, Ok((Page { number: 3, size: 1000 }, "value", Some("summary"))));
        assert_eq!(Page { number: 3, size: 7 }.offset(), 14);
        assert_eq!(checked(&format!("page=9{}", u64::MAX)).unwrap().0.offset(), u64::MAX);
    }

    #[test]
    fn each_problem_has_the_references_words() {
        let of = |kind: &str, name: &str, msg: &str, input: &str, ctx: Value| {
            let mut problem = json!({"type": kind, "loc": ["query", name], "msg": msg, "input": input});
            if !ctx.is_null() {
                problem["ctx"] = ctx;
            }
            problem
        };
        let sorts = "'created_at', '-created_at', 'value' or '-value'";
        let modes = "'summary' or 'detailed'";
        let integer = "Input should be a valid integer, unable to parse string as an integer";
        let cases = [
            (
                "page=0",
                of("greater_than_equal", "page", "Input should be greater than or equal to 1", "0", json!({"ge": 1})),
            ),
            ("page=x", of("int_parsing", "page", integer, "x", Value::Null)),
            (
                "page_size=1001",
                of(
                    "less_than_equal",
                    "page_size",
                    "Input should be less than or equal to 1000",
                    "1001",
                    json!({"le": 1000}),
                ),
            ),
            ("sort=name", of("enum", "sort", &format!("Input should be {sorts}"), "name", json!({"expected": sorts}))),
            ("sort=", of("enum", "sort", &format!("Input should be {sorts}"), "", json!({"expected": sorts}))),
            (
                "mode=x",
                of("literal_error", "mode", &format!("Input should be {modes}"), "x", json!({"expected": modes})),
            ),
        ];
        for (query, problem) in cases {
            assert_eq!(checked(query), Err(json!([problem])), "{query}");
        }
        assert_eq!(checked("page=0&mode=x").unwrap_err().as_array().map(Vec::len), Some(2), "all at once");
    }

    #[test]
    fn a_page_says_how_many_there_are() {
        let page = Page { number: 2, size: 3 };
        let some = Value::Object(answer(vec![json!(1)], page, 7, Some("name"), None, Nulls::Omitted));
        let pagination = json!({
            "page": 2, "page_size": 3, "current_page_size": 1, "total_pages": 3, "total_results": 7
        });
        assert_eq!(some, json!({"data": [1], "pagination": pagination, "sort": "name"}));
        let none = answer(Vec::new(), page, 0, None, None, Nulls::Written);
        assert_eq!(none["pagination"]["total_pages"], 0);
        assert_eq!((none.get("sort"), none.get("filter")), (Some(&Value::Null), Some(&Value::Null)));
    }
}
