//! Rows of a trace as they are once its captured calls are joined to its root: what `reconciler/joining` writes into the table soon
//! after, so that counting does not have to wait for it, and gives the same before and after.

use crate::chat::derived_session;
use crate::clickhouse::rollups::rows::{Name, SpanRow};
use crate::columns::typed::{HANDED_ON_BYTES_MAX, JoinState};
use crate::ids::TraceId;

/// Gives captured calls the parent and the session that joining gives them.
pub(super) fn join(trace: TraceId, rows: &mut [SpanRow]) {
    let is = |row: &SpanRow, state: JoinState| row.join_state == state.literal();
    let may_be_root = |row: &&SpanRow| {
        row.parent.is_empty() && (is(row, JoinState::Ordinary) || is(row, JoinState::Own)) && !row.span.is_empty()
    };
    let root = rows.iter().filter(may_be_root).min_by(|a, b| (a.began, &a.span).cmp(&(b.began, &b.span)));
    let Some(root) = root else { return };
    let is_handed_on = (1..=HANDED_ON_BYTES_MAX).contains(&root.session.len());
    let session = if is_handed_on { root.session.clone() } else { Name::from(derived_session(trace)) };
    let root = root.span.clone();
    for row in rows {
        let is_placed_by_us = is(row, JoinState::Waiting) || is(row, JoinState::Joined);
        if (is_placed_by_us || is(row, JoinState::Given)) && row.span != root {
            if is_placed_by_us {
                row.parent.clone_from(&root);
                JoinState::Joined.literal().clone_into(&mut row.join_state);
            }
            if row.conversation.is_empty() {
                row.session.clone_from(&session);
            }
        }
    }
}
