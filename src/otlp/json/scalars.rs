//! JSON's texts of OTLP's scalars -> protobuf.

use std::borrow::Cow;

use super::fields::Scalar;
use crate::numbers::to_u64;
use crate::otlp::protobuf::write::{put_bytes, put_tag, put_text, put_varint};
use crate::text::{decode_base64, decode_string};

/// An id that is not hex becomes this one byte, which is not an id: the decoder rejects that span alone.
const NOT_AN_ID: &[u8] = &[0xff];

/// Writes the bytes of an id in hex.
fn put_id(out: &mut Vec<u8>, number: u32, hex: &str) {
    let start = out.len();
    put_tag(out, number, 2);
    put_varint(out, to_u64(hex.len() / 2));
    let (pairs, rest) = hex.as_bytes().as_chunks();
    let mut is_hex = rest.is_empty();
    out.extend(pairs.iter().map(|[high, low]| {
        let (high, low) = (hex_digit(*high), hex_digit(*low));
        is_hex &= high.is_some() && low.is_some();
        high.unwrap_or_default() << 4 | low.unwrap_or_default()
    }));
    if !is_hex {
        out.truncate(start);
        put_bytes(out, number, NOT_AN_ID);
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Writes a scalar from its JSON text; an error names what it should have been.
pub(crate) fn put_scalar(out: &mut Vec<u8>, number: u32, kind: Scalar, raw: &str) -> Result<(), &'static str> {
    if raw == "null" {
        return Ok(());
    }
    match kind {
        Scalar::Text => put_text(out, number, &string(raw)?),
        Scalar::HexId => put_id(out, number, &string(raw)?),
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
        Scalar::Int32
        | Scalar::Uint32
        | Scalar::Enum(_)
        | Scalar::Int64
        | Scalar::Uint64
        | Scalar::Sint32
        | Scalar::Fixed32
        | Scalar::Fixed64
        | Scalar::Sfixed64 => put_integer(out, number, kind, raw)?,
        Scalar::Double => {
            let value = double(raw)?;
            put_tag(out, number, 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
    Ok(())
}

/// Writes an integer in the form that its field has; an error names what it should have been.
fn put_integer(out: &mut Vec<u8>, number: u32, kind: Scalar, raw: &str) -> Result<(), &'static str> {
    match kind {
        Scalar::Int32 => put_number(out, number, i64::from(signed_32(raw)?).cast_unsigned()),
        Scalar::Sint32 => {
            let value = i64::from(signed_32(raw)?);
            put_number(out, number, ((value << 1) ^ (value >> 63)).cast_unsigned());
        }
        Scalar::Uint32 => put_number(out, number, unsigned_32(raw)?.into()),
        // a negative number is as unknown as any other, so it need not take ten bytes
        Scalar::Enum(names) => put_number(out, number, named(names, raw)?.cast_unsigned().into()),
        Scalar::Int64 => put_number(out, number, signed(raw)?.cast_unsigned()),
        Scalar::Uint64 => put_number(out, number, unsigned(raw)?),
        Scalar::Fixed32 => put_fixed(out, number, 5, unsigned_32(raw)?.to_le_bytes()),
        Scalar::Fixed64 => put_fixed(out, number, 1, unsigned(raw)?.to_le_bytes()),
        Scalar::Sfixed64 => put_fixed(out, number, 1, signed(raw)?.to_le_bytes()),
        Scalar::Text | Scalar::HexId | Scalar::Base64 | Scalar::Bool | Scalar::Double => {
            unreachable!("put_scalar writes them")
        }
    }
    Ok(())
}

fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, 0);
    put_varint(out, value);
}

fn put_fixed<const W: usize>(out: &mut Vec<u8>, number: u32, wire_type: u32, bytes: [u8; W]) {
    put_tag(out, number, wire_type);
    out.extend_from_slice(&bytes);
}

/// The number of an enum's value, given by its name or as a number.
fn named(names: &[(&str, i32)], raw: &str) -> Result<i32, &'static str> {
    let named = string(raw).ok().and_then(|name| names.iter().find(|(known, _)| *known == name));
    match named {
        Some((_, value)) => Ok(*value),
        None => integer_text(raw)?.parse().map_err(|_| "an integer"),
    }
}

fn string(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    let inner = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or("a string")?;
    Ok(if inner.contains('\\') { decode_string(inner).into() } else { inner.into() })
}

/// The digits of an integer given as a number or as a string; `1.0` and `1e3` are integers to JSON as well.
fn integer_text(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    let text = if raw.starts_with('"') { string(raw)? } else { raw.into() };
    if text.contains(['.', 'e', 'E']) { whole_number(&text).map(Cow::Owned).ok_or("an integer") } else { Ok(text) }
}

fn unsigned(raw: &str) -> Result<u64, &'static str> {
    integer_text(raw)?.parse().map_err(|_| "an unsigned 64-bit integer")
}

fn signed(raw: &str) -> Result<i64, &'static str> {
    integer_text(raw)?.parse().map_err(|_| "a 64-bit integer")
}

fn unsigned_32(raw: &str) -> Result<u32, &'static str> {
    integer_text(raw)?.parse().map_err(|_| "an integer from 0 to 4294967295")
}

fn signed_32(raw: &str) -> Result<i32, &'static str> {
    integer_text(raw)?.parse().map_err(|_| "a 32-bit integer")
}

/// No 64-bit integer has more digits.
const DIGITS_MAX: usize = 20;

/// A number with a fraction or an exponent as digits alone, exactly; `None` when it is not whole, or larger than any integer.
fn whole_number(text: &str) -> Option<String> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if whole.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let first = digits.find(|digit| digit != '0');
    let Some(first) = first else { return Some("0".to_owned()) };
    // where the point is, counted from the first digit that is not 0
    let point = i64::try_from(whole.len()).ok()? - i64::try_from(first).ok()?;
    let length = usize::try_from(point.checked_add(exponent.parse::<i64>().ok()?)?).ok()?;
    let significant = digits.get(first..)?;
    let significant = significant.trim_end_matches('0');
    (significant.len() <= length && length <= DIGITS_MAX).then(|| format!("{sign}{significant:0<length$}"))
}

fn double(raw: &str) -> Result<f64, &'static str> {
    let text = if raw.starts_with('"') { string(raw)? } else { raw.into() };
    match text.as_ref() {
        "NaN" => Ok(f64::NAN),
        "Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        // Rust also reads "inf" and the like, which ProtoJSON does not have
        other if other.bytes().any(|c| c.is_ascii_digit()) => {
            other.parse().ok().filter(|number: &f64| number.is_finite()).ok_or("a number that a double holds")
        }
        _ => Err("a number"),
    }
}
