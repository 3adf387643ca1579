//! A statement's tokens, as the engine's own lexer cuts them.
//!
//! ```text
//! SELECT 'a;b', ‘c;d’, $t$;$t$ /* ; */ ;      word  string , string , string  ;
//! ```
//!
//! What the engine takes for a blank, a quote or a comment is one here too, byte for byte; else what this service
//! believes of a statement is not what the engine does. `engine::tests` compares the two over generated statements.
//! Source: ClickHouse 26.7 `Lexer.cpp`, `skipWhitespacesUTF8`, `isNumberSeparator`.

use memchr::memmem;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    Number,
    /// In single quotes of either kind, with an `x` or `b` before them, or between `$tag$`s.
    String,
    QuotedName,
    /// Brackets, operators, separators.
    Sign,
    /// The engine refuses the statement here.
    Invalid,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a [u8],
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// How many brackets are open around it.
    pub(crate) depth: usize,
}

impl Token<'_> {
    pub(crate) fn is(&self, sign: &[u8]) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }

    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word.as_bytes())
    }

    /// Whether it is this word or sign.
    pub(crate) fn text_is(&self, text: &str) -> bool {
        self.is_word(text) || self.is(text.as_bytes())
    }

    /// Whether it names this setting, quoted or not.
    pub(crate) fn names(&self, name: &str) -> bool {
        match self.kind {
            Kind::Word => self.text == name.as_bytes(),
            Kind::QuotedName => memmem::find(self.text, name.as_bytes()).is_some(),
            _ => false,
        }
    }

    /// What stands between the quotes of a string, escapes and all; `None` for a string of another form.
    pub(crate) fn quoted(&self) -> Option<&[u8]> {
        let inner = |open: &[u8], close: &[u8]| self.text.strip_prefix(open)?.strip_suffix(close);
        if self.kind != Kind::String {
            return None;
        }
        inner(b"'", b"'").or_else(|| inner(OPEN_SINGLE, CLOSE_SINGLE))
    }
}

const OPEN_SINGLE: &[u8] = "\u{2018}".as_bytes();
const CLOSE_SINGLE: &[u8] = "\u{2019}".as_bytes();
const OPEN_DOUBLE: &[u8] = "\u{201c}".as_bytes();
const CLOSE_DOUBLE: &[u8] = "\u{201d}".as_bytes();
const MINUS: &[u8] = "\u{2212}".as_bytes();

/// Tokens without blanks and comments. What is invalid is the last one.
#[derive(Debug, Clone)]
pub(crate) struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    /// A number after a dot has no dot of its own, and a dot after an operand is not a number's.
    before: Before,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Dot,
    Operand,
    Other,
}

/// What the next bytes are, and how many.
type Cut = (Kind, usize);

impl<'a> Tokens<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0, before: Before::Other, ended: false }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).expect("a token ends within the text")
    }

    /// Returns false if a comment has no end.
    fn skip_blanks_and_comments(&mut self) -> bool {
        loop {
            let rest = self.rest();
            let skip = match rest {
                [b'-', b'-', ..] | [b'/', b'/', ..] | [b'#', b' ' | b'!', ..] => {
                    memchr::memchr(b'\n', rest).unwrap_or(rest.len())
                }
                [b'/', b'*', ..] => match comment_length(rest) {
                    Some(length) => length,
                    None => return false,
                },
                _ => blank_length(rest),
            };
            if skip == 0 {
                return true;
            }
            debug_assert!(skip <= rest.len(), "a blank or a comment ends within the text");
            self.at += skip;
        }
    }

    fn cut(&self, rest: &[u8]) -> Cut {
        match rest {
            [b'0'..=b'9', ..] if self.before == Before::Dot => number_end(rest, digits(rest, 0, false, false)),
            [b'0'..=b'9', ..] => number(rest),
            [b'.', after @ ..] => {
                let number = after.first().is_some_and(u8::is_ascii_digit) && self.before != Before::Operand;
                if self.at > 0 && !number { (Kind::Sign, 1) } else { (Kind::Number, fraction_length(rest)) }
            }
            [quote @ b'\'', ..] => quoted(rest, *quote, Kind::String),
            [quote @ (b'"' | b'`'), ..] => quoted(rest, *quote, Kind::QuotedName),
            [b'$', ..] => dollar(rest),
            [b'x' | b'X' | b'b' | b'B', b'\'', _, ..] => hex_or_bin_string(rest),
            [first, ..] if is_word_byte(*first) => (Kind::Word, word_length(rest)),
            _ if rest.starts_with(OPEN_SINGLE) && rest.len() > 5 => typographic(rest, CLOSE_SINGLE, Kind::String),
            _ if rest.starts_with(OPEN_DOUBLE) && rest.len() > 5 => typographic(rest, CLOSE_DOUBLE, Kind::QuotedName),
            _ if rest.starts_with(MINUS) => (Kind::Sign, MINUS.len()),
            _ => sign(rest),
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if self.ended {
            return None;
        }
        let closed = self.skip_blanks_and_comments();
        let rest = self.rest();
        if rest.is_empty() {
            return None;
        }
        let (kind, length) = if closed { self.cut(rest) } else { (Kind::Invalid, rest.len()) };
        let text = rest.get(..length).expect("a token is cut from what is left of the text");
        if kind == Kind::Sign && matches!(text, b")" | b"]" | b"}") {
            self.depth = self.depth.saturating_sub(1);
        }
        let token = Token { kind, text, start: self.at, end: self.at + text.len(), depth: self.depth };
        if kind == Kind::Sign && matches!(text, b"(" | b"[" | b"{") {
            self.depth += 1;
        }
        self.before = match kind {
            Kind::Sign if text == b"." => Before::Dot,
            Kind::Sign if matches!(text, b")" | b"]") => Before::Operand,
            Kind::Word | Kind::QuotedName | Kind::Number => Before::Operand,
            _ => Before::Other,
        };
        self.ended = kind == Kind::Invalid;
        self.at = token.end;
        Some(token)
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn word_length(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_word_byte(**byte) || **byte == b'$').count()
}

/// ASCII blanks, and those that word processors put in their place.
fn blank_length(text: &[u8]) -> usize {
    match text {
        [b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, ..] => 1,
        [0xc2, 0x85 | 0xa0, ..] => 2,
        [0xe1, 0xa0, 0x8e, ..]
        | [0xe2, 0x80, 0x80..=0x8d | 0xa8 | 0xa9 | 0xaf, ..]
        | [0xe2, 0x81, 0x9f | 0xa0, ..]
        | [0xe3, 0x80, 0x80, ..]
        | [0xef, 0xbb, 0xbf, ..] => 3,
        _ => 0,
    }
}

/// Comments nest.
fn comment_length(text: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'/', b'*', text.get(at..)?)?;
        match text.get(at..at + 2)? {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// A backslash escapes the next byte, and so does the quote itself.
fn quoted(text: &[u8], quote: u8, kind: Kind) -> Cut {
    let mut at = 1;
    while let Some(skip) = text.get(at..).and_then(|rest| memchr::memchr2(quote, b'\\', rest)) {
        at += skip;
        match text.get(at..) {
            Some([b'\\', _, ..]) => at += 2,
            Some([first, second, ..]) if first == second => at += 2,
            Some([first, ..]) if *first == quote => return (kind, at + 1),
            _ => break,
        }
    }
    (Kind::Invalid, text.len())
}

/// Nothing is escaped between typographic quotes, and they do not nest.
fn typographic(text: &[u8], close: &[u8], kind: Kind) -> Cut {
    let from = close.len();
    let inside = text.get(from..).and_then(|rest| memmem::find(rest, close));
    inside.map_or((Kind::Invalid, text.len()), |inside| (kind, from + inside + close.len()))
}

/// `x'0a'`, `b'01'`.
fn hex_or_bin_string(text: &[u8]) -> Cut {
    let hex = matches!(text, [b'x' | b'X', ..]);
    let is_digit = |byte: &u8| if hex { byte.is_ascii_hexdigit() } else { matches!(byte, b'0' | b'1') };
    let end = 2 + text.iter().skip(2).take_while(|byte| is_digit(byte)).count();
    match text.get(end) {
        Some(b'\'') => (Kind::String, end + 1),
        _ => (Kind::Invalid, text.len()),
    }
}

/// `$tag$ ... $tag$`, a word with dollars in it, or a dollar alone.
fn dollar(text: &[u8]) -> Cut {
    if let Some(length) = heredoc_length(text) {
        return (Kind::String, length);
    }
    match text.get(1) {
        Some(byte) if is_word_byte(*byte) => (Kind::Word, word_length(text)),
        _ => (Kind::Sign, 1),
    }
}

fn heredoc_length(text: &[u8]) -> Option<usize> {
    let tag_length = 2 + memchr::memchr(b'$', text.get(1..)?)?;
    let (tag, body) = text.split_at_checked(tag_length)?;
    let name = tag.get(1..tag_length - 1)?;
    let close = name.iter().all(|byte| is_word_byte(*byte)).then(|| memmem::find(body, tag))??;
    Some(tag_length + close + tag_length)
}

/// Numbers are skipped, not read: what is not one may be a name that begins with a digit.
fn number(text: &[u8]) -> Cut {
    let mut hex = false;
    let mut at = 1;
    let mut block_starts = false;
    match text {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (hex, at, block_starts) = (true, 2, true),
        [b'0', b'b' | b'B', b'0' | b'1', ..] => (at, block_starts) = (2, true),
        _ => {}
    }
    at = digits(text, at, block_starts, hex);
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1, true, hex);
    }
    let exponent = if hex { [b'p', b'P'] } else { [b'e', b'E'] };
    number_end(text, exponent_end(text, at, exponent))
}

/// `.5e-3`
fn fraction_length(text: &[u8]) -> usize {
    exponent_end(text, digits(text, 1, true, false), [b'e', b'E'])
}

/// Digits, with single underscores between them.
fn digits(text: &[u8], mut at: usize, mut block_starts: bool, hex: bool) -> usize {
    let is_digit = |byte: &u8| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
    loop {
        let separates = |next: Option<&u8>| !block_starts && next.is_some_and(is_digit);
        match text.get(at) {
            Some(byte) if is_digit(byte) => {}
            Some(b'_') if separates(text.get(at + 1)) => {}
            _ => return at,
        }
        at += 1;
        block_starts = false;
    }
}

fn exponent_end(text: &[u8], at: usize, letters: [u8; 2]) -> usize {
    match text.get(at..) {
        Some([letter, next, after @ ..]) if letters.contains(letter) => {
            // a sign counts only if something follows it
            let signed = usize::from(matches!(next, b'-' | b'+') && !after.is_empty());
            digits(text, at + 1 + signed, true, false)
        }
        _ => at,
    }
}

fn number_end(text: &[u8], at: usize) -> Cut {
    let more = text.iter().skip(at).take_while(|byte| is_word_byte(**byte)).count();
    let end = at + more;
    match text.get(..end) {
        _ if more == 0 => (Kind::Number, at),
        Some(name) if name.iter().all(|byte| is_word_byte(*byte)) => (Kind::Word, end),
        _ => (Kind::Invalid, end),
    }
}

fn sign(text: &[u8]) -> Cut {
    match text {
        [b'<', b'=', b'>', ..] => (Kind::Sign, 3),
        [b'-', b'>', ..]
        | [b'=', b'=', ..]
        | [b'!', b'=', ..]
        | [b'<', b'=' | b'>', ..]
        | [b'>', b'=', ..]
        | [b':', b':', ..]
        | [b'|', b'|' | b'>', ..]
        | [b'@', b'@', ..]
        | [b'\\', b'G', ..] => (Kind::Sign, 2),
        [
            b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b';' | b'+' | b'-' | b'*' | b'/' | b'%' | b'=' | b'<'
            | b'>' | b'?' | b'^' | b':' | b'|' | b'@',
            ..,
        ] => (Kind::Sign, 1),
        _ => (Kind::Invalid, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        let tokens = Tokens::new(text.as_bytes());
        tokens.map(|token| (token.kind, str::from_utf8(token.text).unwrap_or("?"))).collect()
    }

    #[test]
    fn blanks_and_comments_are_what_the_engine_takes_for_them() {
        let blanks = "\t\n\r\u{b}\u{c} \u{85}\u{a0}\u{180e}\u{2000}\u{200d}\u{2028}\u{2029}\u{202f}\u{205f}\u{2060}\
                      \u{3000}\u{feff}";
        for blank in blanks.chars() {
            assert_eq!(kinds(&format!("a{blank}b")).len(), 2, "{blank:?}");
        }
        for no_blank in ["\u{84}", "\u{1680}", "\u{180d}", "\u{200e}", "\u{2061}", "\u{e4}", "\0"] {
            assert_eq!(kinds(&format!("a{no_blank}b")).last().map(|last| last.0), Some(Kind::Invalid), "{no_blank:?}");
        }
        for comment in ["-- ;\n", "// ;\n", "# ;\n", "#! ;\n", "/* ; /* ; */ ; */", "/**/", "/*/ */"] {
            assert_eq!(kinds(&format!("a{comment}b")), [(Kind::Word, "a"), (Kind::Word, "b")], "{comment}");
        }
        for open in ["/* ;", "/*/", "/* /* */", "#;", "!"] {
            assert_eq!(kinds(open).last().map(|last| last.0), Some(Kind::Invalid), "{open}");
        }
    }

    #[test]
    fn quotes_close_where_the_engine_closes_them() {
        for whole in
            ["'a;b'", "'it\\'s'", "'it''s'", "\u{2018}it's \\\u{2019}", "$$;$$", "$a$;$b$;$a$", "x'0A'", "b'01'"]
        {
            assert_eq!(kinds(&format!("{whole};")), [(Kind::String, whole), (Kind::Sign, ";")], "{whole}");
        }
        for whole in ["`a;b`", "`a``b`", "\"a\\\"b\"", "\u{201c}a;\u{201d}"] {
            assert_eq!(kinds(&format!("{whole};")), [(Kind::QuotedName, whole), (Kind::Sign, ";")], "{whole}");
        }
        for open in ["'a", "'a\\'", "'a''", "`", "\"\\", "\u{2018}a", "x'0g'", "b'2'", "\u{2018}\u{2019}"] {
            let last = if open == "\u{2018}\u{2019}" { Kind::String } else { Kind::Invalid };
            assert_eq!(kinds(open).last().map(|last| last.0), Some(last), "{open}");
        }
        // no tag, no string
        assert_eq!(kinds("$a b$;$a b$").get(2), Some(&(Kind::Sign, ";")));
    }

    #[test]
    fn numbers_and_names_are_told_apart() {
        for number in ["0", "1_000", "0xAf", "0b10", "1.5e-3", "0x1p-2", "1e5", ".5"] {
            assert_eq!(kinds(&format!("+{number};"))[1..], [(Kind::Number, number), (Kind::Sign, ";")], "{number}");
        }
        for word in ["0x", "0b2", "1abc", "1__0", "a$b", "$a"] {
            assert_eq!(kinds(word), [(Kind::Word, word)], "{word}");
        }
        assert_eq!(kinds("1.5a").last().map(|last| last.0), Some(Kind::Invalid));
        assert_eq!(kinds("x.1.1").len(), 5);
        assert_eq!(kinds("a\u{2212}1"), [(Kind::Word, "a"), (Kind::Sign, "\u{2212}"), (Kind::Number, "1")]);
    }
}
