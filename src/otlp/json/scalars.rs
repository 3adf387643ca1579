//! JSON's texts of OTLP's scalars -> protobuf.

use std::borrow::Cow;

use super::fields::Scalar;
use crate::text::{decode_base64, decode_string};

/// An id that is not hex becomes this one byte, which no id is: the decoder rejects its span alone.
const NOT_AN_ID: &[u8] = &[0xff];

pub(crate) fn put_tag(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    put_varint(out, u64::from(number << 3 | wire_type));
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, 2);
    put_varint(out, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(bytes);
}

/// Writes a scalar from its JSON text; an error says what it should have been.
pub(crate) fn put_scalar(out: &mut Vec<u8>, number: u32, kind: Scalar, raw: &str) -> Result<(), &'static str> {
    if raw == "null" {
        return Ok(());
    }
    match kind {
        Scalar::Text => put_bytes(out, number, string(raw)?.as_bytes()),
        Scalar::HexId => put_bytes(out, number, &hex_bytes(&string(raw)?)),
        Scalar::Base64 => put_bytes(out, number, &decode_base64(&string(raw)?).ok_or("base64")?),
        Scalar::Bool => {
            let bit = match raw {
                "true" => 1,
                "false" => 0,
                _ => return Err("true or false"),
            };
            put_tag(out, number, 0);
            put_varint(out, bit);
        }
        Scalar::Unsigned => {
            let value = integer_text(raw)?.parse::<u32>().map_err(|_| "an integer from 0 to 4294967295")?;
            put_tag(out, number, 0);
            put_varint(out, value.into());
        }
        Scalar::Enum(names) => {
            let named = string(raw).ok().and_then(|name| names.iter().position(|known| *known == name));
            let value = match named.and_then(|number| u64::try_from(number).ok()) {
                Some(number) => number,
                None => integer_text(raw)?.parse::<i32>().map_err(|_| "an integer")?.cast_unsigned().into(),
            };
            put_tag(out, number, 0);
            put_varint(out, value);
        }
        Scalar::Signed => {
            let value = integer_text(raw)?.parse::<i64>().map_err(|_| "a 64-bit integer")?;
            put_tag(out, number, 0);
            put_varint(out, value.cast_unsigned());
        }
        Scalar::Fixed64 => {
            let value = integer_text(raw)?.parse::<u64>().map_err(|_| "an unsigned 64-bit integer")?;
            put_tag(out, number, 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Scalar::Fixed32 => {
            let value = integer_text(raw)?.parse::<u32>().map_err(|_| "an integer from 0 to 4294967295")?;
            put_tag(out, number, 5);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Scalar::Double => {
            let value = double(raw)?;
            put_tag(out, number, 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
    Ok(())
}

fn string(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    let inner = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or("a string")?;
    Ok(if inner.contains('\\') { decode_string(inner).into() } else { inner.into() })
}

/// The digits of an integer given as a number or as a string; `1.0` and `1e3` are integers to JSON as well.
fn integer_text(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    let text = if raw.starts_with('"') { string(raw)? } else { raw.into() };
    if !text.contains(['.', 'e', 'E']) {
        return Ok(text);
    }
    let value: f64 = text.parse().map_err(|_| "an integer")?;
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        Ok(format!("{value:.0}").into())
    } else {
        Err("an integer")
    }
}

fn double(raw: &str) -> Result<f64, &'static str> {
    let text = if raw.starts_with('"') { string(raw)? } else { raw.into() };
    match text.as_ref() {
        "NaN" => Ok(f64::NAN),
        "Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        // Rust also reads "inf" and the like, which JSON senders do not mean
        other if other.bytes().any(|c| c.is_ascii_digit()) => other.parse().map_err(|_| "a number"),
        _ => Err("a number"),
    }
}

fn hex_bytes(text: &str) -> Vec<u8> {
    let digit = |c: Option<&u8>| c.and_then(|c| char::from(*c).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    if !text.len().is_multiple_of(2) {
        return NOT_AN_ID.to_vec();
    }
    let bytes = text.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair.first())? << 4 | digit(pair.get(1))?));
    bytes.collect::<Option<Vec<u8>>>().unwrap_or_else(|| NOT_AN_ID.to_vec())
}
