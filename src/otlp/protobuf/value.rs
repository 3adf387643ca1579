//! AnyValue as the text of a `Map(String, String)`: strings as they are, numbers and booleans as printed, bytes as
//! base64, lists and maps as JSON. The same texts that the OpenTelemetry ClickHouse exporter writes, but for numbers
//! that JSON does not have, which are `NaN`, `Infinity` and `-Infinity` as in OTLP/JSON.
//!
//! Source: OTLP common.proto, `AnyValue`.

use super::fields::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use super::wire::Fields;
use crate::otlp::error::{DecodeError, Part};
use crate::steps;
use crate::text::{mended, put_double, write_string};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::borrow::Cow;

/// From this length on a text is checked with SIMD.
const SIMD_PAYS_BYTES: usize = 64;

/// Writes the text of one AnyValue message; `depth` counts the messages around it.
///
/// A string that stands alone is returned as it lies in the request; everything else goes through `scratch`.
pub(crate) fn text<'a>(
    message: &'a [u8],
    depth: usize,
    depth_max: usize,
    scratch: &'a mut String,
) -> Result<&'a [u8], DecodeError> {
    scratch.clear();
    match last_variant(message)? {
        Variant::Absent => {}
        Variant::String(bytes) if is_text(bytes) => return Ok(bytes),
        Variant::String(bytes) => scratch.push_str(&mended(bytes)),
        Variant::Double(number) => put_double(scratch, number),
        Variant::Bytes(bytes) => BASE64.encode_string(bytes, scratch),
        scalar @ (Variant::Bool(_) | Variant::Int(_)) => put_json(scratch, scalar, depth, depth_max)?,
        nested => put_json(scratch, nested, depth, depth_max)?,
    }
    Ok(scratch.as_bytes())
}

/// Text as it lies in the request. Bytes that are not UTF-8, such as those of a character cut in two, are replaced by U+FFFD.
#[inline]
pub(crate) fn text_of(bytes: &[u8]) -> Cow<'_, [u8]> {
    if is_text(bytes) { Cow::Borrowed(bytes) } else { Cow::Owned(mended(bytes).into_owned().into_bytes()) }
}

#[inline]
fn is_text(bytes: &[u8]) -> bool {
    steps::take(bytes.len());
    is_short_ascii(bytes) || simdutf8::basic::from_utf8(bytes).is_ok()
}

fn put_json_string(out: &mut String, bytes: &[u8]) {
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => write_string(out, text),
        Err(_) => write_string(out, &mended(bytes)),
    }
}

/// Whether it is ASCII and too short for SIMD to pay, as keys and most values are. Eight bytes are looked at together.
#[inline]
fn is_short_ascii(bytes: &[u8]) -> bool {
    const NOT_ASCII: u64 = 0x8080_8080_8080_8080;
    if bytes.len() >= SIMD_PAYS_BYTES {
        return false;
    }
    // the last word overlaps the one before it, so that no byte is left over
    let seen = if let Some(last) = bytes.last_chunk() {
        bytes.as_chunks().0.iter().fold(u64::from_le_bytes(*last), |seen, word| seen | u64::from_le_bytes(*word))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u64::from(u32::from_le_bytes(*first) | u32::from_le_bytes(*last))
    } else {
        bytes.iter().fold(0, |seen, byte| seen | u64::from(*byte))
    };
    seen & NOT_ASCII == 0
}

#[derive(Clone, Copy)]
enum Variant<'a> {
    Absent,
    String(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(&'a [u8]),
    KeyValues(&'a [u8]),
    Bytes(&'a [u8]),
}

/// Reads the `oneof`; of several the last counts.
fn last_variant(message: &[u8]) -> Result<Variant<'_>, DecodeError> {
    let mut fields = Fields::new(message);
    let mut variant = Variant::Absent;
    while let Some(field) = fields.next().map_err(Part::Value.is())? {
        let read = match AnyValue::of(field) {
            AnyValue::StringValue(text) => text.get().map(Variant::String),
            AnyValue::BoolValue(bit) => bit.get().map(|bit| Variant::Bool(bit != 0)),
            AnyValue::IntValue(bits) => bits.get().map(|bits| Variant::Int(bits.cast_signed())),
            AnyValue::DoubleValue(bits) => bits.get().map(|bits| Variant::Double(f64::from_bits(bits))),
            AnyValue::ArrayValue(list) => list.get().map(Variant::Array),
            AnyValue::KvlistValue(list) => list.get().map(Variant::KeyValues),
            AnyValue::BytesValue(bytes) => bytes.get().map(Variant::Bytes),
            AnyValue::StringValueStrindex(_) | AnyValue::Unknown => continue,
        };
        variant = read.map_err(Part::Value.is())?;
    }
    Ok(variant)
}

fn put_json(out: &mut String, variant: Variant<'_>, depth: usize, depth_max: usize) -> Result<(), DecodeError> {
    if depth > depth_max {
        return Err(DecodeError::TooDeep { max: depth_max });
    }
    match variant {
        Variant::Absent => out.push_str("null"),
        Variant::String(bytes) => put_json_string(out, bytes),
        Variant::Bool(bit) => out.push_str(if bit { "true" } else { "false" }),
        Variant::Int(number) => out.push_str(itoa::Buffer::new().format(number)),
        Variant::Double(number) if number.is_finite() => put_double(out, number),
        Variant::Double(number) => {
            out.push('"');
            put_double(out, number);
            out.push('"');
        }
        Variant::Bytes(bytes) => {
            out.push('"');
            BASE64.encode_string(bytes, out);
            out.push('"');
        }
        Variant::Array(list) => put_json_array(out, list, depth, depth_max)?,
        Variant::KeyValues(list) => put_json_object(out, list, depth, depth_max)?,
    }
    Ok(())
}

fn put_json_array(out: &mut String, list: &[u8], depth: usize, depth_max: usize) -> Result<(), DecodeError> {
    let mut fields = Fields::new(list);
    out.push('[');
    let mut first = true;
    while let Some(field) = fields.next().map_err(Part::Value.is())? {
        if let ArrayValue::Values(item) = ArrayValue::of(field) {
            separate(out, &mut first);
            let item = last_variant(item.get().map_err(Part::Value.is())?)?;
            put_json(out, item, depth + 1, depth_max)?;
        }
    }
    out.push(']');
    Ok(())
}

fn put_json_object(out: &mut String, list: &[u8], depth: usize, depth_max: usize) -> Result<(), DecodeError> {
    let mut fields = Fields::new(list);
    out.push('{');
    let mut first = true;
    while let Some(field) = fields.next().map_err(Part::Value.is())? {
        if let KeyValueList::Values(entry) = KeyValueList::of(field) {
            separate(out, &mut first);
            let (key, item) = key_value(entry.get().map_err(Part::Value.is())?)?;
            put_json_string(out, &key);
            out.push(':');
            put_json(out, last_variant(item)?, depth + 1, depth_max)?;
        }
    }
    out.push('}');
    Ok(())
}

/// The key and the AnyValue message of a KeyValue message.
#[inline]
pub(crate) fn key_value(message: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), DecodeError> {
    let mut fields = Fields::new(message);
    let (mut key, mut item): (&[u8], &[u8]) = (&[], &[]);
    while let Some(field) = fields.next().map_err(Part::Attribute.is())? {
        match KeyValue::of(field) {
            KeyValue::Key(text) => key = text.get().map_err(Part::Attribute.is())?,
            KeyValue::Value(value) => item = value.get().map_err(Part::Attribute.is())?,
            KeyValue::KeyStrindex(_) | KeyValue::Unknown => {}
        }
    }
    Ok((text_of(key), item))
}

fn separate(out: &mut String, first: &mut bool) {
    if !std::mem::replace(first, false) {
        out.push(',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::proto::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value as V};
    use prost::Message as _;

    fn shown(value: Option<V>) -> String {
        let bytes = AnyValue { value }.encode_to_vec();
        let mut scratch = String::new();
        String::from_utf8(text(&bytes, 1, 32, &mut scratch).unwrap().to_vec()).unwrap()
    }

    fn list(values: Vec<Option<V>>) -> V {
        V::ArrayValue(ArrayValue { values: values.into_iter().map(|value| AnyValue { value }).collect() })
    }

    #[test]
    fn scalars_are_printed_as_the_exporter_prints_them() {
        let cases = [
            (None, ""),
            (Some(V::StringValue("é \"x\"".into())), "é \"x\""),
            (Some(V::BoolValue(false)), "false"),
            (Some(V::IntValue(i64::MIN)), "-9223372036854775808"),
            (Some(V::DoubleValue(1.0)), "1"),
            (Some(V::DoubleValue(0.1)), "0.1"),
            (Some(V::DoubleValue(-0.0)), "-0"),
            (Some(V::DoubleValue(1e21)), "1e+21"),
            (Some(V::DoubleValue(1.5e-7)), "1.5e-7"),
            (Some(V::DoubleValue(f64::NAN)), "NaN"),
            (Some(V::DoubleValue(f64::NEG_INFINITY)), "-Infinity"),
            (Some(V::BytesValue(vec![0, 1, 2])), "AAEC"),
        ];
        for (value, expect) in cases {
            assert_eq!(shown(value), expect);
        }
    }

    #[test]
    fn lists_and_maps_are_json() {
        let entry =
            |key: &str, value| KeyValue { key: key.into(), value: Some(AnyValue { value }), ..KeyValue::default() };
        let map = V::KvlistValue(KeyValueList {
            values: vec![entry("a\n", Some(V::IntValue(1))), entry("b", None), entry("c", Some(list(vec![])))],
        });
        let value = list(vec![Some(V::StringValue("x".into())), Some(map), Some(V::DoubleValue(f64::NAN)), None]);
        assert_eq!(shown(Some(value)), r#"["x",{"a\n":1,"b":null,"c":[]},"NaN",null]"#);
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |levels| (1..levels).fold(list(vec![]), |inner, _| list(vec![Some(inner)]));
        let decode = |value| {
            let bytes = AnyValue { value: Some(value) }.encode_to_vec();
            text(&bytes, 1, 32, &mut String::new()).map(<[u8]>::len)
        };
        assert!(decode(nested(32)).is_ok());
        assert_eq!(decode(nested(33)), Err(DecodeError::TooDeep { max: 32 }));
    }
}
