//! The fields of OTLP's messages by their numbers, each with the wire type that the standard gives it: an enum for each message.
//! `build.rs` generates them from `proto/`.
//!
//! ```text
//! match fields::Span::of(field) { fields::Span::Name(text) => text.get()?, ... }
//! ```

#![allow(dead_code, reason = "the standard has fields that are not stored")]
#![allow(clippy::enum_variant_names, reason = "the names are the standard's")]

use super::wire::{Fixed32, Fixed64, Fixed64s, LengthDelimited, Value, Varint, Varints, ZigZag};

include!(concat!(env!("OUT_DIR"), "/otlp_protobuf.rs"));
