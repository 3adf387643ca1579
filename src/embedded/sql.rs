//! What kind of statement a text is, and where in it the output clause or the data begins.
//!
//! ```text
//! SELECT 1 /* x */ FORMAT JSON ;          rows:    [SELECT 1 /* x */] + our INTO OUTFILE + [FORMAT JSON]
//! INSERT INTO t (a) FORMAT CSV\n1\n2\n    insert:  [INSERT INTO t (a)], format CSV, data from "1\n"
//! CREATE TABLE ..., SET ..., INSERT .. SELECT       command: as it is
//! ```
//!
//! Only tokens are read, never grammar: the engine itself parses the statement and refuses what is wrong with it.

/// What is to be done with a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Statement {
    /// Prints rows: goes through a pipe.
    Rows(Rows),
    /// INSERT whose rows come after the text: goes through an insert stream.
    Insert(Insert),
    /// Anything else. Prints nothing, or next to nothing.
    Command {
        /// It changes nothing that outlives the session, so GET may run it.
        read_only: bool,
        /// It is `SET` or `USE`, whose effect on a session must stay.
        changes_session: bool,
        /// Where its text ends (before a trailing `;`).
        end: usize,
    },
}

/// A statement that prints rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    /// Where the output clause belongs.
    pub(crate) output_at: usize,
    /// Where the text ends (before a trailing `;`).
    pub(crate) end: usize,
    /// The statement's own FORMAT.
    pub(crate) format: Option<String>,
    /// `KILL`: prints rows, but changes something.
    pub(crate) kills: bool,
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

/// A statement this server does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Empty,
    Several,
    IntoOutfile,
    FromInfile,
    InsertFromInput,
}

/// Looks at one statement. `text` may end in the middle of the data of an INSERT, but not earlier.
pub(crate) fn inspect(text: &[u8]) -> Result<Statement, Refusal> {
    let mut tokens = Tokens::new(text);
    let Some(first) = tokens.clone().find(|token| !token.is(b"(")) else { return Err(Refusal::Empty) };
    if first.is_word("INSERT") {
        return inspect_insert(text, &mut tokens);
    }
    let tokens: Vec<Token<'_>> = tokens.collect();
    let tokens = one_statement(&tokens)?;
    let Some(last) = tokens.last() else { return Err(Refusal::Empty) };
    let outer: Vec<&Token<'_>> = tokens.iter().filter(|token| token.depth == 0).collect();
    let inserts = outer.windows(2).any(|pair| matches!(pair, [a, b] if a.is_word("INSERT") && b.is_word("INTO")));
    let prints = ["SELECT", "WITH", "FROM", "SHOW", "DESC", "DESCRIBE", "EXISTS", "EXPLAIN", "CHECK", "KILL", "VALUES"];
    if !prints.iter().any(|word| first.is_word(word)) || (first.is_word("WITH") && inserts) {
        let session = first.is_word("SET") || first.is_word("USE");
        return Ok(Statement::Command { read_only: session, changes_session: session, end: last.end });
    }
    if outer.windows(2).any(|pair| matches!(pair, [a, b] if a.is_word("INTO") && b.is_word("OUTFILE"))) {
        return Err(Refusal::IntoOutfile);
    }
    Ok(Statement::Rows(inspect_rows(&outer, &first, last.end)))
}

fn inspect_rows(outer: &[&Token<'_>], first: &Token<'_>, end: usize) -> Rows {
    let kills = first.is_word("KILL");
    // FORMAT name, at the end or followed by SETTINGS
    let format = outer.windows(2).enumerate().rev().find_map(|(at, pair)| {
        let [keyword, name] = pair else { return None };
        let after = outer.get(at + 2);
        let closes = after.is_none_or(|token| token.is_word("SETTINGS"));
        (at > 0 && closes && keyword.is_word("FORMAT") && name.kind == Kind::Word).then_some((keyword.start, *name))
    });
    if let Some((start, name)) = format {
        let format = Some(String::from_utf8_lossy(name.text).into_owned());
        return Rows { output_at: start, end, format, kills };
    }
    // a SELECT takes its SETTINGS before the output clause, the others after it
    let takes_settings = ["SELECT", "WITH", "FROM", "EXPLAIN"].iter().any(|word| first.is_word(word));
    let settings = outer.iter().rev().find(|token| token.is_word("SETTINGS"));
    let output_at = settings.filter(|_| !takes_settings).map_or(end, |token| token.start);
    Rows { output_at, end, format: None, kills }
}

fn inspect_insert<'a>(text: &'a [u8], tokens: &mut Tokens<'a>) -> Result<Statement, Refusal> {
    let mut outer: Vec<Token<'a>> = Vec::new();
    // INSERT [INTO] [TABLE | FUNCTION] name
    let mut named = false;
    while let Some(token) = tokens.next() {
        let bare = token.depth == 0 && token.kind == Kind::Word;
        if !named {
            named = !["INSERT", "INTO", "TABLE", "FUNCTION"].iter().any(|word| token.is_word(word));
            outer.push(token);
            continue;
        }
        let qualified = outer.last().is_some_and(|before| before.is(b"."));
        if bare && !qualified {
            if token.is_word("VALUES") {
                return Ok(insert(&token, "Values".to_owned(), token.end));
            }
            if token.is_word("INFILE") && outer.last().is_some_and(|before| before.is_word("FROM")) {
                return Err(Refusal::FromInfile);
            }
            if token.is_word("FORMAT") {
                let Some(name) = tokens.next() else { break };
                let format = String::from_utf8_lossy(name.text).into_owned();
                let in_values = format.eq_ignore_ascii_case("Values");
                let data_at = if in_values { name.end } else { after_line(text, name.end) };
                return Ok(insert(&token, format, data_at));
            }
        }
        let selects = bare && (token.is_word("SELECT") || token.is_word("WITH"));
        let parenthesised = token.is_word("SELECT") && token.depth == 1 && outer.last().is_some_and(|t| t.is(b"("));
        if selects || parenthesised {
            return inspect_insert_select(token, tokens);
        }
        if token.is(b";") {
            break;
        }
        outer.push(token);
    }
    let end = outer.last().map_or(text.len(), |token| token.end);
    Ok(Statement::Command { read_only: false, changes_session: false, end })
}

fn inspect_insert_select<'a>(first: Token<'a>, tokens: &mut Tokens<'a>) -> Result<Statement, Refusal> {
    let rest: Vec<Token<'a>> = std::iter::once(first).chain(tokens).collect();
    let rest = one_statement(&rest)?;
    if rest.windows(2).any(|pair| matches!(pair, [a, b] if a.is_word("INPUT") && b.is(b"("))) {
        return Err(Refusal::InsertFromInput);
    }
    let end = rest.last().map_or(0, |token| token.end);
    Ok(Statement::Command { read_only: false, changes_session: false, end })
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

/// The tokens before the trailing `;`, if nothing follows it.
fn one_statement<'t, 'a>(tokens: &'t [Token<'a>]) -> Result<&'t [Token<'a>], Refusal> {
    let Some(at) = tokens.iter().position(|token| token.is(b";")) else { return Ok(tokens) };
    let (statement, rest) = tokens.split_at(at);
    if rest.iter().all(|token| token.is(b";")) { Ok(statement) } else { Err(Refusal::Several) }
}

/// Replaces string literals for which `by` has something; the rest stays byte for byte.
pub(crate) fn replace_strings(text: &str, by: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for token in Tokens::new(text.as_bytes()).filter(|token| token.kind == Kind::String) {
        let inner = text.get(token.start + 1..token.end.saturating_sub(1)).unwrap_or_default();
        if let Some(new) = by(inner) {
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    String,
    QuotedName,
    Other,
}

#[derive(Debug, Clone, Copy)]
struct Token<'a> {
    kind: Kind,
    text: &'a [u8],
    start: usize,
    end: usize,
    /// How many brackets are open around it.
    depth: usize,
}

impl Token<'_> {
    fn is(&self, text: &[u8]) -> bool {
        self.kind == Kind::Other && self.text == text
    }

    fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word.as_bytes())
    }
}

/// Words, literals and signs; blanks and comments are skipped. Never fails: an unclosed literal runs to the end.
#[derive(Debug, Clone)]
struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            let rest = self.rest();
            let skip = match rest {
                [byte, ..] if byte.is_ascii_whitespace() || *byte == 0x0b => 1,
                [b'-', b'-', ..] | [b'#', b' ' | b'!', ..] => {
                    memchr::memchr(b'\n', rest).map_or(rest.len(), |line_end| line_end + 1)
                }
                [b'/', b'*', ..] => comment_length(rest),
                _ => return,
            };
            self.at += skip;
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks_and_comments();
        let rest = self.rest();
        let first = *rest.first()?;
        let (kind, length) = match first {
            b'\'' => (Kind::String, quoted_length(rest)),
            b'`' | b'"' => (Kind::QuotedName, quoted_length(rest)),
            b'$' => match heredoc_length(rest) {
                Some(length) => (Kind::String, length),
                None => (Kind::Word, word_length(rest)),
            },
            _ if is_word_byte(first) => (Kind::Word, word_length(rest)),
            _ => (Kind::Other, 1),
        };
        let text = rest.get(..length).unwrap_or(rest);
        if kind == Kind::Other && matches!(first, b')' | b']' | b'}') {
            self.depth = self.depth.saturating_sub(1);
        }
        let token = Token { kind, text, start: self.at, end: self.at + text.len(), depth: self.depth };
        if kind == Kind::Other && matches!(first, b'(' | b'[' | b'{') {
            self.depth += 1;
        }
        self.at = token.end;
        Some(token)
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

fn word_length(text: &[u8]) -> usize {
    text.iter().take_while(|byte| is_word_byte(**byte)).count().max(1)
}

/// Up to the closing quote; a backslash escapes the next byte. A doubled quote reads as two literals, which is the
/// same to us.
fn quoted_length(text: &[u8]) -> usize {
    let quote = text.first().copied().unwrap_or_default();
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            byte if *byte == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Comments nest.
fn comment_length(text: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(pair) = text.get(at..at + 2) {
        match pair {
            b"/*" => depth += 1,
            b"*/" => depth = depth.saturating_sub(1),
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// `$tag$ ... $tag$`
fn heredoc_length(text: &[u8]) -> Option<usize> {
    let tag_end = 1 + memchr::memchr(b'$', text.get(1..)?)?;
    let tag = text.get(..=tag_end)?;
    if !tag.iter().all(|byte| is_word_byte(*byte)) {
        return None;
    }
    let body = text.get(tag.len()..)?;
    let close = memchr::memmem::find(body, tag)?;
    Some(tag.len() + close + tag.len())
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

    #[test]
    fn the_output_clause_goes_before_format_and_behind_everything_else() {
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
            assert!(matches!(inspect(text.as_bytes()), Ok(Statement::Command { read_only: false, .. })), "{text}");
        }
        assert!(matches!(inspect(b"SET a = 1"), Ok(Statement::Command { changes_session: true, .. })));
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
