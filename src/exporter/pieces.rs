//! What of a segment's frames is sent next. Small commits make small blocks, and ClickHouse does much of its work for an insert
//! once for each column of each block, so small blocks that follow each other are sent as one.
//!
//! ```text
//! in the segment   b b b b b b BBBBBBBB b b      frames of a block each
//! sent             bbbbbb      BBBBBBBB bb       the same rows in the same order, which the same token stands for
//! ```
//!
//! Measured: docs/performance.md.

use crate::clickhouse::Pieces;
use crate::columns::merge::merge_frames;
use crate::columns::native::frames::{Compressor, Content, Method};
use crate::journal::Frames;
use bytes::Bytes;
use std::io;

/// How frames are sent.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// A block of more bytes is sent as it is: it has rows enough that its columns do not matter.
    small: usize,
    /// Small blocks are sent together up to this many bytes.
    together: usize,
    /// Other frames in a file are read in parts of this size.
    read: usize,
}

const SIZES: Sizes = Sizes { small: 256 << 10, together: 512 << 10, read: 1 << 20 };

impl Pieces for Frames {
    fn lz4_bytes(&self) -> usize {
        Self::lz4_bytes(self)
    }

    fn blocks(&self) -> bool {
        true
    }

    fn next(&self, place: usize) -> io::Result<Option<(Bytes, usize)>> {
        next(self, place, SIZES)
    }
}

fn next(frames: &Frames, place: usize, sizes: Sizes) -> io::Result<Option<(Bytes, usize)>> {
    let (small, end) = small_from(frames, place, sizes);
    if small > 1 {
        let read = frames.read(place, end - place)?;
        // what cannot be read back is for ClickHouse to judge
        return Ok(Some((together(&read).map_or(read, Bytes::from), end)));
    }
    let Some(frame) = frames.shapes(place).next() else { return Ok(None) };
    let most = if frames.are_in_file() { sizes.read } else { usize::MAX };
    let read = frames.read(place, most.min(frame.end - place))?;
    if read.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let behind = place + read.len();
    Ok(Some((read, behind)))
}

/// How many of the frames from a place on are small and go together, and where the last of them ends. In a large frame there is none.
fn small_from(frames: &Frames, place: usize, sizes: Sizes) -> (usize, usize) {
    let (mut count, mut end, mut bytes) = (0, place, 0);
    for frame in frames.shapes(place) {
        bytes += frame.content_bytes;
        if frame.content_bytes > sizes.small || bytes > sizes.together {
            break;
        }
        (count, end) = (count + 1, frame.end);
    }
    (count, end)
}

/// The rows of several frames in one.
fn together(frames: &[u8]) -> Option<Vec<u8>> {
    let merged = merge_frames(frames)?;
    let method = if frames.len() < merged.content_bytes { Method::Lz4 } else { Method::None };
    let mut out = Vec::new();
    Compressor::default().append(Content::new(&merged.block)?, method, &mut out);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::native::encode::encode_block;
    use crate::columns::native::frames::{compress_frame, decompress_frames};
    use crate::columns::native::parse::Block;
    use crate::columns::testing::{any_group, span_named};
    use crate::ids::SegmentId;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// The rows of frames, as they are shown, and how many blocks they are in.
    fn rows(frames: &[u8]) -> (Vec<serde_json::Value>, usize) {
        let (mut content, mut rows, mut blocks) = (Vec::new(), Vec::new(), 0);
        decompress_frames(frames, &mut content).unwrap();
        let mut rest = content.as_slice();
        while !rest.is_empty() {
            let (block, next) = Block::parse(rest).unwrap();
            rows.extend((0..block.rows()).map(|row| block.row_json(row).unwrap()));
            (rest, blocks) = (next, blocks + 1);
        }
        // a block leaves out the columns that none of its rows has anything in
        let empty = |value: &serde_json::Value| {
            ["", "null", "[]", "{}", "0"].contains(&value.as_str().unwrap_or(&value.to_string()))
        };
        rows.iter_mut()
            .filter_map(serde_json::Value::as_object_mut)
            .for_each(|row| row.retain(|_, value| !empty(value)));
        (rows, blocks)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_sent_is_the_same_rows_in_the_same_order_in_fewer_blocks(
            groups in vec(any_group(4), 1..8),
            small in 1..4_000_usize,
            together in 1..9_000_usize,
        ) {
            let (mut written, mut most) = (Vec::new(), 0);
            for group in &groups {
                let mut block = Vec::new();
                encode_block(&[group], SegmentId::new(1, 2), &mut block);
                if let Some(content) = Content::new(&block) {
                    compress_frame(content, &mut written);
                    most += 1;
                }
            }
            let frames = Frames::in_memory(Bytes::from(written.clone()));
            let (mut sent, mut place, sizes) = (Vec::new(), 0, Sizes { small, together, read: 100 });
            while let Some((piece, behind)) = next(&frames, place, sizes).unwrap() {
                prop_assert_eq!(next(&frames, place, sizes).unwrap().unwrap().0, piece.clone(), "asked again, the same");
                sent.extend_from_slice(&piece);
                place = behind;
            }
            let ((want, _), (got, blocks)) = (rows(&written), rows(&sent));
            prop_assert_eq!(got, want);
            prop_assert!(blocks <= most);
        }
    }

    #[test]
    fn small_blocks_that_follow_each_other_are_sent_as_one_and_a_large_one_as_it_is() {
        let named = |bytes: usize| {
            let mut block = Vec::new();
            encode_block(&[&span_named(&"n".repeat(bytes))], SegmentId::new(1, 2), &mut block);
            block
        };
        let (small, large) = (named(1), named(SIZES.small));
        let mut written = Vec::new();
        for block in [&small, &small, &small, &large, &small, &small] {
            compress_frame(Content::new(block).unwrap(), &mut written);
        }
        let frames = Frames::in_memory(Bytes::from(written));
        let (mut place, mut blocks) = (0, Vec::new());
        while let Some((piece, behind)) = next(&frames, place, SIZES).unwrap() {
            blocks.push(rows(&piece).0.len());
            place = behind;
        }
        assert_eq!(blocks, [3, 1, 2]);
    }
}
