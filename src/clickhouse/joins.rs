//! What joining asks of the table and changes in it: the statements, and what a failure of them means.
//!
//! ```text
//! hours      where in time are pairs, and how many still wait       SELECT .. GROUP BY hour
//! page       the traces of an hour that have pairs, so many         SELECT .. ORDER BY TraceId LIMIT n
//! look       of some traces: the root, and what their pairs have    SELECT .. WHERE TraceId IN (..)
//! join       gives the pairs of some traces parent and session      UPDATE .. WHERE TraceId IN (..)
//! ```
//!
//! The UPDATE is a lightweight one: it writes a small patch part, and readers see it at once.
//!
//! A pair's session was named by its sender if and only if it has a conversation id, which is never derived.
//!
//! Source: clickhouse.com/docs, "The Lightweight UPDATE Statement".

use super::client::{Client, EACH_SHARD_GROUPS, Setting};
use super::errors::Failure;
use crate::columns::typed::{HANDED_ON_BYTES_MAX, JoinState};
use crate::ids::{SpanId, TraceId};
use crate::locks::locked;
use crate::sql::{code, quoted};
use crate::time::UnixNanos;
use crate::traces::TraceKey;
use crate::workspace::Workspace;
use ::clickhouse::Row;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

/// Bytes of one UPDATE, about; what does not fit is left for the next one.
const UPDATE_BYTES_MAX: usize = 1 << 20;

/// Hours that are listed at most: far more than any window has.
const HOURS_MAX: usize = 10_000;

/// For every statement. The list of traces is long, and a statement that nobody waits for any more must end.
const SETTINGS: [Setting; 2] = [("max_query_size", "16777216"), ("max_execution_time", "60")];

/// By default these updates are off in the first versions that have them, and versions before do not know the name.
const UPDATE_SETTING: Setting = ("allow_experimental_lightweight_update", "1");

/// An hour that has pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Deserialize)]
pub struct Hour {
    /// When it begins, in seconds since 1970.
    pub start_secs: i64,
    /// Pairs in traces that their senders named.
    pub pairs: u64,
    /// Pairs whose root is not known.
    pub waiting: u64,
    /// When the first of them began, in nanoseconds since 1970; 0 without one.
    pub oldest_waiting: i64,
}

/// What the table has of a trace: its root, or so many pairs that have the same.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Seen {
    /// Workspace, as text.
    pub workspace: String,
    /// Trace, lower-case hex.
    pub trace: String,
    /// Whether this is about spans that may be the trace's root.
    pub is_root: bool,
    /// Their [`JoinState`].
    pub state: String,
    /// The parent they have; of pairs whose sender named it, nothing.
    pub parent: String,
    /// The session they have; of pairs whose sender named it, nothing.
    pub session: String,
    /// Whether their session is to be that of the trace.
    pub takes_session: bool,
    /// How many.
    pub spans: u64,
    /// The first of them.
    pub first: String,
    /// Its session, if pairs may take it.
    pub first_session: String,
}

/// What the pairs of a trace get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Which trace.
    pub key: TraceKey,
    /// Its root.
    pub root: SpanId,
    /// The session of pairs that named none.
    pub session: String,
}

/// The hours in which pairs began, from `since` on, in order.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable.
pub async fn hours(client: &Client, since: UnixNanos) -> Result<Vec<Hour>, Failure> {
    client.rows_with(&hours_statement(&client.table(), since), &SETTINGS).await
}

fn hours_statement(table: &str, since: UnixNanos) -> String {
    let waiting = format!("JoinState = {}", literal(JoinState::Waiting));
    format!(
        "SELECT toInt64(toUnixTimestamp(toStartOfHour(Timestamp))) AS start_secs, count() AS pairs, countIf({waiting}) AS waiting, \
         minIf(toUnixTimestamp64Nano(Timestamp), {waiting}) AS oldest_waiting \
         FROM {table} WHERE {} AND {} GROUP BY start_secs ORDER BY start_secs LIMIT {HOURS_MAX}",
        is_pair(),
        began_since(since),
    )
}

/// Traces with pairs that began in an hour, at most `traces_max`, in the order of their ids, after the id `after`. The last
/// of them tells where to go on.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable.
pub async fn page(
    client: &Client,
    hour: Hour,
    after: &(String, String),
    traces_max: usize,
) -> Result<Vec<(String, String)>, Failure> {
    let settings = [SETTINGS, EACH_SHARD_GROUPS].concat();
    client.rows_with(&page_statement(&client.table(), hour, after, traces_max), &settings).await
}

fn page_statement(table: &str, hour: Hour, (trace, workspace): &(String, String), traces_max: usize) -> String {
    let start = hour.start_secs;
    format!(
        "SELECT TraceId, toString(Workspace) AS workspace FROM {table} WHERE {} \
         AND Timestamp >= toDateTime64({start}, 9) AND Timestamp < toDateTime64({}, 9) \
         AND (TraceId > {trace} OR (TraceId = {trace} AND workspace > {workspace})) \
         GROUP BY TraceId, workspace ORDER BY TraceId, workspace LIMIT {traces_max}",
        is_pair(),
        start.saturating_add(3_600),
        trace = quoted(trace),
        workspace = quoted(workspace),
    )
}

/// A row of [`page`] as a key; `None` when somebody else wrote it with other ids.
#[must_use]
pub fn key_of(trace: &str, workspace: &str) -> Option<TraceKey> {
    Some((Workspace::new(workspace).ok()?, TraceId::from_hex(trace.as_bytes()).ok()?))
}

/// What the table has of these traces, from `since` on: one row about roots, and one for pairs that have the same.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable.
pub async fn look(client: &Client, traces: &[TraceKey], since: UnixNanos) -> Result<Vec<Seen>, Failure> {
    if traces.is_empty() {
        return Ok(Vec::new());
    }
    client.rows_with(&look_statement(&client.table(), traces, since), &SETTINGS).await
}

fn look_statement(table: &str, traces: &[TraceKey], since: UnixNanos) -> String {
    let (given, own) = (literal(JoinState::Given), literal(JoinState::Own));
    format!(
        "SELECT w AS workspace, TraceId AS trace, r AS is_root, if(r, '', j) AS state, \
         if(r OR j = {given}, '', ParentSpanId) AS parent, if(r OR NOT takes, '', SessionId) AS session, \
         NOT r AND takes AS takes_session, count() AS spans, argMin(SpanId, (Timestamp, SpanId)) AS first, \
         argMin(if(length(SessionId) > {HANDED_ON_BYTES_MAX}, '', SessionId), (Timestamp, SpanId)) AS first_session \
         FROM (SELECT Timestamp, TraceId, SpanId, ParentSpanId, SessionId, toString(Workspace) AS w, \
         toString(JoinState) AS j, ConversationId = '' AS takes, ParentSpanId = '' AND j IN ('', {own}) AS r \
         FROM {table} WHERE TraceId IN ({}) AND {} AND (r OR {})) \
         GROUP BY workspace, trace, is_root, state, parent, session, takes_session",
        ids(traces.iter()),
        began_since(since),
        is_pair(),
    )
}

/// Gives the pairs of these traces what they lack, in one statement. Says how many of the traces it had room for: the
/// first ones. Doing it twice is the same.
///
/// # Errors
/// If ClickHouse rejects the statement or is unreachable; it may have been done.
pub async fn join(client: &Client, joins: &[Join], since: UnixNanos) -> Result<usize, Failure> {
    let Some((statement, done)) = update_statement(&client.changed_table(), joins, since) else { return Ok(0) };
    let settings = [SETTINGS[0], SETTINGS[1], UPDATE_SETTING];
    client.change(&statement, &settings).await?;
    Ok(done)
}

fn update_statement(table: &str, joins: &[Join], since: UnixNanos) -> Option<(String, usize)> {
    let (mut keys, mut roots, mut sessions) = (String::new(), String::new(), String::new());
    let mut traces = Vec::new();
    for Join { key: (workspace, trace), root, session } in joins {
        if keys.len() + roots.len() + sessions.len() > UPDATE_BYTES_MAX {
            break;
        }
        let comma = if traces.is_empty() { "" } else { "," };
        let _cannot_fail = write!(keys, "{comma}'{}/{trace}'", workspace.as_str());
        let _cannot_fail = write!(roots, "{comma}'{root}'");
        let _cannot_fail = write!(sessions, "{comma}{}", quoted(session));
        traces.push((workspace.clone(), *trace));
    }
    if traces.is_empty() {
        return None;
    }
    // what a workspace is called has no slash in it
    let key = "concat(toString(Workspace), '/', TraceId)";
    let root = format!("transform({key}, [{keys}], [{roots}], ParentSpanId)");
    let session = format!("transform({key}, [{keys}], [{sessions}], SessionId)");
    let (waiting, joined, given) = (literal(JoinState::Waiting), literal(JoinState::Joined), literal(JoinState::Given));
    let statement = format!(
        "UPDATE {table} SET ParentSpanId = if(JoinState = {given}, ParentSpanId, {root}), \
         SessionId = if(ConversationId = '', {session}, SessionId), \
         JoinState = if(JoinState = {waiting}, {joined}, JoinState) \
         WHERE TraceId IN ({}) AND {} AND {} AND {key} IN ({keys}) AND SpanId != {root} \
         AND (JoinState = {waiting} OR (JoinState = {joined} AND ParentSpanId != {root}) \
         OR (ConversationId = '' AND SessionId != {session}))",
        ids(traces.iter()),
        began_since(since),
        is_pair(),
    );
    Some((statement, traces.len()))
}

/// Pairs in a trace that their sender named.
fn is_pair() -> String {
    let [waiting, joined, given] = [JoinState::Waiting, JoinState::Joined, JoinState::Given].map(literal);
    format!("JoinState IN ({waiting}, {joined}, {given})")
}

fn began_since(since: UnixNanos) -> String {
    format!("Timestamp >= fromUnixTimestamp64Nano({})", since.nanos())
}

/// The ids of traces, each once, as a list of literals: hex digits.
fn ids<'a>(traces: impl Iterator<Item = &'a TraceKey>) -> String {
    let ids: BTreeSet<TraceId> = traces.map(|(_, trace)| *trace).collect();
    ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",")
}

fn literal(state: JoinState) -> String {
    quoted(state.literal())
}

/// What an operator can do so that pairs can be joined, when that is why the UPDATE failed.
///
/// Source: the texts as versions 24.8 to 26.7 have them.
#[must_use]
pub fn remedy(failure: &Failure) -> Option<&'static str> {
    match failure.known_code()? {
        // it knows neither the setting nor the statement
        code::UNKNOWN_SETTING | code::SYNTAX_ERROR => {
            Some("this ClickHouse has no lightweight UPDATE; use version 25.7 or later")
        }
        code::NOT_IMPLEMENTED if failure.detail.contains("enable_block_") => Some(
            "the table is not ready for lightweight UPDATE; \
             run ALTER TABLE otel_traces MODIFY SETTING enable_block_number_column = 1, enable_block_offset_column = 1",
        ),
        code::NOT_IMPLEMENTED => {
            Some("this table's engine has no lightweight UPDATE; it must be one of the MergeTree family")
        }
        code::SUPPORT_IS_DISABLED | code::SETTING_CONSTRAINT_VIOLATION | code::READONLY => Some(
            "ClickHouse does not let this user run lightweight UPDATE; \
             set enable_lightweight_update = 1 in the user's profile, and allow the user to change settings",
        ),
        code::ACCESS_DENIED => Some("the user lacks a grant; run GRANT ALTER UPDATE ON otel_traces TO the user"),
        _ => None,
    }
}

/// Whether pairs can be joined to roots that come later, as health shows it; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Joining(Arc<Mutex<Option<String>>>);

impl Joining {
    /// Why not; `None` while it works.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        locked(&self.0).clone()
    }

    /// Notes what is the case now. Says whether that is news.
    pub fn note(&self, trouble: Option<String>) -> bool {
        let mut now = locked(&self.0);
        let is_news = *now != trouble;
        *now = trouble;
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE: u64 = 1_700_000_000_000_000_000;

    fn join_of(number: u8, session: &str) -> Join {
        let trace = TraceId::new([number; 16]).unwrap();
        Join { key: (Workspace::default(), trace), root: SpanId::new([number; 8]).unwrap(), session: session.into() }
    }

    fn update(joins: &[Join]) -> (String, usize) {
        update_statement("otel.otel_traces", joins, UnixNanos::new(SINCE).unwrap()).unwrap()
    }

    #[test]
    fn a_session_is_a_literal_whatever_is_in_it() {
        for (session, want) in
            [("it's", r"'it\'s'"), (r"\", r"'\\'"), (r"\' OR 1 --", r"'\\\' OR 1 --'"), ("a?b\n`\"", "'a?b\n`\"'")]
        {
            assert_eq!(quoted(session), want);
            let (statement, _) = update(&[join_of(1, session)]);
            assert_eq!(statement.matches(&format!("[{want}]")).count(), 2, "{statement}");
        }
    }

    #[test]
    fn one_update_has_a_bound_in_bytes_and_says_what_it_had_room_for() {
        let joins: Vec<_> = (1..=200).map(|number| join_of(number, &"'".repeat(HANDED_ON_BYTES_MAX))).collect();
        let all = update(&joins);
        assert_eq!(all.1, 200);
        let many: Vec<_> = joins.iter().cycle().take(2_000).cloned().collect();
        let (statement, done) = update(&many);
        assert!(done > 200 && done < 1_000, "{done}");
        // what each trace gets is in it twice
        assert!(statement.len() < 3 * UPDATE_BYTES_MAX, "{}", statement.len());
        assert_eq!(update_statement("t", &[], UnixNanos::default()), None);
    }

    #[test]
    fn a_trace_is_listed_once_and_time_has_a_bound() {
        let key = |name: &str| (Workspace::new(name).unwrap(), TraceId::new([1; 16]).unwrap());
        let statement = look_statement("otel.otel_traces", &[key("a"), key("b")], UnixNanos::new(SINCE).unwrap());
        assert_eq!(statement.matches("01010101010101010101010101010101").count(), 1, "{statement}");
        assert!(statement.contains("Timestamp >= fromUnixTimestamp64Nano(1700000000000000000)"), "{statement}");
    }

    #[test]
    fn a_clickhouse_that_cannot_update_is_named_with_what_to_do() {
        let remedy_of = |text: &str| remedy(&Failure::of_response(text)).unwrap_or_default();
        for (text, want) in [
            (
                "Code: 115. DB::Exception: Unknown setting 'allow_experimental_lightweight_update'. (UNKNOWN_SETTING) (version 25.3.2.39 (official build))",
                "use version 25.7 or later",
            ),
            (
                "Code: 62. DB::Exception: Syntax error: failed at position 1 (UPDATE): UPDATE otel.otel_traces SET. Expected one of: Query. (SYNTAX_ERROR) (version 24.8.4.13 (official build))",
                "use version 25.7 or later",
            ),
            (
                "Code: 48. DB::Exception: Lightweight updates are not supported. Lightweight updates are supported only for tables with materialized _block_number column. Run 'MODIFY SETTING enable_block_number_column = 1' command to enable it. (NOT_IMPLEMENTED) (version 26.7.2.1)",
                "MODIFY SETTING enable_block_number_column = 1, enable_block_offset_column = 1",
            ),
            (
                "Code: 48. DB::Exception: Lightweight updates are not supported by storage Log. (NOT_IMPLEMENTED) (version 26.7.2.1)",
                "MergeTree family",
            ),
            (
                "Code: 344. DB::Exception: Lightweight updates are not allowed. (SUPPORT_IS_DISABLED)",
                "enable_lightweight_update",
            ),
            ("Code: 497. DB::Exception: writer: Not enough privileges. (ACCESS_DENIED)", "GRANT ALTER UPDATE"),
        ] {
            assert!(remedy_of(text).contains(want), "{text}");
        }
        for text in
            ["Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)", "503 Service Unavailable"]
        {
            assert_eq!(remedy_of(text), "", "{text}");
        }
    }

    #[test]
    fn trouble_is_news_once() {
        let joining = Joining::default();
        assert!(!joining.note(None));
        assert!(joining.note(Some("a".into())));
        assert!(!joining.note(Some("a".into())));
        assert_eq!(joining.trouble().as_deref(), Some("a"));
        assert!(joining.note(None));
    }
}
