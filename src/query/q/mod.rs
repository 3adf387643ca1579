//! The parameter `q`: a search as people type it, for lists of spans, traces and sessions.
//!
//! ```text
//! model:gpt-5* -status:ok cost:>0.1 duration:>2s attr.http.route:"/x" ("free text" OR has:error) score.helpful:<0.5
//!
//! text --parse.rs--> Node: fields.rs says what each name is, values.rs what each value is --sql.rs--> condition with parameters
//!
//! any    all { OR all }
//! all    one { [AND] one }
//! one    ( - | NOT ) one | ( any ) | term
//! term   field : value | field : ( value { OR value } ) | has : field | text
//! value  [ > | >= | < | <= ] number with its unit | word, in which * is any text | "text"
//! ```
//!
//! A term about something that a trace or a session does not say itself holds if one of its spans has it.

mod fields;
mod parse;
mod sql;
mod values;

pub(super) use fields::{FIELDS, Field, Kind, find};
pub(super) use sql::{Level, Scope, column, push};

use super::answer::Refusal;
use super::parameters::Parameters;
use crate::time::UnixNanos;

/// The name of the parameter.
pub(super) const NAME: &str = "q";
/// Longest text.
const BYTES_MAX: usize = 4 << 10;
/// Deepest nesting.
const DEPTH_MAX: usize = 32;
/// Most terms.
const TERMS_MAX: usize = 64;

/// What is wrong with a search, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The character, counted from 1.
    pub position: usize,
    /// What is wrong, and what would be right.
    pub why: String,
}

/// A search.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    text: String,
    root: Node,
}

/// What must hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Term(Term),
}

/// What is asked about.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Subject {
    Field(&'static Field),
    /// An attribute of the span.
    Attribute(String),
    /// An attribute of its resource.
    Resource(String),
    /// A score, of this name if there is one.
    Score(Option<String>),
    /// Names and content.
    Anything,
}

/// What is asked of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    Is(String),
    /// A pattern of `LIKE`.
    Like(String),
    Number(Compare, f64),
    Time(Compare, UnixNanos),
    Present,
}

/// A subject and a test.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Term {
    pub(super) subject: Subject,
    pub(super) test: Test,
}

/// How numbers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
}

impl Search {
    /// Reads the parameter, if it is there and not empty.
    ///
    /// # Errors
    /// 400 that says what is wrong, and at which character.
    pub(super) fn of(parameters: &Parameters, now: UnixNanos) -> Result<Option<Self>, Refusal> {
        let Some(text) = parameters.get(NAME).filter(|text| !text.trim().is_empty()) else { return Ok(None) };
        let refusal = |problem: Problem| {
            Refusal::bad_request(&format!("q, at character {}: {}", problem.position, problem.why))
                .at_position(problem.position)
        };
        Self::parse(text, now).map(Some).map_err(refusal)
    }

    /// Reads a search. `now` is what times such as `-1h` are counted from.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str, now: UnixNanos) -> Result<Self, Problem> {
        Ok(Self { text: text.to_owned(), root: parse::parse(text, now)? })
    }

    /// As it was asked for.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// Whether it asks about this field.
    pub(super) fn mentions(&self, name: &str) -> bool {
        fn within(node: &Node, name: &str) -> bool {
            match node {
                Node::All(parts) | Node::Any(parts) => parts.iter().any(|part| within(part, name)),
                Node::Not(part) => within(part, name),
                Node::Term(term) => matches!(term.subject, Subject::Field(field) if field.name == name),
            }
        }
        within(&self.root, name)
    }

    /// What must hold of everything that it finds.
    fn needed(&self) -> &[Node] {
        match &self.root {
            Node::All(parts) => parts.as_slice(),
            other => std::slice::from_ref(other),
        }
    }

    /// The trace of everything that it finds, as the sender calls it, if it names one.
    pub(super) fn trace(&self) -> Option<&str> {
        self.needed().iter().find_map(|part| match part {
            Node::Term(Term { subject: Subject::Field(Field { name: "trace", .. }), test: Test::Is(id) }) => {
                Some(id.as_str())
            }
            _ => None,
        })
    }

    /// From when to when everything that it finds has begun, as far as it says so.
    pub(super) fn bounds(&self) -> (Option<UnixNanos>, Option<UnixNanos>) {
        let mut bounds = (None, None);
        for part in self.needed() {
            let Node::Term(Term { test: Test::Time(compare, at), .. }) = part else { continue };
            match compare {
                Compare::Greater | Compare::AtLeast => bounds.0 = bounds.0.max(Some(*at)),
                Compare::Less | Compare::AtMost => {
                    bounds.1 = Some(bounds.1.map_or(*at, |until: UnixNanos| until.min(*at)));
                }
                Compare::Equal => {}
            }
        }
        bounds
    }

    /// The condition on spans, as it is asked of ClickHouse: its text and how many parameters it has.
    #[must_use]
    pub fn condition_on_spans(&self) -> (String, usize) {
        let mut statement = crate::clickhouse::Statement::default();
        let workspace = crate::workspace::Workspace::default();
        let scope = Scope {
            level: Level::Span,
            workspace: &workspace,
            spans: "otel_traces".to_owned(),
            traces: "genai_traces".to_owned(),
            scores: "genai_scores".to_owned(),
            since: None,
            until: None,
            trace: None,
        };
        push(&mut statement, &self.root, &scope);
        (statement.sql().to_owned(), statement.parameters().len())
    }
}

#[cfg(test)]
mod tests;
