//! ClickHouse's `VarUInt`, an unsigned LEB128 integer, and strings: a length so written, and as many bytes.

/// Writes an unsigned LEB128 integer.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Reads what [`put_varint`] wrote: the value and its width in bytes.
pub(crate) fn take_varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

/// Writes a string: its length and its bytes.
pub(crate) fn put_string(out: &mut Vec<u8>, string: &[u8]) {
    put_varint(out, string.len());
    out.extend_from_slice(string);
}

/// Splits the first string off the front.
#[inline]
pub(crate) fn take_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    // nearly all are shorter than 128 bytes
    if let [length @ ..=0x7f, rest @ ..] = bytes {
        return rest.split_at_checked(usize::from(*length));
    }
    let (length, width) = take_varint(bytes)?;
    bytes.get(width..)?.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back() {
        for value in [0, 1, 127, 128, 300, 65_535, 1 << 40] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(take_varint(&bytes), Some((value, bytes.len())));
        }
    }
}
