//! The fields by which sessions can be filtered.

use crate::query::conditions::Place;
use crate::query::filter::{Field, Fields, Kind};

pub(super) const FIELDS: Fields = Fields {
    subject: "session",
    fields: &[
        Field::extension("cached_tokens", Kind::Number),
        Field::extension("call_count", Kind::Number),
        Field::extension("cost_usd", Kind::Number),
        Field::extension("duration_ms", Kind::Number),
        Field::extension("error_count", Kind::Number),
        Field::new("id", Kind::Text),
        Field::extension("input_tokens", Kind::Number),
        Field::new("model", Kind::Text),
        Field::extension("output_tokens", Kind::Number),
        Field::new("started_at", Kind::Time),
        Field::extension("total_tokens", Kind::Number),
        Field::extension("trace_count", Kind::Number),
        Field::new("user_id", Kind::Text),
    ],
    is_extended: true,
};

/// The columns of the inner statement (`statements.rs`), which has one row for each session.
pub(super) fn place(field: &str) -> Option<Place> {
    Some(match field {
        "cached_tokens" => Place::Number("cached_tokens"),
        "call_count" => Place::Number("calls"),
        "cost_usd" => Place::Number("cost_total"),
        "duration_ms" => Place::Number("dateDiff('nanosecond', FirstTime, LastTime) / 1e6"),
        "error_count" => Place::Number("errors"),
        "id" => Place::Text("session_id"),
        "input_tokens" => Place::Number("input_tokens"),
        "model" => Place::Member("models"),
        "output_tokens" => Place::Number("output_tokens"),
        "started_at" => Place::Time("FirstTime"),
        "total_tokens" => Place::Number("total_tokens"),
        "trace_count" => Place::Number("traces"),
        "user_id" => Place::Member("users"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_place() {
        for field in FIELDS.fields {
            assert!(place(field.name).is_some(), "{}", field.name);
        }
    }
}
