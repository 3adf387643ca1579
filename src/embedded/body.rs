//! A request's body as it was before it was compressed, piece by piece: Content-Encoding first, frames second.

use std::io;
use std::pin::Pin;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, Lz4Decoder, ZlibDecoder, ZstdDecoder};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http_body_util::BodyDataStream;
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::StreamReader;

use crate::columns::frames::{FrameError, FrameReader};

use super::error::{QueryError, code};

/// One piece of a body, decompressed.
const PIECE_BYTES: usize = 64 << 10;
/// What is still read of a body after its query failed, so that the client gets to read the answer.
const DRAIN_BYTES_MAX: u64 = 256 << 20;

/// A body being read.
pub(crate) struct Body {
    reader: Pin<Box<dyn AsyncRead + Send>>,
    frames: Option<FrameReader>,
    ended: bool,
}

impl Body {
    /// `encoding` is the request's Content-Encoding; `frames` whether `decompress=1` was said.
    pub(crate) fn new(incoming: Incoming, encoding: &str, frames: bool) -> Result<Self, QueryError> {
        Self::from_stream(BodyDataStream::new(incoming).map(|piece| piece.map_err(io::Error::other)), encoding, frames)
    }

    fn from_stream(
        stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        encoding: &str,
        frames: bool,
    ) -> Result<Self, QueryError> {
        let raw = StreamReader::new(stream.boxed());
        // several members may follow each other, as `cat a.gz b.gz` makes them
        macro_rules! decoder {
            ($name:ident) => {{
                let mut decoder = $name::new(raw);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }};
        }
        let reader: Pin<Box<dyn AsyncRead + Send>> = match encoding {
            "" | "identity" => Box::pin(raw),
            "gzip" | "x-gzip" => decoder!(GzipDecoder),
            "zstd" => decoder!(ZstdDecoder),
            "deflate" => decoder!(ZlibDecoder),
            "br" => decoder!(BrotliDecoder),
            "lz4" => decoder!(Lz4Decoder),
            other => {
                let message = format!("Unknown compression method: {other}");
                return Err(QueryError::new(code::NOT_IMPLEMENTED, "NOT_IMPLEMENTED", &message));
            }
        };
        Ok(Self { reader, frames: frames.then(FrameReader::default), ended: false })
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, QueryError> {
        while !self.ended {
            let mut read = BytesMut::with_capacity(PIECE_BYTES);
            if self.reader.read_buf(&mut read).await.map_err(|error| unreadable(&error))? == 0 {
                self.ended = true;
                if let Some(frames) = self.frames.take() {
                    frames.finish().map_err(bad_frame)?;
                }
                break;
            }
            let Some(frames) = &mut self.frames else { return Ok(Some(read.freeze())) };
            let mut content = Vec::new();
            frames.push(&read, &mut content).map_err(bad_frame)?;
            if !content.is_empty() {
                return Ok(Some(content.into()));
            }
        }
        Ok(None)
    }

    /// Reads on without looking: a client that is still sending does not read its answer.
    pub(crate) async fn drain(mut self) {
        let mut rest = (&mut self.reader).take(DRAIN_BYTES_MAX);
        let _client_may_be_gone = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    }
}

fn unreadable(error: &io::Error) -> QueryError {
    if error.get_ref().is_some_and(|inner| inner.is::<hyper::Error>()) {
        return QueryError::new(code::NETWORK_ERROR, "NETWORK_ERROR", &format!("Cannot read the request: {error}"));
    }
    QueryError::new(code::CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS", &format!("Cannot decompress the request: {error}"))
}

fn bad_frame(error: FrameError) -> QueryError {
    let (code, name) = match error {
        FrameError::Checksum => (40, "CHECKSUM_DOESNT_MATCH"),
        FrameError::Method(_) => (89, "UNKNOWN_COMPRESSION_METHOD"),
        FrameError::Size(_) | FrameError::Data | FrameError::Truncated => {
            (code::CANNOT_DECOMPRESS, "CANNOT_DECOMPRESS")
        }
    };
    QueryError::new(code, name, &format!("Cannot decompress the request: {error}"))
}
