//! What kind of statement a text is, and where in it the output clause or the data begins.
//!
//! ```text
//! SELECT 1 /* x */ FORMAT JSON ;          rows:    [SELECT 1 /* x */] + our INTO OUTFILE + [FORMAT JSON]
//! INSERT INTO t (a) FORMAT CSV\n1\n2\n    insert:  [INSERT INTO t (a)], format CSV, data from "1\n"
//! CREATE TABLE ..., SET ..., INSERT .. SELECT       command: as it is
//! ```
//!
//! Only tokens are read, never grammar: the engine itself parses the statement and refuses what is wrong with it. What
//! was read here is held against the engine's own parse before the statement runs ([`Claim`](super::claim::Claim)).

use super::lexer::{Kind, Token, Tokens};
use super::scan::Scan;
use super::statement::{Command, Effect, Insert, Refusal, Statement};

/// What statements that print rows begin with.
const PRINTS: &[&str] =
    &["SELECT", "WITH", "FROM", "SHOW", "DESC", "DESCRIBE", "EXISTS", "EXPLAIN", "CHECK", "KILL", "VALUES"];
/// Words that may stand between EXPLAIN and what it explains.
const EXPLAINS: &[&str] = &["EXPLAIN", "AST", "SYNTAX", "QUERY", "TREE", "PLAN", "PIPELINE", "ESTIMATE", "ANALYZE"];
/// Looks at one statement. `text` may end in the middle of the data of an INSERT, but not earlier.
pub(crate) fn inspect(text: &[u8]) -> Result<Statement, Refusal> {
    let mut tokens = Tokens::new(text);
    let Some(first) = tokens.clone().find(|token| !token.is(b"(")) else { return Err(Refusal::Empty) };
    if first.is_word("INSERT") {
        return inspect_insert(text, tokens);
    }
    let begins = |words: &[&str]| words.iter().any(|word| first.is_word(word));
    let explained = explained(tokens.clone()).filter(|_statement| first.is_word("EXPLAIN"));
    let explains_tree = Tokens::new(text).nth(1).is_some_and(|token| token.is_word("AST"));
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
        // an output clause would be the other statement's; of a tree it would be a part
        () if explained.is_some_and(|statement| explains_tree || !selects(statement)) => Effect::Nothing,
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
    let rest = text.get(from..).expect("a token ends within its text");
    let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\x0c')).count();
    let line_end = match rest.get(blanks..) {
        Some([b'\r', b'\n', ..]) => 2,
        Some([b'\n' | b'\r', ..]) => 1,
        _ => 0,
    };
    from + blanks + line_end
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
}
