//! Many records in one body: a JSON array, one a line, or a single one.
//!
//! The cut is lexical: brackets are counted and strings passed over, so a record that is no JSON costs only itself.

use crate::chat::capture::without_mark;
use crate::steps;

/// Most records in one body that is read as a whole. More come as a stream of lines.
pub const RECORDS_MAX: usize = 100_000;

/// The form a body has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Records<'b> {
    /// A single record.
    One(&'b [u8]),
    /// The elements of an array.
    List(&'b [u8]),
    /// One a line.
    Lines(&'b [u8]),
}

impl<'b> Records<'b> {
    /// Looks at a body: an array begins with a bracket, and of lines the first is whole and something follows it.
    #[must_use]
    pub fn of(body: &'b [u8]) -> Self {
        let body = without_mark(body).trim_ascii();
        if let Some(inside) = body.strip_prefix(b"[") {
            return Self::List(inside);
        }
        let first = memchr::memchr(b'\n', body).and_then(|end| body.get(..end));
        if first.is_some_and(ends_outside) { Self::Lines(body) } else { Self::One(body) }
    }

    /// The records with their places: elements count from 0, lines from 1. Blank lines count and are left out.
    pub fn iter(self) -> impl Iterator<Item = (usize, &'b [u8])> {
        let (lines, list) = match self {
            Self::One(record) => (None, Some(Elements { rest: record, is_list: false })),
            Self::List(inside) => (None, Some(Elements { rest: inside, is_list: true })),
            Self::Lines(body) => (Some(body), None),
        };
        let lines = lines.into_iter().flat_map(|body| body.split(|byte| *byte == b'\n').enumerate());
        let lines = lines.map(|(index, line)| (index + 1, line.trim_ascii())).filter(|(_, line)| !line.is_empty());
        list.into_iter().flat_map(Iterator::enumerate).chain(lines)
    }
}

/// Whether brackets and strings are closed at the end of `text`.
fn ends_outside(text: &[u8]) -> bool {
    let mut scan = Scan::default();
    text.iter().for_each(|byte| scan.pass(*byte));
    scan.depth == 0 && !scan.in_string
}

/// How deep in brackets, and whether in a string.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
}

impl Scan {
    fn pass(&mut self, byte: u8) {
        steps::take(1);
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.in_string => self.is_escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

/// The elements after the bracket that opened their array; the bracket that closes it ends them. What follows it is
/// an element too, and no JSON.
struct Elements<'b> {
    rest: &'b [u8],
    is_list: bool,
}

impl<'b> Iterator for Elements<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        let mut rest = std::mem::take(&mut self.rest);
        if !self.is_list {
            return Some(rest).filter(|rest| !rest.is_empty());
        }
        while let Some((element, end)) = cut(rest) {
            let after = rest.get(element.len() + 1..)?.trim_ascii();
            let element = element.trim_ascii();
            if end == b',' || !element.is_empty() {
                // what a comma announces is an element even when it is missing
                self.rest = if end == b',' && after.is_empty() { b" " } else { after };
                return Some(element);
            }
            // nothing between the last element and the bracket
            rest = after;
        }
        Some(rest).filter(|rest| !rest.is_empty())
    }
}

/// What stands before the first comma or closing bracket that is outside of all others, and which of the two it is.
fn cut(rest: &[u8]) -> Option<(&[u8], u8)> {
    let mut scan = Scan::default();
    for (at, byte) in rest.iter().enumerate() {
        let is_outside = scan.depth == 0 && !scan.in_string;
        if is_outside && matches!(byte, b',' | b']') {
            return Some((rest.get(..at)?, *byte));
        }
        scan.pass(*byte);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(body: &str) -> (char, Vec<(usize, String)>) {
        let records = Records::of(body.as_bytes());
        let kind = match records {
            Records::One(_) => 'o',
            Records::List(_) => 'a',
            Records::Lines(_) => 'l',
        };
        (kind, records.iter().map(|(place, record)| (place, String::from_utf8_lossy(record).into_owned())).collect())
    }

    fn want(kind: char, records: &[(usize, &str)]) -> (char, Vec<(usize, String)>) {
        (kind, records.iter().map(|(place, record)| (*place, (*record).to_owned())).collect())
    }

    #[test]
    fn every_form_of_a_body_is_cut_into_its_records() {
        assert_eq!(seen(r#" {"a":"}\"]"} "#), want('o', &[(0, r#"{"a":"}\"]"}"#)]));
        assert_eq!(seen("{\n \"a\": [\n1]}\n"), want('o', &[(0, "{\n \"a\": [\n1]}")]));
        assert_eq!(seen("[ ]"), want('a', &[]));
        assert_eq!(seen(r#"[{"a":"],"}, [1,2] ,null]"#), want('a', &[(0, r#"{"a":"],"}"#), (1, "[1,2]"), (2, "null")]));
        assert_eq!(seen("{\"a\":1}\r\n\n{\"b\":\n{}\n"), want('l', &[(1, "{\"a\":1}"), (3, "{\"b\":"), (4, "{}")]));
        assert_eq!(seen(""), want('o', &[]));
        assert_eq!(seen("\u{feff}[{}]"), want('a', &[(0, "{}")]));
    }

    #[test]
    fn what_is_broken_costs_no_neighbour() {
        assert_eq!(seen("[{},NaN,{}]"), want('a', &[(0, "{}"), (1, "NaN"), (2, "{}")]));
        assert_eq!(seen("[{},,{}"), want('a', &[(0, "{}"), (1, ""), (2, "{}")]));
        assert_eq!(seen("[{},]"), want('a', &[(0, "{}")]));
        assert_eq!(seen("[{}] x"), want('a', &[(0, "{}"), (1, "x")]));
        assert_eq!(seen(r#"[{},{"a"#), want('a', &[(0, "{}"), (1, r#"{"a"#)]));
    }

    #[test]
    fn any_number_of_closing_brackets_takes_no_stack() {
        let brackets = "]".repeat(1 << 20);
        assert_eq!(seen(&format!("[{brackets}")), want('a', &[]));
        assert_eq!(seen(&format!("[{{}}{brackets} x")), want('a', &[(0, "{}"), (1, "x")]));
    }
}
