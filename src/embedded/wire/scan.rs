//! What the tokens of a statement say of it: where its clauses begin, and what its words promise.

use super::lexer::{Kind, Token, Tokens};
use super::statement::{Command, Effect, Refusal, Rows};

/// The engine's analysis does not call a statement that sets one of these a read.
/// Source: chdb-core `QueryClassifier.cpp`, `overridesSynchronousCompletion`.
const POLICY: &[&str] =
    &["async_insert", "wait_for_async_insert", "mutations_sync", "alter_sync", "lightweight_deletes_sync"];

/// What is known of a statement after some of its tokens; the tokens themselves are not kept.
#[derive(Default)]
pub(super) struct Scan<'a> {
    /// Where the last token ends.
    pub(super) end: usize,
    closed: bool,
    before: Option<Token<'a>>,
    /// The last two tokens outside brackets.
    outer: [Option<Token<'a>>; 2],
    /// It ends in a SELECT that is not in brackets.
    in_select: bool,
    /// FORMAT and its name, if nothing follows them.
    format_last: Option<(usize, Token<'a>)>,
    /// FORMAT and its name, at the end or followed by SETTINGS.
    format: Option<(usize, Token<'a>)>,
    /// SETTINGS and the name of one.
    settings_at: Option<usize>,
    sets_policy: bool,
    pub(super) calls_input: bool,
    /// It has an `INSERT ...` outside of brackets.
    pub(super) inserts: bool,
    /// How often it says `PARALLEL WITH`.
    pub(super) arms: u32,
}

impl<'a> Scan<'a> {
    pub(super) fn of(mut self, tokens: &mut Tokens<'a>) -> Result<Self, Refusal> {
        tokens.try_for_each(|token| self.take(token))?;
        self.format = self.format_last.take().or(self.format);
        self.note_settings(None);
        Ok(self)
    }

    pub(super) fn take(&mut self, token: Token<'a>) -> Result<(), Refusal> {
        if token.kind == Kind::Invalid {
            return Err(Refusal::Invalid(token.start));
        }
        if token.is(b";") {
            self.closed = true;
            return Ok(());
        }
        if self.closed {
            return Err(Refusal::Several);
        }
        self.end = token.end;
        self.take_pair(token)?;
        if token.depth == 0 {
            self.take_outer(token);
        }
        Ok(())
    }

    fn take_pair(&mut self, token: Token<'a>) -> Result<(), Refusal> {
        let is_word = |before: &Option<Token<'_>>, word: &str| before.is_some_and(|before| before.is_word(word));
        let before = &self.before;
        // a table of this name has to be quoted
        if is_word(before, "INTO") && token.is_word("OUTFILE") {
            return Err(Refusal::IntoOutfile);
        }
        if is_word(before, "PARALLEL") && token.is_word("WITH") {
            self.arms = self.arms.saturating_add(1);
        }
        let is_target = matches!(token.kind, Kind::Word | Kind::QuotedName)
            && !["SELECT", "AS"].iter().any(|word| token.is_word(word));
        self.inserts |= token.depth == 0 && is_word(before, "INSERT") && is_target;
        self.calls_input |= is_word(before, "INPUT") && token.is(b"(");
        self.sets_policy |= POLICY.iter().any(|name| token.names(name));
        self.before = Some(token);
        Ok(())
    }

    fn take_outer(&mut self, token: Token<'a>) {
        let [earlier, before] = self.outer;
        if let Some(format) = self.format_last.take().filter(|_closes| token.is_word("SETTINGS")) {
            self.format = Some(format);
        }
        // the first word of a statement is not its clause
        if let Some(keyword) = before.filter(|keyword| keyword.is_word("FORMAT") && earlier.is_some())
            && token.kind == Kind::Word
        {
            self.format_last = Some((keyword.start, token));
        }
        self.note_settings(Some(token));
        let joins = |before: Option<Token<'_>>| {
            before.is_some_and(|word| ["UNION", "EXCEPT", "INTERSECT"].iter().any(|join| word.is_word(join)))
        };
        let joined = joins(before)
            || joins(earlier) && before.is_some_and(|word| word.is_word("ALL") || word.is_word("DISTINCT"));
        if token.is_word("SELECT") {
            self.in_select = true;
        } else if joined {
            self.in_select = false;
        }
        self.outer = [before, Some(token)];
    }

    /// A setting without a value is one too: it is switched on.
    fn note_settings(&mut self, next: Option<Token<'a>>) {
        let [Some(clause), Some(name)] = self.outer else { return };
        let named = clause.is_word("SETTINGS") && matches!(name.kind, Kind::Word | Kind::QuotedName);
        let goes_on = |next: Token<'_>| ["=", "==", ",", "FORMAT", "INTO"].iter().any(|with| next.text_is(with));
        if named && next.is_none_or(goes_on) {
            self.settings_at = Some(clause.start);
        }
    }

    pub(super) fn command(self, effect: Effect) -> Command {
        Command { effect, end: self.end, arms: self.arms.saturating_add(1), sets_policy: self.sets_policy }
    }

    pub(super) fn rows(self, kills: bool) -> Rows {
        let format_at = self.format.map_or(self.end, |(format_at, _name)| format_at);
        // a SELECT's own settings come before the output clause, those of all other statements after it
        let output_at = self.settings_at.filter(|_at| !self.in_select).map_or(format_at, |at| at.min(format_at));
        let settings_at = self.settings_at.filter(|at| *at >= output_at);
        let settings_end = settings_at.map(|at| if at < format_at { format_at } else { self.end });
        let format = self.format.map(|(_at, name)| String::from_utf8_lossy(name.text).into_owned());
        Rows { output_at, end: self.end, format, kills, settings_end, sets_policy: self.sets_policy }
    }
}
