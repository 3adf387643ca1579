//! What a statement from outside may be, and what it may name: read off the tree that the engine's own parser makes of it.
//!
//! ```text
//! CREATE DICTIONARY d (...) SOURCE(EXECUTABLE(...))     the text
//!
//! CreateQuery d                                         the tree: what the engine is going to do, whatever quotes,
//!  Dictionary definition                                comments and letter case the text has
//!   FunctionWithKeyValueArguments  executable           refused: not in DICTIONARY_SOURCES
//! ```
//!
//! Lists of what is allowed. What a statement may not do by its rights the engine refuses itself (see `settings`); here is
//! what it has no rights for, and the error that names what is refused.

use crate::embedded::wire::errors::QueryError;
use crate::sql::code;

/// What a statement may be. Source: `getID` of ClickHouse's `Parsers/AST*.h`.
const STATEMENTS: &[&str] = &[
    "ASTTransactionControl",
    "AlterQuery",
    "AttachQuery",
    "CheckAllQuery",
    "CheckGrantQuery",
    "CheckQuery",
    "CreateIndexQuery",
    "CreateQuery",
    "CreateSQLFunctionQuery",
    "DeleteQuery",
    "DescribeQuery",
    "DetachQuery",
    "DropFunctionQuery",
    "DropIndexQuery",
    "DropQuery",
    "ExistsDatabaseQuery",
    "ExistsDictionaryQuery",
    "ExistsTableQuery",
    "ExistsViewQuery",
    "Explain",
    "InsertQuery",
    "KillQueryQuery",
    "OptimizeQuery",
    "Rename",
    "SHOW",
    "SYSTEM",
    "SelectIntersectExceptQuery",
    "SelectQuery",
    "SelectWithUnionQuery",
    "Set",
    "ShowAccessQuery",
    "ShowColumns",
    "ShowCreateDatabaseQuery",
    "ShowCreateDictionaryQuery",
    "ShowCreateTableQuery",
    "ShowCreateViewQuery",
    "ShowEngineQuery",
    "ShowFunctions",
    "ShowGrantsQuery",
    "ShowIndexes",
    "ShowPrivilegesQuery",
    "ShowProcesslistQuery",
    "ShowSetting",
    "ShowTables",
    "TruncateQuery",
    "UndropQuery",
    "UpdateQuery",
    "UseQuery",
];

/// Table functions that reach nothing but the engine's own data and folder.
const TABLE_FUNCTIONS: &[&str] = &[
    "cluster",
    "clusterallreplicas",
    "dictionary",
    "file",
    "format",
    "fuzzjson",
    "generate_series",
    "generaterandom",
    "generateseries",
    "input",
    "loop",
    "merge",
    "mergetreeanalyzeindexes",
    "mergetreeindex",
    "mergetreeprojection",
    "mergetreetextindex",
    "null",
    "numbers",
    "numbers_mt",
    "primes",
    "sqlstandardvalues",
    "values",
    "view",
    "viewexplain",
    "viewifpermitted",
    "zeros",
    "zeros_mt",
];

/// Engines of tables and of databases, besides those whose name ends with `MergeTree`.
const ENGINES: &[&str] = &[
    "Alias",
    "Atomic",
    "Buffer",
    "Dictionary",
    "Distributed",
    "File",
    "GenerateRandom",
    "Join",
    "Log",
    "Memory",
    "Merge",
    "Null",
    "Ordinary",
    "Set",
    "StripeLog",
    "TinyLog",
];

/// Where a dictionary may come from: a table of this engine, or nowhere.
const DICTIONARY_SOURCES: &[&str] = &["clickhouse", "null"];

/// Statements that have a literal of their own right below them; for the others it is the file of INTO OUTFILE.
const WITH_LITERAL: &[&str] = &["AttachQuery", "CreateQuery", "DeleteQuery", "KillQueryQuery", "UpdateQuery"];

/// One statement as the engine read it.
#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    /// As the engine writes it.
    pub(crate) text: &'a str,
    /// What EXPLAIN AST prints of it.
    pub(crate) tree: &'a str,
}

/// Refuses what is not in the lists. `table_functions` are all that the engine knows: other names are views.
pub(crate) fn check(parsed: &Parsed<'_>, table_functions: &[String]) -> Result<(), QueryError> {
    if has_name_of_several_lines(parsed.text) {
        return Err(refused("a name with a line end in it"));
    }
    // the nodes ancestors the one that is looked at, and whether an engine was found below each
    let mut ancestors: Vec<Ancestor<'_>> = Vec::new();
    for line in parsed.tree.lines() {
        let text = line.trim_start_matches(' ');
        let depth = line.len() - text.len();
        ancestors.truncate(depth);
        let node = Node::read(text);
        match ancestors.last_mut() {
            None => check_statement(&node)?,
            Some(parent) => check_node(&node, parent, depth, parsed, table_functions)?,
        }
        ancestors.push(Ancestor { kind: node.kind, engine_seen: false });
    }
    let defines =
        ancestors.first().is_some_and(|root| ["CreateQuery", "AttachQuery", "AlterQuery"].contains(&root.kind));
    if defines && parsed.text.contains(" = disk(") {
        return Err(refused("a disk of its own"));
    }
    Ok(())
}

struct Ancestor<'a> {
    kind: &'a str,
    engine_seen: bool,
}

/// One line of the tree: `Function url (alias t) (children 1)`.
struct Node<'a> {
    kind: &'a str,
    name: &'a str,
}

impl<'a> Node<'a> {
    fn read(text: &'a str) -> Self {
        let Some((kind, rest)) = text.split_once(' ') else { return Self { kind: text, name: "" } };
        let rest = rest.trim_start();
        Self { kind, name: rest.split_once(' ').map_or(rest, |(name, _more)| name) }
    }
}

fn check_statement(node: &Node<'_>) -> Result<(), QueryError> {
    let kind = node.kind;
    if STATEMENTS.contains(&kind) || kind == "ParallelWithQuery" {
        return Ok(());
    }
    let name = kind.trim_end_matches("Query");
    Err(refused(&format!("the statement {name}")))
}

fn check_node(
    node: &Node<'_>,
    parent: &mut Ancestor<'_>,
    depth: usize,
    parsed: &Parsed<'_>,
    table_functions: &[String],
) -> Result<(), QueryError> {
    match (parent.kind, node.kind) {
        ("ParallelWithQuery", _) => check_statement(node),
        ("TableExpression" | "CreateQuery" | "AttachQuery" | "InsertQuery" | "Explain", "Function") => {
            let name = node.name.to_ascii_lowercase();
            let known = table_functions.iter().any(|known| known.eq_ignore_ascii_case(&name));
            if known && !TABLE_FUNCTIONS.contains(&name.as_str()) {
                return Err(refused(&format!("the table function {}", node.name)));
            }
            Ok(())
        }
        // the engine comes first, then the key and so on, which are functions too
        ("Storage", "Function") if !parent.engine_seen && parsed.text.contains("ENGINE = ") => {
            parent.engine_seen = true;
            let name = node.name;
            if ENGINES.contains(&name) || name.ends_with("MergeTree") {
                return Ok(());
            }
            Err(refused(&format!("the engine {name}")))
        }
        (_, "FunctionWithKeyValueArguments") => {
            if DICTIONARY_SOURCES.contains(&node.name.to_ascii_lowercase().as_str()) {
                return Ok(());
            }
            Err(refused(&format!("the dictionary source {}", node.name)))
        }
        (statement, "Literal") if depth == 1 && node.name.starts_with('\'') && !WITH_LITERAL.contains(&statement) => {
            Err(QueryError::new(code::INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed"))
        }
        _ => Ok(()),
    }
}

/// The tree does not escape such a name, so the name could look like nodes. In the text it is escaped.
fn has_name_of_several_lines(text: &str) -> bool {
    let mut escaped = false;
    Quoted::new(text).any(|(byte, quote)| {
        let breaks = escaped && quote == Some(b'`') && matches!(byte, b'n' | b'r');
        escaped = quote.is_some() && byte == b'\\' && !escaped;
        breaks
    })
}

/// The text with something of its kind for each `{name:Type}`: the tree is asked for where no values are known.
pub(crate) fn without_parameters(text: &str) -> String {
    let outside: Vec<usize> = Quoted::new(text)
        .enumerate()
        .filter(|(_at, (byte, quote))| quote.is_none() && matches!(byte, b'{' | b'}'))
        .map(|(at, _)| at)
        .collect();
    let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
    for pair in outside.chunks_exact(2) {
        let [open, close] = pair else { continue };
        let Some((_name, kind)) = text.get(open + 1..*close).and_then(|inner| inner.split_once(':')) else { continue };
        out.push_str(text.get(copied..*open).expect("braces are in order"));
        out.push_str(match kind.trim() {
            "Identifier" => "p",
            "String" => "''",
            _ => "1",
        });
        copied = close + 1;
    }
    out.push_str(text.get(copied..).expect("a brace is one byte"));
    out
}

/// The bytes of a text that the engine has written, each with the quote that it stands in: the opening one is outside,
/// the closing one inside.
struct Quoted<'a> {
    bytes: std::str::Bytes<'a>,
    quote: Option<u8>,
    escaped: bool,
}

impl<'a> Quoted<'a> {
    fn new(text: &'a str) -> Self {
        Self { bytes: text.bytes(), quote: None, escaped: false }
    }
}

impl Iterator for Quoted<'_> {
    type Item = (u8, Option<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        let byte = self.bytes.next()?;
        let item = (byte, self.quote);
        match self.quote {
            Some(_) if self.escaped => self.escaped = false,
            Some(_) if byte == b'\\' => self.escaped = true,
            Some(open) if byte == open => self.quote = None,
            None if matches!(byte, b'\'' | b'`' | b'"') => self.quote = Some(byte),
            _ => {}
        }
        Some(item)
    }
}

/// The error that names what is refused.
fn refused(what: &str) -> QueryError {
    let message = format!(
        "The embedded ClickHouse does not allow {what}: it reaches no programs, servers or files but its own. \
         Use a ClickHouse of your own for that (`clickhouse.url`)"
    );
    QueryError::new(code::ACCESS_DENIED, &message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str, tree: &str) -> Result<(), String> {
        let known = ["url", "executable", "numbers", "VALUES"].map(str::to_owned);
        check(&Parsed { text, tree }, &known).map_err(|error| error.body(""))
    }

    #[test]
    fn a_table_function_is_refused_wherever_it_stands() {
        let trees = [
            "SelectWithUnionQuery (children 1)\n TableExpression (children 1)\n  Function url (alias t) (children 1)",
            "CreateQuery t (children 2)\n Identifier t\n Function url (children 1)",
            "InsertQuery   (children 2)\n Function url (children 1)",
            "Explain EXPLAIN TABLE OVERRIDE (children 2)\n Function url (children 1)",
            "DescribeQuery (children 1)\n TableExpression (children 1)\n  Function URL (children 1)",
        ];
        for tree in trees {
            let refusal = checked("", tree).unwrap_err().to_lowercase();
            assert!(refusal.contains("the table function url"), "{refusal}");
        }
    }

    #[test]
    fn functions_views_and_allowed_table_functions_pass() {
        let trees = [
            "SelectWithUnionQuery (children 1)\n ExpressionList (children 1)\n  Function url (children 1)",
            "SelectWithUnionQuery (children 1)\n TableExpression (children 1)\n  Function genai_calls_between",
            "SelectWithUnionQuery (children 1)\n TableExpression (children 1)\n  Function numbers (children 1)",
            "SelectWithUnionQuery (children 1)\n TableExpression (children 1)\n  Function VALUES (children 1)",
            "SYSTEM query",
            "SHOW USERS query",
        ];
        for tree in trees {
            assert_eq!(checked("", tree), Ok(()), "{tree}");
        }
    }

    #[test]
    fn parameters_are_replaced_outside_of_quotes_only() {
        for (text, without) in [
            (
                "SELECT {a:Int8}, '{b:Int8}', {s:String} FROM {d:Identifier}.{t:Identifier}",
                "SELECT 1, '{b:Int8}', '' FROM p.p",
            ),
            ("SELECT 'it\\'s {a:Int8}' AS `{b:Int8}`", "SELECT 'it\\'s {a:Int8}' AS `{b:Int8}`"),
            ("SELECT {a:Array(Tuple(x Int8))}", "SELECT 1"),
        ] {
            assert_eq!(without_parameters(text), without);
        }
    }

    #[test]
    fn the_engine_is_the_first_function_of_a_storage() {
        let storage = "CreateQuery t (children 2)\n Storage definition (children 2)\n";
        let made = |functions: &str| format!("{storage}{functions}");
        let text = "CREATE TABLE t ENGINE = X ORDER BY tuple()";
        assert_eq!(checked(text, &made("  Function ReplacingMergeTree\n  Function tuple")), Ok(()));
        let refusal = checked(text, &made("  Function Executable (children 2)\n  Function tuple")).unwrap_err();
        assert!(refusal.contains("the engine Executable"), "{refusal}");
        assert_eq!(checked("CREATE TABLE t ORDER BY tuple()", &made("  Function tuple")), Ok(()));
    }

    #[test]
    fn statements_and_sources_that_are_not_listed_are_refused() {
        for (tree, named) in [
            ("BackupQuery (children 1)\n Function File (children 1)", "the statement Backup"),
            ("GrantQuery", "the statement Grant"),
            ("ParallelWithQuery 2 x (children 2)\n SelectWithUnionQuery\n RestoreQuery", "the statement Restore"),
            (
                "CreateQuery d (children 1)\n Dictionary definition (children 1)\n  FunctionWithKeyValueArguments  http (children 1)",
                "the dictionary source http",
            ),
            ("SelectWithUnionQuery (children 2)\n ExpressionList\n Literal 'x'", "INTO OUTFILE"),
        ] {
            let refusal = checked("", tree).unwrap_err();
            assert!(refusal.contains(named), "{refusal}");
        }
        assert!(checked("SELECT 'a\\n`', 1 AS `b`", "SelectWithUnionQuery").is_ok());
        assert!(checked("SELECT 'it\\'s', 1 AS `b\\n Foo`", "SelectWithUnionQuery").is_err());
        let disk = "CREATE TABLE t (`a` Int8) ENGINE = MergeTree SETTINGS disk = disk(type = web)";
        assert!(checked(disk, "CreateQuery t").unwrap_err().contains("a disk of its own"));
    }
}
