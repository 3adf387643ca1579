//! `filter[field]=value`, `filter[field][$gte]=value`, `filter[metadata][key]=value`.
//!
//! Without an operator it is `$eq`; the `$` may be left out. A comma makes a list, nothing is null, and what begins like JSON is JSON.

use super::json;
use super::{DEPTH_MAX, Filter, NAME, Operator, too_deep};
use crate::query::answer::Refusal;
use crate::query::parameters::Parameters;
use serde_json::Value;

/// Every filter of this spelling. Of several with the same field and operator the last counts.
pub(super) fn parse(parameters: &Parameters) -> Result<Vec<Filter>, Refusal> {
    let mut found: Vec<(Vec<String>, Filter)> = Vec::new();
    for (name, value) in parameters.pairs() {
        let Some(brackets) = name.strip_prefix(NAME).filter(|rest| rest.starts_with('[')) else { continue };
        let path = path(brackets).ok_or_else(|| Refusal::bad_request(&format!("Invalid filter parameter: {name}")))?;
        if path.len() > DEPTH_MAX {
            return Err(too_deep());
        }
        let filter = filter(&path, value)?;
        found.retain(|(other, _)| *other != path);
        found.push((path, filter));
    }
    Ok(found.into_iter().map(|(_, filter)| filter).collect())
}

/// The names in `[a][b]`.
fn path(brackets: &str) -> Option<Vec<String>> {
    let inner = brackets.strip_prefix('[')?.strip_suffix(']')?;
    let names: Vec<String> = inner.split("][").map(str::to_owned).collect();
    let is_name = |name: &String| !name.is_empty() && !name.contains(['[', ']']);
    names.iter().all(is_name).then_some(names)
}

fn filter(path: &[String], text: &str) -> Result<Filter, Refusal> {
    let (field, rest) = path.split_first().map_or((String::new(), path), |(field, rest)| (field.clone(), rest));
    let (below, operator) = match rest.split_last() {
        Some((last, below)) => match operator(last)? {
            Some(operator) => (below, Some(operator)),
            None => (rest, None),
        },
        None => (rest, None),
    };
    let value = value(text)?;
    if let (None, Value::Object(_)) = (operator, &value) {
        return json::conditions(&field, below.to_vec(), &value);
    }
    let operator = operator.unwrap_or(Operator::Eq);
    Ok(Filter::Compare(super::Comparison { field, below: below.to_vec(), operator, value }))
}

fn operator(name: &str) -> Result<Option<Operator>, Refusal> {
    match Operator::parse(name) {
        Some(operator) => Ok(Some(operator)),
        None if name.starts_with('$') => Err(json::unknown_operator(name)),
        None => Ok(Operator::parse(&format!("${name}"))),
    }
}

fn value(text: &str) -> Result<Value, Refusal> {
    match text.as_bytes().first() {
        None => Ok(Value::Null),
        Some(b'{' | b'[') => json::read(text),
        Some(_) if text.contains(',') => Ok(text.split(',').map(Value::from).collect()),
        Some(_) => Ok(text.into()),
    }
}
