//! What becomes columns and blocks: the conventions of attributes, and ClickHouse's Native format.

use millrace::columns::native::encode::encode_block;
use millrace::columns::native::parse::Block;
use millrace::columns::{MapRow, RowGroup, SpanScalars};
use millrace::conventions;
use millrace::ids::{SegmentId, SpanId, TraceId};
use millrace::time::UnixNanos;
use serde_json::Value;

/// Columns of messages and tools, and the attributes that hold them when they are canonical.
const CANONICAL: [(&str, &str); 3] = [
    ("InputMessages", "gen_ai.input.messages"),
    ("OutputMessages", "gen_ai.output.messages"),
    ("ToolDefinitions", "gen_ai.tool.definitions"),
];

/// Lines `key=value` are a span's attributes; behind a line `@name` they are those of an event of that name.
pub fn convention(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let block = typed_block(text);
    let (typed, _) = Block::parse(&block).expect("what we wrote is a block");
    let column = |block: &Block<'_>, name: &str| -> String {
        let text = block.strings(name).and_then(|mut texts| texts.next()).unwrap_or_default();
        String::from_utf8(text.to_vec()).expect("text is UTF-8")
    };
    for (name, attribute) in CANONICAL {
        let text = column(&typed, name);
        assert!(text.len() <= 40 * data.len() + 64, "{name} is {} bytes of {}", text.len(), data.len());
        if text.is_empty() {
            continue;
        }
        let value: Value = serde_json::from_str(&text).expect("messages are JSON");
        assert!(value.as_array().is_some_and(|items| !items.is_empty()), "{name} is {text}");
        // white space between values is all that a line cannot hold
        let line = text.replace(['\n', '\r'], " ");
        let again = typed_block(&format!("{attribute}={line}"));
        let (again, _) = Block::parse(&again).expect("what we wrote is a block");
        assert_eq!(column(&again, name), line, "{name} is not canonical yet");
    }
}

/// The block of one span.
fn typed_block(text: &str) -> Vec<u8> {
    let mut rows = RowGroup::default();
    let at = UnixNanos::new(1_800_000_000_000_000_000).expect("a time");
    let mark = rows.begin();
    let mut event = None;
    for line in text.split('\n') {
        if let Some(name) = line.strip_prefix('@') {
            if let Some(before) = event.replace(name) {
                rows.event(at, before.as_bytes());
            }
            if conventions::is_event(name.as_bytes()) {
                rows.mark_typed();
            }
        } else if let Some((key, value)) = line.split_once('=') {
            match event {
                Some(_) => rows.event_attribute(key.as_bytes(), value.as_bytes()),
                None => rows.attribute_of(conventions::kind(key.as_bytes()), key.as_bytes(), value.as_bytes()),
            }
        }
    }
    if let Some(name) = event {
        rows.event(at, name.as_bytes());
    }
    let (trace, span) = (TraceId::new([1; 16]).expect("an id"), SpanId::new([1; 8]).expect("an id"));
    let (scalars, resource) = (SpanScalars::new(at, trace, span), MapRow::default());
    let filled = rows
        .view(mark, &scalars, &resource)
        .map(|(view, sink)| sink.fill(&conventions::normalise(&view)).expect("it fits"));
    rows.finish(mark, &scalars, &resource, filled).expect("it fits");
    let mut block = Vec::new();
    encode_block(&[&rows], SegmentId::new(1, 2), &mut block);
    block
}

/// What can be read as a block has a value of each column in each row, and has the same rows after it was cut in two.
pub fn native_block(data: &[u8]) {
    let Ok((block, rest)) = Block::parse(data) else {
        return;
    };
    assert!(rest.len() < data.len() && block.rows() <= data.len(), "more rows than bytes");
    for name in block.column_names() {
        let strings = block.strings(name).map(Iterator::count);
        let times = block.i64s(name).map(Iterator::count);
        let values = block.map_values(name, b"a").map(Iterator::count);
        assert!([strings, times, values].into_iter().flatten().all(|count| count == block.rows()), "not one a row");
    }
    let rows = |block: &Block<'_>| -> Vec<Value> { (0..block.rows()).filter_map(|row| block.row_json(row)).collect() };
    let half = block.rows() / 2;
    let mut cut = Vec::new();
    block.select(|row| row < half, &mut cut);
    block.select(|row| row >= half, &mut cut);
    let (mut again, mut left) = (Vec::new(), cut.as_slice());
    while !left.is_empty() {
        let (part, behind) = Block::parse(left).expect("what was cut out is a block");
        again.extend(rows(&part));
        left = behind;
    }
    assert_eq!(again.len(), block.rows(), "rows are lost");
    assert_eq!(again, rows(&block), "other rows");
}
