//! A request body within its bounds: limited before and after decompression, with memory reserved in the pipeline for
//! every byte as it arrives.

use crate::pipeline::{IngestError, Pipeline, Reservation};
use crate::receivers::decoding::{BATCH_BYTES_MAX, Cancelled, DecodePool};
use crate::receivers::http::encoding::{Coding, Decoder, UnknownCoding, explained};
use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, TryStreamExt as _};
use std::io::{self, Cursor};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

/// How much is read of a refused body, so that its sender sees the answer.
pub(crate) const PASS_OVER_BYTES_MAX: usize = 256 << 20;
pub(crate) const PASS_OVER_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest first size of the buffer that a body of several frames grows in: its length is announced before memory is reserved.
const COLLECTED_BYTES_FIRST: usize = 1 << 20;
/// First size of the buffer that a decompressed body grows in.
const DECOMPRESSED_BYTES_FIRST: usize = 64 << 10;

/// A body was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the request body is larger than {max} bytes; send smaller batches")]
    TooLarge { max: usize },
    #[error("the request body is larger than {max} bytes once decompressed; send smaller batches")]
    ExpandsTooFar { max: usize },
    #[error(transparent)]
    Encoding(#[from] UnknownCoding),
    #[error("the request body is not valid {encoding}: {cause}")]
    Compression { encoding: &'static str, cause: io::Error },
    #[error("failed to read the request body: {0}")]
    CutOff(String),
    #[error("the request body did not arrive within {0:?}")]
    TooSlow(Duration),
    #[error(transparent)]
    Ingest(#[from] IngestError),
}

/// Reads the bodies of a receiver's requests.
#[derive(Debug, Clone)]
pub struct BodyReader {
    /// Where memory is reserved.
    pub pipeline: Pipeline,
    /// Where large bodies are decompressed.
    pub decode_pool: DecodePool,
    /// Bytes of one body, compressed and decompressed.
    pub bytes_max: usize,
    /// How long a sender may take for its body.
    pub timeout: Duration,
}

impl BodyReader {
    /// Reads a body and decompresses it; the returned reservation covers the returned bytes.
    pub(crate) async fn read(&self, body: Body, headers: &HeaderMap) -> Result<(Bytes, Reservation), BodyError> {
        let coding = Coding::of(headers);
        let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let (bytes, reservation) = self.read_raw(body, headers, |_| length, 0).await?;
        self.expand(bytes, coding?, reservation).await
    }

    /// Reads a body as it is; `announced` returns its length by its headers or its first bytes, and `framing_bytes` of it
    /// do not count. The rest of a refused body is passed over, so that its sender sees the answer.
    pub(crate) async fn read_raw(
        &self,
        body: Body,
        headers: &HeaderMap,
        announced: impl Fn(&[u8]) -> Option<usize>,
        framing_bytes: usize,
    ) -> Result<(Bytes, Reservation), BodyError> {
        let mut stream = body.into_data_stream();
        let collecting = self.collect(&mut stream, announced, framing_bytes);
        let collected = match tokio::time::timeout(self.timeout, collecting).await {
            Ok(collected) => collected,
            Err(_) => Err(BodyError::TooSlow(self.timeout)),
        };
        if collected.is_err() && !headers.contains_key(header::EXPECT) {
            Box::pin(pass_over_stream(&mut stream)).await;
        }
        collected
    }

    /// Decompresses a body that has arrived; its reservation then covers the result. A large one is decompressed on a thread.
    pub(crate) async fn expand(
        &self,
        bytes: Bytes,
        coding: Coding,
        reservation: Reservation,
    ) -> Result<(Bytes, Reservation), BodyError> {
        if coding.is_identity() {
            let mut reservation = reservation;
            reservation.resize(bytes.len())?;
            return Ok((bytes, reservation));
        }
        // the state of a decoder is large, and the future of every request would be
        Box::pin(self.decompress(bytes, coding, reservation)).await
    }

    async fn decompress(
        &self,
        bytes: Bytes,
        coding: Coding,
        reservation: Reservation,
    ) -> Result<(Bytes, Reservation), BodyError> {
        let out = BytesMut::with_capacity(DECOMPRESSED_BYTES_FIRST.min(self.bytes_max));
        let decoder = coding.decoder(Cursor::new(bytes));
        let mut expanding = Expanding { decoder, out, reservation, bytes_max: self.bytes_max, coding };
        if !expanding.go_on(BATCH_BYTES_MAX, &Cancelled::default())? {
            expanding = self
                .decode_pool
                .run_on_thread(move |cancelled| expanding.go_on(usize::MAX, cancelled).map(|_at_its_end| expanding))
                .await?;
        }
        let Expanding { out, mut reservation, .. } = expanding;
        debug_assert!(out.len() <= self.bytes_max, "decompression stops at the limit");
        reservation.resize(out.len())?;
        Ok((out.freeze(), reservation))
    }

    async fn collect(
        &self,
        stream: &mut BodyDataStream,
        announced: impl Fn(&[u8]) -> Option<usize>,
        framing_bytes: usize,
    ) -> Result<(Bytes, Reservation), BodyError> {
        let max = self.bytes_max;
        let fits = |length: usize| {
            if length.saturating_sub(framing_bytes) > max { Err(BodyError::TooLarge { max }) } else { Ok(()) }
        };
        announced(&[]).map_or(Ok(()), fits)?;
        let mut reservation = self.pipeline.reserve(0)?;
        let cut_off = |error: axum::Error| BodyError::CutOff(error.to_string());
        let Some(first) = stream.try_next().await.map_err(cut_off)? else { return Ok((Bytes::new(), reservation)) };
        fits(first.len())?;
        reservation.grow(first.len())?;
        let mut next = stream.try_next().await.map_err(cut_off)?;
        if next.is_none() {
            // one frame that is the whole body is taken as it lies
            return Ok((first, reservation));
        }
        let length = announced(&first);
        length.map_or(Ok(()), fits)?;
        let at_first = length.map_or(0, |length| length.min(COLLECTED_BYTES_FIRST));
        let mut bytes = BytesMut::with_capacity(at_first.max(first.len()));
        bytes.extend_from_slice(&first);
        drop(first);
        while let Some(frame) = next {
            fits(bytes.len() + frame.len())?;
            reservation.grow(frame.len())?;
            bytes.extend_from_slice(&frame);
            next = stream.try_next().await.map_err(cut_off)?;
        }
        Ok((bytes.freeze(), reservation))
    }
}

/// A body that is being decompressed.
struct Expanding {
    decoder: Decoder<Cursor<Bytes>>,
    out: BytesMut,
    reservation: Reservation,
    bytes_max: usize,
    coding: Coding,
}

impl Expanding {
    /// Decompresses until there are `bytes`, or the caller is gone; `true` at the end of the body.
    fn go_on(&mut self, bytes: usize, cancelled: &Cancelled) -> Result<bool, BodyError> {
        while self.out.len() < bytes && !cancelled.is_cancelled() {
            let read = self.decoder.read_buf(&mut self.out).now_or_never();
            let read = read
                .expect("its source is in memory and never pending")
                .map_err(|cause| BodyError::Compression { encoding: self.coding.name(), cause: explained(cause) })?;
            if read == 0 {
                return Ok(true);
            }
            if self.out.len() > self.bytes_max {
                return Err(BodyError::ExpandsTooFar { max: self.bytes_max });
            }
            self.reservation.grow(read)?;
            if self.out.len() == self.out.capacity() {
                self.out.reserve(self.out.len());
            }
        }
        Ok(false)
    }
}

/// Reads a refused body and discards it: a sender that is still writing when the connection closes sees a broken
/// pipe instead of the answer. Bounded in bytes and time; a sender that waits for `100 Continue` does not get it.
pub(crate) async fn pass_over(body: Body, headers: &HeaderMap) {
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::pipeline;
    use crate::telemetry::Metrics;
    use axum::http::HeaderValue;

    async fn read_as(encoding: &'static str, bytes: Vec<u8>, max: usize) -> Result<Bytes, BodyError> {
        let (pipeline, _queue) = pipeline::channel(1 << 27, &Metrics::new().unwrap());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        reader(pipeline, max).read(Body::from(bytes), &headers).await.map(|(bytes, _reservation)| bytes)
    }

    pub(in super::super) fn reader(pipeline: Pipeline, bytes_max: usize) -> BodyReader {
        BodyReader { pipeline, decode_pool: DecodePool::default(), bytes_max, timeout: Duration::from_secs(30) }
    }

    async fn gzipped(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        async_compression::tokio::bufread::GzipEncoder::new(content).read_to_end(&mut out).await.unwrap();
        out
    }

    #[tokio::test]
    async fn a_compressed_body_is_decompressed() {
        let packed = gzipped(b"hello").await;
        assert_eq!(read_as("gzip", packed.clone(), 100).await.unwrap(), "hello");
        assert_eq!(read_as("GZIP", [packed.clone(), packed].concat(), 100).await.unwrap(), "hellohello");
        assert_eq!(read_as("identity", b"plain".to_vec(), 100).await.unwrap(), "plain");
    }

    /// The error of a zstd window above 8 MiB.
    pub(in super::super) const WINDOW_TOO_LARGE: &str =
        "its window is larger than 8 MiB; compress at level 19 or below, without --long";

    /// A zstd frame of the text "hi" that demands a window of 2^`log` bytes. Source: RFC 8878, section 3.1.1.
    pub(in super::super) fn zstd_frame(log: u8) -> Vec<u8> {
        let (magic, no_flags, last_raw_block_of_2) = ([0x28, 0xb5, 0x2f, 0xfd], 0, [0b1_0001, 0, 0]);
        [&magic[..], &[no_flags, (log - 10) << 3], &last_raw_block_of_2, b"hi"].concat()
    }

    #[tokio::test]
    async fn a_zstd_window_above_8_mib_is_refused_with_advice() {
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
    async fn a_body_of_several_frames_is_one_whatever_length_is_announced() {
        let (pipeline, _queue) = pipeline::channel(1 << 27, &Metrics::new().unwrap());
        let bodies = reader(pipeline, 100);
        let read = async |announced| {
            let frames = ["one", "two", "three"].map(|frame| Ok::<_, std::io::Error>(Bytes::from(frame)));
            let body = Body::from_stream(futures_util::stream::iter(frames));
            bodies.read_raw(body, &HeaderMap::new(), |_| announced, 0).await.map(|(bytes, _reservation)| bytes)
        };
        for announced in [None, Some(0), Some(3), Some(11), Some(100)] {
            assert_eq!(read(announced).await.unwrap(), "onetwothree", "{announced:?}");
        }
        assert!(matches!(read(Some(101)).await, Err(BodyError::TooLarge { max: 100 })));
    }

    #[tokio::test]
    async fn a_body_that_is_not_valid_in_its_encoding_is_refused() {
        assert!(matches!(read_as("gzip", b"plain".to_vec(), 100).await, Err(BodyError::Compression { .. })));
        assert!(
            matches!(read_as("lzma", b"x".to_vec(), 100).await, Err(BodyError::Encoding(unknown)) if unknown.0 == "lzma")
        );
        let mut cut = gzipped(b"hello").await;
        cut.truncate(cut.len() - 5);
        assert!(matches!(read_as("gzip", cut, 100).await, Err(BodyError::Compression { .. })));
    }
}
