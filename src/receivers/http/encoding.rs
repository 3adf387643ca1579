//! The content codings of requests: those that receivers take, and the memory that a decoder of them may hold.

pub(crate) use crate::codings::Decoder;

use crate::codings::Coding as Known;
use axum::http::{HeaderMap, header};
use std::io;
use tokio::io::AsyncBufRead;

/// The zstd window we hold, as a power of two: 8 MiB. Source: RFC 8878, section 3.1.1.1.2, what decoders should support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Source: RFC 7932, section 9.1: the largest window is 16 MiB.
const BROTLI_WINDOW_BYTES_MAX: usize = 16 << 20;
/// What a decoder of deflate holds: its window and its tables.
const DEFLATE_BYTES: usize = 64 << 10;

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coding {
    coding: Known,
    /// The most that its decoder holds.
    decoder_bytes_max: usize,
}

/// A coding that receivers do not take.
#[derive(Debug, thiserror::Error)]
#[error("Content-Encoding {0:?} is not supported; use gzip, zstd, deflate, br or none")]
pub(crate) struct UnknownCoding(pub(crate) String);

impl Coding {
    /// # Errors
    /// If receivers do not take a coding of this name.
    pub(crate) fn named(name: &str) -> Result<Self, UnknownCoding> {
        let name = name.trim().to_ascii_lowercase();
        let coding = if name == "none" { Some(Known::Identity) } else { Known::named(&name) };
        let (coding, decoder_bytes_max) = match coding {
            Some(coding @ Known::Identity) => (coding, 0),
            Some(coding @ (Known::Gzip | Known::Deflate)) => (coding, DEFLATE_BYTES),
            Some(coding @ Known::Zstd) => (coding, 1 << ZSTD_WINDOW_LOG_MAX),
            Some(coding @ Known::Brotli) => (coding, BROTLI_WINDOW_BYTES_MAX),
            Some(Known::Lz4) | None => return Err(UnknownCoding(name)),
        };
        Ok(Self { coding, decoder_bytes_max })
    }

    /// The coding that `Content-Encoding` names.
    ///
    /// # Errors
    /// If receivers do not take a coding of this name.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, UnknownCoding> {
        match headers.get(header::CONTENT_ENCODING) {
            Some(value) => Self::named(&String::from_utf8_lossy(value.as_bytes())),
            None => Self::named("identity"),
        }
    }

    pub(crate) fn is_identity(self) -> bool {
        self.coding == Known::Identity
    }

    pub(crate) fn name(self) -> &'static str {
        self.coding.name()
    }

    /// The most that its decoder holds.
    pub(crate) fn decoder_bytes_max(self) -> usize {
        self.decoder_bytes_max
    }

    pub(crate) fn decoder<R: AsyncBufRead>(self, source: R) -> Decoder<R> {
        self.coding.decoder(source, ZSTD_WINDOW_LOG_MAX)
    }
}

/// Adds what to do about a zstd window that is too large; all other errors stay as they are.
pub(crate) fn explained(error: io::Error) -> io::Error {
    // Source: ZSTD_error_frameParameter_windowTooLarge of the zstd library, which the crate hands on as a text
    if !error.to_string().contains("Frame requires too much memory") {
        return error;
    }
    let window_mib = (1_u64 << ZSTD_WINDOW_LOG_MAX) >> 20;
    let advice = format!("its window is larger than {window_mib} MiB; compress at level 19 or below, without --long");
    io::Error::new(io::ErrorKind::InvalidData, advice)
}
