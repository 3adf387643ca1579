//! Rows of the roll-up tables: five calls a trace, five traces a session, 20,000 users, 20 agents, 30 models of 8 providers.

/// How long the calls went on.
pub(crate) const DAYS: u64 = 30;
/// When they ended: midnight.
pub(crate) const END: &str = "toDateTime64('2026-03-31 00:00:00', 9, 'UTC')";

const CALLS_A_TRACE: u64 = 5;
const DAY_NANOS: u64 = 86_400_000_000_000;

/// The partition of a day.
pub(crate) fn partition(day: u64) -> String {
    format!("'2026-03-{:02}'", day + 1)
}

/// What makes the rows of a day: hour by hour, and then a fifth of the hour's again in a later version.
pub(crate) fn inserts(calls: u64, day: u64) -> impl Iterator<Item = String> {
    let traces = calls / CALLS_A_TRACE;
    let trace_at = move |hours: u64| traces * hours / (DAYS * 24);
    (day * 24..(day + 1) * 24).flat_map(move |hour| {
        let (from, to) = (trace_at(hour), trace_at(hour + 1));
        let step = DAYS * DAY_NANOS / traces;
        [("1", "true"), ("2", "cityHash64(trace) % 5 = 0")].into_iter().flat_map(move |(version, only)| {
            [reports(from, to, step, version, only), of_traces(from, to, step, version, only)]
        })
    })
}

/// When a trace began.
fn began(step: u64) -> String {
    let first = format!("toUnixTimestamp64Nano({END}) - {}", DAYS * DAY_NANOS);
    format!("toInt64({first} + trace * {step} + h % {step})")
}

fn reports(from: u64, to: u64, step: u64, version: &str, only: &str) -> String {
    format!(
        "INSERT INTO genai_report_rows (Workspace, Timestamp, TraceId, SpanId, SpanKind, ServiceName, ParentSpanId, SpanName, \
         Duration, Operation, CountedAs, Provider, RequestModel, ResponseModel, Model, ResponseId, SessionId, ConversationId, \
         UserId, AgentName, InputTokens, OutputTokens, TotalTokens, CacheReadTokens, CostTotal, CostInput, CostOutput, \
         CostSource, PriceId, PriceBook, TimeToFirstToken, Streaming, FinishReasons, FinishReasonsNormalized, IsError, ErrorType, \
         ErrorMessage, ReportedBy, Reports, Digest, Version) \
         WITH {from} + intDiv(number, {CALLS_A_TRACE}) AS trace, number % {CALLS_A_TRACE} AS place, cityHash64(trace) AS h, \
              cityHash64(trace, place) AS c, c % 30 AS model, intDiv(trace, 5) AS session, \
              concat('model-', toString(model), '-2026') AS model_name, concat('session-', toString(session)) AS session_name \
         SELECT 'default', fromUnixTimestamp64Nano({began} + place * 1500000000 + c % 1000000000), lower(hex(MD5(toString(trace)))), \
              lower(hex(c)), 'Client', concat('service-', toString(h % 12)), lower(hex(h)), concat('chat ', model_name), \
              200000000 + c % 5000000000, if(c % 20 = 0, 'embeddings', 'chat'), 'call', concat('provider-', toString(model % 8)), \
              model_name, model_name, model_name, concat('chatcmpl-', hex(c)), session_name, session_name, \
              concat('user-', toString(cityHash64(session) % 20000)), concat('agent-', toString(h % 20)), c % 4000, c % 900, \
              c % 4000 + c % 900, c % 1000, toDecimal64(c % 1000000, 12) / 100000000, toDecimal64(c % 500000, 12) / 100000000, \
              toDecimal64(c % 500000, 12) / 100000000, 'computed', concat('price-', toString(model)), 'book', c % 900000000, true, \
              ['stop'], ['stop'], c % 50 = 0, if(c % 50 = 0, 'timeout', ''), if(c % 50 = 0, 'it took too long', ''), ['span'], 1, \
              c, {version} \
         FROM numbers({count}) WHERE {only}",
        began = began(step),
        count = (to - from) * CALLS_A_TRACE,
    )
}

fn of_traces(from: u64, to: u64, step: u64, version: &str, only: &str) -> String {
    format!(
        "INSERT INTO genai_trace_rows (Workspace, Timestamp, TraceId, Duration, RootSpanId, RootName, RootService, Spans, Errors, \
         Calls, InputTokens, OutputTokens, TotalTokens, CacheReadTokens, CostTotal, Models, Providers, Agents, SessionId, UserId, \
         InputPreview, OutputPreview, Checksum, Digest, Version) \
         WITH {from} + number AS trace, cityHash64(trace) AS h, h % 30 AS model, intDiv(trace, 5) AS session \
         SELECT 'default', fromUnixTimestamp64Nano({began}), lower(hex(MD5(toString(trace)))), 2000000000 + h % 50000000000, \
              lower(hex(h)), concat('POST /ask-', toString(h % 40)), concat('service-', toString(h % 12)), 8, h % 25 = 0, \
              {CALLS_A_TRACE}, h % 20000, h % 4500, h % 20000 + h % 4500, h % 5000, toDecimal128(h % 5000000, 12) / 100000000, \
              [concat('model-', toString(model), '-2026'), concat('model-', toString((model + 7) % 30), '-2026')], \
              [concat('provider-', toString(model % 8))], [concat('agent-', toString(h % 20))], \
              concat('session-', toString(session)), concat('user-', toString(cityHash64(session) % 20000)), \
              concat('What is the weather in city ', toString(h % 100000), ' and do I need a coat when I go there? ', hex(h)), \
              concat('It will rain in the afternoon, ', hex(h + 2), ' so take one, and an umbrella as well. ', hex(h + 3)), \
              h, h, {version} \
         FROM numbers({count}) WHERE {only}",
        began = began(step),
        count = to - from,
    )
}
