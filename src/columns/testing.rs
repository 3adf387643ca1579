//! Reads Native blocks back, so that tests see rows: written from the format's description, not from the encoder. Makes
//! groups of any rows too.

use super::typed::{JoinState, Kind, SpanView, text_of};
use super::{COLUMNS, MapRow, RowGroup, STANDARD_COLUMNS, SpanKind, SpanScalars, StatusCode};
use crate::columns::native::encode::encode_block;
use crate::genai::call::Call;
use crate::genai::cost::Usd;
use crate::ids::{SegmentId, SpanId, TraceId};
use crate::time::UnixNanos;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// The rows of a group, by way of the block that ClickHouse would get; without the segment's id, which is the block's, and
/// without typed columns that a row has nothing in.
pub(crate) fn rows(group: &RowGroup) -> Vec<Map<String, Value>> {
    let mut block = Vec::new();
    encode_block(&[group], SegmentId::new(1, 2), &mut block);
    if block.is_empty() {
        return Vec::new();
    }
    let mut rows = read_block(&block);
    for row in &mut rows {
        assert!(row.remove("SegmentId").is_some());
        let is_standard = |name: &str| COLUMNS.iter().take(STANDARD_COLUMNS).any(|column| column.name == name);
        row.retain(|name, value| {
            is_standard(name) || !(value == "" || value == 0 || value.is_null() || *value == json!([]))
        });
    }
    rows
}

/// A span of this name, and nothing else.
pub(crate) fn span_named(name: &str) -> RowGroup {
    let mut rows = RowGroup::default();
    let (began, mark) = (UnixNanos::new(1).unwrap(), rows.begin());
    let ids = (TraceId::new([1; 16]).unwrap(), SpanId::new([2; 8]).unwrap());
    let span = SpanScalars { name: name.as_bytes(), ..SpanScalars::new(began, ids.0, ids.1) };
    rows.finish(mark, &span, &MapRow::default(), None).unwrap();
    rows
}

/// The rows of a block that [`encode_block`] wrote.
pub(crate) fn read_block(block: &[u8]) -> Vec<Map<String, Value>> {
    let mut reader = Reader(block);
    let (columns, count) = (reader.varint(), reader.varint());
    assert!(columns <= COLUMNS.len());
    let mut rows = vec![Map::new(); count];
    for _ in 0..columns {
        let (name, data_type) = (reader.string(), reader.string());
        for (row, value) in rows.iter_mut().zip(reader.column(&data_type, count)) {
            row.insert(name.clone(), value);
        }
    }
    assert!(reader.0.is_empty(), "bytes after the block");
    rows
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, count: usize) -> &[u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn varint(&mut self) -> usize {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = usize::from(self.take(1)[0]);
            value |= (byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    fn string(&mut self) -> String {
        let length = self.varint();
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }

    fn column(&mut self, data_type: &str, count: usize) -> Vec<Value> {
        if let Some(item) = data_type.strip_prefix("Array(").and_then(|rest| rest.strip_suffix(')')) {
            return self.lists(count, |reader, total| reader.column(item, total));
        }
        if let Some(known) = data_type.strip_prefix("Nullable(").and_then(|rest| rest.strip_suffix(')')) {
            let nulls = self.take(count).to_vec();
            let values = self.column(known, count);
            return nulls
                .into_iter()
                .zip(values)
                .map(|(null, value)| if null == 1 { Value::Null } else { value })
                .collect();
        }
        match data_type {
            "String" => (0..count).map(|_| self.string().into()).collect(),
            "Int32" => (0..count).map(|_| i32::from_le_bytes(self.take(4).try_into().unwrap()).into()).collect(),
            "UInt32" | "DateTime" => {
                (0..count).map(|_| u32::from_le_bytes(self.take(4).try_into().unwrap()).into()).collect()
            }
            "Bool" => (0..count).map(|_| (self.take(1)[0] == 1).into()).collect(),
            "Decimal(18, 12)" => (0..count).map(|_| Usd::from_pico(self.u64()).unwrap().to_string().into()).collect(),
            "UInt64" => (0..count).map(|_| self.u64().into()).collect(),
            // its bits, which JSON has all of
            "Float64" => (0..count).map(|_| self.u64().into()).collect(),
            "DateTime64(9)" | "Int64" => (0..count).map(|_| self.u64().cast_signed().into()).collect(),
            "UUID" => (0..count)
                .map(|_| {
                    let halves = [self.u64(), self.u64()].map(|half| format!("{half:016x}"));
                    let [high, low] = [&halves[0], &halves[1]];
                    format!("{}-{}-{}-{}-{}", &high[..8], &high[8..12], &high[12..], &low[..4], &low[4..]).into()
                })
                .collect(),
            "Map(String, String)" => self.lists(count, |reader, total| {
                let keys = reader.column("String", total);
                let values = reader.column("String", total);
                keys.into_iter().zip(values).map(|(key, value)| json!([key, value])).collect()
            }),
            other => panic!("unknown type {other}"),
        }
    }

    fn lists(&mut self, count: usize, items: impl Fn(&mut Self, usize) -> Vec<Value>) -> Vec<Value> {
        let ends: Vec<u64> = (0..count).map(|_| self.u64()).collect();
        let total = usize::try_from(ends.last().copied().unwrap_or(0)).unwrap();
        let mut items = items(self, total).into_iter();
        let mut start = 0;
        ends.into_iter()
            .map(|end| {
                let length = usize::try_from(end - start).unwrap();
                start = end;
                Value::Array(items.by_ref().take(length).collect())
            })
            .collect()
    }
}

type Entries = Vec<(String, String)>;

/// What a test's span is made of; the rest follows from its number.
#[derive(Debug, Clone)]
pub(crate) struct AnySpan {
    number: u64,
    start: u64,
    attributes: Entries,
    events: Vec<Entries>,
    links: Vec<Entries>,
}

/// A group of up to `rows_max` spans of any shape, on a few days.
pub(crate) fn any_group(rows_max: usize) -> impl Strategy<Value = RowGroup> {
    let entries = || vec(("[a-c]{0,2}", "\\PC{0,3}|x{100,200}"), 0..4);
    let lists = || vec(vec(("[a-z]{1,2}", "\\PC{0,3}"), 0..3), 0..3);
    let start =
        (0..4_u64, 1..1_000_u64).prop_map(|(day, nanos)| 1_790_000_000_000_000_000 + day * 86_400_000_000_000 + nanos);
    let span = (1..1_000_u64, start, entries(), lists(), lists())
        .prop_map(|(number, start, attributes, events, links)| AnySpan { number, start, attributes, events, links });
    (entries(), vec(span, 0..=rows_max)).prop_map(|(resource, spans)| group_of(&resource, &spans))
}

fn group_of(resource: &Entries, spans: &[AnySpan]) -> RowGroup {
    let mut row = MapRow::default();
    resource.iter().for_each(|(key, value)| row.push(key.as_bytes(), value.as_bytes()));
    row.keep_last_of_each_key();
    let mut rows = RowGroup::default();
    for span in spans {
        add(&mut rows, &row, span);
    }
    rows
}

/// Keys that begin with `b` are of a convention, those that begin with `c` are content in it.
fn kind_of(key: &str) -> Kind {
    match key.as_bytes() {
        [b'b', ..] => Kind::Typed,
        [b'c', ..] => Kind::Content,
        _ => Kind::Ordinary,
    }
}

/// A convention's rules: what comes of an attribute depends on the length of its value.
fn call_of<'a>(view: &SpanView<'a>) -> Call<'a> {
    let mut call = Call::default();
    for (key, value) in view.all() {
        let (text, count) = (text_of(value), u64::try_from(value.len()).unwrap());
        match key {
            b"b" => call.provider = text.into(),
            b"ba" => call.usage.input = Some(count),
            b"bb" => call.cost.total = Usd::from_pico(count),
            b"bc" => call.streaming = Some(value.len().is_multiple_of(2)),
            b"ca" => call.finish_reasons = vec![text.into(), text_of(key).into()],
            b"cb" => call.request_parameters = vec![(text_of(key).into(), text.into())],
            b"cc" => {
                call.input_messages = text.into();
                call.held_attributes = vec!["cc"];
            }
            _ => {}
        }
    }
    call
}

fn add(rows: &mut RowGroup, resource: &MapRow, span: &AnySpan) {
    let text = span.number.to_string();
    let span_id = SpanId::new(span.number.to_be_bytes()).unwrap();
    let mut trace_id = [1; 16];
    trace_id[8..].copy_from_slice(&span.number.to_be_bytes());
    let trace_id = TraceId::new(trace_id).unwrap();
    let start = UnixNanos::new(span.start).unwrap();
    let mark = rows.begin();
    for (key, value) in &span.attributes {
        rows.attribute_of(kind_of(key), key.as_bytes(), value.as_bytes());
    }
    for event in &span.events {
        event.iter().for_each(|(key, value)| rows.event_attribute(key.as_bytes(), value.as_bytes()));
        rows.event(start, text.as_bytes());
    }
    for link in &span.links {
        link.iter().for_each(|(key, value)| rows.link_attribute(key.as_bytes(), value.as_bytes()));
        rows.link(trace_id, span_id, text.as_bytes());
    }
    let scalars = SpanScalars {
        duration_nanos: span.number << 40,
        parent: span.number.is_multiple_of(2).then_some(span_id),
        trace_state: b"a=b",
        name: text.as_bytes(),
        kind: SpanKind::from_otlp(span.number % 6),
        service_name: b"svc",
        scope_version: b"1",
        status: StatusCode::from_otlp(span.number % 3),
        status_message: text.as_bytes(),
        raw_request: text.as_bytes(),
        join_state: if span.number.is_multiple_of(5) { JoinState::Waiting } else { JoinState::Ordinary },
        flags: u32::try_from(span.number % 3).unwrap(),
        scope_attributes: span.number.is_multiple_of(4).then_some(resource),
        scope_schema_url: if span.number.is_multiple_of(7) { b"https://example.com/1" } else { b"" },
        fingerprint: span.number,
        ..SpanScalars::new(start, trace_id, span_id)
    };
    let filled = rows.view(mark, &scalars, resource).map(|(view, sink)| sink.fill(&call_of(&view)).unwrap());
    rows.finish(mark, &scalars, resource, filled).unwrap();
}
