//! Content codings: their names, their decoders, and the memory that a decoder takes.

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::http::{HeaderMap, header};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// The zstd window we hold, as a power of two: 8 MiB. Source: RFC 8878, section 3.1.1.1.2, what decoders should support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Source: RFC 7932, section 9.1: the largest window is 16 MiB.
const BROTLI_WINDOW_BYTES_MAX: usize = 16 << 20;
/// What a decoder of deflate holds: its window and its tables.
const DEFLATE_BYTES: usize = 64 << 10;

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Zstd,
    Deflate,
    Brotli,
}

/// A coding that is not one of [`Coding`].
#[derive(Debug, thiserror::Error)]
#[error("Content-Encoding {0:?} is not supported; use gzip, zstd, deflate, br or none")]
pub(crate) struct UnknownCoding(pub(crate) String);

impl Coding {
    /// # Errors
    /// If there is no coding of this name.
    pub(crate) fn named(name: &str) -> Result<Self, UnknownCoding> {
        Ok(match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => Self::Identity,
            "gzip" | "x-gzip" => Self::Gzip,
            "zstd" => Self::Zstd,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            other => return Err(UnknownCoding(other.to_owned())),
        })
    }

    /// What `Content-Encoding` says.
    ///
    /// # Errors
    /// If there is no coding of this name.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, UnknownCoding> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Self::Identity) };
        Self::named(&String::from_utf8_lossy(value.as_bytes()))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
        }
    }

    /// The most that its decoder holds.
    pub(crate) fn decoder_bytes_max(self) -> usize {
        match self {
            Self::Identity => 0,
            Self::Gzip | Self::Deflate => DEFLATE_BYTES,
            Self::Zstd => 1 << ZSTD_WINDOW_LOG_MAX,
            Self::Brotli => BROTLI_WINDOW_BYTES_MAX,
        }
    }

    /// Several members of gzip in a row, and several frames of zstd, are one body.
    pub(crate) fn decoder<R: AsyncBufRead>(self, source: R) -> Decoder<R> {
        match self {
            Self::Identity => Decoder::Identity(source),
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(source);
                decoder.multiple_members(true);
                Decoder::Gzip(decoder)
            }
            Self::Zstd => {
                let mut decoder = ZstdDecoder::with_params(source, &[DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX)]);
                decoder.multiple_members(true);
                Decoder::Zstd(decoder)
            }
            Self::Deflate => Decoder::Deflate(ZlibDecoder::new(source)),
            Self::Brotli => Decoder::Brotli(Box::new(BrotliDecoder::new(source))),
        }
    }
}

/// Reads what was coded.
#[derive(Debug)]
pub(crate) enum Decoder<R> {
    Identity(R),
    Gzip(GzipDecoder<R>),
    Zstd(ZstdDecoder<R>),
    Deflate(ZlibDecoder<R>),
    Brotli(Box<BrotliDecoder<R>>),
}

impl<R: AsyncBufRead> Decoder<R> {
    /// What it reads from.
    pub(crate) fn into_source(self) -> R {
        match self {
            Self::Identity(source) => source,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.into_inner(),
            Self::Deflate(decoder) => decoder.into_inner(),
            Self::Brotli(decoder) => decoder.into_inner(),
        }
    }
}

impl<R: AsyncBufRead + AsyncRead + Unpin> AsyncRead for Decoder<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Identity(source) => Pin::new(source).poll_read(cx, into),
            Self::Gzip(decoder) => Pin::new(decoder).poll_read(cx, into),
            Self::Zstd(decoder) => Pin::new(decoder).poll_read(cx, into),
            Self::Deflate(decoder) => Pin::new(decoder).poll_read(cx, into),
            Self::Brotli(decoder) => Pin::new(decoder.as_mut()).poll_read(cx, into),
        }
    }
}

/// Says what to do about a zstd window that is too large; all other errors stay as they are.
pub(crate) fn explained(error: io::Error) -> io::Error {
    // Source: ZSTD_error_frameParameter_windowTooLarge of the zstd library, which the crate hands on as a text
    if !error.to_string().contains("Frame requires too much memory") {
        return error;
    }
    let window_mib = (1_u64 << ZSTD_WINDOW_LOG_MAX) >> 20;
    let advice = format!("its window is larger than {window_mib} MiB; compress at level 19 or below, without --long");
    io::Error::new(io::ErrorKind::InvalidData, advice)
}
