//! A search as a condition of a statement. Everything of the text that is not one of our own names is a parameter.

use super::{Compare, Field, Node, Subject, Term, Test};
use crate::clickhouse::Statement;
use crate::query::conditions::{push_kind, push_session, trace_id};
use crate::query::expressions::{EXPERIMENT, MODEL, NAME, SESSION, SESSION_OF_TRACE, SOURCE, STATUS, TEST_CASE};
use crate::query::sums::OF_TRACE;
use crate::time::UnixNanos;
use crate::workspace::Workspace;

/// What a row of the list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::query) enum Level {
    /// A row of `otel_traces`.
    Span,
    /// A row of the inner statement of traces (`traces/statements.rs`).
    Trace,
    /// A row of the inner statement of sessions (`sessions/statements.rs`).
    Session,
}

/// Where a condition stands.
#[derive(Debug, Clone)]
pub(in crate::query) struct Scope<'a> {
    pub(in crate::query) level: Level,
    pub(in crate::query) workspace: &'a Workspace,
    /// Full names of tables.
    pub(in crate::query) spans: String,
    pub(in crate::query) traces: String,
    pub(in crate::query) scores: String,
    /// From when to when the spans of a row may begin.
    pub(in crate::query) since: Option<UnixNanos>,
    pub(in crate::query) until: Option<UnixNanos>,
    /// The only trace whose spans are meant, if there is one.
    pub(in crate::query) trace: Option<String>,
}

/// Adds the condition, in parentheses.
pub(in crate::query) fn push(statement: &mut Statement, node: &Node, scope: &Scope<'_>) {
    let (parts, between) = match node {
        Node::Term(term) => return push_term(statement, term, scope),
        Node::Not(part) => {
            statement.push("(NOT ");
            push(statement, part, scope);
            statement.push(")");
            return;
        }
        Node::All(parts) => (parts, " AND "),
        Node::Any(parts) => (parts, " OR "),
    };
    for (number, part) in parts.iter().enumerate() {
        statement.push(if number == 0 { "(" } else { between });
        push(statement, part, scope);
    }
    statement.push(")");
}

fn push_term(statement: &mut Statement, term: &Term, scope: &Scope<'_>) {
    let field = match term.subject {
        Subject::Field(field) => Some(field.name),
        _ => None,
    };
    if scope.level == Level::Span {
        return push_of_span(statement, term, scope);
    }
    if let (Level::Trace, Some("trace"), Test::Is(id)) = (scope.level, field, &term.test) {
        statement.push("(TraceId = ").bind(trace_id(id)).push(")");
        return;
    }
    if let Some(own) = field.and_then(|name| own_column(scope.level, name)) {
        return push_test(statement, own, &term.test);
    }
    let key = match scope.level {
        Level::Trace => "TraceId",
        Level::Span | Level::Session => "session_id",
    };
    if let (Level::Trace, Some(sum)) =
        (scope.level, field.and_then(|name| OF_TRACE.iter().find(|sum| sum.search == name)))
    {
        statement.push("(TraceId IN (SELECT TraceId FROM ").push(&scope.traces).push(" AS t WHERE t.Workspace = ");
        statement.bind(scope.workspace.as_str());
        push_range(statement, "t.Timestamp", scope);
        statement.push(" AND ");
        push_test(statement, sum.expression, &term.test);
        statement.push("))");
        return;
    }
    if let Subject::Score(name) = &term.subject {
        push_own_score(statement, (key, name.as_deref(), &term.test), scope);
        statement.push(" OR ");
    }
    let of_span = if scope.level == Level::Trace { "TraceId" } else { SESSION };
    statement.push(&format!("({key} IN (SELECT {of_span} FROM {} WHERE Workspace = ", scope.spans));
    statement.bind(scope.workspace.as_str());
    push_range(statement, "Timestamp", scope);
    statement.push(" AND ");
    push_of_span(statement, term, scope);
    statement.push("))");
    if matches!(term.subject, Subject::Score(_)) {
        statement.push(")");
    }
}

/// Opens a parenthesis with the condition for a score of the whole trace or session, which names no span. The trace is named, or is that of
/// its session if that is made from it.
fn push_own_score(statement: &mut Statement, (key, name, test): (&str, Option<&str>, &Test), scope: &Scope<'_>) {
    let of_row = match scope.level {
        Level::Trace => format!(
            "if(s.TraceId != '', s.TraceId, if(startsWith(s.SessionId, '{SESSION_OF_TRACE}'), \
             substring(s.SessionId, {}), ''))",
            SESSION_OF_TRACE.len() + 1
        ),
        Level::Span | Level::Session => "s.SessionId".to_owned(),
    };
    statement.push(&format!("({key} IN (SELECT {of_row} FROM {} AS s WHERE s.Workspace = ", scope.scores));
    statement.bind(scope.workspace.as_str()).push(" AND s.SpanId = ''");
    push_score(statement, name, test);
    statement.push(")");
}

fn push_range(statement: &mut Statement, column: &str, scope: &Scope<'_>) {
    for (bound, compared) in [(scope.since, ">="), (scope.until, "<=")] {
        if let Some(at) = bound {
            statement.push(&format!(" AND {column} {compared} ")).bind(at);
        }
    }
    if let Some(trace) = &scope.trace {
        statement.push(" AND TraceId = ").bind(trace.as_str());
    }
}

/// What a trace or a session says itself.
fn own_column(level: Level, field: &str) -> Option<&'static str> {
    Some(match (level, field) {
        (Level::Trace, "status") => "head_status",
        (Level::Trace, "name") => "head_name",
        (Level::Trace, "duration") => "head_duration",
        (Level::Trace, "trace") => "TraceId",
        (Level::Trace, "started") => "Started",
        (Level::Session, "session") => "session_id",
        (Level::Session, "started") => "FirstTime",
        (Level::Session, "status") => "if(errors > 0, 'error', 'success')",
        (Level::Session, "duration") => "dateDiff('nanosecond', FirstTime, LastTime)",
        (Level::Session, "cost") => "cost_total",
        (Level::Session, "tokens") => "total_tokens",
        (Level::Session, "input_tokens") => "input_tokens",
        (Level::Session, "output_tokens") => "output_tokens",
        (Level::Session, "cached_tokens") => "cached_tokens",
        _ => return None,
    })
}

/// The columns of a span.
pub(in crate::query) fn column(field: &Field) -> &'static str {
    match field.name {
        "model" => MODEL,
        "provider" => "Provider",
        "status" => STATUS,
        "operation" | "kind" => "Operation",
        "name" => NAME,
        "service" => "ServiceName",
        "user" => "UserId",
        "session" => SESSION,
        "trace" => "TraceId",
        "span" => "SpanId",
        "parent" => "ParentSpanId",
        "agent" => "AgentName",
        "tool" => "ToolName",
        "error" => "ErrorType",
        "experiment" => EXPERIMENT,
        "test_case" => TEST_CASE,
        "source" => SOURCE,
        "cost" => "toFloat64(CostTotal)",
        "tokens" => "TotalTokens",
        "input_tokens" => "InputTokens",
        "output_tokens" => "OutputTokens",
        "cached_tokens" => "CacheReadTokens",
        "reasoning_tokens" => "ReasoningTokens",
        "duration" => "if(TimingQuality IN ('ingest', 'unknown'), NULL, Duration)",
        "ttft" => "TimeToFirstToken",
        "started" => "Timestamp",
        // a test holds this list to the fields
        _ => "''",
    }
}

fn push_of_span(statement: &mut Statement, term: &Term, scope: &Scope<'_>) {
    match (&term.subject, &term.test) {
        (Subject::Field(Field { name: "kind", .. }), Test::Is(kind)) => push_kind(statement, kind),
        (Subject::Field(Field { name: "session", .. }), Test::Is(session)) => push_session(statement, session),
        (Subject::Field(Field { name: "trace", .. }), Test::Is(id)) => {
            statement.push("(TraceId = ").bind(trace_id(id)).push(")");
        }
        // an error is more than its type
        (Subject::Field(Field { name: "error", .. }), Test::Present) => {
            statement.push(&format!("({STATUS} = 'error')"));
        }
        (Subject::Field(field), test) => push_test(statement, column(field), test),
        (Subject::Attribute(key), test) => push_attribute(statement, "SpanAttributes", key, test),
        (Subject::Resource(key), test) => push_attribute(statement, "ResourceAttributes", key, test),
        (Subject::Score(name), test) => {
            statement.push(&format!("(SpanId IN (SELECT s.SpanId FROM {} AS s WHERE s.Workspace = ", scope.scores));
            statement.bind(scope.workspace.as_str()).push(" AND s.SpanId != ''");
            push_score(statement, name.as_deref(), test);
            statement.push("))");
        }
        (Subject::Anything, test) => push_anything(statement, test),
    }
}

/// What is asked of a row `s` of `genai_scores`, after another condition.
fn push_score(statement: &mut Statement, name: Option<&str>, test: &Test) {
    if let Some(name) = name {
        statement.push(" AND s.Name = ").bind(name);
    }
    match test {
        Test::Present => {}
        Test::Number(..) | Test::Time(..) => push_test(statement.push(" AND "), "s.Value", test),
        Test::Is(_) | Test::Like(_) => push_test(statement.push(" AND "), "s.StringValue", test),
    }
}

/// Names and content that have a text in them, whatever the case of its letters.
fn push_anything(statement: &mut Statement, test: &Test) {
    let Test::Is(text) = test else {
        statement.push("false");
        return;
    };
    let place = statement.place(text.as_str());
    let within =
        ["SpanName", "AgentName", "ToolName", "ErrorMessage", "StatusMessage", "InputMessages", "OutputMessages"];
    let texts: Vec<String> =
        within.iter().map(|column| format!("positionCaseInsensitiveUTF8({column}, {place}) > 0")).collect();
    statement.push(&format!(
        "({} OR arrayExists(text -> positionCaseInsensitiveUTF8(text, {place}) > 0, mapValues(ContentAttributes)))",
        texts.join(" OR ")
    ));
}

fn push_attribute(statement: &mut Statement, map: &str, key: &str, test: &Test) {
    let key = statement.place(key);
    match test {
        Test::Present => drop(statement.push(&format!("mapContains({map}, {key})"))),
        Test::Number(..) | Test::Time(..) => push_test(statement, &format!("toFloat64OrNull({map}[{key}])"), test),
        Test::Is(_) | Test::Like(_) => push_test(statement, &format!("{map}[{key}]"), test),
    }
}

/// Adds a test of an expression. What is not known meets none.
fn push_test(statement: &mut Statement, expression: &str, test: &Test) {
    statement.push("ifNull(").push(expression);
    match test {
        Test::Is(text) => statement.push(" = ").bind(text.as_str()),
        Test::Like(pattern) => statement.push(" LIKE ").bind(pattern.as_str()),
        Test::Number(compare, number) => statement.push(sign(*compare)).bind(*number),
        Test::Time(compare, at) => statement.push(sign(*compare)).bind(*at),
        // of a text: it is not empty; of a number: it is known
        Test::Present => statement.push(" IS NOT NULL AND toString(").push(expression).push(") != ''"),
    };
    statement.push(", false)");
}

fn sign(compare: Compare) -> &'static str {
    match compare {
        Compare::Less => " < ",
        Compare::AtMost => " <= ",
        Compare::Greater => " > ",
        Compare::AtLeast => " >= ",
        Compare::Equal => " = ",
    }
}

#[cfg(test)]
mod tests {
    use super::super::FIELDS;
    use super::*;

    #[test]
    fn every_field_has_a_column() {
        for field in &FIELDS {
            assert_ne!(column(field), "''", "{}", field.name);
        }
    }
}
