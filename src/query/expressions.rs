//! What the fields of answers are in the columns of `otel_traces`, as SQL. No value of a request is part of it.

/// Nanoseconds since 1970 at which a span began.
pub(super) const STARTED: &str = "toUnixTimestamp64Nano(Timestamp)";

/// The session of a span: its own, or one made of its trace.
pub const SESSION: &str = "if(SessionId = '', concat('session-', TraceId), SessionId)";

/// What a session that is made of a trace begins with.
pub const SESSION_OF_TRACE: &str = "session-";

/// The trace that a session may be made from: ids of traces are 32 hex digits, and a span without a trace has none.
pub fn trace_of_session(session: &str) -> Option<&str> {
    let is_id =
        |text: &&str| text.is_empty() || (text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    session.strip_prefix(SESSION_OF_TRACE).filter(is_id)
}

/// The kinds of spans, each with the operations that are of it.
pub(super) const KINDS: [(&str, &[&str]); 9] = [
    ("LLM", &["chat", "text_completion", "generate_content"]),
    ("CHAIN", &["invoke_workflow"]),
    ("TOOL", &["execute_tool"]),
    ("RETRIEVER", &["retrieval"]),
    ("EMBEDDING", &["embeddings"]),
    ("AGENT", &["invoke_agent"]),
    ("RERANKER", &["rerank"]),
    ("EVALUATOR", &["evaluator"]),
    ("GUARDRAIL", &["guardrail"]),
];
/// The kind of every other span.
pub(super) const KIND_UNKNOWN: &str = "UNKNOWN";

/// The kind of an operation.
pub(super) fn kind_of(operation: &str) -> &'static str {
    let found = KINDS.iter().find(|(_, operations)| operations.contains(&operation));
    found.map_or(KIND_UNKNOWN, |(kind, _)| kind)
}

/// How a span ended: a column that ClickHouse fills.
pub const STATUS: &str = "Status";

/// Which way a span came.
pub(super) const SOURCE: &str = "multiIf(SpanAttributes['millrace.source'] != '', SpanAttributes['millrace.source'], \
     JoinState NOT IN ('', 'event'), 'chat_completions', 'otel')";

/// The name of a span: of a captured call its model, as the reference has it.
pub(super) const NAME: &str = "if(JoinState IN ('', 'event') OR (ResponseModel = '' AND RequestModel = ''), SpanName, \
     if(ResponseModel = '', RequestModel, ResponseModel))";

/// The model that answered, or else the one that was asked for.
pub(super) const MODEL: &str = "if(ResponseModel = '', RequestModel, ResponseModel)";

/// What a span got: messages of a model's call; else the input as it was sent, messages, arguments of a tool.
pub const INPUT: &str = "multiIf(\
     Operation IN ('chat', 'text_completion', 'generate_content') AND InputMessages != '', InputMessages, \
     ContentAttributes['input.value'] != '', ContentAttributes['input.value'], \
     InputMessages != '', InputMessages, \
     coalesce(nullIf(ContentAttributes['gen_ai.tool.call.arguments'], ''), nullIf(ContentAttributes['traceloop.entity.input'], ''), \
     nullIf(ContentAttributes['ai.toolCall.args'], ''), nullIf(ContentAttributes['langfuse.observation.input'], ''), \
     nullIf(ContentAttributes['mlflow.spanInputs'], ''), ''))";

/// What it gave.
pub const OUTPUT: &str = "multiIf(\
     Operation IN ('chat', 'text_completion', 'generate_content') AND OutputMessages != '', OutputMessages, \
     ContentAttributes['output.value'] != '', ContentAttributes['output.value'], \
     OutputMessages != '', OutputMessages, \
     coalesce(nullIf(ContentAttributes['gen_ai.tool.call.result'], ''), nullIf(ContentAttributes['traceloop.entity.output'], ''), \
     nullIf(ContentAttributes['ai.toolCall.result'], ''), nullIf(ContentAttributes['langfuse.observation.output'], ''), \
     nullIf(ContentAttributes['mlflow.spanOutputs'], ''), ''))";

/// The root of a trace, or else its first span, is the row for which this is least: by whether it has a parent, its time and its id, as one
/// number, since a tuple takes four times as long.
pub(super) const HEAD: &str = "bitOr(bitShiftLeft(toUInt128(ParentSpanId != ''), 127), \
     bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Nano(Timestamp)), 64), toUInt128(reinterpretAsUInt64(reverse(unhex(SpanId))))))";

/// The experiment that a span belongs to.
pub const EXPERIMENT: &str = "coalesce(nullIf(SpanAttributes['nemo.experiment.id'], ''), \
     nullIf(SpanAttributes['nemo.evaluation.id'], ''), SpanAttributes['nemo.evaluation.name'])";
/// The evaluation, which is the same by its later name.
pub(super) const EVALUATION: &str = "coalesce(nullIf(SpanAttributes['nemo.evaluation.id'], ''), \
     nullIf(SpanAttributes['nemo.evaluation.name'], ''), SpanAttributes['nemo.experiment.id'])";
/// Its test case.
pub const TEST_CASE: &str = "if(SpanAttributes['nemo.test_case.id'] = '', SpanAttributes['nemo.test_case.name'], SpanAttributes['nemo.test_case.id'])";
/// The project of a span.
pub(super) const PROJECT: &str = "if(ResourceAttributes['openinference.project.name'] = '', SpanAttributes['project'], \
     ResourceAttributes['openinference.project.name'])";

/// The first characters of a text, as `mode=preview` shows them.
pub(super) fn preview(expression: &str) -> String {
    format!("leftUTF8({expression}, {PREVIEW_CHARACTERS})")
}

const PREVIEW_CHARACTERS: usize = 300;
