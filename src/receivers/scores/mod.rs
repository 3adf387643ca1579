//! What people and evaluators say of spans and sessions, and the experiments that they compare, on the listener of 4318.
//!
//! ```text
//! routes.rs        the paths
//! refused.rs       why a request is not answered with what it asks for
//! receiver.rs      bodies, and rows that are stored before the answer
//! list.rs          pages of rows: filters to conditions in SQL
//! marks.rs         where a page ends that is asked for by a cursor
//! annotations.rs, results.rs
//! experiments/     experiments, their groups, their sessions, and what these come to
//! ```
//!
//! Annotations and results go through the journal like spans: 201 means that they are on disk, and usually that they are in ClickHouse
//! already, so that what was written is read. Experiments and groups are few and have names that must be free: `receivers/experiments` checks
//! them, and keeps them on disk until ClickHouse has them.

mod annotations;
mod experiments;
mod list;
mod marks;
mod receiver;
mod refused;
mod results;
mod routes;

pub use receiver::ScoresReceiver;
pub(crate) use routes::routes;

use crate::time::UnixNanos;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;

/// The answer to what was deleted: nothing, in the form that all answers have.
fn answer_deleted() -> Response {
    (StatusCode::NO_CONTENT, [(header::CONTENT_TYPE, "application/json")]).into_response()
}

/// A time of the tables.
fn of_micros(micros: i64) -> UnixNanos {
    UnixNanos::from_i64(micros.saturating_mul(1_000)).unwrap_or_default()
}

/// A time as it is answered: RFC 3339 in UTC, to the microsecond.
fn time_text(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| String::new(), |at| format!("{at:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_six_digits_after_the_second() {
        assert_eq!(time_text(1_764_000_000_120_000), "2025-11-24T16:00:00.120000Z");
    }
}
