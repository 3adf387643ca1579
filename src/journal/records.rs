//! Which reports of spans were accepted: what the dedup index knows them by, beside their rows.
//!
//! ```text
//! 0    8  "ACCEPTED"
//! 8    4  keys, little-endian as all numbers here
//! 12   4  0
//! 16   8  when they were accepted, nanoseconds since 1970
//! 24   8  what the secret of the keys hashes to
//! 32  16  of each row its key (ids.rs), in their order
//! -   16  CityHash128 of everything above
//! ```
//!
//! In a segment such a record comes after each frame and tells of the frame's rows; both are one write. A frame whose record
//! was cut off is told of by its rows, a record whose frame was cut off not at all. When a segment goes its records stay (archive.rs).

use super::disk::{Disk, Folder, replace};
use crate::columns::native::frames::checksum_of;
use crate::ids::ReportKey;
use crate::numbers::to_usize;
use crate::time::UnixNanos;
use std::io;
use std::ops::Range;
use std::path::Path;

const MAGIC: &[u8; 8] = b"ACCEPTED";
/// The secret of the keys in a folder.
pub(super) const SECRET_FILE: &str = "dedup-secret";
/// Everything before the keys.
pub(super) const HEAD_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 16;

/// Reports that were accepted at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) accepted_at: UnixNanos,
    /// What tells the secret of its keys from another one.
    pub(super) secret: u64,
    keys: &'a [u8],
}

impl<'a> Record<'a> {
    /// Appends the record of these keys, unless none of them is to be known again.
    pub(super) fn encode(keys: &[ReportKey], accepted_at: UnixNanos, secret: u64, out: &mut Vec<u8>) {
        if keys.iter().all(|key| *key == ReportKey::NONE) {
            return;
        }
        let begin = out.len();
        out.reserve(HEAD_BYTES + keys.len() * ReportKey::BYTES + CHECKSUM_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&u32::try_from(keys.len()).expect("a block has fewer rows").to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&accepted_at.nanos().to_le_bytes());
        out.extend_from_slice(&secret.to_le_bytes());
        keys.iter().for_each(|key| out.extend_from_slice(&key.bytes()));
        let sum = checksum_of(out.get(begin..).expect("it was just appended to"));
        out.extend_from_slice(&sum);
    }

    /// How many bytes a record says to have that begins with these.
    pub(super) fn claimed_bytes(head: &[u8]) -> Option<usize> {
        let head = head.get(..HEAD_BYTES).filter(|head| head.starts_with(MAGIC))?;
        let count: [u8; 4] = head.get(8..12)?.try_into().ok()?;
        Some(to_usize(u32::from_le_bytes(count)) * ReportKey::BYTES + HEAD_BYTES + CHECKSUM_BYTES)
    }

    /// The record that these bytes begin with, and how many of them it has.
    pub(super) fn read(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let length = Self::claimed_bytes(bytes)?;
        let (head, keys_end) = (bytes.get(..HEAD_BYTES)?, length - CHECKSUM_BYTES);
        let sum = bytes.get(keys_end..length)?;
        let number =
            |range: Range<usize>| head.get(range).and_then(|eight| eight.try_into().ok()).map(u64::from_le_bytes);
        if checksum_of(bytes.get(..keys_end)?) != sum {
            return None;
        }
        let record = Self {
            accepted_at: UnixNanos::new(number(16..24)?)?,
            secret: number(24..32)?,
            keys: bytes.get(HEAD_BYTES..keys_end)?,
        };
        Some((record, length))
    }

    /// Rows that it tells of.
    pub(super) fn len(self) -> usize {
        self.keys.len() / ReportKey::BYTES
    }

    /// The keys, in the order of their rows.
    pub(super) fn keys(self) -> Vec<ReportKey> {
        self.keys.as_chunks().0.iter().map(|bytes| ReportKey::from_bytes(*bytes)).collect()
    }
}

/// What distinguishes a secret from another one, without telling it.
pub(super) fn hash_of_secret(secret: u64) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = checksum_of(&secret.to_le_bytes());
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Whether a folder's secret was made just now: nothing in the folder is known by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsNew(pub bool);

/// The secret of a folder: 16 hex digits. One that cannot be understood is made anew; what was written with it is told of
/// by its rows then.
pub(super) fn secret(disk: &dyn Folder, dir: &Path, random: u64) -> io::Result<(u64, IsNew)> {
    let kept = match disk.read(&dir.join(SECRET_FILE)) {
        Ok(text) => std::str::from_utf8(&text).ok().and_then(|text| u64::from_str_radix(text.trim(), 16).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(secret) = kept {
        return Ok((secret, IsNew(false)));
    }
    keep_secret(disk, dir, random)?;
    Ok((random, IsNew(true)))
}

pub(super) fn keep_secret(disk: &dyn Disk, dir: &Path, secret: u64) -> io::Result<()> {
    replace(disk, dir, SECRET_FILE, format!("{secret:016x}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(numbers: std::ops::Range<u64>) -> Vec<ReportKey> {
        numbers.map(|number| ReportKey { place: number, mark: number << 12 }).collect()
    }

    #[test]
    fn a_record_reads_back_and_is_spelt_out_in_bytes() {
        let at = UnixNanos::new(0x0102_0304_0506_0708).unwrap();
        let mut bytes = Vec::new();
        Record::encode(&[ReportKey { place: 1, mark: 0x0200 }], at, 9, &mut bytes);
        let head = b"ACCEPTED\x01\0\0\0\0\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01\x09\0\0\0\0\0\0\0";
        let key = b"\x01\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0";
        let said = [&head[..], key].concat();
        assert_eq!(bytes, [&said[..], &checksum_of(&said)].concat());
        let (record, length) = Record::read(&[&bytes[..], b"more"].concat()).map(|(r, n)| (r.keys(), n)).unwrap();
        assert_eq!((record, length), (vec![ReportKey { place: 1, mark: 0x0200 }], bytes.len()));
    }

    #[test]
    fn a_record_that_is_not_whole_is_none_and_so_is_one_with_a_flipped_bit() {
        let mut bytes = Vec::new();
        Record::encode(&keys(1..4), UnixNanos::new(5).unwrap(), 7, &mut bytes);
        for cut in 0..bytes.len() {
            assert_eq!(Record::read(&bytes[..cut]), None, "{cut}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(Record::read(&damaged), None, "{at}");
        }
        let (record, _) = Record::read(&bytes).unwrap();
        assert_eq!((record.keys(), record.secret), (keys(1..4), 7));
    }

    #[test]
    fn rows_that_are_not_to_be_known_again_take_no_room() {
        let mut bytes = Vec::new();
        Record::encode(&[ReportKey::NONE; 3], UnixNanos::default(), 1, &mut bytes);
        assert!(bytes.is_empty());
        Record::encode(&[ReportKey::NONE, ReportKey { place: 1, mark: 1 << 12 }], UnixNanos::default(), 1, &mut bytes);
        assert_eq!(Record::read(&bytes).unwrap().0.keys().len(), 2, "one that has a place keeps those of the others");
    }
}
