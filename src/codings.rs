//! Content codings: their names in `Content-Encoding`, and their decoders.

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, Lz4Decoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// RFC 1950: `deflate` is the zlib format in HTTP. Source: RFC 9110, section 8.4.1.2.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// LZ4 frames, which ClickHouse and its clients know.
    Lz4,
}

impl Coding {
    /// The coding of this name in lower case; `None` if there is no such coding.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "" | "identity" => Self::Identity,
            "gzip" | "x-gzip" => Self::Gzip,
            "zstd" => Self::Zstd,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            "lz4" => Self::Lz4,
            _ => return None,
        })
    }

    /// Its name in `Content-Encoding`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Lz4 => "lz4",
        }
    }

    /// Decodes what comes from `source`, to its end: several members or frames in a row are one body, as `cat a.gz b.gz` makes
    /// them. Fails at a zstd frame whose window is larger than 2^`zstd_window_log_max` bytes.
    pub fn decoder<R: AsyncBufRead>(self, source: R, zstd_window_log_max: u32) -> Decoder<R> {
        macro_rules! to_the_end {
            ($decoder:expr) => {{
                let mut decoder = $decoder;
                decoder.multiple_members(true);
                decoder
            }};
        }
        let zstd_window = DParameter::window_log_max(zstd_window_log_max);
        match self {
            Self::Identity => Decoder::Identity(source),
            Self::Gzip => Decoder::Gzip(to_the_end!(GzipDecoder::new(source))),
            Self::Zstd => Decoder::Zstd(to_the_end!(ZstdDecoder::with_params(source, &[zstd_window]))),
            Self::Deflate => Decoder::Deflate(to_the_end!(ZlibDecoder::new(source))),
            Self::Brotli => Decoder::Brotli(Box::new(to_the_end!(BrotliDecoder::new(source)))),
            Self::Lz4 => Decoder::Lz4(to_the_end!(Lz4Decoder::new(source))),
        }
    }
}

/// Reads what was coded.
#[derive(Debug)]
#[expect(missing_docs, reason = "each holds the decoder of the coding of its name")]
pub enum Decoder<R> {
    Identity(R),
    Gzip(GzipDecoder<R>),
    Zstd(ZstdDecoder<R>),
    Deflate(ZlibDecoder<R>),
    Brotli(Box<BrotliDecoder<R>>),
    Lz4(Lz4Decoder<R>),
}

impl<R: AsyncBufRead> Decoder<R> {
    /// What it reads from.
    pub fn into_source(self) -> R {
        match self {
            Self::Identity(source) => source,
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.into_inner(),
            Self::Deflate(decoder) => decoder.into_inner(),
            Self::Brotli(decoder) => decoder.into_inner(),
            Self::Lz4(decoder) => decoder.into_inner(),
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
            Self::Lz4(decoder) => Pin::new(decoder).poll_read(cx, into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, Lz4Encoder, ZlibEncoder, ZstdEncoder};
    use tokio::io::AsyncReadExt as _;

    const ALL: [Coding; 6] =
        [Coding::Identity, Coding::Gzip, Coding::Zstd, Coding::Deflate, Coding::Brotli, Coding::Lz4];

    async fn coded(coding: Coding, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let written = match coding {
            Coding::Identity => tokio::io::copy(&mut &*content, &mut out).await.map(|_| 0),
            Coding::Gzip => GzipEncoder::new(content).read_to_end(&mut out).await,
            Coding::Zstd => ZstdEncoder::new(content).read_to_end(&mut out).await,
            Coding::Deflate => ZlibEncoder::new(content).read_to_end(&mut out).await,
            Coding::Brotli => BrotliEncoder::new(content).read_to_end(&mut out).await,
            Coding::Lz4 => Lz4Encoder::new(content).read_to_end(&mut out).await,
        };
        written.unwrap();
        out
    }

    #[tokio::test]
    async fn a_body_of_several_members_is_decoded_to_its_end() {
        for coding in ALL {
            let body = [coded(coding, b"one, ").await, coded(coding, b"two").await].concat();
            let mut decoder = coding.decoder(&body[..], 27);
            let mut text = String::new();
            decoder.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "one, two", "{coding:?}");
            assert!(decoder.into_source().is_empty(), "{coding:?}");
        }
    }

    #[test]
    fn each_coding_has_its_name() {
        for coding in ALL {
            assert_eq!(Coding::named(coding.name()), Some(coding));
        }
        assert_eq!([Coding::named("GZIP"), Coding::named("lzma")], [None, None]);
    }
}
