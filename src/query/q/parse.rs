//! Reads the text of a search.

use super::fields::{self, Field, Kind};
use super::{BYTES_MAX, Compare, DEPTH_MAX, Node, Problem, Subject, TERMS_MAX, Term, Test, values};
use crate::query::expressions::{KIND_UNKNOWN, KINDS};
use crate::time::UnixNanos;

pub(super) fn parse(text: &str, now: UnixNanos) -> Result<Node, Problem> {
    if text.len() > BYTES_MAX {
        return Err(Problem { position: 1, why: format!("the search is longer than {BYTES_MAX} bytes") });
    }
    let mut reader = Reader { chars: text.chars().collect(), at: 0, terms: 0, now };
    let node = reader.any(0)?;
    match reader.peek() {
        None => Ok(node),
        Some(_) => Err(reader.problem("a ) that nothing opened; put it in quotes if you look for it")),
    }
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    terms: usize,
    now: UnixNanos,
}

/// A value as it stands in the text.
struct Raw {
    text: String,
    is_quoted: bool,
    /// Where it begins.
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn take_if(&mut self, c: char) -> bool {
        let is_next = self.peek() == Some(c);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes a keyword, if it is next and a word of its own.
    fn take_keyword(&mut self, keyword: &str) -> bool {
        let length = keyword.len();
        let is_next = keyword.chars().enumerate().all(|(n, c)| self.chars.get(self.at + n) == Some(&c));
        let ends = self.chars.get(self.at + length).is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')' | '"'));
        if is_next && ends {
            self.at += length;
        }
        is_next && ends
    }

    fn problem(&self, why: &str) -> Problem {
        Self::problem_at(self.at, why)
    }

    fn problem_at(at: usize, why: &str) -> Problem {
        Problem { position: at + 1, why: why.to_owned() }
    }

    fn any(&mut self, depth: usize) -> Result<Node, Problem> {
        if depth > DEPTH_MAX {
            return Err(self.problem(&format!("nested more than {DEPTH_MAX} deep")));
        }
        let mut parts = vec![self.all(depth)?];
        loop {
            self.skip_spaces();
            if !self.take_keyword("OR") {
                break;
            }
            parts.push(self.all(depth)?);
        }
        Ok(one_or(parts, Node::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Node, Problem> {
        let mut parts = vec![self.one(depth)?];
        loop {
            self.skip_spaces();
            if self.take_keyword("AND") {
                parts.push(self.one(depth)?);
                continue;
            }
            let before = self.at;
            let ends = self.take_keyword("OR");
            self.at = before;
            if ends || matches!(self.peek(), None | Some(')')) {
                break;
            }
            parts.push(self.one(depth)?);
        }
        Ok(one_or(parts, Node::All))
    }

    fn one(&mut self, depth: usize) -> Result<Node, Problem> {
        let mut is_negated = false;
        loop {
            self.skip_spaces();
            if !self.take_keyword("NOT") && !self.take_if('-') {
                break;
            }
            is_negated = !is_negated;
        }
        let open = self.at;
        let node = if self.take_if('(') {
            let inner = self.any(depth + 1)?;
            self.skip_spaces();
            if !self.take_if(')') {
                return Err(Self::problem_at(open, "this ( is not closed"));
            }
            inner
        } else {
            self.term()?
        };
        Ok(if is_negated { Node::Not(Box::new(node)) } else { node })
    }

    fn term(&mut self) -> Result<Node, Problem> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(self.problem(&format!("more than {TERMS_MAX} terms")));
        }
        let start = self.at;
        if self.peek() == Some('"') {
            let text = self.quoted()?;
            return self.free(text, start);
        }
        let name = self.name()?;
        if !self.take_if(':') {
            return if name.is_empty() {
                Err(self.problem("a term is missing, such as model:gpt-5* or \"a text\""))
            } else {
                self.free(name, start)
            };
        }
        if name == "has" {
            return self.has();
        }
        let subject = subject(&name).ok_or_else(|| unknown(&name, start))?;
        self.values(&subject)
    }

    fn free(&self, text: String, start: usize) -> Result<Node, Problem> {
        if text.trim().is_empty() {
            return Err(Self::problem_at(start, "an empty text"));
        }
        debug_assert!(self.at > start, "a text was taken");
        Ok(Node::Term(Term { subject: Subject::Anything, test: Test::Is(text) }))
    }

    /// A name, in which a key may be in quotes: `attr."my key"`.
    fn name(&mut self) -> Result<String, Problem> {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            match c {
                ':' | '(' | ')' => break,
                '"' if name.ends_with('.') => name.push_str(&self.quoted()?),
                '"' => break,
                c if c.is_whitespace() => break,
                c => {
                    name.push(c);
                    self.at += 1;
                }
            }
        }
        Ok(name)
    }

    /// A text in quotes; `\"` and `\\` are characters of it.
    fn quoted(&mut self) -> Result<String, Problem> {
        let open = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err(Self::problem_at(open, "this \" is not closed")),
                Some('"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some('\\') => {
                    self.at += 1;
                    text.extend(self.peek());
                    self.at += 1;
                }
                Some(c) => {
                    text.push(c);
                    self.at += 1;
                }
            }
        }
    }

    fn has(&mut self) -> Result<Node, Problem> {
        let start = self.at;
        let name = self.name()?;
        let subject = match name.as_str() {
            "score" => Some(Subject::Score(None)),
            name => subject(name),
        };
        let subject = subject.ok_or_else(|| unknown(&name, start))?;
        Ok(Node::Term(Term { subject, test: Test::Present }))
    }

    /// One value, or several in parentheses of which any may be the one.
    fn values(&mut self, subject: &Subject) -> Result<Node, Problem> {
        let open = self.at;
        if !self.take_if('(') {
            return self.value(subject, false);
        }
        let mut parts = Vec::new();
        loop {
            self.skip_spaces();
            let is_next = parts.is_empty() || self.take_keyword("OR") || self.take_if(',');
            self.skip_spaces();
            if !parts.is_empty() && self.take_if(')') {
                return Ok(one_or(parts, Node::Any));
            }
            if !is_next {
                return Err(match self.peek() {
                    None => Self::problem_at(open, "this ( is not closed"),
                    Some(_) => self.problem("OR is missing between two values"),
                });
            }
            self.terms += 1;
            if self.terms > TERMS_MAX {
                return Err(self.problem(&format!("more than {TERMS_MAX} terms")));
            }
            parts.push(self.value(subject, true)?);
        }
    }

    /// `in_list`: whether a comma ends it.
    fn value(&mut self, subject: &Subject, in_list: bool) -> Result<Node, Problem> {
        let at = self.at;
        let raw = if self.peek() == Some('"') {
            Raw { text: self.quoted()?, is_quoted: true, at }
        } else {
            let mut text = String::new();
            let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"') || (in_list && c == ',');
            while let Some(c) = self.peek().filter(|c| !ends(*c)) {
                text.push(c);
                self.at += 1;
            }
            Raw { text, is_quoted: false, at }
        };
        if raw.text.is_empty() && !raw.is_quoted {
            return Err(Self::problem_at(at, "a value is missing; write it right after the colon"));
        }
        let test = test(subject, &raw, self.now).map_err(|why| Self::problem_at(raw.at, &why))?;
        Ok(Node::Term(Term { subject: subject.clone(), test }))
    }
}

/// A list of one is that one.
fn one_or(mut parts: Vec<Node>, list: fn(Vec<Node>) -> Node) -> Node {
    if parts.len() == 1 { parts.remove(0) } else { list(parts) }
}

/// What a name is about.
fn subject(name: &str) -> Option<Subject> {
    if let Some(field) = fields::find(name) {
        return Some(Subject::Field(field));
    }
    let (prefix, key) = name.split_once('.').filter(|(_, key)| !key.is_empty())?;
    match prefix {
        "attr" => Some(Subject::Attribute(key.to_owned())),
        "resource" => Some(Subject::Resource(key.to_owned())),
        "score" => Some(Subject::Score(Some(key.to_owned()))),
        _ => None,
    }
}

fn unknown(name: &str, at: usize) -> Problem {
    let names = || fields::FIELDS.iter().map(|field| field.name).collect::<Vec<_>>().join(", ");
    let hint = match fields::nearest(name) {
        Some(near) if fields::PREFIXES.contains(&near) => format!("write {near}.NAME:value"),
        Some(near) => format!("did you mean '{near}'?"),
        None => {
            format!(
                "there are {}, has, attr.KEY, resource.KEY and score.NAME; put a text with a colon in quotes",
                names()
            )
        }
    };
    Problem { position: at + 1, why: format!("unknown field '{name}': {hint}") }
}

/// What a value asks of a subject.
fn test(subject: &Subject, raw: &Raw, now: UnixNanos) -> Result<Test, String> {
    match subject {
        Subject::Field(field) => test_of_field(field, raw, now),
        Subject::Anything => Ok(text(raw)),
        Subject::Attribute(_) | Subject::Resource(_) => match compared(raw) {
            Some((compare, rest)) => number(compare, values::number(rest), rest, "a number"),
            None => Ok(text(raw)),
        },
        Subject::Score(_) => {
            let found = (!raw.is_quoted).then(|| values::compare(&raw.text));
            match found {
                Some((Some(compare), rest)) => number(compare, values::number(rest), rest, "a number"),
                Some((None, rest)) if values::number(rest).is_some() => {
                    number(Compare::Equal, values::number(rest), rest, "a number")
                }
                _ => Ok(text(raw)),
            }
        }
    }
}

fn test_of_field(field: &Field, raw: &Raw, now: UnixNanos) -> Result<Test, String> {
    let (compare, rest) = if raw.is_quoted { (None, raw.text.as_str()) } else { values::compare(&raw.text) };
    let equal = compare.unwrap_or(Compare::Equal);
    match field.kind {
        Kind::Text => match compare {
            None | Some(Compare::Equal) => Ok(text(&Raw { text: rest.to_owned(), ..*raw })),
            Some(_) => Err(format!("{} is a text, which < and > do not compare", field.name)),
        },
        Kind::Status => {
            let words = [
                ("ok", "success"),
                ("success", "success"),
                ("error", "error"),
                ("cancelled", "cancelled"),
                ("unknown", "unknown"),
            ];
            let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&raw.text));
            found
                .map(|(_, status)| Test::Is((*status).to_owned()))
                .ok_or_else(|| format!("'{}' is not a status: ok, error, cancelled", raw.text))
        }
        Kind::OfSpan => {
            let kinds = || KINDS.iter().map(|(kind, _)| *kind).chain([KIND_UNKNOWN]);
            let found = kinds().find(|kind| kind.eq_ignore_ascii_case(&raw.text));
            let listed = || kinds().collect::<Vec<_>>().join(", ");
            found
                .map(|kind| Test::Is(kind.to_owned()))
                .ok_or_else(|| format!("'{}' is not a kind: {}", raw.text, listed()))
        }
        Kind::Count => number(equal, values::count(rest), rest, "a number, such as 1000 or 10k"),
        Kind::Cost => number(equal, values::cost(rest), rest, "a number of US dollars, such as 0.05"),
        Kind::Duration => number(equal, values::duration(rest), rest, "a time with its unit, such as 500ms or 2s"),
        Kind::Time => {
            let compare = compare.filter(|compare| *compare != Compare::Equal);
            let compare = compare.ok_or_else(|| format!("compare {} with > or <", field.name))?;
            let at = values::time(rest, now);
            at.map(|at| Test::Time(compare, at))
                .ok_or_else(|| format!("'{rest}' is not a time, such as 2026-11-28, 2026-11-28T09:00:00Z or -1h"))
        }
    }
}

fn compared(raw: &Raw) -> Option<(Compare, &str)> {
    let (compare, rest) = values::compare(&raw.text);
    compare.filter(|_| !raw.is_quoted).map(|compare| (compare, rest))
}

fn number(compare: Compare, number: Option<f64>, text: &str, what: &str) -> Result<Test, String> {
    number.map(|number| Test::Number(compare, number)).ok_or_else(|| format!("'{text}' is not {what}"))
}

fn text(raw: &Raw) -> Test {
    let pattern = if raw.is_quoted { None } else { values::pattern(&raw.text) };
    pattern.map_or_else(|| Test::Is(raw.text.clone()), Test::Like)
}
