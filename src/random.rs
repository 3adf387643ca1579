//! Random numbers and names that nobody can guess, from the kernel.

/// So many random bytes.
///
/// # Panics
/// If the kernel has no random numbers, which it has once it is up: names that are not random could be guessed, so none are made.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes to every process once it is up");
    bytes
}

/// 16 lower-case letters that nobody can guess.
#[must_use]
pub fn letters() -> String {
    bytes::<16>().iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}

/// A random UUID as text. Source: RFC 9562, section 5.4.
#[must_use]
pub fn uuid() -> String {
    let random = u128::from_le_bytes(bytes());
    let id = random & !(0xf000 << 64) & !(0xc000 << 48) | (0x4000 << 64) | (0x8000 << 48);
    let (a, b, c, d, e) = (id >> 96, id >> 80 & 0xffff, id >> 64 & 0xffff, id >> 48 & 0xffff, id & 0xffff_ffff_ffff);
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_looks_like_one() {
        let id = uuid();
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{id}");
        assert_ne!(id, uuid());
    }
}
