//! The fields by which traces can be filtered: of the root, or else of the first span.

use crate::query::answer::Refusal;
use crate::query::conditions::Place;
use crate::query::filter::{Condition, Field, Fields, Filter, Kind};
use crate::query::q::Search;
use crate::query::request::Api;
use crate::query::sums::{OF_TRACE, OfTrace};

const STATUSES: [&str; 4] = ["success", "error", "cancelled", "unknown"];

const FIELDS: [Field; 21] = [
    Field::extension("cached_tokens", Kind::Number),
    Field::extension("cost_usd", Kind::Number),
    Field::new("created_at", Kind::Known),
    Field::extension("duration_ms", Kind::Number),
    Field::new("entity_type", Kind::Known),
    Field::extension("error_count", Kind::Number),
    // the same as experiment_id, by its name of release 0.3.0
    Field::new("evaluation_id", Kind::Text),
    Field::new("experiment_id", Kind::Text),
    Field::new("id", Kind::Text),
    Field::extension("input_tokens", Kind::Number),
    Field::new("name", Kind::Known),
    Field::extension("output_tokens", Kind::Number),
    Field::new("project", Kind::Known),
    Field::new("session_id", Kind::Text),
    Field::extension("span_count", Kind::Number),
    Field::new("started_at", Kind::Time),
    Field::new("status", Kind::Choice(&STATUSES)),
    Field::new("test_case_id", Kind::Text),
    Field::extension("total_tokens", Kind::Number),
    Field::new("updated_at", Kind::Known),
    Field::new("workspace", Kind::Known),
];

pub(super) fn of(api: &Api) -> Fields {
    Fields { subject: "trace", fields: &FIELDS, is_extended: !api.strict_reference }
}

/// What the traces of a list are like, with the look-back of the reference where that is asked for.
pub(super) fn condition(api: &Api, filter: Option<&Filter>, search: Option<&Search>) -> Result<Condition, Refusal> {
    let given = filter.map(|filter| of(api).check(filter)).transpose()?;
    let parts: Vec<Condition> = given.into_iter().collect();
    refuse_conflict(&parts)?;
    Ok(api.within_look_back(parts, search))
}

/// Both names of the experiment, with different values.
fn refuse_conflict(parts: &[Condition]) -> Result<(), Refusal> {
    let value = |name: &str| {
        parts.iter().flat_map(Condition::needed).find_map(|part| match part {
            Condition::Is(field, value) if *field == name => Some(value.as_str()),
            _ => None,
        })
    };
    match (value("experiment_id"), value("evaluation_id")) {
        (Some(one), Some(other)) if one != other => {
            Err(Refusal::bad_request("Conflicting trace filters for evaluation_id"))
        }
        _ => Ok(()),
    }
}

/// The sum of the calls of a trace that a field of the filter is.
fn sum(field: &str) -> Option<&'static OfTrace> {
    OF_TRACE.iter().find(|sum| sum.filter == Some(field))
}

/// What a sum is of a row `t` of `genai_traces`.
pub(super) fn place_of_sum(field: &str) -> Option<Place> {
    sum(field).map(|sum| Place::Number(sum.expression))
}

/// The columns of the inner statement (`statements.rs`), which has one row for each trace.
pub(super) fn place(field: &str) -> Option<Place> {
    if let Some(sum) = sum(field) {
        return Some(Place::Number(sum.joined));
    }
    Some(match field {
        "duration_ms" => Place::Number("head_duration / 1e6"),
        "error_count" => Place::Number("all_errors"),
        "evaluation_id" | "experiment_id" => Place::Text("head_experiment"),
        "id" => Place::Trace("TraceId"),
        "session_id" => Place::Text("head_session"),
        "span_count" => Place::Number("all_spans"),
        "started_at" => Place::Time("Started"),
        "status" => Place::Text("head_status"),
        "test_case_id" => Place::Text("head_test_case"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_takes_a_value_has_a_place() {
        for field in &FIELDS {
            assert_eq!(place(field.name).is_some(), !matches!(field.kind, Kind::Known), "{}", field.name);
        }
    }

    #[test]
    fn two_names_of_one_experiment_may_not_differ() {
        let is = |field: &'static str, value: &str| Condition::Is(field, value.to_owned());
        let both = |one, other| [Condition::All(vec![is("experiment_id", one), is("evaluation_id", other)])];
        assert_eq!(refuse_conflict(&both("e", "e")), Ok(()));
        let refused = refuse_conflict(&both("e", "f")).unwrap_err();
        assert_eq!(refused.detail(), "Conflicting trace filters for evaluation_id");
    }
}
