//! The fields that a list can be filtered by, and a filter held against them: conditions with values of their types.

use super::{Comparison, Filter, Operator, listed};
use crate::query::answer::Refusal;
use crate::time::UnixNanos;
use jiff::civil;
use jiff::tz::TimeZone;
use serde_json::Value;
use std::time::Duration;

/// A field by which a list can be filtered, or that it knows and cannot be filtered by.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Whether the reference does not know it.
    pub is_extension: bool,
}

/// What a field takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A text: `$eq`; of an extended list `$in`, `$nin`, `$like` too.
    Text,
    /// One of these texts: `$eq`; of an extended list `$in`, `$nin` too.
    Choice(&'static [&'static str]),
    /// A time: `$gte`, `$lte`; of an extended list `$gt`, `$lt`, `$eq` too.
    Time,
    /// A number: `$gte`, `$lte`; of an extended list `$gt`, `$lt`, `$eq`, `$in`, `$nin` too.
    Number,
    /// Yes or no: `$eq`.
    Flag,
    /// Nothing: the reference names it, and no filter by it is there.
    Known,
}

impl Field {
    /// A field.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, is_extension: false }
    }

    /// A field that the reference does not know.
    #[must_use]
    pub const fn extension(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, is_extension: true }
    }
}

/// The fields of a list.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    /// What a refusal calls a row: `span`, `trace`.
    pub subject: &'static str,
    /// Every field.
    pub fields: &'static [Field],
    /// Whether the list takes what the reference's does not: `$or`, `$not`, more operators, and fields that are extensions.
    pub is_extended: bool,
}

/// What a row must be like.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// All of them.
    All(Vec<Condition>),
    /// Any of them.
    Any(Vec<Condition>),
    /// Not this; it holds where the value is not known, too.
    Not(Box<Condition>),
    /// A text is this one.
    Is(&'static str, String),
    /// A text is one of these.
    In(&'static str, Vec<String>),
    /// A text is like this pattern.
    Like(&'static str, String),
    /// A time is not before this one.
    Since(&'static str, UnixNanos),
    /// A time is not after this one.
    Until(&'static str, UnixNanos),
    /// A number compares so: with an operator that takes one value.
    Number(&'static str, Operator, f64),
    /// Yes or no.
    Flag(&'static str, bool),
}

impl Condition {
    /// The conditions that hold for every row: those that nothing else is an alternative to.
    #[must_use]
    pub fn needed(&self) -> Vec<&Self> {
        match self {
            Self::All(parts) => parts.iter().flat_map(Self::needed).collect(),
            other => vec![other],
        }
    }

    /// As `needed`, by value.
    #[must_use]
    pub fn into_needed(self) -> Vec<Self> {
        match self {
            Self::All(parts) => parts.into_iter().flat_map(Self::into_needed).collect(),
            other => vec![other],
        }
    }

    /// Every field that it is about, once for each time.
    #[must_use]
    pub fn fields(&self) -> Vec<&'static str> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::fields).collect(),
            Self::Not(part) => part.fields(),
            Self::Is(field, _)
            | Self::In(field, _)
            | Self::Like(field, _)
            | Self::Since(field, _)
            | Self::Until(field, _)
            | Self::Number(field, ..)
            | Self::Flag(field, _) => vec![field],
        }
    }
}

const ONLY_AND: &str = "Only AND-combined field filters are supported for Intake span storage.";

impl Fields {
    /// # Errors
    /// 400 if the filter names a field that the list does not know.
    pub fn check_names(&self, filter: &Filter) -> Result<(), Refusal> {
        filter.comparisons().into_iter().try_for_each(|comparison| self.find(comparison).map(drop))
    }

    /// The filter as conditions.
    ///
    /// # Errors
    /// 400 that says which field takes what.
    pub fn check(&self, filter: &Filter) -> Result<Condition, Refusal> {
        let all = |parts: &[Filter]| parts.iter().map(|part| self.check(part)).collect::<Result<Vec<_>, _>>();
        match filter {
            Filter::Compare(comparison) => self.condition(comparison),
            Filter::And(parts) => all(parts).map(Condition::All),
            Filter::Or(parts) if self.is_extended => all(parts).map(Condition::Any),
            Filter::Not(part) if self.is_extended => self.check(part).map(not),
            Filter::Or(_) | Filter::Not(_) => Err(Refusal::bad_request(ONLY_AND)),
        }
    }

    fn find(&self, comparison: &Comparison) -> Result<&'static Field, Refusal> {
        let known = || self.fields.iter().filter(|field| self.is_extended || !field.is_extension);
        let found = known().find(|field| field.name == comparison.field);
        let name = match found {
            Some(field) if comparison.below.is_empty() => return Ok(field),
            Some(_) => comparison.path(),
            None => comparison.field.clone(),
        };
        let mut names: Vec<&str> = known().map(|field| field.name).collect();
        names.sort_unstable();
        Err(Refusal::bad_request(&format!("Unknown filter field '{name}'. Valid fields: {}", listed(names))))
    }

    fn condition(&self, comparison: &Comparison) -> Result<Condition, Refusal> {
        let Field { name, kind, .. } = *self.find(comparison)?;
        let Comparison { operator, value, .. } = comparison;
        let unsupported = || {
            let subject = self.subject;
            Err(Refusal::bad_request(&format!("Unsupported {subject} filter: {name} {}", operator.name())))
        };
        match (kind, operator) {
            (Kind::Known, _) => unsupported(),
            (_, Operator::In | Operator::Nin) if self.is_extended => {
                let any = any_of(name, kind, value)?;
                Ok(if *operator == Operator::In { any } else { not(any) })
            }
            (Kind::Text, Operator::Like) if self.is_extended => Ok(Condition::Like(name, text(name, value)?)),
            (Kind::Time | Kind::Number, Operator::Gte | Operator::Lte) => compared(name, kind, *operator, value),
            (Kind::Time | Kind::Number, Operator::Gt | Operator::Lt | Operator::Eq) if self.is_extended => {
                compared(name, kind, *operator, value)
            }
            (Kind::Text | Kind::Choice(_) | Kind::Flag, Operator::Eq) => match (kind, value) {
                (Kind::Text | Kind::Choice(_), Value::Array(_)) if self.is_extended => {
                    Err(refused(name, "must be a string. To find one of several, use $in."))
                }
                _ => is(name, kind, value),
            },
            _ if self.is_extended => Err(refused(name, &format!("takes {}, not {}.", taken(kind), operator.name()))),
            (Kind::Text | Kind::Choice(_) | Kind::Flag, _) => Err(refused(name, "only supports equality.")),
            (Kind::Time | Kind::Number, _) => unsupported(),
        }
    }
}

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

/// The operators that a field of an extended list takes.
fn taken(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "$eq, $in, $nin and $like",
        Kind::Choice(_) => "$eq, $in and $nin",
        Kind::Time => "$eq, $gt, $gte, $lt and $lte",
        Kind::Number => "$eq, $gt, $gte, $lt, $lte, $in and $nin",
        Kind::Flag => "$eq",
        Kind::Known => "nothing",
    }
}

/// A field is the same as a value.
fn is(name: &'static str, kind: Kind, value: &Value) -> Result<Condition, Refusal> {
    match kind {
        Kind::Choice(words) => Ok(Condition::Is(name, one_of(words, name, value)?)),
        Kind::Flag => flag(name, value),
        _ => Ok(Condition::Is(name, text(name, value)?)),
    }
}

/// A text that is one of these.
fn one_of(words: &[&str], name: &str, value: &Value) -> Result<String, Refusal> {
    let word = text(name, value)?;
    if words.contains(&word.as_str()) {
        return Ok(word);
    }
    Err(refused(name, &format!("must be one of: {}", words.join(", "))))
}

/// A time or a number compares so with a value. Times are known to the nanosecond.
fn compared(name: &'static str, kind: Kind, operator: Operator, value: &Value) -> Result<Condition, Refusal> {
    const LEAST: Duration = Duration::from_nanos(1);
    if !matches!(kind, Kind::Time) {
        return Ok(Condition::Number(name, operator, number(name, value)?));
    }
    let at = time(name, value)?;
    Ok(match operator {
        Operator::Gt => Condition::Since(name, at.saturating_add(LEAST)),
        Operator::Lt => Condition::Until(name, at.saturating_sub(LEAST)),
        Operator::Lte => Condition::Until(name, at),
        Operator::Eq => Condition::All(vec![Condition::Since(name, at), Condition::Until(name, at)]),
        _ => Condition::Since(name, at),
    })
}

/// A field is the same as one of several values.
fn any_of(name: &'static str, kind: Kind, value: &Value) -> Result<Condition, Refusal> {
    let Value::Array(values) = value else {
        return Err(refused(name, "needs a list for $in and $nin, such as [\"a\", \"b\"]."));
    };
    let texts = |one: &dyn Fn(&Value) -> Result<String, Refusal>| {
        values.iter().map(one).collect::<Result<_, _>>().map(|texts| Condition::In(name, texts))
    };
    match kind {
        Kind::Number => {
            let one = |value| Ok(Condition::Number(name, Operator::Eq, number(name, value)?));
            values.iter().map(one).collect::<Result<_, _>>().map(Condition::Any)
        }
        Kind::Text => texts(&|value| text(name, value)),
        Kind::Choice(words) => texts(&|value| one_of(words, name, value)),
        Kind::Time | Kind::Flag | Kind::Known => {
            Err(refused(name, &format!("takes {}, not $in and $nin.", taken(kind))))
        }
    }
}

fn refused(name: &str, why: &str) -> Refusal {
    Refusal::bad_request(&format!("Filter field '{name}' {why}"))
}

fn text(name: &str, value: &Value) -> Result<String, Refusal> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Err(refused(name, "does not support null values.")),
        _ => Err(refused(name, "must be a string.")),
    }
}

fn flag(name: &'static str, value: &Value) -> Result<Condition, Refusal> {
    let is_set = match value {
        Value::Bool(is_set) => Some(*is_set),
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    };
    is_set.map(|is_set| Condition::Flag(name, is_set)).ok_or_else(|| refused(name, "must be a boolean."))
}

fn number(name: &str, value: &Value) -> Result<f64, Refusal> {
    let parsed = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    parsed.filter(|number: &f64| number.is_finite()).ok_or_else(|| refused(name, "must be a number."))
}

fn time(name: &str, value: &Value) -> Result<UnixNanos, Refusal> {
    let at = value.as_str().and_then(|text| parse_time(text.trim()));
    at.ok_or_else(|| refused(name, "must be a valid datetime."))
}

/// An instant: RFC 3339; without an offset it is UTC, without a time the beginning of the day. One before 1970 is 1970, and one that
/// is later than the table can hold is its end.
#[must_use]
pub fn parse_time(text: &str) -> Option<UnixNanos> {
    let at = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil: civil::DateTime = text.parse().ok()?;
        TimeZone::UTC.to_timestamp(civil).ok()
    })?;
    let nanos = i64::try_from(at.as_nanosecond().clamp(0, i128::from(i64::MAX))).ok()?;
    UnixNanos::from_i64(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parameters::Parameters;

    const FIELDS: Fields = Fields {
        subject: "span",
        fields: &[
            Field::new("session_id", Kind::Text),
            Field::new("kind", Kind::Choice(&["LLM", "TOOL"])),
            Field::new("started_at", Kind::Time),
            Field::new("value", Kind::Number),
            Field::new("is_pinned", Kind::Flag),
            Field::new("name", Kind::Known),
            Field::extension("tokens", Kind::Number),
        ],
        is_extended: false,
    };

    fn checked(fields: &Fields, query: &str) -> Result<Condition, String> {
        let filter = Filter::of(&Parameters::parse(Some(query)).unwrap()).unwrap().expect("a filter");
        let said = |refusal: Refusal| refusal.detail().as_str().unwrap().to_owned();
        fields.check_names(&filter).map_err(said)?;
        fields.check(&filter).map_err(said)
    }

    #[test]
    fn conditions_have_values_of_their_types() {
        let day = UnixNanos::from_i64(1_767_225_600_000_000_000).unwrap();
        let cases = [
            ("filter[session_id]=x", Condition::Is("session_id", "x".into())),
            ("filter[kind]=LLM", Condition::Is("kind", "LLM".into())),
            ("filter[started_at][$gte]=2026-01-01", Condition::Since("started_at", day)),
            ("filter[started_at][$gte]=2026-01-01T00:00:00", Condition::Since("started_at", day)),
            ("filter[started_at][$lte]=2026-01-01T01:00:00%2B01:00", Condition::Until("started_at", day)),
            ("filter[value][$gte]=0.5", Condition::Number("value", Operator::Gte, 0.5)),
            (r#"filter={"value":{"$lte":2}}"#, Condition::Number("value", Operator::Lte, 2.0)),
            ("filter[is_pinned]=true", Condition::Flag("is_pinned", true)),
        ];
        for (query, want) in cases {
            assert_eq!(checked(&FIELDS, query), Ok(want), "{query}");
        }
        let both = checked(&FIELDS, "filter[session_id]=x&filter[kind]=LLM").unwrap();
        assert_eq!(both.needed().len(), 2);
    }

    #[test]
    fn what_a_field_does_not_take_is_refused_in_the_references_words() {
        let cases = [
            ("filter[session_id]=a,b", "Filter field 'session_id' must be a string."),
            ("filter[session_id]=", "Filter field 'session_id' does not support null values."),
            (r#"filter={"session_id":{"$in":["a"]}}"#, "Filter field 'session_id' only supports equality."),
            ("filter[session_id][$like]=s", "Filter field 'session_id' only supports equality."),
            ("filter[kind]=llm", "Filter field 'kind' must be one of: LLM, TOOL"),
            ("filter[started_at][$gt]=2020-01-01", "Unsupported span filter: started_at $gt"),
            ("filter[started_at]=2020-01-01", "Unsupported span filter: started_at $eq"),
            ("filter[started_at][$gte]=yesterday", "Filter field 'started_at' must be a valid datetime."),
            ("filter[value]=3", "Unsupported span filter: value $eq"),
            ("filter[name]=x", "Unsupported span filter: name $eq"),
            ("filter=-session_id:\"a\"", ONLY_AND),
            ("filter=session_id:\"a\" OR session_id:\"b\"", ONLY_AND),
            (
                "filter[nope]=1",
                "Unknown filter field 'nope'. Valid fields: ['is_pinned', 'kind', 'name', 'session_id', 'started_at', 'value']",
            ),
        ];
        for (query, want) in cases {
            assert_eq!(checked(&FIELDS, query), Err(want.to_owned()), "{query}");
        }
    }

    #[test]
    fn an_extended_list_takes_every_operator_that_its_fields_have() {
        let extended = Fields { is_extended: true, ..FIELDS };
        let at = |nanos: i64| UnixNanos::from_i64(1_767_225_600_000_000_000 + nanos).unwrap();
        let kinds = |all: [&str; 2]| Condition::In("kind", all.map(str::to_owned).into());
        let tokens = |operator, number| Condition::Number("tokens", operator, number);
        let cases = [
            (r#"filter={"kind":{"$in":["LLM","TOOL"]}}"#, kinds(["LLM", "TOOL"])),
            ("filter[kind][$nin]=LLM,TOOL", not(kinds(["LLM", "TOOL"]))),
            ("filter=kind NOT IN (LLM, TOOL)", not(kinds(["LLM", "TOOL"]))),
            ("filter=-session_id:x", not(Condition::Is("session_id", "x".into()))),
            (r#"filter={"$not":{"session_id":"x"}}"#, not(Condition::Is("session_id", "x".into()))),
            ("filter[tokens][gt]=10", tokens(Operator::Gt, 10.0)),
            ("filter=tokens<2.5", tokens(Operator::Lt, 2.5)),
            ("filter[tokens]=3", tokens(Operator::Eq, 3.0)),
            ("filter[value][$lt]=1", Condition::Number("value", Operator::Lt, 1.0)),
            ("filter=tokens IN (1)", Condition::Any(vec![tokens(Operator::Eq, 1.0)])),
            ("filter[started_at][$gt]=2026-01-01", Condition::Since("started_at", at(1))),
            ("filter[started_at][$lt]=2026-01-01", Condition::Until("started_at", at(-1))),
            (
                "filter[started_at]=2026-01-01",
                Condition::All(vec![Condition::Since("started_at", at(0)), Condition::Until("started_at", at(0))]),
            ),
        ];
        for (query, want) in cases {
            assert_eq!(checked(&extended, query), Ok(want), "{query}");
        }
        let range = checked(&extended, "filter[tokens][$gte]=1&filter[tokens][$lt]=5").unwrap();
        assert_eq!(range, Condition::All(vec![tokens(Operator::Gte, 1.0), tokens(Operator::Lt, 5.0)]));
        let refused = [
            ("filter[kind][$like]=L", "Filter field 'kind' takes $eq, $in and $nin, not $like."),
            ("filter[kind][$in]=LLM,llm", "Filter field 'kind' must be one of: LLM, TOOL"),
            ("filter[session_id]=a,b", "Filter field 'session_id' must be a string. To find one of several, use $in."),
            (
                r#"filter={"session_id":{"$in":"a"}}"#,
                "Filter field 'session_id' needs a list for $in and $nin, such as [\"a\", \"b\"].",
            ),
            ("filter[session_id][$gt]=a", "Filter field 'session_id' takes $eq, $in, $nin and $like, not $gt."),
            (
                r#"filter={"started_at":{"$in":["2026-01-01"]}}"#,
                "Filter field 'started_at' takes $eq, $gt, $gte, $lt and $lte, not $in and $nin.",
            ),
            ("filter[tokens][$gt]=many", "Filter field 'tokens' must be a number."),
            ("filter[is_pinned][$gt]=1", "Filter field 'is_pinned' takes $eq, not $gt."),
            ("filter[name]=x", "Unsupported span filter: name $eq"),
        ];
        for (query, want) in refused {
            assert_eq!(checked(&extended, query), Err(want.to_owned()), "{query}");
        }
        let unknown = checked(&FIELDS, "filter[tokens][$gte]=1").unwrap_err();
        assert!(unknown.starts_with("Unknown filter field 'tokens'. Valid fields: ['is_pinned', 'kind'"), "{unknown}");
    }

    #[test]
    fn a_list_may_take_alternatives_and_patterns() {
        let extended = Fields { is_extended: true, ..FIELDS };
        let either = checked(&extended, "filter=session_id:\"a\" OR session_id~\"b%25\"").unwrap();
        let want = [Condition::Is("session_id", "a".into()), Condition::Like("session_id", "b%".into())];
        assert_eq!(either, Condition::Any(want.into()));
        assert_eq!(either.needed(), [&either]);
    }

    #[test]
    fn times_beyond_the_table_are_its_ends() {
        assert_eq!(parse_time("0001-01-01"), UnixNanos::from_i64(0));
        assert_eq!(parse_time("9999-01-01T00:00:00Z"), UnixNanos::from_i64(i64::MAX));
        assert_eq!(parse_time("2026-13-01"), None);
    }
}
