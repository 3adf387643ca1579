//! What is asked: what a page of traces, of usage and of sessions asks first.

use crate::data::END;

/// One question.
pub(crate) struct Question {
    pub(crate) what: String,
    pub(crate) sql: String,
    /// Milliseconds that it may take, warm, on two cores.
    pub(crate) wanted_ms: u32,
}

const LIST: &str = "Timestamp, TraceId, RootService, RootName, Duration, Calls, Errors, TotalTokens, CostTotal, Models, \
                    InputPreview, OutputPreview";

/// A range of time: hours before the end, what it is called, and how soon a list of it is wanted.
const RANGES: [(u32, &str, u32); 4] =
    [(1, "1 hour", 20), (24, "1 day", 50), (7 * 24, "7 days", 100), (30 * 24, "30 days", 100)];

fn within(hours: u32) -> String {
    format!("Timestamp >= {END} - INTERVAL {hours} HOUR AND Timestamp < {END}")
}

/// All of them.
pub(crate) fn all() -> Vec<Question> {
    let orders = [("newest", "Timestamp"), ("costliest", "CostTotal"), ("slowest", "Duration")];
    let lists = orders.into_iter().flat_map(|(word, column)| {
        RANGES.map(|(hours, range, wanted_ms)| Question {
            what: format!("20 {word} traces of {range}"),
            sql: format!("SELECT {LIST} FROM genai_traces WHERE {} ORDER BY {column} DESC LIMIT 20", within(hours)),
            wanted_ms,
        })
    });
    let long = RANGES.into_iter().filter(|(hours, _, _)| *hours >= 7 * 24);
    let keys = [("model", "Model"), ("user", "UserId"), ("session", "SessionId"), ("agent", "AgentName")];
    let usage = keys.into_iter().flat_map(|(word, column)| {
        long.clone().map(move |(hours, range, wanted_ms)| Question {
            what: format!("usage by {word}, {range}"),
            sql: format!(
                "SELECT {column}, Calls, InputTokens, OutputTokens, CostTotal FROM genai_usage_by_{word}_between(since = {END} - INTERVAL {hours} HOUR, until = {END}) \
                 ORDER BY CostTotal DESC LIMIT 50"
            ),
            wanted_ms,
        })
    });
    lists.chain(usage).chain(sessions()).chain(points()).collect()
}

fn sessions() -> impl Iterator<Item = Question> {
    RANGES.into_iter().filter(|(hours, _, _)| *hours >= 24).map(|(hours, range, wanted_ms)| Question {
        what: format!("50 latest sessions of {range}"),
        sql: format!(
            "SELECT * FROM genai_sessions_between(since = {END} - INTERVAL {hours} HOUR, until = {END}) ORDER BY LastTime DESC LIMIT 50"
        ),
        wanted_ms,
    })
}

/// One of something.
fn points() -> [Question; 4] {
    let question = |what: &str, sql: String, wanted_ms| Question { what: what.to_owned(), sql, wanted_ms };
    let hourly = format!("SELECT * FROM genai_usage_1h WHERE Hour >= {END} - INTERVAL 7 DAY AND Hour < {END}");
    [
        question("genai_usage_1h, 7 days", hourly, 100),
        question(
            "a trace by its id",
            "SELECT * FROM genai_traces WHERE TraceId = lower(hex(MD5('77777')))".to_owned(),
            50,
        ),
        question(
            "the calls of a trace",
            "SELECT * FROM genai_calls WHERE TraceId = lower(hex(MD5('77777')))".to_owned(),
            50,
        ),
        question(
            "the traces of a session",
            format!("SELECT {LIST} FROM genai_traces WHERE SessionId = 'session-7777'"),
            50,
        ),
    ]
}
