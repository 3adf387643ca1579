//! The parameter `filter`, in three spellings that become one tree.
//!
//! ```text
//! brackets   filter[model]=gpt-5&filter[started_at][$gte]=2026-01-01      brackets.rs
//! JSON       filter={"model":"gpt-5","started_at":{"$gte":"2026-01-01"}}  json.rs
//! text       filter=model:"gpt-5" AND started_at>="2026-01-01"            text.rs
//!
//! tree --fields.rs--> conditions on the fields that a list knows, with values of their types
//! ```
//!
//! Answers repeat the tree ([`Filter::echo`]), whatever the spelling was. Source: NeMo Intake's recorded answers.

mod brackets;
mod fields;
mod json;
mod text;

pub use fields::{Condition, Field, Fields, Kind, parse_time};

use super::answer::Refusal;
use super::parameters::Parameters;
use serde_json::{Map, Value, json};

/// The name of the parameter.
pub const NAME: &str = "filter";
/// Deepest nesting of a filter.
const DEPTH_MAX: usize = 32;

/// A filter as it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// A field and a value.
    Compare(Comparison),
    /// All of them.
    And(Vec<Filter>),
    /// Any of them.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
}

/// A field, an operator and a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The field's name.
    pub field: String,
    /// Names below it: of `metadata[key]` the `key`.
    pub below: Vec<String>,
    /// How they are compared.
    pub operator: Operator,
    /// The value as it came: a text in brackets, any JSON in JSON.
    pub value: Value,
}

impl Comparison {
    /// The field with the names below it, joined with dots.
    #[must_use]
    pub fn path(&self) -> String {
        self.below.iter().fold(self.field.clone(), |path, name| format!("{path}.{name}"))
    }
}

/// How a field and a value are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// They are the same.
    Eq,
    /// The value is a pattern: `%` stands for any text, `_` for one letter.
    Like,
    /// Less.
    Lt,
    /// Less, or the same.
    Lte,
    /// Greater.
    Gt,
    /// Greater, or the same.
    Gte,
    /// One of a list.
    In,
    /// None of a list.
    Nin,
}

impl Operator {
    const ALL: [Self; 8] = [Self::Eq, Self::Like, Self::Lt, Self::Lte, Self::Gt, Self::Gte, Self::In, Self::Nin];

    /// As JSON has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Eq => "$eq",
            Self::Like => "$like",
            Self::Lt => "$lt",
            Self::Lte => "$lte",
            Self::Gt => "$gt",
            Self::Gte => "$gte",
            Self::In => "$in",
            Self::Nin => "$nin",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.name() == name)
    }
}

impl Filter {
    /// Reads the parameter, if it is there.
    ///
    /// # Errors
    /// 400 that says what cannot be read.
    pub fn of(parameters: &Parameters) -> Result<Option<Self>, Refusal> {
        let mut parts = Vec::new();
        if let Some(text) = parameters.get(NAME) {
            let text = text.trim();
            let part = match text.as_bytes().first() {
                None => return Err(Refusal::bad_request("Filter query cannot be empty")),
                Some(b'{') => json::parse(text)?,
                Some(_) => text::parse(text)?,
            };
            parts.push(part);
        }
        parts.extend(brackets::parse(parameters)?);
        Ok((!parts.is_empty()).then(|| Self::all(parts)))
    }

    /// All of several; one alone is itself.
    #[must_use]
    pub fn all(mut parts: Vec<Self>) -> Self {
        if parts.len() == 1 { parts.remove(0) } else { Self::And(parts) }
    }

    /// A field that is the same as a value.
    #[must_use]
    pub fn is(field: &str, value: Value) -> Self {
        Self::Compare(Comparison { field: field.to_owned(), below: Vec::new(), operator: Operator::Eq, value })
    }

    /// The tree as an answer repeats it.
    #[must_use]
    pub fn echo(&self) -> Value {
        let member = |name: String, value: Value| Value::Object(Map::from_iter([(name, value)]));
        let list = |parts: &[Self]| parts.iter().map(Self::echo).collect::<Value>();
        match self {
            Self::Compare(comparison) => {
                member(comparison.path(), json!({comparison.operator.name(): comparison.value}))
            }
            Self::And(parts) => json!({"$and": list(parts)}),
            Self::Or(parts) => json!({"$or": list(parts)}),
            Self::Not(part) => json!({"$not": part.echo()}),
        }
    }

    /// Every comparison in it.
    #[must_use]
    pub fn comparisons(&self) -> Vec<&Comparison> {
        match self {
            Self::Compare(comparison) => vec![comparison],
            Self::And(parts) | Self::Or(parts) => parts.iter().flat_map(Self::comparisons).collect(),
            Self::Not(part) => part.comparisons(),
        }
    }
}

/// A list of texts as the reference writes it.
fn listed<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(|text| format!("'{text}'")).collect();
    format!("[{}]", quoted.join(", "))
}

fn too_deep() -> Refusal {
    Refusal::bad_request(&format!("The filter is nested more than {DEPTH_MAX} deep"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Value, String> {
        let parameters = Parameters::parse(Some(query)).unwrap();
        let filter = Filter::of(&parameters).map_err(|refusal| refusal.detail().as_str().unwrap().to_owned())?;
        Ok(filter.map_or(Value::Null, |filter| filter.echo()))
    }

    #[test]
    fn three_spellings_are_one_filter() {
        let session = json!({"session_id": {"$eq": "s-1"}});
        let both = json!({"$and": [{"session_id": {"$eq": "s-1"}}, {"kind": {"$eq": "LLM"}}]});
        let since = json!({"started_at": {"$gte": "2026-01-01"}});
        let cases = [
            (&session, "filter[session_id]=s-1"),
            (&session, "filter[session_id][$eq]=s-1"),
            (&session, "filter[session_id][eq]=s-1"),
            (&session, "filter%5Bsession_id%5D%5B%24eq%5D=s-1"),
            (&session, r#"filter={"session_id":"s-1"}"#),
            (&session, r#"filter={"session_id":{"$eq":"s-1"}}"#),
            (&session, r#"filter=session_id:"s-1""#),
            (&session, r#"filter=(session_id:"s-1")"#),
            (&session, "filter=session_id:s-1"),
            (&both, "filter[session_id]=s-1&filter[kind]=LLM"),
            (&both, r#"filter={"session_id":"s-1","kind":"LLM"}"#),
            (&both, r#"filter={"$and":[{"session_id":"s-1"},{"kind":"LLM"}]}"#),
            (&both, r#"filter=session_id:"s-1" AND kind:"LLM""#),
            (&both, r#"filter=session_id:"s-1"&filter[kind]=LLM"#),
            (&since, "filter[started_at][$gte]=2026-01-01"),
            (&since, r#"filter={"started_at":{"$gte":"2026-01-01"}}"#),
            (&since, r#"filter=started_at>="2026-01-01""#),
        ];
        for (want, query) in cases {
            assert_eq!(read(query).as_ref(), Ok(want), "{query}");
        }
        assert_eq!(read("page=1"), Ok(Value::Null));
    }

    #[test]
    fn every_form_of_each_spelling_is_read() {
        let cases = [
            ("filter[a]=x,y", json!({"a": {"$eq": ["x", "y"]}})),
            ("filter[a]=", json!({"a": {"$eq": null}})),
            ("filter[a]={\"$lt\":3}", json!({"a": {"$lt": 3}})),
            ("filter[a]=[1,2]", json!({"a": {"$eq": [1, 2]}})),
            ("filter[a][$gte]=1&filter[a][$lte]=2", json!({"$and": [{"a": {"$gte": "1"}}, {"a": {"$lte": "2"}}]})),
            ("filter[a]=1&filter[a]=2", json!({"a": {"$eq": "2"}})),
            ("filter[metadata][k]=v", json!({"metadata.k": {"$eq": "v"}})),
            ("filter[cost.mean][$gte]=0.2", json!({"cost.mean": {"$gte": "0.2"}})),
            (r#"filter={"a":{"$gte":1,"$lt":2}}"#, json!({"$and": [{"a": {"$gte": 1}}, {"a": {"$lt": 2}}]})),
            (
                r#"filter={"$or":[{"a":1},{"$not":{"b":null}}]}"#,
                json!({"$or": [{"a": {"$eq": 1}}, {"$not": {"b": {"$eq": null}}}]}),
            ),
            (r#"filter={"a":{"$in":["x"]}}"#, json!({"a": {"$in": ["x"]}})),
            (r#"filter=-a:"x""#, json!({"$not": {"a": {"$eq": "x"}}})),
            (
                r#"filter=a:"x" OR b~"y%" AND c<3"#,
                json!({"$or": [{"a": {"$eq": "x"}}, {"$and": [{"b": {"$like": "y%"}}, {"c": {"$lt": 3}}]}]}),
            ),
            (
                r#"filter=a IN ("x", 'y') AND (b NOT IN (1) OR c:null)"#,
                json!({"$and": [{"a": {"$in": ["x", "y"]}}, {"$or": [{"b": {"$nin": [1]}}, {"c": {"$eq": null}}]}]}),
            ),
            (r#"filter=a.b:"q\"uo" AND m[k]>1.5"#, json!({"$and": [{"a.b": {"$eq": "q\"uo"}}, {"m.k": {"$gt": 1.5}}]})),
        ];
        for (query, want) in cases {
            assert_eq!(read(&query.replace('+', "%2B")), Ok(want), "{query}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_the_references_words() {
        let mixed = "Top-level filter mixes a logical operator with sibling keys (['$and', 'session_id']); wrap the siblings \
                     inside the logical operator or under an explicit $and";
        let token = "Unexpected token Token('IDENTIFIER', 'here') at line 1, column 10.\nExpected one of: \n\t* DOT\n\t* EXACT\n\t* GT\n\t* GTE\n\t* \
                     LIKE\n\t* LSQB\n\t* LT\n\t* LTE\n\t* _IN\n\t* _NOT\nPrevious tokens: [Token('IDENTIFIER', 'nonsense')]\n";
        let cases = [
            ("filter=", "Filter query cannot be empty"),
            ("filter={bad", "Invalid JSON in filter parameter: {bad"),
            ("filter[a]={bad", "Invalid JSON in filter parameter: {bad"),
            ("filter[session_id][$bogus]=s", "'$bogus' is not a valid FilterOperator"),
            (r#"filter={"a":{"$bogus":1}}"#, "'$bogus' is not a valid FilterOperator"),
            (r#"filter={"session_id":"a","$and":[]}"#, mixed),
            ("filter=nonsense here", token),
        ];
        for (query, want) in cases {
            assert_eq!(read(query), Err(want.to_owned()), "{query}");
        }
        for query in
            ["filter[a", "filter[]=1", "filter[a]b=1", "filter=a:", "filter=(a:1", "filter=a:\"x", "filter=a IN 1"]
        {
            assert!(read(query).is_err(), "{query}");
        }
    }

    #[test]
    fn nesting_is_bounded_in_every_spelling() {
        let deep =
            |open: &str, middle: &str, close: &str| format!("filter={}{middle}{}", open.repeat(500), close.repeat(500));
        for query in [deep("(", "a:1", ")"), deep("-", "a:1", ""), deep(r#"{"$not":"#, r#"{"a":1}"#, "}")] {
            assert!(read(&query).is_err());
        }
        assert!(read(&format!("filter[a]{}=1", "[b]".repeat(500))).is_err());
    }
}
