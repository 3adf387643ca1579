//! Which attributes a convention has a meaning for: one table of keys, and the families of numbered keys.
//!
//! ```text
//! key --first bytes--> no convention's                           nearly all keys of nearly all spans end here
//!     --hash--> TABLE --> Slot                                an exact key
//!     --prefix--> Family | request parameter | content        gen_ai.prompt.0.content, gen_ai.request.top_p, ...
//! ```
//!
//! Source: section 4 of the mapping specification; what real instrumentations send beside it.

use crate::columns::typed::Kind;

/// What a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A key of the table.
    Slot(Slot),
    /// `gen_ai.request.` and a name: the name begins at this byte.
    Parameter(usize),
    /// One of many that together are one thing; what tells them apart begins at this byte.
    Member(Family, usize),
    /// Content that no typed column comes of.
    Content,
    /// Nothing.
    None,
}

/// Keys with numbers in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// `gen_ai.prompt.{i}.`
    Prompts,
    /// `gen_ai.completion.{i}.`
    Completions,
    /// `llm.input_messages.{i}.`
    InputMessages,
    /// `llm.output_messages.{i}.`
    OutputMessages,
    /// `llm.tools.{i}.`
    Tools,
    /// `llm.request.functions.{i}.`
    Functions,
}

/// How many families there are.
pub(crate) const FAMILIES: usize = 6;

macro_rules! keys {
    ($($kind:ident { $($slot:ident = $key:literal;)* })*) => {
        /// The keys that mean something, by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Slot { $($($slot),*),* }

        /// Key, slot and kind of each.
        const KEYS: &[(&str, Slot, Kind)] = &[$($(($key, Slot::$slot, Kind::$kind)),*),*];

        impl Slot {
            /// Its key.
            pub(crate) fn key(self) -> &'static str {
                match self { $($(Self::$slot => $key),*),* }
            }
        }
    };
}

keys! {
    Typed {
        OperationName = "gen_ai.operation.name";
        OpeninferenceSpanKind = "openinference.span.kind";
        LangfuseObservationType = "langfuse.observation.type";
        AiOperationId = "ai.operationId";
        AiOperationName = "operation.name";
        TraceloopSpanKind = "traceloop.span.kind";
        LlmRequestType = "llm.request.type";
        MlflowSpanType = "mlflow.spanType";
        McpMethodName = "mcp.method.name";

        ProviderName = "gen_ai.provider.name";
        System = "gen_ai.system";
        LlmProvider = "llm.provider";
        LlmSystem = "llm.system";
        AiModelProvider = "ai.model.provider";
        MlflowProvider = "mlflow.llm.provider";

        RequestModel = "gen_ai.request.model";
        LlmRequestModelName = "llm.request.model_name";
        LlmModelName = "llm.model_name";
        EmbeddingModelName = "embedding.model_name";
        AiModelId = "ai.model.id";
        LangfuseModelName = "langfuse.observation.model.name";
        MlflowModel = "mlflow.llm.model";
        RerankerModelName = "reranker.model_name";

        ResponseModel = "gen_ai.response.model";
        LlmResponseModelName = "llm.response.model_name";
        AiResponseModel = "ai.response.model";
        ResponseId = "gen_ai.response.id";
        AiResponseId = "ai.response.id";

        SessionId = "session.id";
        LangfuseSessionId = "langfuse.session.id";
        ConversationId = "gen_ai.conversation.id";
        AiSessionId = "ai.telemetry.metadata.sessionId";
        TraceloopSessionId = "traceloop.association.properties.session_id";
        MlflowSession = "mlflow.trace.session";
        LangsmithSessionId = "langsmith.metadata.session_id";

        UserId = "user.id";
        LangfuseUserId = "langfuse.user.id";
        EnduserId = "enduser.id";
        LlmUser = "llm.user";
        GenAiUser = "gen_ai.user";
        RequestUser = "gen_ai.request.user";
        AiUserId = "ai.telemetry.metadata.userId";
        MlflowUser = "mlflow.trace.user";
        TraceloopUserId = "traceloop.association.properties.user_id";

        InputTokens = "gen_ai.usage.input_tokens";
        PromptTokens = "gen_ai.usage.prompt_tokens";
        LlmCountPrompt = "llm.token_count.prompt";
        LlmUsagePrompt = "llm.usage.prompt_tokens";
        AiInputTokens = "ai.usage.inputTokens";
        AiPromptTokens = "ai.usage.promptTokens";
        AiTokens = "ai.usage.tokens";
        OutputTokens = "gen_ai.usage.output_tokens";
        CompletionTokens = "gen_ai.usage.completion_tokens";
        LlmCountCompletion = "llm.token_count.completion";
        LlmUsageCompletion = "llm.usage.completion_tokens";
        AiOutputTokens = "ai.usage.outputTokens";
        AiCompletionTokens = "ai.usage.completionTokens";
        LangfuseUsage = "langfuse.observation.usage_details";
        MlflowUsage = "mlflow.chat.tokenUsage";
        MlflowUsageInput = "mlflow.chat.tokenUsage.input_tokens";
        MlflowUsageOutput = "mlflow.chat.tokenUsage.output_tokens";
        MlflowUsageCacheRead = "mlflow.chat.tokenUsage.cache_read_input_tokens";
        LitellmUsage = "metadata.usage_object";

        CacheRead = "gen_ai.usage.cache_read.input_tokens";
        CacheReadFlat = "gen_ai.usage.cache_read_input_tokens";
        CacheReadSentry = "gen_ai.usage.input_tokens.cached";
        CacheReadPydantic = "gen_ai.usage.details.cache_read_tokens";
        CacheReadOpenlit = "gen_ai.usage.prompt_tokens_details.cached_tokens";
        CachedTokens = "gen_ai.usage.cached_tokens";
        InputCacheTokens = "gen_ai.usage.input_cache_tokens";
        LlmCacheRead = "llm.token_count.prompt_details.cache_read";
        LlmCacheInput = "llm.token_count.prompt_details.cache_input";
        AiCacheRead = "ai.usage.inputTokenDetails.cacheReadTokens";
        AiCachedInput = "ai.usage.cachedInputTokens";

        CacheWrite = "gen_ai.usage.cache_write.input_tokens";
        CacheCreation = "gen_ai.usage.cache_creation.input_tokens";
        CacheCreationFlat = "gen_ai.usage.cache_creation_input_tokens";
        CacheWriteSentry = "gen_ai.usage.input_tokens.cache_write";
        CacheWritePydantic = "gen_ai.usage.details.cache_write_tokens";
        CacheWriteOpenlit = "gen_ai.usage.prompt_tokens_details.cache_creation_tokens";
        LlmCacheWrite = "llm.token_count.prompt_details.cache_write";
        AiCacheWrite = "ai.usage.inputTokenDetails.cacheWriteTokens";

        Reasoning = "gen_ai.usage.reasoning.output_tokens";
        ReasoningFlat = "gen_ai.usage.reasoning_tokens";
        ReasoningSentry = "gen_ai.usage.output_tokens.reasoning";
        ReasoningOpenlit = "gen_ai.usage.completion_tokens_details.reasoning_tokens";
        ReasoningPydantic = "gen_ai.usage.details.reasoning_tokens";
        LlmUsageReasoning = "llm.usage.reasoning_tokens";
        LlmReasoning = "llm.token_count.completion_details.reasoning";
        AiReasoningDetail = "ai.usage.outputTokenDetails.reasoningTokens";
        AiReasoning = "ai.usage.reasoningTokens";

        AudioInput = "gen_ai.usage.audio.input_tokens";
        AudioOutput = "gen_ai.usage.audio.output_tokens";
        LlmAudioInput = "llm.token_count.prompt_details.audio";
        LlmAudioOutput = "llm.token_count.completion_details.audio";

        UsageCost = "gen_ai.usage.cost";
        CostAmount = "gen_ai.usage.cost.amount";
        CostCurrency = "gen_ai.usage.cost.currency";
        LlmCostTotal = "llm.cost.total";
        LangfuseCost = "langfuse.observation.cost_details";
        OperationCost = "operation.cost";
        GenAiTotalCost = "gen_ai.cost.total_cost";
        LitellmCostTotal = "litellm.cost.total";
        MlflowCost = "mlflow.llm.cost";
        MlflowCostTotal = "mlflow.llm.cost.total_cost";
        UsageTotalCost = "gen_ai.usage.total_cost";
        UsageCostUsd = "gen_ai.usage.cost_usd";
        LlmUsageTotalCost = "llm.usage.total_cost";
        SentryCostTotal = "gen_ai.cost.total_tokens";
        AiTotalCost = "ai.total_cost";
        LlmCostPrompt = "llm.cost.prompt";
        GenAiInputCost = "gen_ai.cost.input_cost";
        MlflowCostInput = "mlflow.llm.cost.input_cost";
        SentryCostInput = "gen_ai.cost.input_tokens";
        LitellmCostInput = "litellm.cost.input";
        LlmCostCompletion = "llm.cost.completion";
        GenAiOutputCost = "gen_ai.cost.output_cost";
        MlflowCostOutput = "mlflow.llm.cost.output_cost";
        SentryCostOutput = "gen_ai.cost.output_tokens";
        LitellmCostOutput = "litellm.cost.output";
        MillraceCostSource = "millrace.cost.source";
        MillraceTiming = "millrace.timing";

        FinishReasons = "gen_ai.response.finish_reasons";
        FinishReason = "gen_ai.response.finish_reason";
        LlmFinishReason = "llm.response.finish_reason";
        LlmStopReason = "llm.response.stop_reason";
        LlmFinish = "llm.finish_reason";
        AiFinishReason = "ai.response.finishReason";

        Stream = "gen_ai.request.stream";
        IsStreaming = "gen_ai.is_streaming";
        LlmIsStreaming = "llm.is_streaming";
        IsStream = "gen_ai.request.is_stream";
        LitellmStreaming = "litellm.request.streaming";
        TimeToFirstChunk = "gen_ai.response.time_to_first_chunk";
        ClientTimeToFirstChunk = "gen_ai.client.operation.time_to_first_chunk";
        AiMsToFirstChunk = "ai.response.msToFirstChunk";
        LangfuseCompletionStart = "langfuse.observation.completion_start_time";
        ServerTimeToFirstToken = "gen_ai.server.time_to_first_token";

        ToolName = "gen_ai.tool.name";
        ToolNamePlain = "tool.name";
        AiToolName = "ai.toolCall.name";
        TraceloopEntityName = "traceloop.entity.name";
        ToolCallId = "gen_ai.tool.call.id";
        ToolId = "tool.id";
        ToolCallIdPlain = "tool_call.id";
        AiToolCallId = "ai.toolCall.id";
        AgentName = "gen_ai.agent.name";
        AgentNamePlain = "agent.name";
        WorkflowName = "gen_ai.workflow.name";
        TraceloopWorkflowName = "traceloop.workflow.name";

        ErrorType = "error.type";
        ExceptionType = "exception.type";
        ExceptionMessage = "exception.message";
        LangfuseLevel = "langfuse.observation.level";
        LangfuseStatusMessage = "langfuse.observation.status_message";

        InvocationParameters = "llm.invocation_parameters";
        LangfuseParameters = "langfuse.observation.model.parameters";
        LlmTemperature = "llm.temperature";
        LlmTopP = "llm.top_p";
        LlmTopK = "llm.top_k";
        LlmFrequencyPenalty = "llm.frequency_penalty";
        LlmPresencePenalty = "llm.presence_penalty";
        LlmStopSequences = "llm.chat.stop_sequences";
        AiMaxTokens = "ai.settings.maxTokens";
        AiMaxOutputTokens = "ai.settings.maxOutputTokens";
        AiTemperature = "ai.settings.temperature";
        AiTopP = "ai.settings.topP";
        AiTopK = "ai.settings.topK";
        AiFrequencyPenalty = "ai.settings.frequencyPenalty";
        AiPresencePenalty = "ai.settings.presencePenalty";
        AiStopSequences = "ai.settings.stopSequences";
        AiSeed = "ai.settings.seed";
        OpenaiSeed = "gen_ai.openai.request.seed";
        OutputType = "gen_ai.output.type";
        ResponseFormat = "gen_ai.openai.request.response_format";
        ServiceTier = "openai.request.service_tier";
        OldServiceTier = "gen_ai.openai.request.service_tier";
    }
    // looked at only when the span failed, which every failed span is
    Ordinary {
        HttpStatusCode = "http.response.status_code";
        OldHttpStatusCode = "http.status_code";
        RpcResponseStatusCode = "rpc.response.status_code";
        GrpcStatusCode = "rpc.grpc.status_code";
    }
    Content {
        InputMessages = "gen_ai.input.messages";
        OutputMessages = "gen_ai.output.messages";
        SystemInstructions = "gen_ai.system_instructions";
        ToolDefinitions = "gen_ai.tool.definitions";
        SentryMessages = "gen_ai.request.messages";
        SentryText = "gen_ai.response.text";
        SentryToolCalls = "gen_ai.response.tool_calls";
        AvailableTools = "gen_ai.request.available_tools";
        Prompt = "gen_ai.prompt";
        Completion = "gen_ai.completion";
        InputValue = "input.value";
        OutputValue = "output.value";
        AiPrompt = "ai.prompt";
        AiPromptMessages = "ai.prompt.messages";
        AiPromptTools = "ai.prompt.tools";
        AiResponseText = "ai.response.text";
        AiResponseReasoning = "ai.response.reasoning";
        AiResponseToolCalls = "ai.response.toolCalls";
        AiResponseObject = "ai.response.object";
        AiResultText = "ai.result.text";
        AiResultToolCalls = "ai.result.toolCalls";
        AiResultObject = "ai.result.object";
        LangfuseInput = "langfuse.observation.input";
        LangfuseOutput = "langfuse.observation.output";
        MlflowInputs = "mlflow.spanInputs";
        MlflowOutputs = "mlflow.spanOutputs";
        MlflowTools = "mlflow.chat.tools";
        TraceloopInput = "traceloop.entity.input";
        TraceloopOutput = "traceloop.entity.output";
        VertexRequest = "gcp.vertex.agent.llm_request";
        VertexResponse = "gcp.vertex.agent.llm_response";
        LogfireEvents = "events";
        PydanticMessages = "all_messages_events";
        PydanticAllMessages = "pydantic_ai.all_messages";
        PydanticResult = "final_result";
    }
}

/// Content that no typed column comes of: what tools got and gave, whole traces' input, documents.
const CONTENT: &[&str] = &[
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.tool.input",
    "gen_ai.tool.output",
    "gen_ai.retrieval.documents",
    "gen_ai.retrieval.query.text",
    "gen_ai.memory.records",
    "gen_ai.memory.query.text",
    "gen_ai.response.object",
    "gen_ai.embeddings.input",
    "tool.parameters",
    "tool_arguments",
    "tool_response",
    "ai.toolCall.args",
    "ai.toolCall.result",
    "ai.toolCall.input",
    "ai.toolCall.output",
    "ai.response.files",
    "ai.response.reasoningText",
    "ai.result.reasoning",
    "ai.prompt.toolChoice",
    "ai.value",
    "ai.values",
    "ai.embedding",
    "ai.embeddings",
    "ai.schema",
    "langfuse.trace.input",
    "langfuse.trace.output",
    "model_request_parameters",
    "request_data",
    "response_data",
    "gcp.vertex.agent.tool_call_args",
    "gcp.vertex.agent.tool_response",
    "gcp.vertex.agent.data",
    "mlflow.chat.messages",
    "llm.prompt_template.template",
    "llm.prompt_template.variables",
    "reranker.query",
    "embedding.text",
];

/// Keys and their numbers, spread by [`hash`]: an empty place is 0, the others hold a key's number and 1.
const TABLE: [u16; TABLE_LEN] = table();
const TABLE_LEN: usize = 1024;

#[expect(clippy::indexing_slicing, reason = "it runs when this is compiled")]
const fn table() -> [u16; TABLE_LEN] {
    let mut table = [0; TABLE_LEN];
    let mut number = 0;
    while number < KEYS.len() + CONTENT.len() {
        let mut at = hash(key_of(number).as_bytes()) % TABLE_LEN;
        while table[at] != 0 {
            at = (at + 1) % TABLE_LEN;
        }
        table[at] = number as u16 + 1;
        number += 1;
    }
    table
}

#[expect(clippy::indexing_slicing, reason = "the tests go through every number")]
const fn key_of(number: usize) -> &'static str {
    if number < KEYS.len() { KEYS[number].0 } else { CONTENT[number - KEYS.len()] }
}

/// Takes eight bytes at a step; the last step overlaps the one before.
const fn hash(key: &[u8]) -> usize {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = key.len() as u64;
    let mut rest = key;
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        state = (state ^ u64::from_le_bytes(*word)).wrapping_mul(MIX);
        state ^= state >> 29;
        rest = behind;
    }
    if let Some(word) = key.last_chunk::<8>() {
        state = (state ^ u64::from_le_bytes(*word)).wrapping_mul(MIX);
    } else {
        while let Some((byte, behind)) = rest.split_first() {
            state = (state ^ *byte as u64).wrapping_mul(MIX);
            rest = behind;
        }
    }
    (state >> 40) as usize
}

fn exact(key: &[u8]) -> Option<Meaning> {
    let mut at = hash(key) % TABLE_LEN;
    loop {
        let number = usize::from(TABLE.get(at).copied().unwrap_or(0)).checked_sub(1)?;
        match KEYS.get(number) {
            Some((known, slot, _)) if known.as_bytes() == key => return Some(Meaning::Slot(*slot)),
            None if CONTENT.get(number - KEYS.len()).is_some_and(|known| known.as_bytes() == key) => {
                return Some(Meaning::Content);
            }
            _ => at = (at + 1) % TABLE_LEN,
        }
    }
}

/// What an attribute is. Called for every attribute of every span: the first bytes settle it for nearly all.
#[inline]
#[must_use]
pub fn kind(key: &[u8]) -> Kind {
    match key.first_chunk() {
        Some(head) if is_head(u32::from_le_bytes(*head)) => kind_in_a_convention(key),
        _ => Kind::Ordinary,
    }
}

fn kind_in_a_convention(key: &[u8]) -> Kind {
    match meaning(key) {
        Meaning::Slot(slot) => KEYS.get(slot as usize).map_or(Kind::Typed, |(_, _, kind)| *kind),
        Meaning::Parameter(_) => Kind::Typed,
        Meaning::Member(..) | Meaning::Content => Kind::Content,
        Meaning::None => Kind::Ordinary,
    }
}

/// How the keys of conventions begin, and those of the few keys that every span may have. Compared as one number.
#[inline]
fn is_head(head: u32) -> bool {
    const fn of(head: &[u8; 4]) -> u32 {
        u32::from_le_bytes(*head)
    }
    macro_rules! any_of {
        ($($head:literal)*) => {{
            $(const { assert!($head.len() == 4) };)*
            [$(const { of($head) }),*].into_iter().fold(false, |seen, known| seen | (known == head))
        }};
    }
    any_of!(
        b"gen_" b"gcp." b"llm." b"lang" b"lite" b"ai.o" b"ai.m" b"ai.r" b"ai.t" b"ai.u" b"ai.s" b"ai.p" b"ai.v" b"ai.e" b"agen" b"all_" b"sess" b"user" b"endu" b"erro" b"exce" b"embe" b"even" b"tool" b"trac" b"open" b"oper" b"outp" b"inpu" b"mill" b"mlfl" b"mcp." b"meta" b"mode" b"pyda" b"fina" b"rera" b"retr" b"requ" b"resp"
    )
}

/// What a key stands for.
pub(crate) fn meaning(key: &[u8]) -> Meaning {
    if let Some(meaning) = exact(key) {
        return meaning;
    }
    match key {
        [b'g', b'e', b'n', b'_', b'a', b'i', b'.', rest @ ..] => of_gen_ai(rest),
        [b'l', b'l', b'm', b'.', rest @ ..] => of_llm(rest),
        _ if OPEN_CONTENT.iter().any(|prefix| key.starts_with(prefix)) => Meaning::Content,
        _ => Meaning::None,
    }
}

/// What starts keys that are content whatever follows.
const OPEN_CONTENT: [&[u8]; 5] = [
    b"retrieval.documents.",
    b"embedding.embeddings.",
    b"reranker.input_documents.",
    b"reranker.output_documents.",
    b"ai.prompt.",
];

fn of_gen_ai(rest: &[u8]) -> Meaning {
    let families: [(&[u8], Family); 2] = [(b"prompt.", Family::Prompts), (b"completion.", Family::Completions)];
    if rest.starts_with(b"request.") {
        return Meaning::Parameter("gen_ai.request.".len());
    }
    if let Some(member) = member("gen_ai.", rest, &families) {
        return member;
    }
    let is_numbered_tool = rest.strip_prefix(b"tool.").is_some_and(is_numbered);
    if is_numbered_tool || rest.starts_with(b"prompt.variable.") { Meaning::Content } else { Meaning::None }
}

fn of_llm(rest: &[u8]) -> Meaning {
    let families: [(&[u8], Family); 4] = [
        (b"input_messages.", Family::InputMessages),
        (b"output_messages.", Family::OutputMessages),
        (b"tools.", Family::Tools),
        (b"request.functions.", Family::Functions),
    ];
    if let Some(member) = member("llm.", rest, &families) {
        return member;
    }
    // completions of OpenInference, and LiteLLM's span of the raw call: llm.{provider}.{member of the body}
    let is_numbered_content = [&b"prompts."[..], b"choices."].iter().any(|prefix| rest.starts_with(prefix));
    let last = rest.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    let is_raw = last.len() + 1 < rest.len()
        && matches!(
            last,
            b"messages" | b"choices" | b"prompt" | b"input" | b"output" | b"tools" | b"content" | b"contents"
        );
    if is_numbered_content || is_raw { Meaning::Content } else { Meaning::None }
}

fn member(namespace: &str, rest: &[u8], families: &[(&[u8], Family)]) -> Option<Meaning> {
    let (prefix, family) = families.iter().find(|(prefix, _)| rest.starts_with(prefix))?;
    is_numbered(rest.get(prefix.len()..)?).then_some(Meaning::Member(*family, namespace.len() + prefix.len()))
}

fn is_numbered(rest: &[u8]) -> bool {
    rest.first().is_some_and(u8::is_ascii_digit)
}

/// The event that marks the first token of a stream. Source: OpenInference, `openinference-instrumentation`.
pub(crate) const FIRST_TOKEN_EVENT: &[u8] = b"First Token Stream Event";

/// Whether something of an event of this name goes into typed columns.
#[must_use]
pub fn is_event(name: &[u8]) -> bool {
    match name {
        [b'g', ..] => name.starts_with(b"gen_ai."),
        [b'e', ..] => name == b"exception",
        [b'F', ..] => name == FIRST_TOKEN_EVENT,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_and_once() {
        let mut keys: Vec<&str> = (0..KEYS.len() + CONTENT.len()).map(key_of).collect();
        for (at, (key, slot, kind_of_key)) in KEYS.iter().enumerate() {
            assert_eq!((*slot as usize, slot.key(), meaning(key.as_bytes())), (at, *key, Meaning::Slot(*slot)));
            assert_eq!(kind(key.as_bytes()), *kind_of_key, "{key}");
        }
        for key in CONTENT {
            assert_eq!(kind(key.as_bytes()), Kind::Content, "{key}");
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), KEYS.len() + CONTENT.len());
    }

    #[test]
    fn what_is_open_begins_with_a_head_too() {
        for prefix in OPEN_CONTENT {
            assert!(is_head(u32::from_le_bytes(*prefix.first_chunk().unwrap())));
        }
    }

    #[test]
    fn numbered_keys_are_content_and_named_ones_are_not() {
        for (key, want) in [
            ("gen_ai.prompt.0.content", Kind::Content),
            ("gen_ai.prompt.name", Kind::Ordinary),
            ("gen_ai.prompt.variable.city", Kind::Content),
            ("gen_ai.completion.10.tool_calls.0.id", Kind::Content),
            ("gen_ai.tool.0.name", Kind::Content),
            ("gen_ai.request.top_p", Kind::Typed),
            ("gen_ai.something.new", Kind::Ordinary),
            ("llm.input_messages.0.message.role", Kind::Content),
            ("llm.output_messages.3.message.contents.0.message_content.text", Kind::Content),
            ("llm.request.functions.0.name", Kind::Content),
            ("llm.tools.0.tool.json_schema", Kind::Content),
            ("llm.openai.messages", Kind::Content),
            ("llm.openai.temperature", Kind::Ordinary),
            ("llm.messages", Kind::Ordinary),
            ("retrieval.documents.0.document.content", Kind::Content),
            ("ai.telemetry.functionId", Kind::Ordinary),
            ("http.request.method", Kind::Ordinary),
            ("http.response.status_code", Kind::Ordinary),
            ("session.id", Kind::Typed),
            ("user.id", Kind::Typed),
            ("user_agent.original", Kind::Ordinary),
            ("mcp.session.id", Kind::Ordinary),
            ("", Kind::Ordinary),
        ] {
            assert_eq!(kind(key.as_bytes()), want, "{key}");
        }
    }
}
