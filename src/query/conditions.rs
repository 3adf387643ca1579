//! Conditions of a filter as SQL: each field has its place, and values are parameters.

use super::expressions::{KIND_UNKNOWN, KINDS, trace_of_session};
use super::filter::{Condition, Operator};
use crate::chat::trace_of_text;
use crate::clickhouse::{Parameter, Statement};

/// Where a field is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// An expression that is the field's text.
    Text(&'static str),
    /// The time of a row.
    Time(&'static str),
    /// The kind, by the operation.
    Kind,
    /// The trace, by either spelling of its id; the expression is its column.
    Trace(&'static str),
    /// The session, or the one made of a trace.
    Session,
    /// A list of texts, of which one is the field's.
    Member(&'static str),
    /// An expression that is the field's number.
    Number(&'static str),
}

/// The place of a field, by its name.
pub(crate) type Places = fn(&str) -> Option<Place>;

/// Adds what a row must be like, in parentheses. A field without a place holds for no row.
pub(crate) fn push(statement: &mut Statement, condition: &Condition, places: Places) {
    match condition {
        Condition::All(parts) => push_list(statement, parts, (" AND ", "true"), places),
        Condition::Any(parts) => push_list(statement, parts, (" OR ", "false"), places),
        // what is not known is not that either
        Condition::Not(part) => {
            statement.push("(NOT ifNull(");
            push(statement, part, places);
            statement.push(", false))");
        }
        Condition::Is(field, value) => push_is(statement, places(field), value),
        Condition::In(field, values) => push_in(statement, places(field), values),
        Condition::Like(field, pattern) => match places(field) {
            Some(Place::Text(column) | Place::Trace(column)) => {
                statement.push("(").push(column).push(" LIKE ").bind(pattern.as_str()).push(")");
            }
            Some(Place::Session) => {
                statement.push("(SessionId LIKE ").bind(pattern.as_str()).push(")");
            }
            Some(Place::Member(column)) => {
                statement.push("(arrayExists(text -> text LIKE ").bind(pattern.as_str());
                statement.push(", ").push(column).push("))");
            }
            Some(Place::Kind | Place::Time(_) | Place::Number(_)) | None => {
                statement.push("false");
            }
        },
        Condition::Since(field, at) => push_time(statement, places(field), " >= ", *at),
        Condition::Until(field, at) => push_time(statement, places(field), " <= ", *at),
        Condition::Number(field, operator, number) => match places(field) {
            Some(Place::Number(column)) => {
                statement.push("(").push(column).push(sign(*operator)).bind(*number).push(")");
            }
            _ => drop(statement.push("false")),
        },
        // lists with flags read them themselves
        Condition::Flag(..) => drop(statement.push("false")),
    }
}

fn push_list(statement: &mut Statement, parts: &[Condition], (between, none): (&str, &str), places: Places) {
    if parts.is_empty() {
        statement.push(none);
        return;
    }
    for (number, part) in parts.iter().enumerate() {
        statement.push(if number == 0 { "(" } else { between });
        push(statement, part, places);
    }
    statement.push(")");
}

fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Lt => " < ",
        Operator::Lte => " <= ",
        Operator::Gt => " > ",
        Operator::Gte => " >= ",
        _ => " = ",
    }
}

fn push_in(statement: &mut Statement, place: Option<Place>, values: &[String]) {
    match place {
        Some(Place::Text(column)) => {
            statement.push("(").push(column).push(" IN ").bind(values.to_vec()).push(")");
        }
        Some(Place::Trace(column)) => {
            let ids: Vec<String> = values.iter().map(|text| trace_id(text)).collect();
            statement.push("(").push(column).push(" IN ").bind(ids).push(")");
        }
        Some(Place::Member(column)) => {
            statement.push("hasAny(").push(column).push(", ").bind(values.to_vec()).push(")");
        }
        _ => {
            // a condition each
            statement.push("(false");
            for value in values {
                push_is(statement.push(" OR "), place, value);
            }
            statement.push(")");
        }
    }
}

fn push_time(statement: &mut Statement, place: Option<Place>, compared: &str, at: crate::time::UnixNanos) {
    match place {
        Some(Place::Time(column)) => drop(statement.push("(").push(column).push(compared).bind(at).push(")")),
        _ => drop(statement.push("false")),
    }
}

fn push_is(statement: &mut Statement, place: Option<Place>, value: &str) {
    match place {
        Some(Place::Text(column)) => drop(statement.push("(").push(column).push(" = ").bind(value).push(")")),
        Some(Place::Trace(column)) => {
            statement.push("(").push(column).push(" = ").bind(trace_id(value)).push(")");
        }
        Some(Place::Session) => push_session(statement, value),
        Some(Place::Member(column)) => {
            statement.push("has(").push(column).push(", ").bind(value).push(")");
        }
        Some(Place::Kind) => push_kind(statement, value),
        Some(Place::Time(_) | Place::Number(_)) | None => drop(statement.push("false")),
    }
}

/// Adds that a row is of this session.
pub(super) fn push_session(statement: &mut Statement, session: &str) {
    statement.push("(SessionId = ").bind(session);
    if let Some(trace) = trace_of_session(session) {
        statement.push(" OR (SessionId = '' AND TraceId = ").bind(trace).push(")");
    }
    statement.push(")");
}

/// Adds that a row comes after another one: by its time, and where that is the same by its keys, which ascend.
pub(super) fn push_after(
    statement: &mut Statement,
    time: &str,
    is_descending: bool,
    at: i64,
    keys: &[(&'static str, &str)],
) {
    let at = statement.place(Parameter::Time(at));
    let compared = if is_descending { "<" } else { ">" };
    let names = keys.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let values = keys.iter().map(|(_, value)| statement.place(*value)).collect::<Vec<_>>().join(", ");
    statement.push(&format!(
        " AND {time} {compared}= {at} AND ({time} {compared} {at} OR tuple({names}) > tuple({values}))"
    ));
}

/// Adds that a row is of this kind.
pub(super) fn push_kind(statement: &mut Statement, kind: &str) {
    let of = |operations: &[&str]| operations.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    if kind == KIND_UNKNOWN {
        let known = KINDS.iter().flat_map(|(_, operations)| of(operations)).collect::<Vec<_>>();
        statement.push("(Operation NOT IN ").bind(known).push(")");
        return;
    }
    let operations = KINDS.iter().find(|(name, _)| *name == kind).map(|(_, operations)| of(operations));
    statement.push("(Operation IN ").bind(operations.unwrap_or_default()).push(")");
}

/// The id of the trace that a text names: 32 hex digits, or what any other text becomes. One that names none is itself, and found
/// nowhere.
pub(super) fn trace_id(text: &str) -> String {
    trace_of_text(text).map_or_else(|| text.to_owned(), |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(condition: &Condition) -> String {
        let places: Places = |field| match field {
            "kind" => Some(Place::Kind),
            "session_id" => Some(Place::Session),
            "id" => Some(Place::Trace("TraceId")),
            "model" => Some(Place::Text("Model")),
            "started_at" => Some(Place::Time("Timestamp")),
            "tokens" => Some(Place::Number("TotalTokens")),
            "users" => Some(Place::Member("users")),
            _ => None,
        };
        let mut statement = Statement::default();
        push(&mut statement, condition, places);
        statement.sql().to_owned()
    }

    #[test]
    fn each_field_has_its_place_and_its_value_is_a_parameter() {
        let is = |field: &'static str, value: &str| Condition::Is(field, value.to_owned());
        let several = |field: &'static str| Condition::In(field, vec!["a".to_owned(), "b".to_owned()]);
        let cases = [
            (is("model", "m"), "(Model = {p0:String})"),
            (is("kind", "TOOL"), "(Operation IN {p0:Array(String)})"),
            (is("kind", "UNKNOWN"), "(Operation NOT IN {p0:Array(String)})"),
            (is("id", "my trace"), "(TraceId = {p0:String})"),
            (is("session_id", "s"), "(SessionId = {p0:String})"),
            (is("session_id", "session-1"), "(SessionId = {p0:String})"),
            (
                is("session_id", "session-4bf92f3577b34da6a3ce929d0e0e4736"),
                "(SessionId = {p0:String} OR (SessionId = '' AND TraceId = {p1:String}))",
            ),
            (is("nowhere", "x"), "false"),
            (several("model"), "(Model IN {p0:Array(String)})"),
            (several("id"), "(TraceId IN {p0:Array(String)})"),
            (several("users"), "hasAny(users, {p0:Array(String)})"),
            (several("session_id"), "(false OR (SessionId = {p0:String}) OR (SessionId = {p1:String}))"),
            (several("kind"), "(false OR (Operation IN {p0:Array(String)}) OR (Operation IN {p1:Array(String)}))"),
            (Condition::Not(Box::new(is("model", "m"))), "(NOT ifNull((Model = {p0:String}), false))"),
            (Condition::Number("tokens", Operator::Gt, 2.0), "(TotalTokens > {p0:Float64})"),
            (Condition::Number("model", Operator::Gt, 2.0), "false"),
            (Condition::All(Vec::new()), "true"),
            (Condition::Any(Vec::new()), "false"),
            (
                Condition::Any(vec![is("model", "a"), Condition::Like("model", "b%".into())]),
                "((Model = {p0:String}) OR (Model LIKE {p1:String}))",
            ),
            (
                Condition::Since("started_at", crate::time::UnixNanos::default()),
                "(Timestamp >= fromUnixTimestamp64Nano({p0:Int64}, 'UTC'))",
            ),
        ];
        for (condition, want) in cases {
            assert_eq!(sql(&condition), want);
        }
    }

    #[test]
    fn a_trace_is_found_by_what_its_sender_called_it() {
        assert_eq!(trace_id("4BF92F3577B34DA6A3CE929D0E0E4736"), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace_id("abc"), "ba7816bf8f01cfea414140de5dae2223");
        assert_eq!(trace_id(""), "");
    }
}
