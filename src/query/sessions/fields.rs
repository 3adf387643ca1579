//! The fields by which sessions can be filtered.

use crate::query::conditions::Place;
use crate::query::filter::{Field, Fields, Kind};

pub(super) const FIELDS: Fields = Fields {
    subject: "session",
    fields: &[
        Field::new("id", Kind::Text),
        Field::new("model", Kind::Text),
        Field::new("started_at", Kind::Time),
        Field::new("user_id", Kind::Text),
    ],
    is_extended: true,
};

/// The columns of the inner statement (`statements.rs`), which has one row for each session.
pub(super) fn place(field: &str) -> Option<Place> {
    Some(match field {
        "id" => Place::Text("session_id"),
        "model" => Place::Member("models"),
        "started_at" => Place::Time("FirstTime"),
        "user_id" => Place::Member("users"),
        _ => return None,
    })
}
