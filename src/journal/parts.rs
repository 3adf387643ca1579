//! Parts of a segment's file, read one after the other into one buffer.

use super::disk::Readable;
use super::records::{HEAD_BYTES, Record};
use crate::numbers::{saturating_usize, to_u64};
use std::io;

/// What is read of a file at once, at least: as many bytes as frames of small commits have together.
pub(super) const PART_BYTES: usize = 128 << 10;

/// A file of which parts are read, one after the other.
pub(super) struct Parts<'f> {
    file: &'f dyn Readable,
    file_bytes: u64,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    begin: u64,
}

impl<'f> Parts<'f> {
    /// The parts of a file that has so many bytes.
    pub(super) fn new(file: &'f dyn Readable, file_bytes: u64) -> Self {
        Self { file, file_bytes, buffer: Vec::new(), begin: 0 }
    }

    /// So many bytes from that place on; `None` when the file ends before them.
    pub(super) fn get(&mut self, at: u64, bytes: usize) -> io::Result<Option<&[u8]>> {
        if at.saturating_add(to_u64(bytes)) > self.file_bytes {
            return Ok(None);
        }
        let ahead = at.checked_sub(self.begin).map(saturating_usize);
        let is_there = ahead.is_some_and(|ahead| ahead.saturating_add(bytes) <= self.buffer.len());
        if !is_there {
            self.buffer.resize(bytes.max(PART_BYTES), 0);
            let filled = self.file.read_at(&mut self.buffer, at)?;
            self.buffer.truncate(filled);
            self.begin = at;
        }
        let from = saturating_usize(at - self.begin);
        Ok(self.buffer.get(from..from.saturating_add(bytes)))
    }

    /// The record at that place, if one is there and it checks, and how many bytes it has.
    pub(super) fn record_at(&mut self, at: u64) -> io::Result<Option<(Record<'_>, usize)>> {
        Ok(self.record_bytes_at(at)?.and_then(Record::read))
    }

    /// The bytes of what claims to be a record at that place.
    pub(super) fn record_bytes_at(&mut self, at: u64) -> io::Result<Option<&[u8]>> {
        let Some(bytes) = self.get(at, HEAD_BYTES)?.and_then(Record::claimed_bytes) else { return Ok(None) };
        self.get(at, bytes)
    }
}
