//! ClickHouse's compressed frames: what `decompress=1` takes, `compress=1` gives, and a journal segment is made of.
//!
//! ```text
//! 0   16  CityHash128 (v1.0.2) of everything below: low half first, each half little-endian
//! 16   1  method: 0x82 LZ4 block, 0x90 ZSTD, 0x02 none
//! 17   4  size of method + both sizes + data, little-endian   (= 9 + data)
//! 21   4  size of the data once decompressed, little-endian
//! 25   -  data
//! ```
//!
//! Source: ClickHouse `CompressedReadBufferBase.cpp`, `CompressionInfo.h`.

use crate::bounds::{FRAME_BYTES_MAX, FRAME_CONTENT_BYTES_MAX};
use cityhash_rs::cityhash_102_128;
use lz4_flex::block::get_maximum_output_size;

/// Checksum, method and two sizes.
pub const FRAME_HEADER_BYTES: usize = CHECKSUM_BYTES + SIZES_BYTES;
/// The largest frame that ClickHouse reads, and what an earlier Millrace may have written. Source:
/// `DBMS_MAX_COMPRESSED_SIZE`.
const CLICKHOUSE_FRAME_BYTES_MAX: usize = 1 << 30;
/// What is cut into frames of no particular size has this much in each, as ClickHouse's own clients do.
const PIECE_BYTES: usize = 1 << 20;

/// What an embedded engine reads, and the journal writes.
const OWN: Largest = Largest { frame_bytes: FRAME_BYTES_MAX, content_bytes: FRAME_CONTENT_BYTES_MAX };
/// What the journal reads.
const ANY: Largest = Largest { frame_bytes: CLICKHOUSE_FRAME_BYTES_MAX, content_bytes: CLICKHOUSE_FRAME_BYTES_MAX };

const _: () = assert!(FRAME_HEADER_BYTES + get_maximum_output_size(FRAME_CONTENT_BYTES_MAX) <= FRAME_BYTES_MAX);
const _: () = assert!(FRAME_BYTES_MAX <= CLICKHOUSE_FRAME_BYTES_MAX);

const CHECKSUM_BYTES: usize = 16;
const SIZES_BYTES: usize = 9;
const METHOD_LZ4: u8 = 0x82;
const METHOD_ZSTD: u8 = 0x90;
const METHOD_NONE: u8 = 0x02;

/// Why bytes are not a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes are not those that were written.
    #[error("checksum does not match")]
    Checksum,
    /// The header names a method that is not LZ4, ZSTD or none.
    #[error("unknown compression method 0x{0:02x}")]
    Method(u8),
    /// The header claims more than is read, or less than the header itself.
    #[error("frame claims a size of {0} bytes")]
    Size(u32),
    /// The data does not decompress to the size the header claims.
    #[error("frame data does not decompress")]
    Data,
    /// The bytes end inside a frame.
    #[error("frame is cut short")]
    Truncated,
}

/// What one frame is to hold: at least a byte, and at most [`FRAME_CONTENT_BYTES_MAX`].
#[derive(Debug, Clone, Copy)]
pub struct Content<'a>(&'a [u8]);

impl<'a> Content<'a> {
    /// These bytes; `None` when no frame holds so many, or so few.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        (1..=FRAME_CONTENT_BYTES_MAX).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// Any number of bytes, cut so that frames hold them.
    pub fn pieces(bytes: &'a [u8]) -> impl Iterator<Item = Self> {
        bytes.chunks(PIECE_BYTES).map(Self)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// How the content of a frame is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By LZ4.
    Lz4,
    /// Not at all.
    None,
}

/// Makes frames, in room that is kept from one to the next: what is compressed is written there first, as its length is not known
/// before.
#[derive(Debug, Default)]
pub struct Compressor {
    room: Vec<u8>,
}

impl Compressor {
    /// Appends one frame to `out`.
    pub fn append(&mut self, content: Content<'_>, method: Method, out: &mut Vec<u8>) {
        match method {
            Method::Lz4 => append_frame(METHOD_LZ4, self.compressed(content), content.0.len(), out),
            Method::None => append_frame(METHOD_NONE, content.0, content.0.len(), out),
        }
    }

    /// Makes a frame, in place, of what `out` has after [`FrameBegun`].
    pub fn finish(&mut self, begun: FrameBegun, method: Method, out: &mut Vec<u8>) {
        match method {
            Method::Lz4 => {
                let content = begun.content(out);
                let (data, content_bytes) = (self.compressed(content), content.0.len());
                out.truncate(begun.0);
                append_frame(METHOD_LZ4, data, content_bytes, out);
            }
            Method::None => {
                let content_bytes = begun.content(out).0.len();
                let (_before, frame) = out.split_at_mut(begun.0);
                write_header(METHOD_NONE, content_bytes, frame);
            }
        }
    }

    fn compressed(&mut self, content: Content<'_>) -> &[u8] {
        let most = get_maximum_output_size(content.0.len());
        if self.room.len() < most {
            self.room.resize(most, 0);
        }
        let compressed = lz4_flex::block::compress_into(content.0, &mut self.room)
            .expect("the crate documents that it needs no more room");
        let (data, _room) = self.room.split_at(compressed);
        data
    }

    /// Gives the room back if it is larger than this.
    pub fn trim(&mut self, bytes: usize) {
        if self.room.len() > bytes {
            self.room = Vec::new();
        }
    }
}

/// Where a frame begins whose content is appended next: nothing is copied that stays uncompressed.
#[derive(Debug, Clone, Copy)]
pub struct FrameBegun(usize);

impl FrameBegun {
    /// Leaves room for the header.
    pub fn at_end_of(out: &mut Vec<u8>) -> Self {
        let begin = out.len();
        out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        Self(begin)
    }

    /// What was appended to `out` since.
    ///
    /// # Panics
    /// If no frame holds so much, or so little.
    #[must_use]
    pub fn content(self, out: &[u8]) -> Content<'_> {
        let content = out.get(self.0.saturating_add(FRAME_HEADER_BYTES)..).and_then(Content::new);
        content.expect("callers count what they append, so that a frame holds it")
    }
}

/// Appends a frame of these data.
fn append_frame(method: u8, data: &[u8], content_bytes: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.reserve(FRAME_HEADER_BYTES + data.len());
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    out.extend_from_slice(data);
    let (_before, frame) = out.split_at_mut(start);
    write_header(method, content_bytes, frame);
}

/// Writes the header of a frame over the room that was left for it.
fn write_header(method: u8, content_bytes: usize, frame: &mut [u8]) {
    let data_bytes = frame.len() - FRAME_HEADER_BYTES;
    let (checksum_field, checked) = frame.split_at_mut(CHECKSUM_BYTES);
    let (sizes, _data) = checked.split_at_mut(SIZES_BYTES);
    sizes.copy_from_slice(&sizes_field(method, data_bytes, content_bytes));
    checksum_field.copy_from_slice(&checksum(checked));
}

/// Appends one LZ4 frame to `out`.
pub fn compress_frame(content: Content<'_>, out: &mut Vec<u8>) {
    Compressor::default().append(content, Method::Lz4, out);
}

/// Appends what [`Content::pieces`] makes of `bytes`, in a frame each.
pub fn compress_pieces(bytes: &[u8], out: &mut Vec<u8>) {
    let mut compressor = Compressor::default();
    Content::pieces(bytes).for_each(|content| compressor.append(content, Method::Lz4, out));
}

/// Where a frame ends and how large its content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameShape {
    /// Bytes of the whole frame.
    pub frame_bytes: usize,
    /// Bytes of its content once decompressed.
    pub content_bytes: usize,
}

/// Checks the frame at the front of `bytes` without decompressing it. `Ok(None)` when it is not complete.
///
/// # Errors
///
/// If the bytes are not a frame, whatever may follow.
pub fn check_frame(bytes: &[u8]) -> Result<Option<FrameShape>, FrameError> {
    let Some((header, _data)) = checked(bytes, ANY)? else { return Ok(None) };
    Ok(Some(FrameShape { frame_bytes: header.frame_bytes, content_bytes: header.content_bytes }))
}

/// How many bytes the frame at the front of `bytes` claims to have, if they are all there: what checking it will read.
#[must_use]
pub fn claimed_bytes(bytes: &[u8]) -> Option<usize> {
    let claimed = Header::read(bytes, ANY).ok()??.frame_bytes;
    (claimed <= bytes.len()).then_some(claimed)
}

/// What the header of the frame at the front of `bytes` has, which [`check_frame`] approved.
#[must_use]
pub fn shape_of(bytes: &[u8]) -> Option<FrameShape> {
    let header = Header::read(bytes, ANY).ok()??;
    Some(FrameShape { frame_bytes: header.frame_bytes, content_bytes: header.content_bytes })
}

/// Appends the content of a frame that [`check_frame`] approved.
///
/// # Errors
///
/// If the content does not decompress to what the header claims.
pub fn decompress_checked_frame(frame: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
    let header = Header::read(frame, ANY)?.ok_or(FrameError::Truncated)?;
    header.decompress(frame.get(FRAME_HEADER_BYTES..header.frame_bytes).ok_or(FrameError::Truncated)?, out)
}

/// Appends the content of frames that follow each other.
///
/// # Errors
///
/// If the bytes are not frames from start to end.
pub fn decompress_frames(mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
    while !bytes.is_empty() {
        let shape = check_frame(bytes)?.ok_or(FrameError::Truncated)?;
        let (frame, rest) = bytes.split_at_checked(shape.frame_bytes).ok_or(FrameError::Truncated)?;
        decompress_checked_frame(frame, out)?;
        bytes = rest;
    }
    Ok(())
}

/// The 16 bytes that ClickHouse checks its frames by, for what is not a frame.
#[must_use]
pub fn checksum_of(bytes: &[u8]) -> [u8; 16] {
    checksum(bytes)
}

/// Reads one frame off the front of `bytes` and appends its content to `out`; returns how many bytes the frame has.
/// `Ok(None)` when the frame is not complete yet.
///
/// # Errors
///
/// If the bytes are not a frame, whatever may follow.
pub fn decompress_frame(bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, FrameError> {
    let Some((header, data)) = checked(bytes, OWN)? else { return Ok(None) };
    header.decompress(data, out)?;
    Ok(Some(header.frame_bytes))
}

/// The header and the data of the frame at the front of `bytes`, which is the one that was written; `None` when it is not complete.
fn checked(bytes: &[u8], max: Largest) -> Result<Option<(Header, &[u8])>, FrameError> {
    let Some(header) = Header::read(bytes, max)? else { return Ok(None) };
    let Some(frame) = bytes.get(..header.frame_bytes) else { return Ok(None) };
    let (given, rest) = frame.split_at_checked(CHECKSUM_BYTES).ok_or(FrameError::Truncated)?;
    if checksum(rest) != given {
        return Err(FrameError::Checksum);
    }
    let (_sizes, data) = rest.split_at_checked(SIZES_BYTES).ok_or(FrameError::Truncated)?;
    Ok(Some((header, data)))
}

/// Frames that arrive in pieces. Holds at most one frame and the piece that completed it.
#[derive(Debug, Default)]
pub struct FrameReader {
    pending: Vec<u8>,
}

impl FrameReader {
    /// Takes the next piece and appends the content of every frame it completes to `out`.
    ///
    /// # Errors
    ///
    /// If the bytes are not frames; the reader is of no use afterwards.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        self.pending.extend_from_slice(piece);
        let mut rest = self.pending.as_slice();
        while let Some(frame) = decompress_frame(rest, out)? {
            (_, rest) = rest.split_at_checked(frame).ok_or(FrameError::Truncated)?;
        }
        let read = self.pending.len() - rest.len();
        self.pending.drain(..read);
        Ok(())
    }

    /// Ends the stream of pieces.
    ///
    /// # Errors
    ///
    /// If the last frame is incomplete.
    pub fn finish(self) -> Result<(), FrameError> {
        if self.pending.is_empty() { Ok(()) } else { Err(FrameError::Truncated) }
    }
}

/// The most that is read.
#[derive(Clone, Copy)]
struct Largest {
    frame_bytes: usize,
    content_bytes: usize,
}

struct Header {
    method: u8,
    frame_bytes: usize,
    content_bytes: usize,
}

impl Header {
    fn read(bytes: &[u8], max: Largest) -> Result<Option<Self>, FrameError> {
        let Some(&[method, a, b, c, d, e, f, g, h]) = bytes.get(CHECKSUM_BYTES..FRAME_HEADER_BYTES) else {
            return Ok(None);
        };
        if !matches!(method, METHOD_LZ4 | METHOD_ZSTD | METHOD_NONE) {
            return Err(FrameError::Method(method));
        }
        let with_sizes = bounded(u32::from_le_bytes([a, b, c, d]), max.frame_bytes)?;
        let content_bytes = bounded(u32::from_le_bytes([e, f, g, h]), max.content_bytes)?;
        if with_sizes < SIZES_BYTES {
            return Err(FrameError::Size(u32::from_le_bytes([a, b, c, d])));
        }
        Ok(Some(Self { method, frame_bytes: CHECKSUM_BYTES + with_sizes, content_bytes }))
    }

    fn decompress(&self, data: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
        if self.method == METHOD_NONE {
            if data.len() != self.content_bytes {
                return Err(FrameError::Data);
            }
            out.extend_from_slice(data);
            return Ok(());
        }
        let start = out.len();
        out.resize(start + self.content_bytes, 0);
        let (_before, room) = out.split_at_mut(start);
        let written = if self.method == METHOD_LZ4 {
            lz4_flex::block::decompress_into(data, room).ok()
        } else {
            zstd::bulk::decompress_to_buffer(data, room).ok()
        };
        if written == Some(self.content_bytes) { Ok(()) } else { Err(FrameError::Data) }
    }
}

fn bounded(size: u32, max: usize) -> Result<usize, FrameError> {
    usize::try_from(size).ok().filter(|size| *size <= max).ok_or(FrameError::Size(size))
}

fn sizes_field(method: u8, compressed: usize, content: usize) -> [u8; SIZES_BYTES] {
    let field = |bytes: usize| u32::try_from(bytes).expect("a frame is within FRAME_BYTES_MAX").to_le_bytes();
    let ([a, b, c, d], [e, f, g, h]) = (field(compressed + SIZES_BYTES), field(content));
    [method, a, b, c, d, e, f, g, h]
}

/// The low 64 bits come first, and the crate returns them in the high half.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    cityhash_102_128(bytes).rotate_left(64).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What ClickHouse 26.7 itself wrote for `SELECT 'hello' FORMAT TSV` is checked in tests/service/embedded.rs, where the
    /// engine reads our frames; these bytes are the frame of the ClickHouse documentation's scheme, spelt out.
    const NONE_FRAME_SIZES: [u8; 14] = [0x02, 14, 0, 0, 0, 5, 0, 0, 0, b'h', b'e', b'l', b'l', b'o'];

    #[test]
    fn a_frame_comes_back_as_it_went_in() {
        for content in [b"a", &[7; 100_000][..], b"0123456789abcdef0123456789abcdef"] {
            let mut frame = b"before".to_vec();
            for method in [Method::Lz4, Method::None] {
                frame.truncate(6);
                Compressor::default().append(Content::new(content).unwrap(), method, &mut frame);
                let (_, frame) = frame.split_at(6);
                let mut out = Vec::new();
                assert_eq!(decompress_frame(frame, &mut out), Ok(Some(frame.len())));
                assert_eq!(out, content, "{method:?}");
            }
        }
    }

    #[test]
    fn a_frame_holds_something_and_no_more_than_an_engine_reads() {
        assert!(Content::new(b"").is_none());
        let mut largest = vec![0; FRAME_CONTENT_BYTES_MAX + 1];
        assert!(Content::new(&largest).is_none());
        // what LZ4 can do nothing about makes the largest frame
        largest.truncate(FRAME_CONTENT_BYTES_MAX);
        let mut seed = 1_u64;
        largest.iter_mut().for_each(|byte| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = seed.to_be_bytes()[0];
        });
        let (mut frame, mut out) = (Vec::new(), Vec::new());
        compress_frame(Content::new(&largest).unwrap(), &mut frame);
        assert!(frame.len() > largest.len());
        assert_eq!(decompress_frame(&frame, &mut out), Ok(Some(frame.len())));
        assert!(out == largest);
        // one byte more is not read
        let claimed = u32::try_from(FRAME_CONTENT_BYTES_MAX + 1).unwrap();
        frame[21..25].copy_from_slice(&claimed.to_le_bytes());
        assert_eq!(decompress_frame(&frame, &mut out), Err(FrameError::Size(claimed)));
    }

    #[test]
    fn any_number_of_bytes_is_cut_into_frames() {
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES] {
            let bytes = vec![7; length];
            let (mut frames, mut out) = (Vec::new(), Vec::new());
            compress_pieces(&bytes, &mut frames);
            decompress_frames(&frames, &mut out).unwrap();
            assert!(out == bytes, "{length}");
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_incomplete_and_never_content() {
        let mut frame = Vec::new();
        compress_pieces(b"0123456789abcdef0123456789abcdef0123456789abcdef", &mut frame);
        for cut in 0..frame.len() {
            let mut out = Vec::new();
            assert_eq!(decompress_frame(&frame[..cut], &mut out), Ok(None), "cut at {cut}");
            assert!(out.is_empty());
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let mut frame = Vec::new();
        compress_pieces(b"0123456789abcdef0123456789abcdef0123456789abcdef", &mut frame);
        for at in 0..frame.len() {
            let mut bad = frame.clone();
            bad[at] ^= 1;
            let mut out = Vec::new();
            assert!(!matches!(decompress_frame(&bad, &mut out), Ok(Some(_))), "flipped at {at}");
        }
    }

    #[test]
    fn frames_in_pieces_of_any_size_are_read_in_order() {
        let mut frames = Vec::new();
        for content in [b"one".repeat(50), b"two".repeat(500), b"three".repeat(5)] {
            compress_pieces(&content, &mut frames);
        }
        let expected = [b"one".repeat(50), b"two".repeat(500), b"three".repeat(5)].concat();
        for size in [1, 7, 64, frames.len()] {
            let mut reader = FrameReader::default();
            let mut out = Vec::new();
            for piece in frames.chunks(size) {
                reader.push(piece, &mut out).unwrap();
            }
            reader.finish().unwrap();
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn stored_and_zstd_frames_are_read() {
        let mut frame = checksum(&NONE_FRAME_SIZES).to_vec();
        frame.extend_from_slice(&NONE_FRAME_SIZES);
        let mut out = Vec::new();
        assert_eq!(decompress_frame(&frame, &mut out), Ok(Some(frame.len())));
        let data = zstd::bulk::compress(b"hello", 1).unwrap();
        let mut rest = sizes_field(METHOD_ZSTD, data.len(), 5).to_vec();
        rest.extend_from_slice(&data);
        let mut frame = checksum(&rest).to_vec();
        frame.extend_from_slice(&rest);
        assert_eq!(decompress_frame(&frame, &mut out), Ok(Some(frame.len())));
        assert_eq!(out, b"hellohello");
    }

    #[test]
    fn a_frame_made_in_its_place_is_the_one_that_is_made_of_a_copy() {
        let content = b"a frame behind another one, a frame behind another one".repeat(20);
        let mut compressor = Compressor::default();
        for method in [Method::Lz4, Method::None] {
            let (mut copied, mut in_place) = (b"before".to_vec(), b"before".to_vec());
            compressor.append(Content::new(&content).unwrap(), method, &mut copied);
            let begun = FrameBegun::at_end_of(&mut in_place);
            in_place.extend_from_slice(&content);
            assert_eq!(begun.content(&in_place).bytes(), content);
            compressor.finish(begun, method, &mut in_place);
            assert_eq!(in_place, copied, "{method:?}");
        }
    }

    #[test]
    fn a_claimed_size_beyond_the_limit_allocates_nothing() {
        let mut frame = vec![0; FRAME_HEADER_BYTES];
        frame[16] = METHOD_LZ4;
        frame[17..25].copy_from_slice(&[20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        let mut out = Vec::new();
        assert_eq!(decompress_frame(&frame, &mut out), Err(FrameError::Size(u32::MAX)));
        assert_eq!(out.capacity(), 0);
    }
}
