//! Conversions between integers that cannot fail, so that no default stands where nothing can go wrong.

/// A length or count as 64 bits, which is no fewer than `usize` has anywhere.
#[must_use]
pub const fn to_u64(count: usize) -> u64 {
    const { assert!(usize::BITS <= u64::BITS) };
    count as u64
}

/// A 32-bit length as one of memory: Millrace runs where `usize` has at least 32 bits.
#[must_use]
pub const fn to_usize(count: u32) -> usize {
    const { assert!(usize::BITS >= u32::BITS) };
    count as usize
}

/// A count as a gauge has it; one that is larger than a gauge can show becomes the largest there is.
#[must_use]
pub const fn to_i64(count: usize) -> i64 {
    if to_u64(count) > i64::MAX.unsigned_abs() { i64::MAX } else { count.cast_signed() as i64 }
}

/// A duration in nanoseconds: 584 years at most.
#[must_use]
pub fn nanos_of(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A number from outside as a length; one that memory cannot address becomes the largest there is.
#[must_use]
pub const fn saturating_usize(number: u64) -> usize {
    if number > to_u64(usize::MAX) { usize::MAX } else { number as usize }
}

/// A length as 32 bits; a larger one becomes the largest there is.
#[must_use]
pub const fn saturating_u32(count: usize) -> u32 {
    if to_u64(count) > to_u64(to_usize(u32::MAX)) { u32::MAX } else { count as u32 }
}

/// A count as a signed number; a larger one becomes the largest there is.
#[must_use]
pub const fn saturating_i64(count: u128) -> i64 {
    if count > i64::MAX.cast_unsigned() as u128 { i64::MAX } else { count as i64 }
}

/// The lower 64 bits.
#[must_use]
pub const fn low_half(number: u128) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_keep_the_number_or_the_largest_there_is() {
        assert_eq!((to_u64(7), to_usize(7), saturating_usize(7), saturating_u32(7)), (7, 7, 7, 7));
        assert_eq!(to_u64(usize::MAX), u64::MAX);
        assert_eq!(saturating_usize(u64::MAX), usize::MAX);
        assert_eq!(saturating_u32(usize::MAX), u32::MAX);
        assert_eq!(saturating_u32(to_usize(u32::MAX)), u32::MAX);
        assert_eq!([7 << 64 | 5, u128::MAX].map(low_half), [5, u64::MAX]);
        assert_eq!([7, u128::MAX].map(saturating_i64), [7, i64::MAX]);
        assert_eq!(saturating_i64(u128::from(u64::MAX >> 1)), i64::MAX);
    }
}
