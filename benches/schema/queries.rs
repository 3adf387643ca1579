//! The questions, as each schema answers them: about the same trace, service, minute or word, so that both give the same rows.

/// What one run of the questions is about.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Case {
    trace: String,
    service: String,
    name: String,
    /// Start of a quarter of an hour.
    quarter: String,
    day: String,
    /// A rare value of an attribute.
    person: String,
    session: String,
    /// Two neighbouring words of a message.
    phrase: String,
}

/// One question.
pub(crate) struct Question {
    pub(crate) what: &'static str,
    pub(crate) stock: fn(&Case) -> String,
    pub(crate) ours: fn(&Case) -> String,
}

const LIST: &str = "TraceId, SpanId, ParentSpanId, ServiceName, SpanName, Timestamp, Duration, StatusCode";

/// Picks cases from the table, the same each time.
pub(crate) fn cases(with_calls: bool, count: usize) -> String {
    let (person, session, phrase) = if with_calls {
        ("UserId", "SessionId", "extract(InputMessages, '[a-z]{7,} [a-z]{7,}')")
    } else {
        ("SpanAttributes['enduser.id']", "''", "''")
    };
    format!(
        "SELECT TraceId AS trace, ServiceName AS service, SpanName AS name, toString(toStartOfFifteenMinutes(Timestamp)) AS \
         quarter, toString(toDate(Timestamp)) AS day, {person} AS person, {session} AS session, {phrase} AS phrase \
         FROM ours.otel_traces WHERE toHour(Timestamp) BETWEEN 8 AND 20 AND sipHash64(SpanId) % 50 = 7 \
         ORDER BY sipHash64(SpanId) LIMIT {count}"
    )
}

fn within(column: &str, from: &str, seconds: u32) -> String {
    format!("{column} >= toDateTime('{from}') AND {column} < toDateTime('{from}') + {seconds}")
}

fn quarter(case: &Case) -> String {
    within("Timestamp", &case.quarter, 900)
}

fn day(case: &Case) -> String {
    within("Timestamp", &format!("{} 00:00:00", case.day), 86_400)
}

fn last_20(table: &str, filter: &str) -> String {
    format!("SELECT {LIST} FROM {table}.otel_traces WHERE {filter} ORDER BY Timestamp DESC LIMIT 20")
}

fn of_service(table: &str, case: &Case) -> String {
    last_20(table, &format!("ServiceName = '{}' AND {}", case.service, quarter(case)))
}

fn of_name(table: &str, case: &Case) -> String {
    last_20(table, &format!("ServiceName = '{}' AND SpanName = '{}' AND {}", case.service, case.name, quarter(case)))
}

fn name_in_a_day(table: &str, case: &Case) -> String {
    format!(
        "SELECT count(), quantile(0.95)(Duration) FROM {table}.otel_traces WHERE ServiceName = '{}' AND SpanName = '{}' AND {}",
        case.service,
        case.name,
        day(case)
    )
}

fn percentiles(table: &str) -> String {
    format!(
        "SELECT ServiceName, toStartOfHour(Timestamp) AS hour, count(), quantile(0.95)(Duration) FROM {table}.otel_traces \
         GROUP BY ServiceName, hour"
    )
}

fn trace(table: &str, case: &Case, attributes: &str) -> String {
    format!(
        "SELECT {LIST}, StatusMessage, ResourceAttributes, {attributes} FROM {table}.otel_traces WHERE TraceId = '{}' \
         ORDER BY Timestamp",
        case.trace
    )
}

/// About both kinds of data.
pub(crate) const GENERAL: &[Question] = &[
    Question {
        what: "one trace by id, all attributes",
        stock: |case| trace("stock", case, "SpanAttributes"),
        ours: |case| trace("ours", case, "AllAttributes"),
    },
    Question {
        what: "last 20 of a service in 15 minutes",
        stock: |case| of_service("stock", case),
        ours: |case| of_service("ours", case),
    },
    Question {
        what: "last 20 of service and name in 15 minutes",
        stock: |case| of_name("stock", case),
        ours: |case| of_name("ours", case),
    },
];

/// About ordinary spans.
pub(crate) const OF_SERVICES: &[Question] = &[
    Question {
        what: "attribute equals value, a day",
        stock: |case| last_20("stock", &format!("SpanAttributes['enduser.id'] = '{}' AND {}", case.person, day(case))),
        ours: |case| last_20("ours", &format!("SpanAttributes['enduser.id'] = '{}' AND {}", case.person, day(case))),
    },
    Question {
        what: "(besides) p95 of service and name, a day",
        stock: |case| name_in_a_day("stock", case),
        ours: |case| name_in_a_day("ours", case),
    },
    Question {
        what: "(besides) p95 by service and hour, a week",
        stock: |_| percentiles("stock"),
        ours: |_| percentiles("ours"),
    },
];

fn cost(table: &str, operation: &str, model: &str, cost: &str) -> String {
    let week = within("Timestamp", "2026-10-05 00:00:00", 7 * 86_400);
    format!(
        "SELECT toStartOfHour(Timestamp) AS hour, {model} AS model, sum({cost}) FROM {table}.otel_traces \
         WHERE {operation} = 'chat' AND {week} GROUP BY hour, model"
    )
}

fn sessions(table: &str, session: &str, tokens: &str, case: &Case) -> String {
    format!(
        "SELECT {session} AS session, min(Timestamp) AS began, max(Timestamp), count(), sum({tokens}) FROM {table}.otel_traces \
         WHERE {session} != '' AND {} GROUP BY session ORDER BY began DESC, session LIMIT 50",
        day(case)
    )
}

fn search(table: &str, messages: &str, case: &Case) -> String {
    last_20(table, &format!("{messages} LIKE '%{}%' AND {}", case.phrase, day(case)))
}

fn of_session(table: &str, session: &str, case: &Case) -> String {
    format!("SELECT {LIST} FROM {table}.otel_traces WHERE {session} = '{}' ORDER BY Timestamp", case.session)
}

/// About LLM calls.
pub(crate) const OF_CALLS: &[Question] = &[
    Question {
        what: "attribute equals value, a day",
        stock: |case| last_20("stock", &format!("SpanAttributes['user.id'] = '{}' AND {}", case.person, day(case))),
        ours: |case| last_20("ours", &format!("UserId = '{}' AND {}", case.person, day(case))),
    },
    Question {
        what: "phrase in input messages, a day",
        stock: |case| search("stock", "SpanAttributes['gen_ai.input.messages']", case),
        ours: |case| search("ours", "InputMessages", case),
    },
    Question {
        what: "cost by model and hour, 7 days",
        stock: |_| {
            cost(
                "stock",
                "SpanAttributes['gen_ai.operation.name']",
                "SpanAttributes['gen_ai.response.model']",
                "toDecimal64OrZero(SpanAttributes['gen_ai.usage.cost'], 12)",
            )
        },
        ours: |_| cost("ours", "Operation", "ResponseModel", "CostTotal"),
    },
    Question {
        what: "list of the last 50 sessions of a day",
        stock: |case| {
            let tokens = "toUInt64OrZero(SpanAttributes['gen_ai.usage.input_tokens'])";
            sessions("stock", "SpanAttributes['session.id']", tokens, case)
        },
        ours: |case| sessions("ours", "SessionId", "InputTokens", case),
    },
    Question {
        what: "(besides) the calls of one session",
        stock: |case| of_session("stock", "SpanAttributes['session.id']", case),
        ours: |case| of_session("ours", "SessionId", case),
    },
];
