//! `{"field": value, "field": {"$gte": value}, "$and": [..], "$or": [..], "$not": {..}}`.

use super::{Comparison, DEPTH_MAX, Filter, Operator, listed, too_deep};
use crate::query::answer::Refusal;
use serde_json::{Map, Value};

const LOGICAL: [&str; 3] = ["$and", "$or", "$not"];

/// Reads a filter.
pub(super) fn parse(text: &str) -> Result<Filter, Refusal> {
    tree(&read(text)?, 0)
}

/// Reads JSON.
pub(super) fn read(text: &str) -> Result<Value, Refusal> {
    serde_json::from_str(text).map_err(|_| Refusal::bad_request(&format!("Invalid JSON in filter parameter: {text}")))
}

/// What is said of one field: a value, or operators with values.
pub(super) fn conditions(field: &str, below: Vec<String>, said: &Value) -> Result<Filter, Refusal> {
    let compare = |below: Vec<String>, operator: Operator, value: &Value| {
        Filter::Compare(Comparison { field: field.to_owned(), below, operator, value: value.clone() })
    };
    let Value::Object(members) = said else { return Ok(compare(below, Operator::Eq, said)) };
    if members.is_empty() {
        return Err(Refusal::bad_request(&format!("Filter field '{field}' has no condition")));
    }
    if below.len() > DEPTH_MAX {
        return Err(too_deep());
    }
    let one = |(name, value): (&String, &Value)| match Operator::parse(name) {
        Some(operator) => Ok(compare(below.clone(), operator, value)),
        None if name.starts_with('$') => Err(unknown_operator(name)),
        None => conditions(field, below.iter().chain([name]).cloned().collect(), value),
    };
    members.iter().map(one).collect::<Result<_, _>>().map(Filter::all)
}

pub(super) fn unknown_operator(name: &str) -> Refusal {
    Refusal::bad_request(&format!("'{name}' is not a valid FilterOperator"))
}

fn tree(filter: &Value, depth: usize) -> Result<Filter, Refusal> {
    if depth > DEPTH_MAX {
        return Err(too_deep());
    }
    let Value::Object(members) = filter else {
        return Err(Refusal::bad_request("A filter must be an object of fields and conditions"));
    };
    if members.is_empty() {
        return Err(Refusal::bad_request("Filter query cannot be empty"));
    }
    if let Some((name, value)) = logical(members)? {
        return combined(name, value, depth + 1);
    }
    let fields = members.iter().map(|(field, said)| conditions(field, Vec::new(), said));
    fields.collect::<Result<_, _>>().map(Filter::all)
}

/// The logical operator of an object, which then has nothing else.
fn logical(members: &Map<String, Value>) -> Result<Option<(&str, &Value)>, Refusal> {
    let Some((name, value)) = members.iter().find(|(name, _)| LOGICAL.contains(&name.as_str())) else {
        return Ok(None);
    };
    if members.len() == 1 {
        return Ok(Some((name, value)));
    }
    let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
    names.sort_unstable();
    Err(Refusal::bad_request(&format!(
        "Top-level filter mixes a logical operator with sibling keys ({}); wrap the siblings inside the logical operator or \
         under an explicit $and",
        listed(names)
    )))
}

fn combined(name: &str, value: &Value, depth: usize) -> Result<Filter, Refusal> {
    match (name, value) {
        ("$not", part) => Ok(Filter::Not(Box::new(tree(part, depth)?))),
        (_, Value::Array(parts)) => {
            let parts = parts.iter().map(|part| tree(part, depth)).collect::<Result<_, _>>()?;
            Ok(if name == "$and" { Filter::And(parts) } else { Filter::Or(parts) })
        }
        _ => Err(Refusal::bad_request(&format!("'{name}' must have a list of filters"))),
    }
}
