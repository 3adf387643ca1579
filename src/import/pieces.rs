//! A file as pieces: lines, elements of a list, rows of CSV, messages of protobuf.
//!
//! ```text
//! {"a":1}\n{"a":2}\n         Lines      a broken one costs itself
//! [{"a":1}, {"a":2}]         Elements
//! {\n  "a": 1\n}             Values     a document over several lines
//! a,b\n1,2\n                 Rows       as objects
//! 0a 05 ..                   Messages
//! ```
//!
//! Offsets are those of what `source` gives: unpacked, and rows of Parquet as lines.

use super::source::Stream;
use crate::formats::csv;
use crate::formats::otlp::{Message, next_message};
use serde_json::Value;
use std::io;
use tokio::io::AsyncReadExt as _;

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;
/// The longest piece.
pub(super) const PIECE_BYTES_MAX: usize = 64 << 20;

/// How pieces are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Lines,
    Elements,
    Values,
    Rows(Vec<String>),
    Messages {
        have_lengths: bool,
    },
    /// Nothing more: after a list, or after what cannot be read on.
    Rest {
        /// Whether it was said already that there is more.
        is_said: bool,
    },
}

/// A piece, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// The number of its line, element, row or message, from 1.
    pub(super) number: u64,
    /// Where it begins.
    pub(super) begin: u64,
    /// Where it ends.
    pub(super) end: u64,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Piece(Piece),
    /// A piece that is too long or cannot be read: its number, where it ends, and why.
    Unreadable(u64, u64, String),
    /// Nothing more for now.
    End,
}

/// Reads the pieces of a file in order.
pub(super) struct Pieces {
    from: Stream,
    kind: Kind,
    buffer: Vec<u8>,
    /// Where in the buffer the next piece begins, and up to where it is looked through.
    begin: usize,
    seen: usize,
    /// Of the buffer's first byte.
    offset: u64,
    number: u64,
    scan: Scan,
    /// Bytes of the longest piece.
    bytes_max: usize,
    /// Whether the piece that begins there is too long: it is read to its end, and not kept.
    is_too_long: bool,
}

/// How far a JSON value has been looked through.
#[derive(Debug, Default, Clone, Copy)]
struct Scan {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    has_begun: bool,
}

impl Pieces {
    /// Reads the first bytes.
    pub(super) async fn of(from: Stream) -> io::Result<Self> {
        Self::with_max(from, PIECE_BYTES_MAX).await
    }

    async fn with_max(from: Stream, bytes_max: usize) -> io::Result<Self> {
        let mut pieces = Self {
            from,
            kind: Kind::Lines,
            buffer: Vec::new(),
            begin: 0,
            seen: 0,
            offset: 0,
            number: 0,
            scan: Scan::default(),
            bytes_max,
            is_too_long: false,
        };
        pieces.read().await?;
        pieces.choose().await?;
        Ok(pieces)
    }

    /// The first bytes, as far as they are read.
    pub(super) fn head(&self) -> &[u8] {
        self.buffer.get(self.begin..).map_or(&[], |head| head)
    }

    /// Looks at the beginning and decides what pieces are.
    async fn choose(&mut self) -> io::Result<()> {
        if self.buffer.starts_with(b"\xef\xbb\xbf") {
            self.begin = 3;
        }
        let head = self.head();
        let first = head.iter().position(|byte| !byte.is_ascii_whitespace());
        let letter = first.and_then(|first| head.get(first)).copied();
        match letter {
            Some(b'[') => {
                self.begin += first.map_or(0, |first| first) + 1;
                self.kind = Kind::Elements;
            }
            Some(b'{') => {
                while memchr::memchr(b'\n', self.head().trim_ascii_start()).is_none()
                    && self.buffer.len() <= self.bytes_max
                    && self.read().await?
                {}
                self.kind = if begins_document(self.head()) { Kind::Values } else { Kind::Lines };
            }
            Some(letter) if letter.is_ascii_graphic() => {
                if let Some(end) = csv::row_end(self.head()) {
                    let row = String::from_utf8_lossy(self.head().get(..end).map_or(&[], |row| row)).into_owned();
                    self.begin += end;
                    self.kind = Kind::Rows(csv::values(&row));
                }
            }
            _ => {}
        }
        let is_binary = self.buffer.first() == Some(&0) || (self.buffer.first() == Some(&0x0a) && letter != Some(b'{'));
        if is_binary && letter != Some(b'[') {
            self.begin = 0;
            self.kind = Kind::Messages { have_lengths: self.buffer.first() == Some(&0) };
        }
        self.seen = self.begin;
        Ok(())
    }

    /// The names of the columns, where rows have them.
    pub(super) fn is_of_rows(&self) -> bool {
        matches!(self.kind, Kind::Rows(_))
    }

    /// Reads more; `false` at the end.
    async fn read(&mut self) -> io::Result<bool> {
        if self.begin > 0 && self.begin >= self.buffer.len() / 2 && self.seen >= self.begin && self.number > 0 {
            self.buffer.drain(..self.begin);
            self.offset = self.offset.saturating_add(crate::numbers::to_u64(self.begin));
            self.seen -= self.begin;
            self.begin = 0;
        }
        self.buffer.reserve(READ_BYTES);
        Ok(self.from.read_buf(&mut self.buffer).await? > 0)
    }

    /// The next piece. What has no end yet is the last piece if `is_whole`, and waits for more if not.
    pub(super) async fn next(&mut self, is_whole: bool) -> io::Result<Next> {
        loop {
            if let Kind::Rest { is_said } = self.kind {
                return self.rest(is_said).await;
            }
            match self.find() {
                Found::Piece(_, end) if self.is_too_long => return Ok(self.unreadable_until(end, too_long())),
                Found::Piece(begin, end) => {
                    if let Some(next) = self.take(begin, end) {
                        return Ok(next);
                    }
                }
                Found::Broken => {
                    return Ok(self.unreadable_on("it is not OTLP in protobuf, and what follows is not read"));
                }
                Found::More if matches!(self.kind, Kind::Rest { .. }) => {}
                Found::More => {
                    if let Some(next) = self.bounded() {
                        return Ok(next);
                    }
                    if !self.read().await? {
                        return Ok(self.at_end(is_whole));
                    }
                }
            }
        }
    }

    /// Lets go of a piece that is too long. Where its end can be told from what follows, the pieces after it are read.
    fn bounded(&mut self) -> Option<Next> {
        if self.buffer.len() - self.begin <= self.bytes_max {
            return None;
        }
        match self.kind {
            Kind::Lines | Kind::Elements | Kind::Values => {
                self.is_too_long = true;
                self.let_go();
                None
            }
            Kind::Rows(_) | Kind::Messages { .. } | Kind::Rest { .. } => {
                Some(self.unreadable_on(&format!("{}, and what follows is not read", too_long())))
            }
        }
    }

    /// What is left when the file has no more bytes.
    fn at_end(&mut self, is_whole: bool) -> Next {
        if !is_whole {
            return Next::End;
        }
        match self.kind {
            Kind::Elements => self.unreadable_on("the list has no end: the file is cut off"),
            _ if self.is_too_long => self.unreadable_on(&too_long()),
            _ if self.head().trim_ascii().is_empty() => Next::End,
            Kind::Messages { .. } => self.unreadable_on("it is cut off"),
            _ => {
                let (begin, end) = (self.begin, self.buffer.len());
                self.take(begin, end).map_or(Next::End, |next| next)
            }
        }
    }

    /// Reads to the end of the file, which is nothing but white space after a whole list.
    async fn rest(&mut self, is_said: bool) -> io::Result<Next> {
        let mut is_more = false;
        loop {
            is_more |= !self.head().trim_ascii().is_empty();
            self.let_go();
            if !self.read().await? {
                break;
            }
        }
        if !is_more || is_said {
            return Ok(Next::End);
        }
        Ok(self.unreadable_on("what stands after the end of the list is not read"))
    }

    /// Forgets what is read, and keeps where it ended.
    fn let_go(&mut self) {
        self.offset = self.offset.saturating_add(crate::numbers::to_u64(self.buffer.len()));
        self.buffer.clear();
        (self.begin, self.seen) = (0, 0);
    }

    /// Takes a piece out; nothing for one that is empty.
    fn take(&mut self, begin: usize, end: usize) -> Option<Next> {
        let bytes = self.buffer.get(begin..end).map_or(&[] as &[u8], |piece| piece);
        let is_text = !matches!(self.kind, Kind::Messages { .. });
        let bytes = if is_text { bytes.trim_ascii() } else { bytes };
        let bytes = match &self.kind {
            Kind::Rows(names) if !bytes.is_empty() => match csv::object(names, &String::from_utf8_lossy(bytes)) {
                Ok(row) => row.to_string().into_bytes(),
                Err(why) => return Some(self.unreadable_until(end, why)),
            },
            _ => bytes.to_vec(),
        };
        let place = |at: usize| self.offset.saturating_add(crate::numbers::to_u64(at));
        let (from, to) = (place(begin), place(end));
        // a line that is empty counts as one, so that numbers are those of an editor
        self.number += 1;
        self.begin = end;
        self.seen = end;
        self.scan = Scan::default();
        let number = self.number;
        (!bytes.is_empty()).then_some(Next::Piece(Piece { bytes, number, begin: from, end: to }))
    }

    /// Says that nothing from here on can be read.
    fn unreadable_on(&mut self, why: &str) -> Next {
        self.kind = Kind::Rest { is_said: true };
        self.unreadable_until(self.buffer.len(), why.to_owned())
    }

    /// Passes over a piece that cannot be read.
    fn unreadable_until(&mut self, end: usize, why: String) -> Next {
        self.number += 1;
        (self.begin, self.seen, self.scan, self.is_too_long) = (end, end, Scan::default(), false);
        Next::Unreadable(self.number, self.offset.saturating_add(crate::numbers::to_u64(end)), why)
    }

    fn find(&mut self) -> Found {
        let unseen = self.buffer.get(self.seen..).map_or(&[] as &[u8], |unseen| unseen);
        match &self.kind {
            Kind::Lines => match memchr::memchr(b'\n', unseen) {
                Some(at) => Found::Piece(self.begin, self.seen + at + 1),
                None => {
                    self.seen = self.buffer.len();
                    Found::More
                }
            },
            Kind::Rows(_) => match csv::row_end(self.head()) {
                Some(at) => Found::Piece(self.begin, self.begin + at),
                None => Found::More,
            },
            Kind::Messages { have_lengths } => match next_message(self.head(), *have_lengths) {
                Message::Whole { begin, end } => Found::Piece(self.begin + begin, self.begin + end),
                Message::Partial(_) => Found::More,
                Message::Broken => Found::Broken,
            },
            Kind::Elements | Kind::Values => self.find_value(),
            Kind::Rest { .. } => Found::More,
        }
    }

    fn find_value(&mut self) -> Found {
        while let Some(byte) = self.buffer.get(self.seen).copied() {
            if !self.scan.has_begun {
                match byte {
                    b',' | b' ' | b'\t' | b'\r' | b'\n' => self.begin = self.seen + 1,
                    b']' if self.kind == Kind::Elements => {
                        (self.begin, self.kind) = (self.seen + 1, Kind::Rest { is_said: false });
                        return Found::More;
                    }
                    _ => self.scan.has_begun = true,
                }
                if !self.scan.has_begun {
                    self.seen += 1;
                    continue;
                }
            }
            self.seen += 1;
            if self.scan.takes(byte) {
                return Found::Piece(self.begin, self.seen);
            }
        }
        Found::More
    }
}

impl Scan {
    /// Takes a byte of a value; `true` if it is the last one of an object or a list.
    fn takes(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            // a number or a word among the elements is no object, and ends here
            b',' if self.depth == 0 => return true,
            _ => {}
        }
        false
    }
}

enum Found {
    Piece(usize, usize),
    More,
    Broken,
}

/// Whether the first line begins a document that goes on in the next one, and is not merely cut off.
fn begins_document(head: &[u8]) -> bool {
    let head = head.trim_ascii_start();
    let line = memchr::memchr(b'\n', head).and_then(|end| head.get(..end)).map_or(head, <[u8]>::trim_ascii_end);
    matches!(line.last(), Some(b'{' | b'[' | b',' | b':'))
}

fn too_long() -> String {
    format!("it is longer than {} MiB", PIECE_BYTES_MAX >> 20)
}

/// A piece as JSON, if it is an object.
pub(super) fn object(piece: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(piece).ok().filter(Value::is_object)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(text: &[u8], bytes_max: usize) -> Vec<(u64, String)> {
        let mut pieces = Pieces::with_max(Box::pin(io::Cursor::new(text.to_vec())), bytes_max).await.unwrap();
        let mut found = Vec::new();
        loop {
            match pieces.next(true).await.unwrap() {
                Next::Piece(piece) => {
                    found.push((piece.number, String::from_utf8_lossy(&piece.bytes).into_owned()));
                }
                Next::Unreadable(number, _, why) => found.push((number, why)),
                Next::End => return found,
            }
        }
    }

    fn pieces_up_to(bytes_max: usize, text: &[u8]) -> Vec<(u64, String)> {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(all(text, bytes_max))
    }

    fn pieces(text: &[u8]) -> Vec<(u64, String)> {
        pieces_up_to(PIECE_BYTES_MAX, text)
    }

    #[test]
    fn lines_elements_documents_rows_and_messages_are_told_apart() {
        let of = |numbers: &[(u64, &str)]| -> Vec<(u64, String)> {
            numbers.iter().map(|(number, text)| (*number, (*text).to_owned())).collect()
        };
        assert_eq!(pieces(b"{\"a\":1}\n\n{\"a\":2}"), of(&[(1, "{\"a\":1}"), (3, "{\"a\":2}")]));
        assert_eq!(pieces(b"{\"a\":1}\n{broken\n{}\n"), of(&[(1, "{\"a\":1}"), (2, "{broken"), (3, "{}")]));
        assert_eq!(
            pieces(b" [ {\"a\":\"]}\\\"\"},\n {\"b\":[1]} ] "),
            of(&[(1, "{\"a\":\"]}\\\"\"}"), (2, "{\"b\":[1]}")])
        );
        assert_eq!(pieces(b"{\n \"a\": 1\n}\n"), of(&[(1, "{\n \"a\": 1\n}")]));
        assert_eq!(pieces(b"x,y\n1,\"a\nb\"\n2,\n"), of(&[(1, "{\"x\":\"1\",\"y\":\"a\\nb\"}"), (2, "{\"x\":\"2\"}")]));
        assert_eq!(pieces(b"\x0a\x02\x0a\x00\x0a\x00"), of(&[(1, "\n\u{2}\n\0"), (2, "\n\0")]));
        assert_eq!(pieces(b"\x0a\x02\x0a\x00\x0a\x05"), of(&[(1, "\n\u{2}\n\0"), (2, "it is cut off")]));
        assert_eq!(pieces(b""), []);
    }

    #[test]
    fn what_is_missing_from_a_list_or_stands_after_it_is_not_passed_over() {
        let two = [(1, "{\"a\":1}".to_owned()), (2, "{\"a\":2}".to_owned())];
        let after = |why: &str| [two.to_vec(), vec![(3, why.to_owned())]].concat();
        assert_eq!(pieces(b"[{\"a\":1},{\"a\":2}] \n\n"), two);
        let more = "what stands after the end of the list is not read";
        assert_eq!(pieces(b"[{\"a\":1},{\"a\":2}]\n{\"a\":3}\n[{}]"), after(more));
        let cut = "the list has no end: the file is cut off";
        for rest in ["", ",", ",{\"a\":", ", \n", ",\n{\"a\":\n\"b", ",{\"a\":[\n1,\n2\n"] {
            assert_eq!(pieces(format!("[{{\"a\":1}},{{\"a\":2}}{rest}").as_bytes()), after(cut), "{rest:?}");
        }
        let large = [b"[]".to_vec(), vec![b' '; 3 * READ_BYTES], b"x".to_vec()].concat();
        assert_eq!(pieces(&large), [(1, more.to_owned())]);
    }

    #[test]
    fn a_piece_that_is_too_long_costs_itself_alone() {
        // more than is read at once, so that it comes in several parts, with what may be taken for the end of it
        let long = format!("{{\"a\":\"{}\"}}", "]}, \\\" [".repeat(READ_BYTES / 4));
        let (line, list) = (format!("{long}\n{{\"b\":1}}\n"), format!("[{long},\n{{\"b\":1}}]"));
        for text in [line, list] {
            assert_eq!(pieces_up_to(READ_BYTES, text.as_bytes()), [(1, too_long()), (2, "{\"b\":1}".to_owned())]);
        }
        assert_eq!(pieces_up_to(READ_BYTES, long.as_bytes()), [(1, too_long())]);
        let rest = ", and what follows is not read";
        let row = format!("a,b\n\"{}", "x\n".repeat(READ_BYTES));
        assert_eq!(pieces_up_to(READ_BYTES, row.as_bytes()), [(1, too_long() + rest)]);
        let broken = [b"\x0a\x02\x0a\x00".to_vec(), vec![0xff; 3 * READ_BYTES]].concat();
        let why = format!("it is not OTLP in protobuf{rest}");
        assert_eq!(pieces_up_to(READ_BYTES, &broken), [(1, "\n\u{2}\n\0".to_owned()), (2, why)]);
    }

    #[test]
    fn a_row_with_more_values_than_there_are_columns_is_not_cut() {
        let why = "it has 3 values, and the first row names 2 columns".to_owned();
        assert_eq!(pieces(b"x,y\n1,2,3\n4,5\n"), [(1, why), (2, "{\"x\":\"4\",\"y\":\"5\"}".to_owned())]);
    }
}
