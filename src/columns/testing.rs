//! Reads Native blocks back, so that tests see rows: written from the format's description, not from the encoder.

use super::{COLUMNS, RowGroup, native::encode_block};
use crate::ids::SegmentId;
use serde_json::{Map, Value, json};

/// The rows of a group, by way of the block that ClickHouse would get.
pub(crate) fn rows(group: &RowGroup) -> Vec<Map<String, Value>> {
    let mut block = Vec::new();
    encode_block(&[group], SegmentId::new(1, 2), &mut block);
    if block.is_empty() {
        return Vec::new();
    }
    read_block(&block)
}

fn read_block(block: &[u8]) -> Vec<Map<String, Value>> {
    let mut reader = Reader(block);
    let (columns, count) = (reader.varint(), reader.varint());
    assert_eq!(columns, COLUMNS.len());
    let mut rows = vec![Map::new(); count];
    for _ in 0..columns {
        let (name, data_type) = (reader.string(), reader.string());
        for (row, value) in rows.iter_mut().zip(reader.column(&data_type, count)) {
            row.insert(name.clone(), value);
        }
    }
    assert!(reader.0.is_empty(), "bytes behind the block");
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
        match data_type {
            "String" => (0..count).map(|_| self.string().into()).collect(),
            "UInt64" => (0..count).map(|_| self.u64().into()).collect(),
            "DateTime64(9)" => (0..count).map(|_| self.u64().cast_signed().into()).collect(),
            "UUID" => (0..count).map(|_| format!("{:02x?}", self.take(16)).into()).collect(),
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
