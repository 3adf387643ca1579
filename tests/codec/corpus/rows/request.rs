//! Tables 3.1 (identity, time, session) and 3.2 (request parameters).

use serde_json::{Value, json};

use crate::corpus::coverage::{Exercise, Row};

fn took_nanos(it: &Exercise) -> i64 {
    it.end_nanos - it.start_nanos
}

fn timing(it: &Exercise, source: &str) -> bool {
    it.attribute("millrace.timing") == source
}

/// Created in units so small that the number has that size, and started then.
fn created_in(it: &Exercise, from: i64, to: i64, nanos_of_unit: i64) -> bool {
    it.at("/response/created")
        .as_i64()
        .is_some_and(|created| (from..to).contains(&created) && it.start_nanos == created * nanos_of_unit)
}

fn output_type(it: &Exercise, want: &str) -> bool {
    it.attribute("gen_ai.output.type") == want
}

fn asks_for(it: &Exercise, modality: &str) -> bool {
    it.at("/request/modalities").as_array().is_some_and(|list| list.contains(&json!(modality)))
}

fn kept_in_rest(it: &Exercise, name: &str) -> bool {
    it.attribute("millrace.request.extra").get(name) == it.ingest["request"].get(name)
}

pub(super) const ROWS: &[Row] = &[
    ("3.1 operation", "constant -> gen_ai.operation.name", |it| it.attribute("gen_ai.operation.name") == "chat"),
    ("3.1 provider", "b.provider, trimmed and lower-cased -> gen_ai.provider.name", |it| {
        it.at("/provider")
            .as_str()
            .is_some_and(|given| given != given.trim().to_lowercase() && it.attribute("gen_ai.provider.name") != given)
    }),
    ("3.1 provider infer", "no provider -> inferred, and marked", |it| {
        !it.has("/provider")
            && it.attribute("millrace.provider.inferred") == true
            && it.attribute("gen_ai.provider.name") != "unknown"
    }),
    ("3.1 provider unknown", "nothing fits -> unknown", |it| {
        !it.has("/provider") && it.attribute("gen_ai.provider.name") == "unknown"
    }),
    ("3.1 name", "q.model -> span name", |it| {
        it.at("/request/model").as_str().is_some_and(|model| it.name == format!("chat {model}"))
    }),
    ("3.1 trace id hex", "32 hex digits or a UUID -> those bytes, in lower case", |it| {
        let given = it.at("/trace_id").as_str().map(|given| given.replace('-', "").to_lowercase());
        given.is_some_and(|given| given == it.trace)
    }),
    ("3.1 trace id other", "any other text -> hashed, the text is kept", |it| {
        it.at("/trace_id").as_str().is_some_and(|given| given.replace('-', "").to_lowercase() != it.trace)
            && it.attribute("millrace.trace_id") == it.at("/trace_id")
            && it.trace.len() == 32
    }),
    ("3.1 trace id empty", "blank -> none", |it| {
        it.at("/trace_id").as_str().is_some_and(|given| given.trim().is_empty())
            && it.attribute("millrace.trace_id").is_null()
    }),
    ("3.1 trace id absent", "absent -> a trace of its own", |it| !it.has("/trace_id") && it.trace.len() == 32),
    ("3.1 span id", "deterministic, whatever the order of members", |it| it.span_ids[0] == it.span_ids[1]),
    ("3.1 parent header", "traceparent -> parentSpanId and traceId", |it| it.traceparent && it.parent.is_some()),
    ("3.1 parent body", "b.parent_span_id -> parentSpanId", |it| {
        let given = it.at("/parent_span_id").as_str().map(str::to_lowercase);
        given.is_some() && it.parent == given
    }),
    ("3.1 session", "b.session_id -> session.id and gen_ai.conversation.id", |it| {
        it.carries("/session_id", "session.id") && it.carries("/session_id", "gen_ai.conversation.id")
    }),
    ("3.1 session absent", "no session -> no conversation id", |it| {
        !it.has("/session_id") && it.attribute("gen_ai.conversation.id").is_null()
    }),
    ("3.1 created s", "seconds -> start", |it| created_in(it, 1, 100_000_000_000, 1_000_000_000)),
    ("3.1 created ms", ">= 1e11 is milliseconds", |it| created_in(it, 100_000_000_000, 100_000_000_000_000, 1_000_000)),
    ("3.1 created us", ">= 1e14 is microseconds", |it| {
        created_in(it, 100_000_000_000_000, 100_000_000_000_000_000, 1000)
    }),
    ("3.1 created ns", ">= 1e17 is nanoseconds", |it| created_in(it, 100_000_000_000_000_000, i64::MAX, 1)),
    ("3.1 created unknown", "0, negative, not a number -> unknown", |it| {
        let created = it.at("/response/created");
        let is_no_time = created.is_string() || created.as_i64().is_some_and(|created| created <= 0);
        is_no_time && timing(it, "unknown")
    }),
    ("3.1 created future", "later than now -> now", |it| {
        let created = it.at("/response/created").as_i64();
        let later = it.received_nanos.zip(created).is_some_and(|(now, created)| created * 1_000_000_000 > now);
        later && Some(it.start_nanos) == it.received_nanos
    }),
    ("3.1 duration groq", "u.queue_time + u.total_time -> end, derived", |it| {
        it.has("/response/usage/queue_time") && took_nanos(it) == 750_000_000 && timing(it, "derived")
    }),
    ("3.1 duration vllm", "metrics -> end, derived", |it| {
        it.has("/response/metrics/generation_time_ms") && took_nanos(it) == 500_000_000 && timing(it, "derived")
    }),
    ("3.1 duration llama.cpp", "timings -> end, derived", |it| {
        it.has("/response/timings") && took_nanos(it) == 30_000_000 && timing(it, "derived")
    }),
    ("3.1 duration litellm", "_response_ms -> end, derived", |it| {
        it.has("/response/_response_ms") && took_nanos(it) == 812_500_000 && timing(it, "derived")
    }),
    ("3.1 duration ingest", "created less than 15 minutes ago -> end = now", |it| {
        timing(it, "ingest") && Some(it.end_nanos) == it.received_nanos && took_nanos(it) > 0
    }),
    ("3.1 duration unknown", "created earlier -> end = start", |it| {
        timing(it, "unknown") && it.has("/response/created") && took_nanos(it) == 0
    }),
    ("3.1 experiment", "experiment_context -> nemo.experiment.id, nemo.test_case.id", |it| {
        it.carries("/experiment_context/experiment_id", "nemo.experiment.id")
            && it.carries("/experiment_context/test_case_id", "nemo.test_case.id")
    }),
    ("3.1 evaluation", "evaluation_context when there is no other", |it| {
        !it.has("/experiment_context")
            && it.carries("/evaluation_context/evaluation_id", "nemo.experiment.id")
            && it.carries("/evaluation_context/test_case_id", "nemo.test_case.id")
    }),
    ("3.1 both contexts", "experiment_context wins as a whole", |it| {
        it.has("/evaluation_context/test_case_id")
            && it.carries("/experiment_context/experiment_id", "nemo.experiment.id")
            && it.attribute("nemo.test_case.id").is_null()
    }),
    ("3.1 user", "q.user -> user.id", |it| it.carries("/request/user", "user.id")),
    ("3.1 safety identifier", "else q.safety_identifier", |it| {
        !it.has("/request/user") && it.carries("/request/safety_identifier", "user.id")
    }),
    ("3.2 model", "q.model -> gen_ai.request.model", |it| it.carries("/request/model", "gen_ai.request.model")),
    ("3.2 api type", "constant -> openai.api.type", |it| it.attribute("openai.api.type") == "chat_completions"),
    ("3.2 max_completion", "q.max_completion_tokens, before q.max_tokens", |it| {
        it.has("/request/max_tokens") && it.carries("/request/max_completion_tokens", "gen_ai.request.max_tokens")
    }),
    ("3.2 max_tokens", "else q.max_tokens", |it| it.carries("/request/max_tokens", "gen_ai.request.max_tokens")),
    ("3.2 n", "q.n -> choice.count", |it| it.carries("/request/n", "gen_ai.request.choice.count")),
    ("3.2 n = 1", "absent", |it| it.at("/request/n") == 1 && it.attribute("gen_ai.request.choice.count").is_null()),
    ("3.2 temperature", "double, 0 is kept", |it| {
        it.at("/request/temperature") == 0 && it.carries("/request/temperature", "gen_ai.request.temperature")
    }),
    ("3.2 top_p", "double, integers widen", |it| {
        it.at("/request/top_p").is_i64() && it.carries("/request/top_p", "gen_ai.request.top_p")
    }),
    ("3.2 frequency_penalty", "double", |it| {
        it.carries("/request/frequency_penalty", "gen_ai.request.frequency_penalty")
    }),
    ("3.2 presence_penalty", "double", |it| it.carries("/request/presence_penalty", "gen_ai.request.presence_penalty")),
    ("3.2 top_k", "int, if > 0", |it| it.carries("/request/top_k", "gen_ai.request.top_k")),
    ("3.2 top_k off", "0 and below -> absent", |it| {
        it.at("/request/top_k").as_i64().is_some_and(|top_k| top_k <= 0)
            && it.attribute("gen_ai.request.top_k").is_null()
    }),
    ("3.2 top_logprobs", "never top_k", |it| {
        it.has("/request/top_logprobs") && !it.has("/request/top_k") && it.attribute("gen_ai.request.top_k").is_null()
    }),
    ("3.2 stop list", "list -> stop_sequences", |it| it.carries("/request/stop", "gen_ai.request.stop_sequences")),
    ("3.2 stop text", "text -> list of one", |it| {
        it.at("/request/stop").is_string()
            && it.attribute("gen_ai.request.stop_sequences") == &json!([it.at("/request/stop")])
    }),
    ("3.2 stop empty", "empty list -> absent", |it| {
        it.at("/request/stop") == &json!([]) && it.attribute("gen_ai.request.stop_sequences").is_null()
    }),
    ("3.2 seed", "q.seed -> seed", |it| it.carries("/request/seed", "gen_ai.request.seed")),
    ("3.2 random_seed", "else q.random_seed", |it| {
        !it.has("/request/seed") && it.carries("/request/random_seed", "gen_ai.request.seed")
    }),
    ("3.2 seed fraction", "only whole numbers; else in the rest", |it| {
        it.at("/request/seed").is_f64() && it.attribute("gen_ai.request.seed").is_null() && kept_in_rest(it, "seed")
    }),
    ("3.2 stream", "true -> stream", |it| {
        it.at("/request/stream") == true && it.attribute("gen_ai.request.stream") == true
    }),
    ("3.2 stream false", "absent", |it| {
        it.at("/request/stream") == false && it.attribute("gen_ai.request.stream").is_null()
    }),
    ("3.2 stream by response", "true when the response is chunks", |it| {
        !it.has("/request/stream") && it.attribute("gen_ai.request.stream") == true
    }),
    ("3.2 reasoning_effort", "-> reasoning.level", |it| {
        it.carries("/request/reasoning_effort", "gen_ai.request.reasoning.level")
    }),
    ("3.2 reasoning.effort", "else q.reasoning.effort", |it| {
        it.carries("/request/reasoning/effort", "gen_ai.request.reasoning.level")
    }),
    ("3.2 service_tier", "-> openai.request.service_tier", |it| {
        it.carries("/request/service_tier", "openai.request.service_tier")
    }),
    ("3.2 service_tier auto", "absent", |it| {
        it.at("/request/service_tier") == "auto" && it.attribute("openai.request.service_tier").is_null()
    }),
    ("3.2 output speech", "modalities with audio", |it| asks_for(it, "audio") && output_type(it, "speech")),
    ("3.2 output image", "modalities with image", |it| asks_for(it, "image") && output_type(it, "image")),
    ("3.2 output json", "response_format json_object or json_schema", |it| {
        it.has("/request/response_format/type") && output_type(it, "json")
    }),
    ("3.2 output guided", "guided_json or structured_outputs", |it| {
        (it.has("/request/guided_json") || it.has("/request/structured_outputs")) && output_type(it, "json")
    }),
    ("3.2 output text", "response_format text, given as a string", |it| {
        it.at("/request/response_format") == "text" && output_type(it, "text")
    }),
    ("3.2 tools", "q.tools -> gen_ai.tool.definitions", |it| {
        it.has("/request/tools") && it.attribute("gen_ai.tool.definitions").is_array()
    }),
    ("3.2 functions", "q.functions -> gen_ai.tool.definitions", |it| {
        it.has("/request/functions") && it.attribute("gen_ai.tool.definitions").is_array()
    }),
    ("3.2 messages", "q.messages -> gen_ai.input.messages, as many", |it| {
        let many = it.at("/request/messages").as_array().map_or(0, Vec::len);
        many > 1 && it.attribute("gen_ai.input.messages").as_array().map(Vec::len) == Some(many)
    }),
    ("3.2 rest", "everything else non-null -> millrace.request.extra, in order", |it| {
        let Some(rest) = it.attribute("millrace.request.extra").as_object() else {
            return false;
        };
        let sent: Vec<&String> = it.at("/request").as_object().into_iter().flat_map(|sent| sent.keys()).collect();
        let places: Vec<_> = rest.keys().map(|key| sent.iter().position(|name| *name == key)).collect();
        places.len() > 1 && places.is_sorted() && rest.values().all(|value| !value.is_null())
    }),
    ("3.2 raw", "the whole raw request in its own column, null members too", |it| {
        it.raw_as_sent[0] && it.at("/request").as_object().is_some_and(|request| request.values().any(Value::is_null))
    }),
    ("3.2 rest null", "null members are left out", |it| {
        let nulls: Vec<_> =
            it.at("/request").as_object().into_iter().flatten().filter(|(_, value)| value.is_null()).collect();
        let rest = it.attribute("millrace.request.extra");
        !nulls.is_empty() && rest.is_object() && nulls.iter().all(|(key, _)| rest.get(*key).is_none())
    }),
    ("3.2 wrong type", "not coerced, kept in the rest", |it| {
        it.at("/request/temperature").is_string()
            && it.attribute("gen_ai.request.temperature") == &Value::Null
            && kept_in_rest(it, "temperature")
    }),
];
