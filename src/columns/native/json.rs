//! A block's rows as JSON, for human eyes.

use super::parse::{Block, Column, Data, Fixed};
use crate::columns::build::strings::StringsIter;
use crate::genai::cost::Usd;
use serde_json::Value;
use std::ops::Range;
use std::time::{Duration, UNIX_EPOCH};

impl Block<'_> {
    /// One row as a JSON object, for human eyes: times as RFC 3339, maps as objects, what is not UTF-8 replaced.
    /// `None` when there is no such row.
    #[must_use]
    pub fn row_json(&self, row: usize) -> Option<Value> {
        if row >= self.rows {
            return None;
        }
        let value = |column: &Column<'_>| Some((column.name.to_owned(), column.data.json(row..row + 1).pop()?));
        self.columns.iter().map(value).collect::<Option<_>>().map(Value::Object)
    }
}

impl Data<'_> {
    /// The values at `range`, in one walk.
    fn json(&self, range: Range<usize>) -> Vec<Value> {
        match self {
            Self::Fixed(fixed, bytes) => {
                let values = bytes.chunks_exact(fixed.width()).skip(range.start).take(range.len());
                values.map(|value| fixed.json(value)).collect()
            }
            Self::Strings(bytes) => {
                StringsIter(bytes).skip(range.start).take(range.len()).map(|text| text_of(text).into()).collect()
            }
            Self::Nullable(nulls, values) => {
                let nulls = nulls.iter().skip(range.start);
                let values = nulls.zip(values.json(range.clone()));
                values.map(|(null, value)| if *null == 0 { value } else { Value::Null }).collect()
            }
            Self::Array(ends, items) => {
                let mut values = items.json(ends.items_of(&range)).into_iter();
                ends.lengths(&range).map(|length| values.by_ref().take(length).collect()).collect()
            }
            Self::Map(ends, entries) => {
                let items = ends.items_of(&range);
                let keys = entries.0.json(items.clone()).into_iter().map(key_of);
                let mut pairs = keys.zip(entries.1.json(items));
                ends.lengths(&range).map(|length| Value::Object(pairs.by_ref().take(length).collect())).collect()
            }
        }
    }
}

pub(super) fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A map's key as JSON allows it.
fn key_of(key: Value) -> String {
    match key {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

impl Fixed {
    /// `value` is as wide as the type.
    fn json(self, value: &[u8]) -> Value {
        let (words, _) = value.as_chunks();
        let number = words.first().map_or(0, |word| u64::from_le_bytes(*word));
        match self {
            Self::Bool => (value.first() == Some(&1)).into(),
            Self::UInt8 => value.first().copied().into(),
            Self::Int32 => value.first_chunk().map_or(0, |bytes| i32::from_le_bytes(*bytes)).into(),
            Self::UInt32 => value.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)).into(),
            Self::Seconds => {
                let seconds = value.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
                let time = UNIX_EPOCH + Duration::from_secs(seconds.into());
                humantime_serde::re::humantime::format_rfc3339_seconds(time).to_string().into()
            }
            Self::Int64 => number.cast_signed().into(),
            Self::Float64 => {
                let number = f64::from_bits(number);
                serde_json::Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
            }
            Self::UInt64 => number.into(),
            Self::Usd => match Usd::from_pico(number) {
                Some(amount) => amount.to_string().into(),
                None => number.into(),
            },
            Self::Nanos => match i64::try_from(number) {
                Ok(_) => {
                    let time = UNIX_EPOCH + Duration::from_nanos(number);
                    humantime_serde::re::humantime::format_rfc3339_nanos(time).to_string().into()
                }
                // before 1970: none of ours
                Err(_) => number.cast_signed().into(),
            },
            Self::Uuid => {
                let low = words.get(1).map_or(0, |word| u64::from_le_bytes(*word));
                let [a, b, c, d, e] =
                    [number >> 32, number >> 16 & 0xffff, number & 0xffff, low >> 48, low & 0xffff_ffff_ffff];
                format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}").into()
            }
        }
    }
}
