//! What a row of a trace is: who sent it, and what it is to its trace.

use crate::clickhouse::rollups::rows::SpanRow;
use crate::columns::typed::JoinState;

/// What kind of report a row is.
pub(super) fn reported_by(row: &SpanRow) -> &'static str {
    match row.join_state.as_str() {
        "" => "span",
        state if state == JoinState::Event.literal() => "event",
        _ => "pair",
    }
}

/// Whether its sender named its session. A captured call without one has what was derived for it, or its trace's.
pub(super) fn names_session(row: &SpanRow) -> bool {
    let is_instrumented = reported_by(row) != "pair";
    !row.session.is_empty() && (is_instrumented || !row.conversation.is_empty())
}

/// How well a row stands for its trace: the root, or else the earliest; a captured call that waits for its root knows least.
pub(super) fn root_rank(row: &SpanRow) -> (u8, i64, &str) {
    let is_waiting = row.join_state == JoinState::Waiting.literal();
    let class = match (row.parent.is_empty(), is_waiting) {
        (true, false) => 0,
        (false, false) => 1,
        (_, true) => 2,
    };
    (class, row.began, &row.span)
}
