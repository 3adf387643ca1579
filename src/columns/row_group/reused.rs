//! Row groups whose rows are committed, kept with their buffers for small requests to come: making the buffers costs more than
//! filling them with a span.

use super::RowGroup;
use crate::columns::build::map::Map;
use crate::columns::build::strings::Strings;
use crate::locks::locked;
use crate::workspace::Workspace;
use std::sync::{Arc, Mutex, MutexGuard};

/// Groups that are kept at most: as many as small requests, or lines of a request, are under way at once.
const GROUPS_MAX: usize = 512;
/// A group with more room than this is not kept.
const ROOM_BYTES_MAX: usize = 16 << 10;
/// Larger requests make a group of their own.
const REQUEST_BYTES_MAX: usize = 4 << 10;

/// In their boxes, as they come and go: moving all columns of a group costs more.
type Groups = Vec<Box<RowGroup>>;

/// The groups; clones share them.
#[derive(Debug, Clone, Default)]
pub struct SpareGroups(Arc<Mutex<Groups>>);

impl SpareGroups {
    /// An empty group for a request of so many bytes.
    #[must_use]
    pub fn for_request_of(&self, bytes: usize, workspace: Workspace) -> Box<RowGroup> {
        let spare = if bytes <= REQUEST_BYTES_MAX { self.groups().pop() } else { None };
        match spare {
            Some(mut group) => {
                group.workspace = workspace;
                group
            }
            None => Box::new(RowGroup::for_request_of(bytes, workspace)),
        }
    }

    /// Keeps groups that nobody needs any more, if they are small.
    pub fn keep(&self, groups: impl Iterator<Item = Box<RowGroup>>) {
        let small = groups.filter(|group| group.counted_bytes <= ROOM_BYTES_MAX);
        let cleared = small.filter_map(|mut group| (group.clear() <= ROOM_BYTES_MAX).then_some(group));
        let cleared: Vec<_> = cleared.take(GROUPS_MAX).collect();
        if cleared.is_empty() {
            return;
        }
        let mut spare = self.groups();
        let free = GROUPS_MAX.saturating_sub(spare.len());
        spare.extend(cleared.into_iter().take(free));
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        locked(&self.0)
    }
}

impl RowGroup {
    /// Forgets all rows and keeps the room for them; returns how many bytes that is.
    fn clear(&mut self) -> usize {
        let Self { rows, row_bytes, counted_bytes, fingerprints, days, workspace: _, is_typed, .. } = &mut *self;
        (*rows, *counted_bytes, *is_typed) = (0, 0, false);
        row_bytes.clear();
        fingerprints.clear();
        days.clear();
        let words = row_bytes.capacity() + fingerprints.capacity() + days.capacity();
        words * size_of::<u64>() + self.clear_columns()
    }

    fn clear_columns(&mut self) -> usize {
        let Self {
            rows: _,
            row_bytes: _,
            counted_bytes: _,
            fingerprints: _,
            days: _,
            timestamp,
            trace_id,
            span_id,
            parent_span_id,
            trace_state,
            span_name,
            span_kind,
            service_name,
            resource_attributes,
            scope_name,
            scope_version,
            span_attributes,
            duration,
            status_code,
            status_message,
            events,
            links,
            raw_request,
            raw_response,
            workspace: _,
            typed,
            content_attributes,
            is_typed: _,
        } = self;
        let texts = [
            trace_id,
            span_id,
            parent_span_id,
            trace_state,
            span_name,
            span_kind,
            service_name,
            scope_name,
            scope_version,
            status_code,
            status_message,
            raw_request,
            raw_response,
        ];
        let maps = [resource_attributes, span_attributes, content_attributes];
        texts.map(Strings::clear).into_iter().sum::<usize>()
            + maps.map(Map::clear).into_iter().sum::<usize>()
            + timestamp.clear()
            + duration.clear()
            + events.clear()
            + links.clear()
            + typed.clear()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::testing::rows;
    use crate::columns::typed::Kind;
    use crate::columns::{MapRow, SpanKind, SpanScalars, StatusCode};
    use crate::genai::call::Call;
    use crate::genai::cost::Usd;
    use crate::ids::{SpanId, TraceId};
    use crate::time::UnixNanos;

    fn scalars(number: u8) -> SpanScalars<'static> {
        SpanScalars {
            name: b"a name",
            kind: SpanKind::Client,
            status: StatusCode::Error,
            status_message: b"it failed",
            raw_request: b"{}",
            fingerprint: 7,
            flags: 1,
            scope_schema_url: b"https://example.com",
            ..SpanScalars::new(
                UnixNanos::new(u64::from(number) * 86_400_000_000_000 + 1).unwrap(),
                TraceId::new([number; 16]).unwrap(),
                SpanId::new([number; 8]).unwrap(),
            )
        }
    }

    /// Adds a span that has something in every kind of column.
    fn add_full(group: &mut RowGroup, number: u8) {
        let mark = group.begin();
        group.attribute(b"k", b"v");
        group.attribute_of(Kind::Content, b"content", b"text");
        group.event_attribute(b"e", b"v");
        group.event(UnixNanos::new(1).unwrap(), b"event");
        group.link_attribute(b"l", b"v");
        group.link(TraceId::new([9; 16]).unwrap(), SpanId::new([9; 8]).unwrap(), b"state");
        let (span, mut resource) = (scalars(number), MapRow::default());
        resource.push(b"service.name", b"s");
        let mut call = Call { operation: "chat".into(), streaming: Some(true), ..Call::default() };
        call.usage.input = Some(3);
        call.cost.total = Usd::from_pico(5);
        call.finish_reasons = vec!["stop".into()];
        call.request_parameters = vec![("temperature".into(), "1".into())];
        let filled = group.sink(mark, &span, &resource).fill(&call).unwrap();
        group.finish(mark, &span, &resource, Some(filled)).unwrap();
    }

    fn add_plain(group: &mut RowGroup) {
        let mark = group.begin();
        group.attribute(b"other", b"w");
        let span =
            SpanScalars::new(UnixNanos::new(5).unwrap(), TraceId::new([1; 16]).unwrap(), SpanId::new([1; 8]).unwrap());
        group.finish(mark, &span, &MapRow::default(), None).unwrap();
    }

    #[test]
    fn a_group_that_is_used_again_has_nothing_of_what_was_in_it() {
        let spare = SpareGroups::default();
        let mut used = spare.for_request_of(100, Workspace::new("one").unwrap());
        (1..=3).for_each(|number| add_full(&mut used, number));
        let place: *const RowGroup = &*used;
        spare.keep([used].into_iter());
        let mut again = spare.for_request_of(100, Workspace::new("two").unwrap());
        assert!(std::ptr::eq(place, &*again), "it is the same one");
        let mut new = RowGroup::for_request_of(100, Workspace::new("two").unwrap());
        assert_eq!(format!("{again:?}"), format!("{new:?}"));
        add_plain(&mut again);
        add_plain(&mut new);
        assert_eq!(rows(&again), rows(&new));
        assert_eq!(again.implausible(), new.implausible());
    }

    #[test]
    fn large_groups_are_not_kept_and_only_so_many_are() {
        let spare = SpareGroups::default();
        let mut large = spare.for_request_of(0, Workspace::default());
        (0..100).for_each(|_| add_full(&mut large, 1));
        spare.keep([large].into_iter());
        assert_eq!(spare.groups().len(), 0);
        spare.keep((0..GROUPS_MAX + 5).map(|_| Box::default()));
        assert_eq!(spare.groups().len(), GROUPS_MAX);
        let _for_a_large_request = spare.for_request_of(REQUEST_BYTES_MAX + 1, Workspace::default());
        assert_eq!(spare.groups().len(), GROUPS_MAX, "a large request takes none");
    }
}
