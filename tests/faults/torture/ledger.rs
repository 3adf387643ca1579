//! What was sent and what became of it, and the comparison with what ClickHouse has.
//!
//! Every request has a trace of its own, so that one row of an aggregate tells everything about it:
//!
//! ```text
//! acknowledged   all its spans are stored, each once
//! refused        answered "try again" every time
//! unknown        a connection ended without an answer   } each span is stored at most once
//! ```

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;

use support::sql::Sql;

/// What the sender knows of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    /// An "OK" came, if only to a repeat.
    Acknowledged,
    /// Only refusals came.
    Refused,
    /// Some connection ended without an answer, and no "OK" came after it.
    Unknown,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// Its trace, which no other request has; 32 hex digits.
    pub(crate) trace_id: String,
    /// How many spans it carries.
    pub(crate) spans: u64,
    /// All their ids in one number, by exclusive or; learned from the answer for a chat-completion.
    pub(crate) ids: Option<u64>,
    /// What the sender knows.
    pub(crate) fate: Fate,
}

/// How often what happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Requests with an "OK".
    pub(crate) acknowledged: u64,
    /// Spans of those.
    pub(crate) spans_acknowledged: u64,
    /// Answers "try again".
    pub(crate) refusals: u64,
    /// Connections that ended without an answer.
    pub(crate) broken: u64,
    /// Requests sent again because they were refused or their connection broke.
    pub(crate) retries: u64,
    /// Acknowledged requests that were sent once more, as a sender does that lost the answer.
    pub(crate) repeats: u64,
}

#[derive(Debug, Default)]
struct State {
    sent: Vec<Sent>,
    counts: Counts,
    /// Answers that a sender could not live with.
    unexpected: Vec<String>,
}

/// Shared by all senders of a load.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<State>>);

impl Ledger {
    /// The ledgers of several loads on one table.
    pub(crate) fn merged(ledgers: &[Self]) -> Self {
        let all = Self::default();
        for ledger in ledgers {
            let state = ledger.state();
            state.sent.iter().for_each(|sent| all.close(sent.clone()));
            state.unexpected.iter().for_each(|what| all.unexpected(what.clone()));
        }
        all
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no sender panics")
    }

    /// Counts something that happened.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.state().counts);
    }

    /// Notes an answer that should never come.
    pub(crate) fn unexpected(&self, what: String) {
        self.state().unexpected.push(what);
    }

    /// Closes a request.
    pub(crate) fn close(&self, sent: Sent) {
        let mut state = self.state();
        if sent.fate == Fate::Acknowledged {
            state.counts.acknowledged += 1;
            state.counts.spans_acknowledged += sent.spans;
        }
        state.sent.push(sent);
    }

    /// What happened so far.
    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Compares with the table, which must be at rest: nothing is lost, nothing is there twice, nothing is invented.
    ///
    /// # Panics
    /// When it is not so, with examples.
    pub(crate) fn assert_kept(&self, sql: &Sql) {
        let doubled = self.assert_not_lost(sql);
        assert!(doubled.is_empty(), "{} requests have spans twice: {}", doubled.len(), examples(&doubled));
    }

    /// The same without the second: gives the requests that have spans twice.
    ///
    /// # Panics
    /// When something is lost or invented, with examples.
    pub(crate) fn assert_not_lost(&self, sql: &Sql) -> Vec<Sent> {
        let (sent, unexpected) = {
            let state = self.state();
            (state.sent.clone(), state.unexpected.clone())
        };
        assert!(unexpected.is_empty(), "answers that no sender expects: {}", examples(&unexpected));
        let acknowledged = sent.iter().filter(|one| one.fate == Fate::Acknowledged).count();
        assert!(acknowledged > 0, "nothing was acknowledged: this would prove nothing");
        let mut stored = stored(sql);
        let (mut lost, mut doubled) = (Vec::new(), Vec::new());
        for one in sent {
            let there = stored.remove(&one.trace_id).unwrap_or_default();
            let is_double = there.rows != there.distinct;
            // ids that are there twice cancel out
            let is_whole = there.distinct == one.spans && one.ids.is_none_or(|ids| ids == there.ids || is_double);
            if one.fate == Fate::Acknowledged && !is_whole {
                lost.push((one.clone(), there));
            }
            if is_double {
                doubled.push(one);
            }
        }
        let number = lost.len();
        assert!(lost.is_empty(), "of {acknowledged} acknowledged requests {number} are not whole: {}", examples(&lost));
        assert!(stored.is_empty(), "{} traces that nobody sent: {}", stored.len(), examples(&stored));
        doubled
    }
}

/// What the table has of a request.
#[derive(Debug, Clone, Default)]
struct Stored {
    rows: u64,
    distinct: u64,
    ids: u64,
}

fn stored(sql: &Sql) -> HashMap<String, Stored> {
    let query = "SELECT TraceId AS t, count() AS rows, uniqExact(SpanId) AS distinct, \
                 groupBitXor(reinterpretAsUInt64(reverse(unhex(SpanId)))) AS ids FROM otel_traces GROUP BY t";
    let rows = sql.rows(query, &[]);
    let number = |row: &Value, name: &str| row.get(name).and_then(Value::as_u64).expect("a number");
    let one = |row: &Value| {
        let trace_id = row.get("t").and_then(Value::as_str).expect("a trace id").to_owned();
        let (rows, distinct, ids) = (number(row, "rows"), number(row, "distinct"), number(row, "ids"));
        (trace_id, Stored { rows, distinct, ids })
    };
    rows.iter().map(one).collect()
}

fn examples<T: Debug>(all: impl IntoIterator<Item = T>) -> String {
    all.into_iter().take(3).map(|one| format!("{one:?}")).collect::<Vec<_>>().join(", ")
}
