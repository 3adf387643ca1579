//! Some of a group's rows as a group of their own.

use super::RowGroup;
use crate::columns::build::selection::Selection;
use crate::time::UnixNanos;
use std::ops::Range;

impl RowGroup {
    /// The same rows but for those at the positions `drop`, which are sorted. No span is under way.
    #[must_use]
    pub fn without(&self, drop: &[usize]) -> Self {
        debug_assert!(drop.is_sorted(), "rows to leave out come in order");
        self.selected(&Selection::of(self.rows, |row| drop.binary_search(&row).is_err()))
    }

    /// The rows at these positions. No span is under way.
    pub(in crate::columns) fn rows_at(&self, positions: Range<usize>) -> Self {
        self.selected(&Selection::of_run(positions))
    }

    fn selected(&self, kept: &Selection) -> Self {
        let timestamp = self.timestamp.selected(kept);
        let mut days: Vec<i64> = timestamp.i64s().filter_map(UnixNanos::from_i64).map(UnixNanos::day).collect();
        days.sort_unstable();
        days.dedup();
        let row_bytes = kept.pick(&self.row_bytes);
        Self {
            rows: kept.len(),
            counted_bytes: row_bytes.iter().sum(),
            row_bytes,
            fingerprints: kept.pick(&self.fingerprints),
            days,
            timestamp,
            trace_id: self.trace_id.selected(kept),
            span_id: self.span_id.selected(kept),
            parent_span_id: self.parent_span_id.selected(kept),
            trace_state: self.trace_state.selected(kept),
            span_name: self.span_name.selected(kept),
            span_kind: self.span_kind.selected(kept),
            service_name: self.service_name.selected(kept),
            resource_attributes: self.resource_attributes.selected(kept),
            scope_name: self.scope_name.selected(kept),
            scope_version: self.scope_version.selected(kept),
            span_attributes: self.span_attributes.selected(kept),
            duration: self.duration.selected(kept),
            status_code: self.status_code.selected(kept),
            status_message: self.status_message.selected(kept),
            events: self.events.selected(kept),
            links: self.links.selected(kept),
            raw_request: self.raw_request.selected(kept),
            raw_response: self.raw_response.selected(kept),
            workspace: self.workspace.clone(),
            typed: self.typed.selected(self.rows, kept),
            content_attributes: self.content_attributes.lagging_selected(self.rows, kept),
            is_typed: false,
        }
    }
}
