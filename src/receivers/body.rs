//! A request body within its bounds: limited before and after decompression, with room reserved in the pipeline for
//! every byte as it arrives.

use crate::pipeline::{NotTaken, Pipeline, Room};
use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncReadExt as _};

/// How long a sender may take for its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// What is read of a refused body, so that its sender sees the answer.
const PASS_OVER_BYTES_MAX: usize = 256 << 20;
const PASS_OVER_TIMEOUT: Duration = Duration::from_secs(5);
/// First size of the buffer that a decompressed body grows in.
const DECOMPRESSED_BYTES_FIRST: usize = 64 << 10;
/// The zstd window we hold, as a power of two: 8 MiB. Source: RFC 8878, section 3.1.1.1.2, what decoders should support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the request body is larger than {max} bytes; send smaller batches")]
    TooLarge { max: usize },
    #[error("the request body is larger than {max} bytes once decompressed; send smaller batches")]
    ExpandsTooFar { max: usize },
    #[error("Content-Encoding {0:?} is not supported; use gzip, zstd, deflate, br or none")]
    Encoding(String),
    #[error("the request body is not valid {encoding}: {cause}")]
    Compression { encoding: &'static str, cause: io::Error },
    #[error("the request body did not arrive: {0}")]
    CutOff(String),
    #[error("the request body did not arrive within {} s", BODY_TIMEOUT.as_secs())]
    TooSlow,
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
}

/// Reads a body and decompresses it; the room returned covers what is returned.
pub(super) async fn read(
    body: Body,
    headers: &HeaderMap,
    pipeline: &Pipeline,
    max: usize,
) -> Result<(Bytes, Room), BodyError> {
    let encoding = headers.get(header::CONTENT_ENCODING).map_or(Ok("identity"), |value| {
        value.to_str().map_err(|_| BodyError::Encoding(String::from_utf8_lossy(value.as_bytes()).into_owned()))
    });
    let (bytes, room) = read_raw(body, headers, pipeline, max).await?;
    expand(bytes, encoding?, room, max).await
}

/// Reads a body as it is. What is left of a refused one is passed over, so that its sender sees the answer.
pub(super) async fn read_raw(
    body: Body,
    headers: &HeaderMap,
    pipeline: &Pipeline,
    max: usize,
) -> Result<(Bytes, Room), BodyError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut stream = body.into_data_stream();
    let collected = tokio::time::timeout(BODY_TIMEOUT, collect(&mut stream, announced, pipeline, max)).await;
    let collected = collected.unwrap_or(Err(BodyError::TooSlow));
    if collected.is_err() && !headers.contains_key(header::EXPECT) {
        pass_over_stream(&mut stream).await;
    }
    collected
}

/// Decompresses a body that has arrived; its room then covers the result.
pub(super) async fn expand(
    bytes: Bytes,
    encoding: &str,
    mut room: Room,
    max: usize,
) -> Result<(Bytes, Room), BodyError> {
    let bytes = match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" | "none" => bytes,
        "gzip" | "x-gzip" => decompress("gzip", gzip(bytes.as_ref()), &mut room, max).await?,
        "zstd" => decompress("zstd", zstd(bytes.as_ref()), &mut room, max).await?,
        "deflate" => decompress("deflate", ZlibDecoder::new(bytes.as_ref()), &mut room, max).await?,
        "br" => decompress("br", BrotliDecoder::new(bytes.as_ref()), &mut room, max).await?,
        other => return Err(BodyError::Encoding(other.to_owned())),
    };
    room.resize(bytes.len())?;
    Ok((bytes, room))
}

async fn collect(
    stream: &mut BodyDataStream,
    announced: Option<usize>,
    pipeline: &Pipeline,
    max: usize,
) -> Result<(Bytes, Room), BodyError> {
    if announced.is_some_and(|length| length > max) {
        return Err(BodyError::TooLarge { max });
    }
    let mut room = pipeline.reserve(0)?;
    let cut_off = |error: axum::Error| BodyError::CutOff(error.to_string());
    // one frame that is the whole body is taken as it lies
    let Some(first) = stream.try_next().await.map_err(cut_off)? else { return Ok((Bytes::new(), room)) };
    room.grow(first.len())?;
    if Some(first.len()) == announced && first.len() <= max {
        return Ok((first, room));
    }
    let mut bytes = BytesMut::from(first);
    while let Some(frame) = stream.try_next().await.map_err(cut_off)? {
        if bytes.len() + frame.len() > max {
            return Err(BodyError::TooLarge { max });
        }
        room.grow(frame.len())?;
        bytes.extend_from_slice(&frame);
    }
    if bytes.len() > max {
        return Err(BodyError::TooLarge { max });
    }
    Ok((bytes.freeze(), room))
}

/// Reads a refused body and keeps nothing of it: a sender that is still writing when the connection closes sees a broken
/// pipe instead of the answer. Bounded in bytes and time; a sender that waits for leave to send is not given it.
pub(super) async fn pass_over(body: Body, headers: &HeaderMap) {
    if !headers.contains_key(header::EXPECT) {
        pass_over_stream(&mut body.into_data_stream()).await;
    }
}

async fn pass_over_stream(stream: &mut BodyDataStream) {
    let mut left = PASS_OVER_BYTES_MAX;
    let _out_of_time = tokio::time::timeout(PASS_OVER_TIMEOUT, async {
        while let Ok(Some(frame)) = stream.try_next().await {
            match left.checked_sub(frame.len()) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    })
    .await;
}

/// Several gzip members in a row are one body.
pub(super) fn gzip<R: AsyncBufRead>(source: R) -> GzipDecoder<R> {
    let mut decoder = GzipDecoder::new(source);
    decoder.multiple_members(true);
    decoder
}

/// Several zstd frames in a row are one body. Its window is memory that no room is reserved for, so it is bounded.
pub(super) fn zstd<R: AsyncBufRead>(source: R) -> ZstdDecoder<R> {
    let mut decoder = ZstdDecoder::with_params(source, &[DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX)]);
    decoder.multiple_members(true);
    decoder
}

/// Says what to do about a zstd window that is too large; all other errors stay as they are.
pub(super) fn explained(error: io::Error) -> io::Error {
    // Source: ZSTD_error_frameParameter_windowTooLarge of the zstd library, which the crate hands on as a text
    if !error.to_string().contains("Frame requires too much memory") {
        return error;
    }
    let window_mib = (1_u64 << ZSTD_WINDOW_LOG_MAX) >> 20;
    let advice = format!("its window is larger than {window_mib} MiB; compress at level 19 or below, without --long");
    io::Error::new(io::ErrorKind::InvalidData, advice)
}

async fn decompress(
    encoding: &'static str,
    mut decoder: impl AsyncRead + Unpin,
    room: &mut Room,
    max: usize,
) -> Result<Bytes, BodyError> {
    let mut out = BytesMut::with_capacity(DECOMPRESSED_BYTES_FIRST);
    loop {
        let read = decoder
            .read_buf(&mut out)
            .await
            .map_err(|cause| BodyError::Compression { encoding, cause: explained(cause) })?;
        if read == 0 {
            return Ok(out.freeze());
        }
        if out.len() > max {
            return Err(BodyError::ExpandsTooFar { max });
        }
        room.grow(read)?;
        if out.len() == out.capacity() {
            out.reserve(out.len());
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::pipeline;
    use crate::telemetry::Metrics;
    use axum::http::HeaderValue;

    async fn read_as(encoding: &'static str, bytes: Vec<u8>, max: usize) -> Result<Bytes, BodyError> {
        let (pipeline, _outlet) = pipeline::channel(1 << 27, &Metrics::new().unwrap());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        read(Body::from(bytes), &headers, &pipeline, max).await.map(|(bytes, _room)| bytes)
    }

    async fn gzipped(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        async_compression::tokio::bufread::GzipEncoder::new(content).read_to_end(&mut out).await.unwrap();
        out
    }

    #[tokio::test]
    async fn a_body_comes_out_of_its_compression() {
        let packed = gzipped(b"hello").await;
        assert_eq!(read_as("gzip", packed.clone(), 100).await.unwrap(), "hello");
        assert_eq!(read_as("GZIP", [packed.clone(), packed].concat(), 100).await.unwrap(), "hellohello");
        assert_eq!(read_as("identity", b"plain".to_vec(), 100).await.unwrap(), "plain");
    }

    /// What is said of a zstd window above 8 MiB.
    pub(in super::super) const WINDOW_TOO_LARGE: &str =
        "its window is larger than 8 MiB; compress at level 19 or below, without --long";

    /// A zstd frame of the text "hi" that demands a window of 2^`log` bytes. Source: RFC 8878, section 3.1.1.
    pub(in super::super) fn zstd_frame(log: u8) -> Vec<u8> {
        let (magic, no_flags, last_raw_block_of_2) = ([0x28, 0xb5, 0x2f, 0xfd], 0, [0b1_0001, 0, 0]);
        [&magic[..], &[no_flags, (log - 10) << 3], &last_raw_block_of_2, b"hi"].concat()
    }

    #[tokio::test]
    async fn a_zstd_window_above_8_mib_is_refused_and_said() {
        assert_eq!(read_as("zstd", zstd_frame(23), 100).await.unwrap(), "hi");
        let refused = read_as("zstd", zstd_frame(24), 100).await.unwrap_err().to_string();
        assert_eq!(refused, format!("the request body is not valid zstd: {WINDOW_TOO_LARGE}"));
    }

    #[tokio::test]
    async fn a_bomb_is_stopped_at_the_limit() {
        let bomb = gzipped(&vec![0; 1 << 20]).await;
        assert!(bomb.len() < 4_096);
        let result = read_as("gzip", bomb, 4_096).await;
        assert!(matches!(result, Err(BodyError::ExpandsTooFar { max: 4_096 })), "{result:?}");
        let result = read_as("identity", vec![0; 101], 100).await;
        assert!(matches!(result, Err(BodyError::TooLarge { max: 100 })), "{result:?}");
    }

    #[tokio::test]
    async fn what_is_not_what_it_claims_is_said_to_be_so() {
        assert!(matches!(read_as("gzip", b"plain".to_vec(), 100).await, Err(BodyError::Compression { .. })));
        assert!(matches!(read_as("lzma", b"x".to_vec(), 100).await, Err(BodyError::Encoding(name)) if name == "lzma"));
        let mut cut = gzipped(b"hello").await;
        cut.truncate(cut.len() - 5);
        assert!(matches!(read_as("gzip", cut, 100).await, Err(BodyError::Compression { .. })));
    }
}
