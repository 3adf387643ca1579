//! `session_id:"x" AND started_at>="2026-01-01"`.
//!
//! ```text
//! any    all { OR all }
//! all    one { AND one }
//! one    - one | ( any ) | field operator value | field [NOT] IN ( value {, value} )
//! field  name { . name | [ name ] }
//! value  "text" | 'text' | null | true | false | number | a word
//! ```

use super::{Comparison, DEPTH_MAX, Filter, Operator, too_deep};
use crate::query::answer::Refusal;
use serde_json::Value;

/// Reads a filter.
pub(super) fn parse(text: &str) -> Result<Filter, Refusal> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0 };
    let filter = parser.any(0)?;
    match parser.peek() {
        None => Ok(filter),
        Some(_) => Err(parser.unexpected(&["_AND", "_OR"])),
    }
}

const SYMBOLS: [(&str, &str, Option<Operator>); 12] = [
    (">=", "GTE", Some(Operator::Gte)),
    ("<=", "LTE", Some(Operator::Lte)),
    (">", "GT", Some(Operator::Gt)),
    ("<", "LT", Some(Operator::Lt)),
    (":", "EXACT", Some(Operator::Eq)),
    ("~", "LIKE", Some(Operator::Like)),
    ("(", "LPAR", None),
    (")", "RPAR", None),
    ("[", "LSQB", None),
    ("]", "RSQB", None),
    (",", "COMMA", None),
    (".", "DOT", None),
];
const KEYWORDS: [(&str, &str); 4] = [("AND", "_AND"), ("OR", "_OR"), ("IN", "_IN"), ("NOT", "_NOT")];
/// What may follow the name of a field.
const AFTER_FIELD: [&str; 10] = ["DOT", "EXACT", "GT", "GTE", "LIKE", "LSQB", "LT", "LTE", "_IN", "_NOT"];
const VALUES: [&str; 2] = ["STRING", "WORD"];

/// A piece of the text.
#[derive(Debug, Clone, PartialEq)]
struct Token {
    kind: &'static str,
    text: String,
    line: usize,
    column: usize,
}

/// Where the reading is.
struct Cursor<'t> {
    rest: &'t str,
    line: usize,
    column: usize,
}

impl<'t> Cursor<'t> {
    /// Takes so many bytes, which end between two characters.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        for c in taken.chars() {
            (self.line, self.column) = if c == '\n' { (self.line + 1, 1) } else { (self.line, self.column + 1) };
        }
        taken
    }

    /// The bytes of the characters at the beginning for which this holds.
    fn length(&self, holds: impl Fn(char) -> bool) -> usize {
        self.rest.find(|c| !holds(c)).unwrap_or(self.rest.len())
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut cursor = Cursor { rest: text, line: 1, column: 1 };
    let mut tokens: Vec<Token> = Vec::new();
    loop {
        cursor.take(cursor.length(char::is_whitespace));
        let Some(first) = cursor.rest.chars().next() else { return Ok(tokens) };
        let (line, column) = (cursor.line, cursor.column);
        let (kind, text) = match first {
            '"' | '\'' => ("STRING", string(&mut cursor, first)?),
            '-' if !takes_value(&tokens) => ("MINUS", cursor.take(1).to_owned()),
            _ => match SYMBOLS.iter().find(|(symbol, ..)| cursor.rest.starts_with(symbol)) {
                Some((symbol, kind, _)) => (*kind, cursor.take(symbol.len()).to_owned()),
                None => word(&mut cursor, takes_value(&tokens)),
            },
        };
        tokens.push(Token { kind, text, line, column });
    }
}

/// Whether a value comes after these: after an operator, and in a list.
fn takes_value(before: &[Token]) -> bool {
    let is_operator = |kind: &str| SYMBOLS.iter().any(|(_, symbol, operator)| *symbol == kind && operator.is_some());
    match before {
        [.., Token { kind: "_IN", .. }, Token { kind: "LPAR", .. }] | [.., Token { kind: "COMMA", .. }] => true,
        [.., last] => is_operator(last.kind),
        [] => false,
    }
}

fn string(cursor: &mut Cursor<'_>, quote: char) -> Result<String, Refusal> {
    let (line, column) = (cursor.line, cursor.column);
    cursor.take(1);
    let mut text = String::new();
    loop {
        let Some(next) = cursor.rest.chars().next() else {
            return Err(Refusal::bad_request(&format!("The text at line {line}, column {column} has no end.")));
        };
        cursor.take(next.len_utf8());
        match next {
            '\\' => {
                let escaped = cursor.rest.chars().next().unwrap_or('\\');
                cursor.take(escaped.len_utf8());
                text.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                });
            }
            _ if next == quote => return Ok(text),
            _ => text.push(next),
        }
    }
}

/// A name, a keyword, or a value without quotes, in which there may be more.
fn word(cursor: &mut Cursor<'_>, is_value: bool) -> (&'static str, String) {
    let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    let is_of_value = |c: char| !c.is_whitespace() && !matches!(c, '(' | ')' | ',' | '"' | '\'');
    let name = cursor.length(is_of_name);
    let length = if is_value { cursor.length(is_of_value).max(name) } else { name };
    // a character that nothing begins with is a token of its own
    let first = cursor.rest.chars().next().map_or(1, char::len_utf8);
    let text = cursor.take(length.max(first)).to_owned();
    let keyword = KEYWORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
    (keyword.map_or("IDENTIFIER", |(_, kind)| *kind), text)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&'static str> {
        self.tokens.get(self.at).map(|token| token.kind)
    }

    fn next_is(&mut self, kind: &str) -> bool {
        let is_next = self.peek() == Some(kind);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, kind: &'static str) -> Result<(), Refusal> {
        if self.next_is(kind) { Ok(()) } else { Err(self.unexpected(&[kind])) }
    }

    fn any(&mut self, depth: usize) -> Result<Filter, Refusal> {
        let mut parts = vec![self.all(depth)?];
        while self.next_is("_OR") {
            parts.push(self.all(depth)?);
        }
        Ok(if parts.len() == 1 { Filter::all(parts) } else { Filter::Or(parts) })
    }

    fn all(&mut self, depth: usize) -> Result<Filter, Refusal> {
        let mut parts = vec![self.one(depth)?];
        while self.next_is("_AND") {
            parts.push(self.one(depth)?);
        }
        Ok(Filter::all(parts))
    }

    fn one(&mut self, depth: usize) -> Result<Filter, Refusal> {
        if depth > DEPTH_MAX {
            return Err(too_deep());
        }
        if self.next_is("MINUS") {
            return Ok(Filter::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.next_is("LPAR") {
            let inner = self.any(depth + 1)?;
            self.expect("RPAR")?;
            return Ok(inner);
        }
        let (field, below) = self.field()?;
        let (operator, value) = self.condition()?;
        Ok(Filter::Compare(Comparison { field, below, operator, value }))
    }

    fn field(&mut self) -> Result<(String, Vec<String>), Refusal> {
        let mut field = self.name()?;
        let mut below = Vec::new();
        loop {
            if below.is_empty() && self.next_is("DOT") {
                field = format!("{field}.{}", self.name()?);
            } else if self.next_is("LSQB") {
                below.push(self.name()?);
                self.expect("RSQB")?;
            } else {
                return Ok((field, below));
            }
        }
    }

    fn name(&mut self) -> Result<String, Refusal> {
        match self.tokens.get(self.at) {
            Some(token) if matches!(token.kind, "IDENTIFIER" | "STRING") => {
                self.at += 1;
                Ok(token.text.clone())
            }
            _ => Err(self.unexpected(&["IDENTIFIER", "LPAR", "MINUS"])),
        }
    }

    fn condition(&mut self) -> Result<(Operator, Value), Refusal> {
        let is_not = self.next_is("_NOT");
        if self.next_is("_IN") {
            let operator = if is_not { Operator::Nin } else { Operator::In };
            return Ok((operator, self.list()?));
        }
        let operator = self.peek().and_then(|next| SYMBOLS.iter().find(|(_, kind, _)| *kind == next)?.2);
        match operator {
            Some(operator) if !is_not => {
                self.at += 1;
                Ok((operator, self.value()?))
            }
            _ => Err(self.unexpected(if is_not { &["_IN"] } else { &AFTER_FIELD })),
        }
    }

    fn list(&mut self) -> Result<Value, Refusal> {
        self.expect("LPAR")?;
        let mut values = vec![self.value()?];
        while self.next_is("COMMA") {
            values.push(self.value()?);
        }
        self.expect("RPAR")?;
        Ok(values.into())
    }

    fn value(&mut self) -> Result<Value, Refusal> {
        let Some(token) = self.tokens.get(self.at) else { return Err(self.unexpected(&VALUES)) };
        let value = match (token.kind, token.text.as_str()) {
            ("STRING", text) => text.into(),
            ("LPAR" | "RPAR" | "COMMA", _) => return Err(self.unexpected(&VALUES)),
            (_, "null") => Value::Null,
            (_, "true") => true.into(),
            (_, "false") => false.into(),
            (_, text) => number(text).unwrap_or_else(|| text.into()),
        };
        self.at += 1;
        Ok(value)
    }

    fn unexpected(&self, expected: &[&str]) -> Refusal {
        let shown = |token: &Token| format!("Token('{}', '{}')", token.kind, token.text);
        let expected = expected.iter().fold(String::new(), |list, kind| format!("{list}\t* {kind}\n"));
        let place = match self.tokens.get(self.at) {
            Some(token) => format!("token {} at line {}, column {}.", shown(token), token.line, token.column),
            None => "end-of-input.".to_owned(),
        };
        let previous = self.at.checked_sub(1).and_then(|before| self.tokens.get(before));
        let previous = previous.map_or_else(String::new, |token| format!("Previous tokens: [{}]\n", shown(token)));
        Refusal::bad_request(&format!("Unexpected {place}\nExpected one of: \n{expected}{previous}"))
    }
}

/// A number as JSON spells it.
fn number(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(Value::is_number)
}
