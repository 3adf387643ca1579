//! The nested columns of a row: its events and its links, each a list with an end for each row.

use super::build::ends::Ends;
use super::build::fixed::Fixed64;
use super::build::map::{Map, MapMark};
use super::build::selection::Selection;
use super::build::strings::{Strings, StringsIter, StringsMark};
use super::typed::{Entries, Event};
use crate::ids::{SpanId, TraceId};
use crate::time::UnixNanos;

/// The columns `Events.*`.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub(super) ends: Ends,
    pub(super) timestamp: Fixed64,
    pub(super) name: Strings,
    pub(super) attributes: Map,
}

/// Where the events of an unfinished span begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventsMark {
    count: usize,
    names: StringsMark,
    attributes: MapMark,
}

impl Events {
    pub(super) fn mark(&self) -> EventsMark {
        EventsMark { count: self.timestamp.len(), names: self.name.mark(), attributes: self.attributes.mark() }
    }

    /// Adds an event, with the attributes pushed since the last one.
    pub(super) fn push(&mut self, at: UnixNanos, name: &[u8]) {
        self.timestamp.push(at.nanos().to_le_bytes());
        self.name.push(name);
        self.attributes.close_row();
    }

    pub(super) fn close_row(&mut self) {
        self.ends.push(self.timestamp.len());
    }

    /// Those added since `mark`.
    pub(super) fn since(&self, mark: EventsMark) -> Vec<Event<'_>> {
        if self.timestamp.len() == mark.count {
            return Vec::new();
        }
        self.iter_since(mark).collect()
    }

    fn iter_since(&self, mark: EventsMark) -> impl Iterator<Item = Event<'_>> {
        let names = StringsIter(self.name.since(mark.names));
        let mut entries = Entries::since(&self.attributes, mark.attributes);
        let lengths = self.attributes.lengths_since(mark.attributes);
        let times = self.timestamp.i64s_from(mark.count);
        let at = |nanos| UnixNanos::from_i64(nanos).expect("was one when it was pushed");
        names.zip(lengths).zip(times).map(move |((name, length), nanos)| Event {
            at: at(nanos),
            name,
            attributes: entries.split_front(length),
        })
    }

    /// Moves attributes that are content out of the events added since `mark`, by the event's name and their key, into `content`.
    /// There they have the number of their event before their key, from 1 as ClickHouse counts: `events.1.content`.
    pub(super) fn move_content(
        &mut self,
        mark: EventsMark,
        content: &mut Map,
        is_content: impl Fn(&[u8], &[u8]) -> bool,
    ) {
        let has_content = |event: Event<'_>| event.attributes.iter().any(|(key, _)| is_content(event.name, key));
        if self.timestamp.len() == mark.count || !self.iter_since(mark).any(has_content) {
            return;
        }
        let (mut kept, mut prefixed) = (Map::default(), Vec::new());
        for (event, number) in self.iter_since(mark).zip(1_u64..) {
            for (key, value) in event.attributes.iter() {
                if !is_content(event.name, key) {
                    kept.push(key, value);
                    continue;
                }
                prefixed.clear();
                prefixed.extend_from_slice(format!("events.{number}.").as_bytes());
                prefixed.extend_from_slice(key);
                content.push(&prefixed, value);
            }
            kept.close_row();
        }
        self.attributes.truncate(mark.attributes);
        let mut entries = Entries::since(&kept, Map::default().mark());
        for length in kept.lengths_since(Map::default().mark()) {
            entries.split_front(length).iter().for_each(|(key, value)| self.attributes.push(key, value));
            self.attributes.close_row();
        }
    }

    /// Bytes of those added since `mark`: a time, a name, the end of its attributes, and those.
    pub(super) fn bytes_since(&self, mark: EventsMark) -> usize {
        let (keys, values) = self.attributes.since(mark.attributes);
        let events = self.timestamp.len() - mark.count;
        events * 2 * size_of::<u64>() + self.name.since(mark.names).len() + keys.len() + values.len()
    }

    pub(super) fn truncate(&mut self, mark: EventsMark) {
        self.timestamp.truncate(mark.count);
        self.name.truncate(mark.names);
        self.attributes.truncate(mark.attributes);
    }

    /// Takes out the attributes that are content, by the event's name and theirs.
    pub(super) fn drop_content(&mut self, is_content: impl Fn(&[u8], &[u8]) -> bool) {
        let all = Map::default().mark();
        let mut kept = Map::default();
        let mut entries = Entries::since(&self.attributes, all);
        for (name, length) in self.name.iter().zip(self.attributes.lengths_since(all)) {
            for (key, value) in entries.split_front(length).iter().filter(|(key, _)| !is_content(name, key)) {
                kept.push(key, value);
            }
            kept.close_row();
        }
        self.attributes = kept;
    }

    /// Forgets all events and keeps the room for them; returns how many bytes that is.
    pub(super) fn clear(&mut self) -> usize {
        let Self { ends, timestamp, name, attributes } = self;
        ends.clear() + timestamp.clear() + name.clear() + attributes.clear()
    }

    pub(super) fn selected(&self, kept: &Selection) -> Self {
        let (ends, items) = self.ends.selected(kept);
        Self {
            ends,
            timestamp: self.timestamp.selected(&items),
            name: self.name.selected(&items),
            attributes: self.attributes.selected(&items),
        }
    }
}

/// The columns `Links.*`.
#[derive(Debug, Default)]
pub(super) struct Links {
    pub(super) ends: Ends,
    pub(super) trace_id: Strings,
    pub(super) span_id: Strings,
    pub(super) trace_state: Strings,
    pub(super) attributes: Map,
}

/// Where the links of an unfinished span begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinksMark {
    trace_ids: StringsMark,
    span_ids: StringsMark,
    trace_states: StringsMark,
    attributes: MapMark,
}

impl Links {
    pub(super) fn mark(&self) -> LinksMark {
        LinksMark {
            trace_ids: self.trace_id.mark(),
            span_ids: self.span_id.mark(),
            trace_states: self.trace_state.mark(),
            attributes: self.attributes.mark(),
        }
    }

    /// Adds a link, with the attributes pushed since the last one.
    pub(super) fn push(&mut self, trace_id: TraceId, span_id: SpanId, trace_state: &[u8]) {
        self.trace_id.push(&trace_id.hex());
        self.span_id.push(&span_id.hex());
        self.trace_state.push(trace_state);
        self.attributes.close_row();
    }

    pub(super) fn close_row(&mut self) {
        self.ends.push(self.trace_id.len());
    }

    /// Bytes of those added since `mark`: two ids, a trace state, the end of its attributes, and those.
    pub(super) fn bytes_since(&self, mark: LinksMark) -> usize {
        let (keys, values) = self.attributes.since(mark.attributes);
        let ids = self.trace_id.since(mark.trace_ids).len() + self.span_id.since(mark.span_ids).len();
        let ends = self.attributes.rows_since(mark.attributes) * size_of::<u64>();
        ends + ids + self.trace_state.since(mark.trace_states).len() + keys.len() + values.len()
    }

    pub(super) fn truncate(&mut self, mark: LinksMark) {
        self.trace_id.truncate(mark.trace_ids);
        self.span_id.truncate(mark.span_ids);
        self.trace_state.truncate(mark.trace_states);
        self.attributes.truncate(mark.attributes);
    }

    /// Forgets all links and keeps the room for them; returns how many bytes that is.
    pub(super) fn clear(&mut self) -> usize {
        let Self { ends, trace_id, span_id, trace_state, attributes } = self;
        ends.clear() + trace_id.clear() + span_id.clear() + trace_state.clear() + attributes.clear()
    }

    pub(super) fn selected(&self, kept: &Selection) -> Self {
        let (ends, items) = self.ends.selected(kept);
        Self {
            ends,
            trace_id: self.trace_id.selected(&items),
            span_id: self.span_id.selected(&items),
            trace_state: self.trace_state.selected(&items),
            attributes: self.attributes.selected(&items),
        }
    }
}
