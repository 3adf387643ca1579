//! The reader of statements against the engine's own parser, over statements made of odd tokens.
//!
//! Whatever the engine parses must be read here as the engine reads it: one statement or several, reading or writing,
//! to a file or not, and with the output clause where the engine takes one. What the engine does not parse may be read
//! in any way: it is refused when it runs. What is refused here though the engine would take it is an error only where
//! names are quoted that are keywords too.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::{Path, PathBuf};

use crate::embedded::engine::libchdb::{Connection, Library};
use crate::embedded::wire::claim::{Claim, QueryClass};
use crate::embedded::wire::inspect::inspect;
use crate::embedded::wire::statement::{Effect, Refusal, Rows, Statement};

const STATEMENTS: usize = if cfg!(feature = "torture") { 400_000 } else { 4_000 };

/// A generator whose run can be had again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }

    fn chance(&mut self, of: usize) -> bool {
        self.roll(of) == 0
    }
}

const BLANKS: &[&str] = &[
    "\t",
    "\n",
    "\r\n",
    "\u{b}",
    "\u{c}",
    "\u{85}",
    "\u{a0}",
    "\u{180e}",
    "\u{2003}",
    "\u{200b}",
    "\u{200d}",
    "\u{2028}",
    "\u{202f}",
    "\u{205f}",
    "\u{2060}",
    "\u{3000}",
    "\u{feff}",
    "/**/",
    "/* ; */",
    "/* /* ; */ ' */",
    "/*/ \u{2018}*/",
    "-- ;'\n",
    "--\n",
    "// ; /*\n",
    "# ;`\n",
    "#! INTO OUTFILE\n",
    "\u{a0}\u{a0}",
];
const STRINGS: &[&str] = &[
    "'a'",
    "'a;b'",
    "'it\\'s;'",
    "'a'';b'",
    "'\\\\'",
    "''",
    "'\u{2018}'",
    "\u{2018}a;b\u{2019}",
    "\u{2018}it's \\\u{2019}",
    "\u{2018}\u{2019}",
    "\u{2018}\u{2018};\u{2019}",
    "$$;$$",
    "$t$;'$t$",
    "$t$ $ $u$ $t$",
    "x'41'",
    "X'4a;",
    "b'0110'",
    "' INTO OUTFILE '",
    "'/*'",
    "\u{2018}--\u{2019}",
    "'\u{a0}'",
];
const NAMES: &[&str] = &[
    "t",
    "`a;b`",
    "\"a\\\";b\"",
    "\u{201c}a;b\u{201d}",
    "`a``;b`",
    "a$b",
    "$a",
    "1a",
    "0x",
    "1__0",
    "`outfile`",
    "`into`",
    "\u{201c}\u{201d}",
    "\u{201c}it's\u{201d}",
    "x.y",
    "\u{e4}",
];
/// Names that have to be quoted here, though the engine can do without.
const KEYWORDS: &[&str] = &["outfile", "format", "settings", "insert", "values", "input", "into", "select", "with"];
const NUMBERS: &[&str] =
    &["1", "1_0", "0xAf", "0b10", "1.5", "1e5", "1.5e-3", ".5", "1.", "1_", "\u{2212}1", "x.1.1", "0x1p-2", "1.5a"];
const OPERATORS: &[&str] = &[
    "+", "-", "=", "==", "!=", "<>", "<=>", "<=", ">=", "||", "::", "->", "|>", "\u{2212}", "%", "*", "/", ",", "AND",
];
const ODD: &[&str] = &[
    "'",
    "\"",
    "`",
    "\u{2018}",
    "\u{2019}",
    "\u{201c}",
    "\u{201d}",
    "$",
    "$a$",
    "$a b$",
    ";",
    "--",
    "/*",
    "*/",
    "#",
    "# ",
    "//",
    "\\",
    "\\G",
    "\0",
    "!",
    "(",
    ")",
    "{",
    "}",
    "[",
    "\u{a0}",
    "\u{1680}",
    "\u{feff}",
    "x'",
    "INTO OUTFILE 'x'",
    "FORMAT CSV",
    "SETTINGS a = 1",
    "INSERT INTO t",
    "\u{e2}",
    "@",
    "@@",
    "?",
    "^",
    ":",
    "|",
];

/// A statement under construction.
struct Text {
    dice: Dice,
    text: String,
    /// It has keywords for names, or was changed where it stood.
    twisted: bool,
}

impl Text {
    fn blank(&mut self) -> &'static str {
        if self.dice.chance(3) { self.dice.pick(BLANKS) } else { " " }
    }

    fn name(&mut self) -> &'static str {
        if self.dice.chance(12) {
            self.twisted = true;
            return self.dice.pick(KEYWORDS);
        }
        self.dice.pick(NAMES)
    }

    fn expression(&mut self, depth: usize) -> String {
        match self.dice.roll(if depth > 2 { 3 } else { 7 }) {
            0 => self.dice.pick(STRINGS).to_owned(),
            1 => self.name().to_owned(),
            2 => self.dice.pick(NUMBERS).to_owned(),
            3 => {
                let (left, right) = (self.expression(depth + 1), self.expression(depth + 1));
                format!("{left}{}{}{}{right}", self.blank(), self.dice.pick(OPERATORS), self.blank())
            }
            4 => format!("f({},{})", self.expression(depth + 1), self.expression(depth + 1)),
            5 => format!("[{}]", self.expression(depth + 1)),
            _ => "{p:Int8}".to_owned(),
        }
    }

    /// Words with something between them; `?` stands for a name, `!` for a string, `#` for an expression.
    fn words(&mut self, pattern: &str) {
        for (at, word) in pattern.split(' ').enumerate() {
            if at > 0 {
                let blank = self.blank();
                self.text.push_str(blank);
            }
            let word = match word {
                "?" => self.name().to_owned(),
                "!" => self.dice.pick(STRINGS).to_owned(),
                "#" => self.expression(0),
                word if self.dice.chance(5) => word.to_ascii_lowercase(),
                word => word.to_owned(),
            };
            self.text.push_str(&word);
        }
    }

    fn perhaps_blank(&mut self, chance: usize) {
        if self.dice.chance(chance) {
            let blank = self.blank();
            self.text.push_str(blank);
        }
    }

    fn make(&mut self) {
        (self.text, self.twisted) = (String::new(), false);
        self.perhaps_blank(6);
        loop {
            let head = self.dice.pick(HEADS);
            self.words(head);
            if self.dice.chance(2) {
                let (blank, tail) = (self.blank(), self.dice.pick(TAILS));
                self.text.push_str(blank);
                self.words(tail);
            }
            self.perhaps_blank(4);
            let end = self.dice.roll(5);
            if end < 2 {
                self.text.push(';');
            }
            if end != 1 {
                break;
            }
        }
        self.perhaps_blank(6);
        for _change in 0..[0, 0, 0, 1, 2][self.dice.roll(5)] {
            self.change();
        }
    }

    fn change(&mut self) {
        self.twisted = true;
        let places: Vec<usize> = self.text.char_indices().map(|(at, _char)| at).collect();
        let at = places[self.dice.roll(places.len())];
        if self.dice.chance(3) && places.len() > 1 {
            self.text.remove(at);
        } else {
            self.text.insert_str(at, self.dice.pick(ODD));
        }
    }
}

const HEADS: &[&str] = &[
    "SELECT #",
    "SELECT #",
    "SELECT #",
    "SELECT # FROM ?",
    "SELECT # FROM ? WHERE #",
    "( SELECT # )",
    "FROM ? SELECT #",
    "WITH # AS x SELECT x",
    "WITH # AS x INSERT INTO ? SELECT x",
    "SELECT ( SELECT # )",
    "SHOW TABLES",
    "SHOW SETTINGS LIKE !",
    "DESC ?",
    "DESCRIBE TABLE ?",
    "EXISTS ?",
    "CHECK TABLE ?",
    "EXPLAIN SELECT #",
    "EXPLAIN AST INSERT INTO ? VALUES ( # )",
    "EXPLAIN AST INSERT INTO ? SELECT #",
    "EXPLAIN AST DROP TABLE ?",
    "EXPLAIN PLAN header = 1 , actions = 0 SELECT #",
    "KILL QUERY WHERE #",
    "SET a = #",
    "SET readonly = 0",
    "USE ?",
    "DROP TABLE ?",
    "CREATE TABLE ? ( a Int8 ) ENGINE = Null",
    "CREATE VIEW ? AS SELECT #",
    "TRUNCATE TABLE ?",
    "INSERT INTO ? VALUES ( 1 )",
    "INSERT INTO ? FORMAT CSV\n1",
    "INSERT INTO ? SELECT #",
    "INSERT INTO ? ( a ) SELECT #",
    "INSERT INTO FUNCTION file( ! ) SELECT #",
    "DROP TABLE ? PARALLEL WITH DROP TABLE ?",
    "SYSTEM FLUSH LOGS",
    "DELETE FROM ? WHERE #",
    "OPTIMIZE TABLE ?",
    "SHOW CREATE TABLE ?",
    "SHOW GRANTS",
];
const TAILS: &[&str] = &[
    "INTO OUTFILE !",
    "FORMAT CSV",
    "SETTINGS max_threads = 1",
    "SETTINGS async_insert = 1",
    "SETTINGS max_threads = 1 FORMAT CSV",
    "FORMAT CSV SETTINGS max_threads = 1",
    "INTO OUTFILE ! FORMAT CSV",
    "INTO OUTFILE ! APPEND FORMAT CSV SETTINGS a = 1",
];

/// What comes of a statement that is read twice.
enum Outcome {
    /// Both read the same.
    Agree(&'static str),
    /// It would be refused, though the engine takes it.
    TooStrict(String),
    /// It would run as something else than it was taken for.
    Fooled(String),
}

fn compare(connection: &Connection, text: &str) -> Outcome {
    let engine = connection.classify(text.as_bytes());
    let ours = inspect(text.as_bytes());
    let told = |why: &str| format!("{why}: {text:?}\n  engine {engine:?}\n  ours {ours:?}");
    if engine.statements == 0 {
        return Outcome::Agree("not parsed by the engine");
    }
    let statement = match &ours {
        Ok(statement) => statement,
        Err(Refusal::Several) if engine.statements > 1 => return Outcome::Agree("several"),
        Err(Refusal::IntoOutfile) if engine.class == QueryClass::Control => return Outcome::Agree("into a file"),
        // it is the clause of a statement that is only explained
        Err(Refusal::IntoOutfile) if text.to_ascii_uppercase().contains("EXPLAIN") => {
            return Outcome::Agree("into a file");
        }
        Err(Refusal::InsertFromInput) if engine.class == QueryClass::Mutating => return Outcome::Agree("input()"),
        Err(_) => return Outcome::TooStrict(told("refused")),
    };
    let claim = Claim::new(text.as_bytes(), statement);
    let claimed = connection.classify(&claim.text);
    match claim.check(&claimed) {
        Ok(()) => {}
        Err(Refusal::Several) if engine.statements > 1 => return Outcome::Agree("several"),
        Err(Refusal::NotOnlyReading) if engine.class == QueryClass::Control => return Outcome::Agree("into a file"),
        Err(_) => return Outcome::TooStrict(told("the claim does not hold")),
    }
    if !matches!(statement, Statement::Insert(_)) && claimed != engine {
        return Outcome::Fooled(told("the claim is of another text"));
    }
    let effect = match statement {
        Statement::Rows(rows) => match output_clause(connection, rows, text) {
            Some((1, QueryClass::Control)) => return Outcome::Agree(if rows.kills { "kills" } else { "rows" }),
            Some((0, _)) => return Outcome::TooStrict(told("the output clause does not fit")),
            _ => return Outcome::Fooled(told("the output clause is taken for something else")),
        },
        Statement::Insert(_) if claimed.statements == 0 => return Outcome::TooStrict(told("no insert without data")),
        Statement::Insert(_) => return Outcome::Agree("insert"),
        Statement::Command(command) => command.effect,
    };
    match (effect, engine.class) {
        (Effect::Nothing, QueryClass::ReadOnly | QueryClass::Control) => Outcome::Agree("explains"),
        (Effect::Settings | Effect::Database, QueryClass::Control) => Outcome::Agree("sets"),
        (Effect::Lasting, QueryClass::Mutating | QueryClass::Control) => Outcome::Agree("writes"),
        (Effect::Lasting, QueryClass::ReadOnly) => Outcome::TooStrict(told("it only reads")),
        _ => Outcome::Fooled(told("another effect")),
    }
}

/// What the statement is with an output clause, alone and with a setting of ours.
fn output_clause(connection: &Connection, rows: &Rows, text: &str) -> Option<(u32, QueryClass)> {
    let format = if rows.format.is_some() { "" } else { " FORMAT TSV" };
    let of = |readonly| {
        let sent = rows.with_output(text, &format!("INTO OUTFILE '/f' APPEND{format}"), readonly);
        let sent = connection.classify(sent.as_bytes());
        (sent.statements, sent.class)
    };
    let (alone, readonly) = (of(None), of(Some(2)));
    if alone == readonly || alone.0 == 0 { Some(alone) } else { Some(readonly).filter(|sent| sent.0 == 0) }
}

fn library() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    #[expect(clippy::disallowed_methods, reason = "the test finds the installed library as an operator would say it")]
    let named = std::env::var_os("MILLRACE_LIBCHDB").map(PathBuf::from);
    let found = crate::embedded::library_candidates(named, None, &root.join("target/debug/millrace"), root);
    found.into_iter().find(|path| path.is_file()).expect("libchdb is installed: run `make libchdb`")
}

#[test]
fn a_statement_is_read_as_the_engine_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["x".to_owned(), format!("--path={}", dir.path().display()), "--implicit_select=0".to_owned()];
    let arguments = arguments.map(|argument| CString::new(argument).unwrap());
    let connection = Library::open(&library()).unwrap().connect(&arguments).unwrap();
    let mut text = Text { dice: Dice(8), text: String::new(), twisted: false };
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut differ = Vec::new();
    for _statement in 0..STATEMENTS {
        text.make();
        match compare(&connection, &text.text) {
            Outcome::Agree(how) => *seen.entry(how).or_default() += 1,
            Outcome::TooStrict(_why) if text.twisted => *seen.entry("too strict").or_default() += 1,
            Outcome::TooStrict(why) | Outcome::Fooled(why) => differ.push(why),
        }
    }
    println!("{seen:?}");
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ[..differ.len().min(20)].join("\n"));
    // each way was taken many times, and most statements are such that the engine has something to say
    for how in ["rows", "kills", "insert", "writes", "sets", "several", "into a file", "explains"] {
        assert!(seen[how] > STATEMENTS / 400, "{how}: {seen:?}");
    }
    assert!(seen["too strict"] < STATEMENTS / 50, "{seen:?}");
}
