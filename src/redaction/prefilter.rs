//! Which detectors may find something in a text: one pass over its bytes spares most texts their regular expressions.
//!
//! ```text
//! a mark            a byte at which something that is found may be told: a digit, @ % + : - _ . \ and some letters
//! beside a mark     a few bytes rule most of them out: `sk` before a dash, 13 digits from here on, two letters before a digit
//! ```
//!
//! It never misses: a detector that finds something is a candidate. That holds for a JSON text as it stands, too, as an escape of one
//! letter is no part of what is told by, and the others (`\u0040`) are a candidate of their own.

use super::detectors::Detector;
use std::ops::RangeInclusive;

/// Bytes that are looked at together: where none is a mark, as in most of prose, that is all.
const STRIDE: usize = 16;
const CARD_DIGITS_MIN: usize = 13;
const PHONE_DIGITS_MIN: usize = 8;
/// The longest letter between groups of digits has so many bytes.
const BETWEEN_BYTES_MAX: usize = 3;

/// Detectors that may find something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Candidates(u16);

/// A letter that JSON writes as a number may be anything.
const ESCAPED: Candidates = Candidates(1 << 15);

impl Candidates {
    /// What these detectors may find something by.
    pub(super) fn of(detectors: impl Iterator<Item = Detector>) -> Self {
        detectors.fold(ESCAPED, Self::and)
    }

    /// Those of a text.
    pub(super) fn in_text(text: &str) -> Self {
        let mut found = Self::default();
        marks(text.as_bytes(), |before, mark, after| {
            found = found.and(beside(before, mark, after));
            true
        });
        found
    }

    /// Whether one of these is in a text or, if it is JSON, may be in one of its strings and numbers.
    pub(super) fn are_in(self, text: &str) -> bool {
        let mut found = Self::default();
        marks(text.as_bytes(), |before, mark, after| {
            found = found.and(beside(before, mark, after));
            !found.has(self)
        });
        found.has(self)
    }

    /// Whether any of the others is among them.
    pub(super) fn has(self, others: impl Into<Self>) -> bool {
        self.0 & others.into().0 != 0
    }

    fn and(self, others: impl Into<Self>) -> Self {
        Self(self.0 | others.into().0)
    }
}

impl From<Detector> for Candidates {
    fn from(detector: Detector) -> Self {
        Self(1 << detector as u16)
    }
}

/// Shows every mark with what is before and after it, as long as `look` says to go on.
fn marks(bytes: &[u8], mut look: impl FnMut(&[u8], u8, &[u8]) -> bool) {
    for (number, stride) in bytes.chunks(STRIDE).enumerate() {
        if !stride.iter().fold(false, |any, byte| any | is_mark(*byte)) {
            continue;
        }
        for (place, byte) in stride.iter().enumerate().filter(|(_, byte)| is_mark(**byte)) {
            let (before, rest) = bytes.split_at(number * STRIDE + place);
            let after = rest.get(1..).unwrap_or_default();
            if !look(before, *byte, after) {
                return;
            }
        }
    }
}

fn is_mark(byte: u8) -> bool {
    matches!(
        byte,
        b'0'..=b':' | b'@' | b'%' | b'+' | b'-' | b'.' | b'_' | b'\\' | b'A' | b'J' | b'S' | b'Z' | b'z' | b'B' | b'b'
    )
}

/// What may be found by a mark.
fn beside(before: &[u8], mark: u8, after: &[u8]) -> Candidates {
    let (detector, may_be_one) = match mark {
        b'0'..=b'9' => return number(before, mark, after),
        b'@' => (Detector::Email, true),
        b'%' if after.starts_with(b"40") => (Detector::Email, true),
        b'%' => (Detector::Phone, after.starts_with(b"2B") || after.starts_with(b"2b")),
        b'+' => (Detector::Phone, has_digits(after, PHONE_DIGITS_MIN, 2 * BETWEEN_BYTES_MAX)),
        b':' => (Detector::IpAddress, before.last().is_some_and(u8::is_ascii_hexdigit) && is_ipv6(after)),
        b'-' if after.starts_with(b"----BEGIN ") => (Detector::PrivateKey, true),
        b'-' => (Detector::ApiKey, is_key_with_dash(before)),
        b'_' => (Detector::ApiKey, is_key_with_line(before, after)),
        b'.' => (Detector::ApiKey, ends_as_word(before, &KEYS_WITH_DOT)),
        b'A' => (Detector::ApiKey, is_boundary(before) && KEYS_WITH_A.iter().any(|rest| after.starts_with(rest))),
        b'S' => (Detector::ApiKey, matches!(after, [b'K', b'0'..=b'9' | b'a'..=b'f', ..])),
        b'J' => (Detector::BearerToken, before.ends_with(b"ey")),
        b'B' | b'b' if starts_as(after, b"earer") => (Detector::BearerToken, true),
        b'B' | b'b' => (Detector::BearerToken, is_basic(before, after)),
        b'Z' | b'z' => (Detector::BearerToken, ends_as(before, b"authori")),
        b'\\' if after.starts_with(b"u") => return ESCAPED,
        _ => return Candidates::default(),
    };
    if may_be_one { detector.into() } else { Candidates::default() }
}

/// What stands before the dash, the line and the dot of keys, and after an A.
const KEYS_WITH_DASH: [&[u8]; 8] = [b"sk", b"pk", b"xai", b"pplx", b"nvapi", b"tvly", b"glpat", b"pypi"];
const KEYS_WITH_LINE: [&[u8]; 6] = [b"gsk", b"hf", b"r8", b"fw", b"npm", b"github_pat"];
const KEYS_WITH_DOT: [&[u8]; 2] = [b"ya29", b"SG"];
const KEYS_WITH_A: [&[u8]; 6] = [b"Iza", b"KIA", b"SIA", b"BIA", b"CCA", b"BSK"];

fn is_key_with_dash(before: &[u8]) -> bool {
    let is_slack = match before {
        [front @ .., b'x', b'o', b'x', b'a' | b'b' | b'e' | b'o' | b'p' | b'r' | b's'] => is_boundary(front),
        _ => false,
    };
    is_slack || ends_as_word(before, &KEYS_WITH_DASH)
}

fn is_key_with_line(before: &[u8], after: &[u8]) -> bool {
    let is_of_a_family = match before {
        [front @ .., b'g', b'h', b'p' | b'o' | b'u' | b's' | b'r'] => is_boundary(front),
        [front @ .., b'd', b'o', b'o' | b'p' | b'r'] => is_boundary(front) && after.starts_with(b"v1_"),
        [front @ .., b'r' | b's', b'k'] => {
            is_boundary(front) && (after.starts_with(b"live_") || after.starts_with(b"test_"))
        }
        _ => false,
    };
    // after a backslash a word may begin at either of two letters
    is_of_a_family || ends_as_word(before, &KEYS_WITH_LINE)
}

/// Whether it ends with one of these, before which a word may begin.
fn ends_as_word(bytes: &[u8], words: &[&[u8]]) -> bool {
    words.iter().any(|word| bytes.strip_suffix(*word).is_some_and(is_boundary))
}

/// Whether the word Basic begins a text, a string of JSON, or a line of a stream.
fn is_basic(before: &[u8], after: &[u8]) -> bool {
    let begins = matches!(before, [] | [.., b'"' | b'\n'] | [.., b'\\', _]);
    begins && starts_as(after, b"asic") && matches!(after.get(4), Some(b' ' | b'\t' | b'\\'))
}

fn starts_as(bytes: &[u8], word: &[u8]) -> bool {
    bytes.get(..word.len()).is_some_and(|front| front.eq_ignore_ascii_case(word))
}

fn ends_as(bytes: &[u8], word: &[u8]) -> bool {
    bytes.len().checked_sub(word.len()).and_then(|at| bytes.get(at..)).is_some_and(|back| starts_as(back, word))
}

/// Whether a word may begin after it; the last letter may be that of an escape, such as `\n`.
fn is_boundary(before: &[u8]) -> bool {
    match before {
        [] | [.., b'\\', _] => true,
        [.., last] => !last.is_ascii_alphanumeric() && *last != b'_',
    }
}

/// What may begin at the first digit of a number.
fn number(before: &[u8], digit: u8, after: &[u8]) -> Candidates {
    let mut found = Candidates::default();
    if before.last().is_some_and(u8::is_ascii_digit) {
        return found;
    }
    if after.first().is_some_and(u8::is_ascii_digit) && ends_as_country(before) {
        found = found.and(Detector::Iban);
    }
    if !is_boundary(before) {
        return found;
    }
    if matches!(digit, b'2'..=b'6') && has_digits(after, CARD_DIGITS_MIN - 1, BETWEEN_BYTES_MAX) {
        found = found.and(Detector::CreditCard);
    }
    if is_phone_of_north_america(after) {
        found = found.and(Detector::Phone);
    }
    if is_ipv4(after) { found.and(Detector::IpAddress) } else { found }
}

fn ends_as_country(before: &[u8]) -> bool {
    let Some((front, country)) = before.split_last_chunk::<2>() else { return false };
    country.iter().all(u8::is_ascii_alphabetic) && is_boundary(front)
}

/// What may stand between groups of digits, as bytes.
fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'+' | b'-' | b'(' | b')' | b'.' | 0x80..)
}

/// Whether so many digits follow, with at most so many bytes between one and the next.
fn has_digits(bytes: &[u8], count: usize, between_max: usize) -> bool {
    let (mut digits, mut between) = (0, 0);
    for byte in bytes {
        match byte {
            b'0'..=b'9' => (digits, between) = (digits + 1, 0),
            other if is_between(*other) => between += 1,
            _ => return false,
        }
        if digits == count || between > between_max {
            return digits == count;
        }
    }
    false
}

/// What comes after so many bytes of a kind.
fn past(bytes: &[u8], count: RangeInclusive<usize>, is_of_kind: impl Fn(u8) -> bool) -> Option<&[u8]> {
    let length = bytes.iter().take(*count.end()).take_while(|byte| is_of_kind(**byte)).count();
    bytes.get(length..).filter(|_| count.contains(&length))
}

/// Whether the rest of a number of North America follows its first digit.
fn is_phone_of_north_america(after: &[u8]) -> bool {
    let digits = |bytes, count| past(bytes, count..=count, |byte| byte.is_ascii_digit());
    // a bracket may close before it
    let between = |bytes| past(bytes, 1..=1 + BETWEEN_BYTES_MAX, is_between);
    let of_area = digits(after, 2).and_then(between);
    of_area.and_then(|rest| digits(rest, 3)).and_then(between).and_then(|rest| digits(rest, 4)).is_some()
}

/// Whether the rest of four groups with dots follows the first digit.
fn is_ipv4(after: &[u8]) -> bool {
    let mut rest = past(after, 0..=2, |byte| byte.is_ascii_digit());
    for _ in 1..4 {
        rest = rest.and_then(|rest| past(rest.strip_prefix(b".")?, 1..=3, |byte| byte.is_ascii_digit()));
    }
    rest.is_some()
}

/// Whether what follows a group and its colon has the colons of an address: six of them, or three with two that stand together.
fn is_ipv6(after: &[u8]) -> bool {
    let (mut colons, mut is_short, mut rest) = (1, false, after);
    loop {
        if let [b':', after @ ..] = rest {
            (colons, is_short, rest) = (colons + 1, true, after);
        }
        if colons >= 6 || (is_short && colons >= 3) {
            return true;
        }
        match past(rest, 0..=4, |byte| byte.is_ascii_hexdigit()) {
            Some([b':', after @ ..]) => (colons, rest) = (colons + 1, after),
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::Regex;
    use std::sync::LazyLock;

    /// The forms, to be searched without a prefilter.
    static FORMS: LazyLock<Vec<(Detector, Regex)>> =
        LazyLock::new(|| Detector::ALL.map(|detector| (detector, Regex::new(detector.form()).unwrap())).into());

    /// The detectors that find something, by their forms alone.
    fn finds(text: &str) -> impl Iterator<Item = Detector> {
        let is_found = |detector: Detector, form: &Regex| {
            let starts = text.char_indices().map(|(at, _)| at);
            starts.filter_map(|at| form.find_at(text, at)).any(|found| detector.accepted(found.as_str()).is_some())
        };
        FORMS.iter().filter(move |(detector, form)| is_found(*detector, form)).map(|(detector, _)| *detector)
    }

    fn assert_none_missed(text: &str) -> Vec<Detector> {
        let candidates = Candidates::in_text(text);
        let found: Vec<Detector> = finds(text).collect();
        for detector in &found {
            assert!(candidates.has(*detector), "{detector:?} in {text:?}");
            assert!(Candidates::of([*detector].into_iter()).are_in(text), "{detector:?} in {text:?}");
        }
        // as a string of JSON, and as one in one of those
        let once = serde_json::to_string(&[text]).unwrap();
        for json in [serde_json::to_string(&once).unwrap(), once] {
            for detector in &found {
                assert!(Candidates::of([*detector].into_iter()).are_in(&json), "{detector:?} in {json:?}");
            }
        }
        found
    }

    /// What is found, and almost found.
    const SAMPLES: [&str; 44] = [
        "sk-proj-abcDEF0123456789_abcDEF",
        "pk-lf-01234567-89ab-cdef-0123",
        "gsk_0123456789abcdefghij0",
        "xai-0123456789abcdefghij0",
        "pplx-0123456789abcdefghij0",
        "hf_0123456789abcdefghij0",
        "r8_0123456789abcdefghij0",
        "nvapi-0123456789abcdefghij0",
        "tvly-0123456789abcdefghij0",
        "fw_0123456789abcdefghij0",
        "AIzaSyA-1234567890abcdefghijklmnopqrstu",
        "ya29.0123456789abcdefghij0",
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "ABIAIOSFODNN7EXAMPLE",
        "ACCAIOSFODNN7EXAMPLE",
        "ABSK0123456789abcdefghijABCDEFGHIJ0123456789",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "github_pat_0123456789abcdefghijAB",
        "glpat-0123456789abcdefghij",
        "xoxb-123456789012-abcdefABCDEF",
        "rk_live_0123456789abcdef",
        "sk_test_0123456789abcdef",
        "SG.0123456789abcdef.0123456789abcdef",
        "npm_0123456789abcdefghijABCDEFGHIJ012345",
        "pypi-0123456789abcdefghijABCDEFGHIJ01234501234567890123456789",
        "dop_v1_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "SK0123456789abcdef0123456789abcdef",
        "Bearer abc.def-ghi_jkl~mno",
        "AUTHORIZATION: token%20abcdef",
        "eyJhbGciOiJI.eyJzdWIiOiIx.dozjgNryP4J3",
        "bAsIc dXNlcjpwYXNz",
        "-----BEGIN EC PRIVATE KEY-----\nMIIE",
        "jane%40example.com",
        "иван@пример.рф",
        "+49 (30) 1234-5678",
        "%2b493012345678",
        "(415) 555-2671",
        "415\u{a0}555\u{2011}2671",
        "4111\u{202f}1111 1111-1111",
        "de89 3704 0044 0532 0130 00",
        "203.0.113.7",
        "2001:db8::8a2e:370:7334",
        "2001:db8:1:2:3:4:5:6",
    ];

    #[test]
    fn every_sample_is_found_and_is_a_candidate() {
        for sample in SAMPLES {
            assert_ne!(assert_none_missed(sample), [], "{sample}");
        }
    }

    #[test]
    fn of_ordinary_texts_no_detector_is_a_candidate() {
        for text in [
            "An ordinary sentence, with a number or two: 3.14, 42 of 1,000 (50 %), v1.2.3, e.g. 2026-11-29T10:20:30.123Z.",
            "550e8400-e29b-41d4-a716-446655440000, 4bf92f3577b34da6a3ce929d0e0e4736, 1790000000000000000",
            r#"[{"role":"user","parts":[{"type":"text","content":"Basically:\n- a basic task-list\nstd::fmt 10:20:30"}]}]"#,
            "call_0a1b2c chatcmpl-9xyz gpt-4o-mini-2024-07-18 python-httpx/0.28.1 (Linux; x86_64)",
        ] {
            assert!(!Candidates::of(Detector::ALL.into_iter()).are_in(text), "{text}");
        }
    }

    /// Texts of what is found, of parts of it, and of letters that matter beside it.
    fn texts() -> impl Strategy<Value = String> {
        let sample = proptest::sample::select(SAMPLES.to_vec());
        let part = (sample, any::<(prop::sample::Index, prop::sample::Index)>(), 0..4_u8).prop_map(
            |(sample, (one, other), how)| {
                let letters: Vec<char> = sample.chars().collect();
                let (one, other) = (one.index(letters.len()), other.index(letters.len()));
                match how {
                    // whole, without one letter, a part of it
                    0 | 1 => sample.to_owned(),
                    2 => letters.iter().enumerate().filter(|(at, _)| *at != one).map(|(_, letter)| letter).collect(),
                    _ => letters.iter().skip(one.min(other)).take(one.abs_diff(other) + 1).collect(),
                }
            },
        );
        let between = "[ \\n\\t\"\\\\/:;,.+%@()_0-9a-zA-Zé\u{a0}]{0,3}";
        let dense = "[0-9a-fA-F:. +()@%-]{0,40}";
        let pieces =
            proptest::collection::vec(prop_oneof![4 => part.boxed(), 4 => between.boxed(), 1 => dense.boxed()], 0..7);
        pieces.prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn what_a_form_finds_is_a_candidate(text in texts()) {
            assert_none_missed(&text);
        }
    }
}
