//! What kind of statement a text is, and where in it the output clause or the data begins.
//!
//! ```text
//! SELECT 1 /* x */ FORMAT JSON ;          rows:    [SELECT 1 /* x */] + our INTO OUTFILE + [FORMAT JSON]
//! INSERT INTO t (a) FORMAT CSV\n1\n2\n    insert:  [INSERT INTO t (a)], format CSV, data from "1\n"
//! CREATE TABLE ..., SET ..., INSERT .. SELECT       command: as it is
//! ```
//!
//! Only tokens are read, never grammar: the engine itself parses the statement and refuses what is wrong with it. What
//! was read here is held against the engine's own parse before the statement runs ([`Claim`]).

use super::lexer::{Kind, Token, Tokens};
use crate::embedded::engine::libchdb::{Analysis, QueryClass};

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
    output_at: usize,
    /// Where the text ends (before a trailing `;`).
    end: usize,
    /// The statement's own FORMAT.
    pub(crate) format: Option<String>,
    /// `KILL`: prints rows, but changes something.
    pub(crate) kills: bool,
    /// Where the list of its SETTINGS ends, if it has one that is not only a subquery's.
    settings_end: Option<usize>,
    sets_policy: bool,
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
    arms: u32,
    sets_policy: bool,
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

/// What statements that print rows begin with.
const PRINTS: &[&str] =
    &["SELECT", "WITH", "FROM", "SHOW", "DESC", "DESCRIBE", "EXISTS", "EXPLAIN", "CHECK", "KILL", "VALUES"];
/// Words that may stand between EXPLAIN and what it explains.
const EXPLAINS: &[&str] = &["EXPLAIN", "AST", "SYNTAX", "QUERY", "TREE", "PLAN", "PIPELINE", "ESTIMATE", "ANALYZE"];
/// The engine's analysis does not call a statement that sets one of these a read.
/// Source: chdb-core `QueryClassifier.cpp`, `overridesSynchronousCompletion`.
const POLICY: &[&str] =
    &["async_insert", "wait_for_async_insert", "mutations_sync", "alter_sync", "lightweight_deletes_sync"];

/// Looks at one statement. `text` may end in the middle of the data of an INSERT, but not earlier.
pub(crate) fn inspect(text: &[u8]) -> Result<Statement, Refusal> {
    let mut tokens = Tokens::new(text);
    let Some(first) = tokens.clone().find(|token| !token.is(b"(")) else { return Err(Refusal::Empty) };
    if first.is_word("INSERT") {
        return inspect_insert(text, tokens);
    }
    let begins = |words: &[&str]| words.iter().any(|word| first.is_word(word));
    let explained = explained(tokens.clone()).filter(|_statement| first.is_word("EXPLAIN"));
    let selects = |token: Token<'_>| ["SELECT", "WITH", "FROM", "("].iter().any(|begin| token.text_is(begin));
    if explained.is_some_and(|statement| statement.is_word("INSERT")) {
        // all that follows may be its rows: an output clause too
        return Ok(Statement::Command(Command { end: text.len(), ..Scan::default().command(Effect::Nothing) }));
    }
    let scan = Scan::default().of(&mut tokens)?;
    if scan.end == 0 {
        return Err(Refusal::Empty);
    }
    let effect = match () {
        () if scan.arms > 0 => Effect::Lasting,
        () if first.is_word("SET") => Effect::Settings,
        () if first.is_word("USE") => Effect::Database,
        // an output clause would be the other statement's
        () if explained.is_some_and(|statement| !selects(statement)) => Effect::Nothing,
        () if first.is_word("WITH") && scan.inserts => Effect::Lasting,
        () if begins(PRINTS) => return Ok(Statement::Rows(scan.rows(first.is_word("KILL")))),
        () => Effect::Lasting,
    };
    Ok(Statement::Command(scan.command(effect)))
}

/// Where the statement begins that `EXPLAIN [kind] [setting = value, ...]` explains.
fn explained<'a>(mut tokens: Tokens<'a>) -> Option<Token<'a>> {
    loop {
        let token = tokens.next()?;
        let sets = tokens.clone().next().is_some_and(|next| next.is(b"="));
        if sets {
            let _value = tokens.nth(1);
        } else if !token.is(b",") && !EXPLAINS.iter().any(|word| token.is_word(word)) {
            return Some(token);
        }
    }
}

fn inspect_insert<'a>(text: &'a [u8], mut tokens: Tokens<'a>) -> Result<Statement, Refusal> {
    let mut keywords = ["INSERT", "INTO", "TABLE", "FUNCTION"].iter();
    let mut named = false;
    let mut before: Option<Token<'a>> = None;
    let mut scan = Scan::default();
    while let Some(token) = tokens.next() {
        let bare = token.depth == 0 && token.kind == Kind::Word && named && !before.is_some_and(|token| token.is(b"."));
        if bare && token.is_word("VALUES") {
            return Ok(insert(&token, "Values".to_owned(), token.end));
        }
        if bare && token.is_word("INFILE") && before.is_some_and(|before| before.is_word("FROM")) {
            return Err(Refusal::FromInfile);
        }
        if bare && token.is_word("FORMAT") {
            let Some(name) = tokens.next().filter(|name| name.kind != Kind::Invalid) else {
                return Err(Refusal::Invalid(token.end));
            };
            let format = String::from_utf8_lossy(name.text).into_owned();
            let in_values = format.eq_ignore_ascii_case("Values");
            let data_at = if in_values { name.end } else { after_line(text, name.end) };
            return Ok(insert(&token, format, data_at));
        }
        let selects = bare && (token.is_word("SELECT") || token.is_word("WITH"));
        let opened = before.is_some_and(|before| before.is(b"("));
        let selects = selects || named && token.is_word("SELECT") && token.depth == 1 && opened;
        if selects || token.is(b";") {
            scan.take(token)?;
            break;
        }
        // INSERT [INTO] [TABLE] [FUNCTION] name
        named = named || !token.is(b"(") && !keywords.any(|keyword| token.is_word(keyword));
        if token.kind == Kind::Invalid {
            return Err(Refusal::Invalid(token.start));
        }
        scan.end = token.end;
        before = Some(token);
    }
    let scan = scan.of(&mut tokens)?;
    if scan.calls_input {
        return Err(Refusal::InsertFromInput);
    }
    Ok(Statement::Command(scan.command(Effect::Lasting)))
}

fn insert(keyword: &Token<'_>, format: String, data_at: usize) -> Statement {
    Statement::Insert(Insert { head_end: keyword.start, format, data_at })
}

/// The data begins after the blanks and the one line end that follow the format's name.
/// Source: ClickHouse ParserInsertQuery.cpp.
fn after_line(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\x0c')).count();
    let line_end = match rest.get(blanks..) {
        Some([b'\r', b'\n', ..]) => 2,
        Some([b'\n' | b'\r', ..]) => 1,
        _ => 0,
    };
    from + blanks + line_end
}

/// What is known of a statement after some of its tokens; the tokens themselves are not kept.
#[derive(Default)]
struct Scan<'a> {
    /// Where the last token ends.
    end: usize,
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
    calls_input: bool,
    /// It has an `INSERT ...` outside of brackets.
    inserts: bool,
    /// How often it says `PARALLEL WITH`.
    arms: u32,
}

impl<'a> Scan<'a> {
    fn of(mut self, tokens: &mut Tokens<'a>) -> Result<Self, Refusal> {
        tokens.try_for_each(|token| self.take(token))?;
        self.format = self.format_last.take().or(self.format);
        self.note_settings(None);
        Ok(self)
    }

    fn take(&mut self, token: Token<'a>) -> Result<(), Refusal> {
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

    fn command(self, effect: Effect) -> Command {
        Command { effect, end: self.end, arms: self.arms.saturating_add(1), sets_policy: self.sets_policy }
    }

    fn rows(self, kills: bool) -> Rows {
        let format_at = self.format.map_or(self.end, |(format_at, _name)| format_at);
        // a SELECT's own settings come before the output clause, those of all other statements after it
        let output_at = self.settings_at.filter(|_at| !self.in_select).map_or(format_at, |at| at.min(format_at));
        let settings_at = self.settings_at.filter(|at| *at >= output_at);
        let settings_end = settings_at.map(|at| if at < format_at { format_at } else { self.end });
        let format = self.format.map(|(_at, name)| String::from_utf8_lossy(name.text).into_owned());
        Rows { output_at, end: self.end, format, kills, settings_end, sets_policy: self.sets_policy }
    }
}

impl Rows {
    /// The statement with an output clause, and with this `readonly` for itself alone.
    pub(crate) fn with_output(&self, text: &str, clause: &str, readonly: Option<u8>) -> String {
        let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
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

/// What was read of a statement, for the engine to say the same: two readers that differ are how a guard is passed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// What the engine is to look at.
    pub(crate) text: Vec<u8>,
    only_reads: bool,
    sets_policy: bool,
    statements: u32,
}

impl Claim {
    /// Of `text`, which `statement` was read from.
    pub(crate) fn new(text: &[u8], statement: &Statement) -> Self {
        let until = |end: usize| text.get(..end).unwrap_or_default().to_vec();
        match statement {
            Statement::Rows(rows) => {
                let (only_reads, sets_policy) = (!rows.kills, rows.sets_policy);
                Self { text: until(rows.end), only_reads, sets_policy, statements: 1 }
            }
            Statement::Command(command) => {
                let only_reads = command.effect == Effect::Nothing;
                let sets_policy = command.sets_policy;
                Self { text: until(command.end), only_reads, sets_policy, statements: command.arms }
            }
            Statement::Insert(insert) => {
                let mut text = until(insert.head_end);
                text.extend_from_slice(format!("\nFORMAT {}", insert.format).as_bytes());
                Self { text, only_reads: false, sets_policy: false, statements: 1 }
            }
        }
    }

    /// Refuses a statement that the engine reads otherwise. One that it cannot parse passes: it will say why.
    pub(crate) fn check(&self, analysis: &Analysis) -> Result<(), Refusal> {
        let class = analysis.class();
        let reads = class == QueryClass::ReadOnly || self.sets_policy && class == QueryClass::Control;
        match analysis.statements() {
            0 => Ok(()),
            statements if statements != self.statements => Err(Refusal::Several),
            _ if self.only_reads && !reads => Err(Refusal::NotOnlyReading),
            _ => Ok(()),
        }
    }
}

/// Replaces string literals for which `by` has something; the rest stays byte for byte.
pub(crate) fn replace_strings(text: &str, by: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for token in Tokens::new(text.as_bytes()) {
        let quoted = token.quoted().and_then(|inner| str::from_utf8(inner).ok());
        if let Some(new) = quoted.and_then(&by) {
            out.push_str(text.get(copied..token.start).unwrap_or_default());
            out.push_str(&quote(&new));
            copied = token.end;
        }
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    out
}

/// A string literal.
pub(crate) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A quoted identifier.
pub(crate) fn quote_name(text: &str) -> String {
    format!("`{}`", text.replace('\\', "\\\\").replace('`', "\\`"))
}

/// Whether this may stand in a statement unquoted: a setting's, a parameter's, a format's name.
pub(crate) fn is_plain_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> (String, Option<String>) {
        match inspect(text.as_bytes()) {
            Ok(Statement::Rows(rows)) => {
                let (before, after) = text.get(..rows.end).unwrap().split_at(rows.output_at);
                (format!("{before}|{after}"), rows.format)
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    fn insert(text: &str) -> (String, String, String) {
        match inspect(text.as_bytes()) {
            Ok(Statement::Insert(insert)) => {
                let part = |range: std::ops::Range<usize>| text.get(range).unwrap().to_owned();
                (part(0..insert.head_end), insert.format, part(insert.data_at..text.len()))
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    fn effect(text: &str) -> Effect {
        match inspect(text.as_bytes()) {
            Ok(Statement::Command(command)) => command.effect,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn the_output_clause_goes_before_format_and_after_everything_else() {
        let cases = [
            ("SELECT 1", "SELECT 1|", None),
            ("SELECT 1;", "SELECT 1|", None),
            ("select 1 ; -- done\n;", "select 1|", None),
            ("SELECT 1 FORMAT JSON", "SELECT 1 |FORMAT JSON", Some("JSON")),
            ("SELECT 1 format JSON settings a=1", "SELECT 1 |format JSON settings a=1", Some("JSON")),
            ("SELECT 1 SETTINGS a=1 FORMAT CSV;", "SELECT 1 SETTINGS a=1 |FORMAT CSV", Some("CSV")),
            ("SELECT 1 SETTINGS a=1", "SELECT 1 SETTINGS a=1|", None),
            ("SHOW TABLES SETTINGS a=1", "SHOW TABLES |SETTINGS a=1", None),
            ("SELECT ' FORMAT JSON'", "SELECT ' FORMAT JSON'|", None),
            ("SELECT 'it\\'s; FORMAT x'", "SELECT 'it\\'s; FORMAT x'|", None),
            ("SELECT 1 -- FORMAT JSON", "SELECT 1|", None),
            ("SELECT 1 /* a /* b */ FORMAT TSV */", "SELECT 1|", None),
            ("SELECT format FROM t", "SELECT format FROM t|", None),
            ("SELECT format('{}', 1) AS format", "SELECT format('{}', 1) AS format|", None),
            ("(SELECT 1) UNION ALL (SELECT 2)", "(SELECT 1) UNION ALL (SELECT 2)|", None),
            ("WITH 1 AS x SELECT x", "WITH 1 AS x SELECT x|", None),
            ("-- hello\nSELECT $t$;'$t$", "-- hello\nSELECT $t$;'$t$|", None),
            ("EXPLAIN SELECT 1 FORMAT TSVRaw", "EXPLAIN SELECT 1 |FORMAT TSVRaw", Some("TSVRaw")),
            ("SELECT `a;b`, \"c FORMAT d\" FROM t", "SELECT `a;b`, \"c FORMAT d\" FROM t|", None),
        ];
        for (text, expected, format) in cases {
            assert_eq!(rows(text), (expected.to_owned(), format.map(str::to_owned)));
        }
    }

    #[test]
    fn an_insert_is_cut_where_its_data_begins() {
        let cases = [
            ("INSERT INTO t FORMAT CSV\n1,2\n", ("INSERT INTO t ", "CSV", "1,2\n")),
            ("INSERT INTO t FORMAT JSONEachRow {\"a\":1}", ("INSERT INTO t ", "JSONEachRow", "{\"a\":1}")),
            (
                "insert into d.t (a, `format`) format Native\r\n\n\nx",
                ("insert into d.t (a, `format`) ", "Native", "\n\nx"),
            ),
            ("INSERT INTO t VALUES (1, 'a;b')", ("INSERT INTO t ", "Values", " (1, 'a;b')")),
            (
                "INSERT INTO t(a) SETTINGS async_insert=0 VALUES\n(1)",
                ("INSERT INTO t(a) SETTINGS async_insert=0 ", "Values", "\n(1)"),
            ),
            ("INSERT INTO t FORMAT Values (1)", ("INSERT INTO t ", "Values", " (1)")),
            ("INSERT INTO d.values VALUES (1)", ("INSERT INTO d.values ", "Values", " (1)")),
            (
                "INSERT INTO FUNCTION null('a Int8') FORMAT TSV\n1\n",
                ("INSERT INTO FUNCTION null('a Int8') ", "TSV", "1\n"),
            ),
            (
                "INSERT INTO t /* FORMAT x */ (* EXCEPT(b)) FORMAT RowBinary\n\0;",
                ("INSERT INTO t /* FORMAT x */ (* EXCEPT(b)) ", "RowBinary", "\0;"),
            ),
        ];
        for (text, (head, format, data)) in cases {
            assert_eq!(insert(text), (head.to_owned(), format.to_owned(), data.to_owned()));
        }
    }

    #[test]
    fn commands_are_told_from_rows() {
        for text in [
            "CREATE TABLE t (a Int8) ENGINE = Null",
            "INSERT INTO t SELECT 1",
            "INSERT INTO t (a) (SELECT 1);",
            "WITH 1 AS x INSERT INTO t SELECT x",
            "OPTIMIZE TABLE t FINAL",
            "INSERT INTO t WITH 1 AS x SELECT x",
        ] {
            assert_eq!(effect(text), Effect::Lasting, "{text}");
        }
        assert_eq!(effect("SET a = 1"), Effect::Settings);
        assert_eq!(effect("USE a"), Effect::Database);
        assert_eq!(effect("EXPLAIN AST INSERT INTO t VALUES (1)"), Effect::Nothing);
    }

    #[test]
    fn what_is_not_run_is_named() {
        let cases = [
            ("", Refusal::Empty),
            (" -- nothing\n ;", Refusal::Empty),
            ("SELECT 1; SELECT 2", Refusal::Several),
            ("INSERT INTO t SELECT 1; DROP TABLE t", Refusal::Several),
            ("SELECT 1 INTO OUTFILE '/tmp/x'", Refusal::IntoOutfile),
            ("INSERT INTO t FROM INFILE '/etc/passwd' FORMAT CSV", Refusal::FromInfile),
            ("INSERT INTO t SELECT a FROM input('a Int8') FORMAT CSV\n1", Refusal::InsertFromInput),
        ];
        for (text, refusal) in cases {
            assert_eq!(inspect(text.as_bytes()), Err(refusal), "{text}");
        }
    }

    #[test]
    fn strings_are_replaced_and_nothing_else() {
        let text = "KILL QUERY WHERE query_id = 'mine' -- 'mine'";
        let new = replace_strings(text, |inner| (inner == "mine").then(|| "th'eirs".to_owned()));
        assert_eq!(new, "KILL QUERY WHERE query_id = 'th\\'eirs' -- 'mine'");
    }
}
