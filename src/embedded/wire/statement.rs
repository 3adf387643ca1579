//! A statement as it was read: what is to be done with it, and where in its text the output clause or the data begins.

use super::lexer::Tokens;
use crate::sql::quoted;

/// Why a text can be cut at its tokens.
const TOKEN_ENDS: &str = "tokens begin and end between characters, in order";

/// What is to be done with a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    /// Prints rows: goes through a pipe.
    Rows(Rows),
    /// INSERT whose rows come after the text: goes through an insert stream.
    Insert(Insert),
    /// Anything else. Prints nothing, or next to nothing.
    Command(Command),
}

/// A statement that prints rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Where the output clause belongs.
    pub(super) output_at: usize,
    /// Where the text ends (before a trailing `;`).
    pub(super) end: usize,
    /// The statement's own FORMAT.
    pub(crate) format: Option<String>,
    /// `KILL`: prints rows, but changes something.
    pub(crate) kills: bool,
    /// Where the list of its SETTINGS ends, if it has one that is not only a subquery's.
    pub(super) settings_end: Option<usize>,
    pub(super) sets_policy: bool,
}

/// An INSERT followed by its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Insert {
    /// Where the statement without its FORMAT (or VALUES) ends.
    pub(crate) head_end: usize,
    pub(crate) format: String,
    /// Where the rows begin.
    pub(crate) data_at: usize,
}

/// A statement that prints no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) effect: Effect,
    /// Where its text ends (before a trailing `;`).
    pub(crate) end: usize,
    /// Statements side by side: one more than it has `PARALLEL WITH`.
    pub(super) arms: u32,
    pub(super) sets_policy: bool,
}

/// What a command changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    /// Settings of its session: `SET`.
    Settings,
    /// The database of its session: `USE`.
    Database,
    /// What outlives the session.
    Lasting,
}

/// A statement this server does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Empty,
    Several,
    IntoOutfile,
    FromInfile,
    InsertFromInput,
    /// The engine has no such token, or this one has no end; where it begins.
    Invalid(usize),
    /// It begins as a statement that reads, but the engine takes it for one that does more.
    NotOnlyReading,
}

impl Rows {
    /// Where its text ends.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// The statement with an output clause, and with this `readonly` for itself alone.
    pub(crate) fn with_output(&self, text: &str, clause: &str, readonly: Option<u8>) -> String {
        debug_assert!(self.output_at <= self.end && self.end <= text.len(), "{self:?}");
        let part = |range: std::ops::Range<usize>| text.get(range).expect(TOKEN_ENDS);
        let before = part(0..self.output_at);
        // the line ends are the ends of comments too
        match (readonly, self.settings_end) {
            (None, _) => format!("{before}\n{clause} {}", part(self.output_at..self.end)),
            (Some(level), None) => {
                format!("{before}\n{clause} {} SETTINGS readonly = {level}", part(self.output_at..self.end))
            }
            // after the others, so that it holds
            (Some(level), Some(at)) => {
                let (settings, rest) = (part(self.output_at..at), part(at..self.end));
                format!("{before}\n{clause} {settings}\n, readonly = {level} {rest}")
            }
        }
    }
}

/// Replaces string literals for which `by` has something; the rest stays byte for byte.
pub(crate) fn replace_strings(text: &str, by: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for token in Tokens::new(text.as_bytes()) {
        let inner = token.quoted().and_then(|inner| str::from_utf8(inner).ok());
        if let Some(new) = inner.and_then(&by) {
            out.push_str(text.get(copied..token.start).expect(TOKEN_ENDS));
            out.push_str(&quoted(&new));
            copied = token.end;
        }
    }
    out.push_str(text.get(copied..).expect(TOKEN_ENDS));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_replaced_and_nothing_else() {
        let text = "KILL QUERY WHERE query_id = 'mine' -- 'mine'";
        let new = replace_strings(text, |inner| (inner == "mine").then(|| "th'eirs".to_owned()));
        assert_eq!(new, "KILL QUERY WHERE query_id = 'th\\'eirs' -- 'mine'");
    }
}
