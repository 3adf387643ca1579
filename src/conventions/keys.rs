//! The table of keys that a convention has a meaning for, and the families of numbered keys.
//!
//! Source: section 4 of the mapping specification; what real instrumentations send beside it.

use crate::columns::typed::Kind;

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
        #[repr(u16)]
        pub(crate) enum Slot { $($($slot),*),* }

        /// Key, slot and kind of each.
        pub(super) const KEYS: &[(&str, Slot, Kind)] = &[$($(($key, Slot::$slot, Kind::$kind)),*),*];

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
        GenAiSpanKind = "gen_ai.span.kind";
        LangsmithSpanKind = "langsmith.span.kind";
        LmnrSpanType = "lmnr.span.type";
        SentryOperationType = "gen_ai.operation.type";
        MastraSpanType = "mastra.span.type";
        GenkitSubtype = "genkit:metadata:subtype";
        GenkitName = "genkit:name";
        HaystackComponentType = "haystack.component.type";
        SpringAiKind = "spring.ai.kind";
        HaystackMaxSteps = "haystack.agent.max_steps";
        // Claude Code: what its flat keys are of, see `agents.rs`
        SpanType = "span.type";
        // Codex: the turn of an agent
        CodexTurnInput = "codex.turn.token_usage.input_tokens";

        ProviderName = "gen_ai.provider.name";
        ModelProvider = "gen_ai.model.provider";
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
        GenAiModelName = "gen_ai.model_name";

        ResponseModel = "gen_ai.response.model";
        LlmResponseModelName = "llm.response.model_name";
        AiResponseModel = "ai.response.model";
        ResponseId = "gen_ai.response.id";
        AiResponseId = "ai.response.id";

        SessionId = "session.id";
        LangfuseSessionId = "langfuse.session.id";
        ConversationId = "gen_ai.conversation.id";
        ThreadId = "gen_ai.thread.id";
        AdkSessionId = "gcp.vertex.agent.session_id";
        AiSessionId = "ai.telemetry.metadata.sessionId";
        AiSessionIdSnake = "ai.telemetry.metadata.session_id";
        AiConversationId = "ai.telemetry.metadata.conversationId";
        AiConversationIdSnake = "ai.telemetry.metadata.conversation_id";
        AiThreadId = "ai.telemetry.metadata.threadId";
        AiThreadIdSnake = "ai.telemetry.metadata.thread_id";
        AiChatId = "ai.telemetry.metadata.chatId";
        AiChatIdSnake = "ai.telemetry.metadata.chat_id";
        TraceloopSessionId = "traceloop.association.properties.session_id";
        TraceloopConversationId = "traceloop.association.properties.conversation_id";
        TraceloopThreadId = "traceloop.association.properties.thread_id";
        MlflowSession = "mlflow.trace.session";
        LangsmithSessionId = "langsmith.metadata.session_id";
        LangsmithConversationId = "langsmith.metadata.conversation_id";
        LangsmithThreadId = "langsmith.metadata.thread_id";
        MastraSessionId = "mastra.metadata.sessionId";
        MastraThreadId = "mastra.metadata.threadId";
        OpikThreadId = "opik.thread_id";
        OpikThreadIdPlain = "thread_id";
        GenAiSessionId = "gen_ai.session.id";
        LmnrSessionId = "lmnr.association.properties.session_id";
        GenkitSessionId = "genkit:sessionId";
        SpringConversationId = "spring.ai.chat.client.conversation.id";

        UserId = "user.id";
        LangfuseUserId = "langfuse.user.id";
        EnduserId = "enduser.id";
        LlmUser = "llm.user";
        GenAiUser = "gen_ai.user";
        RequestUser = "gen_ai.request.user";
        AiUserId = "ai.telemetry.metadata.userId";
        MlflowUser = "mlflow.trace.user";
        TraceloopUserId = "traceloop.association.properties.user_id";
        GenAiUserId = "gen_ai.user.id";
        LmnrUserId = "lmnr.association.properties.user_id";
        LangsmithUserId = "langsmith.metadata.user_id";
        UserEmail = "user.email";
        UserName = "user.name";
        UserAccountId = "user.account_id";
        EnduserPseudoId = "enduser.pseudo.id";

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
        ResponsePromptTokens = "gen_ai.response.prompt_tokens";
        ResponseCompletionTokens = "gen_ai.response.completion_tokens";
        TotalTokens = "gen_ai.usage.total_tokens";
        LlmUsageTotal = "llm.usage.total_tokens";
        LlmCountTotal = "llm.token_count.total";
        AiTotalTokens = "ai.usage.totalTokens";
        CodexTotal = "codex.usage.total_tokens";
        LangfuseUsage = "langfuse.observation.usage_details";
        MlflowUsage = "mlflow.chat.tokenUsage";
        MlflowFormat = "mlflow.message.format";
        MlflowUsageInput = "mlflow.chat.tokenUsage.input_tokens";
        MlflowUsageOutput = "mlflow.chat.tokenUsage.output_tokens";
        MlflowUsageCacheRead = "mlflow.chat.tokenUsage.cache_read_input_tokens";
        LitellmUsage = "metadata.usage_object";
        LangsmithUsage = "langsmith.metadata.usage_metadata";

        CacheRead = "gen_ai.usage.cache_read.input_tokens";
        CacheReadFlat = "gen_ai.usage.cache_read_input_tokens";
        CacheReadSentry = "gen_ai.usage.input_tokens.cached";
        CacheReadPydantic = "gen_ai.usage.details.cache_read_tokens";
        CacheReadOpenlit = "gen_ai.usage.prompt_tokens_details.cached_tokens";
        CachedTokens = "gen_ai.usage.cached_tokens";
        CachedInputTokens = "gen_ai.usage.cached_input_tokens";
        LivekitCachedTokens = "gen_ai.usage.input_cached_tokens";
        InputCacheTokens = "gen_ai.usage.input_cache_tokens";
        LlmCacheRead = "llm.token_count.prompt_details.cache_read";
        LlmCacheInput = "llm.token_count.prompt_details.cache_input";
        AiCacheRead = "ai.usage.inputTokenDetails.cacheReadTokens";
        AiCachedInput = "ai.usage.cachedInputTokens";

        CacheWrite = "gen_ai.usage.cache_write.input_tokens";
        CacheCreation = "gen_ai.usage.cache_creation.input_tokens";
        CacheCreationFlat = "gen_ai.usage.cache_creation_input_tokens";
        CacheWriteFlat = "gen_ai.usage.cache_write_input_tokens";
        CacheWriteSentry = "gen_ai.usage.input_tokens.cache_write";
        CacheWritePydantic = "gen_ai.usage.details.cache_write_tokens";
        CacheWriteOpenlit = "gen_ai.usage.prompt_tokens_details.cache_creation_tokens";
        LlmCacheWrite = "llm.token_count.prompt_details.cache_write";
        AiCacheWrite = "ai.usage.inputTokenDetails.cacheWriteTokens";

        CacheWriteHour = "gen_ai.usage.details.ephemeral_1h_input_tokens";
        CacheWriteMinutes = "gen_ai.usage.details.ephemeral_5m_input_tokens";

        Reasoning = "gen_ai.usage.reasoning.output_tokens";
        ReasoningFlat = "gen_ai.usage.reasoning_tokens";
        ReasoningSentry = "gen_ai.usage.output_tokens.reasoning";
        ReasoningOpenlit = "gen_ai.usage.completion_tokens_details.reasoning_tokens";
        ReasoningPydantic = "gen_ai.usage.details.reasoning_tokens";
        ReasoningOfGemini = "gen_ai.usage.details.thoughts_tokens";
        LlmUsageReasoning = "llm.usage.reasoning_tokens";
        LlmReasoning = "llm.token_count.completion_details.reasoning";
        AiReasoningDetail = "ai.usage.outputTokenDetails.reasoningTokens";
        AiReasoning = "ai.usage.reasoningTokens";
        CodexReasoning = "codex.usage.reasoning_output_tokens";

        AudioInput = "gen_ai.usage.audio.input_tokens";
        AudioOutput = "gen_ai.usage.audio.output_tokens";
        LivekitAudioInput = "gen_ai.usage.input_audio_tokens";
        LivekitAudioOutput = "gen_ai.usage.output_audio_tokens";
        LlmAudioInput = "llm.token_count.prompt_details.audio";
        LlmAudioOutput = "llm.token_count.completion_details.audio";

        // Pydantic AI: what it names itself, and what Gemini names by its lists
        AudioInputPydantic = "gen_ai.usage.details.input_audio_tokens";
        AudioOutputPydantic = "gen_ai.usage.details.output_audio_tokens";
        AudioCachePydantic = "gen_ai.usage.details.cache_audio_read_tokens";
        AudioInputOfGemini = "gen_ai.usage.details.audio_prompt_tokens";
        AudioOutputOfGemini = "gen_ai.usage.details.audio_candidates_tokens";
        AudioCacheOfGemini = "gen_ai.usage.details.audio_cache_tokens";
        ImageInputOfGemini = "gen_ai.usage.details.image_prompt_tokens";
        ImageOutputOfGemini = "gen_ai.usage.details.image_candidates_tokens";
        VideoInputOfGemini = "gen_ai.usage.details.video_prompt_tokens";
        AudioCache = "gen_ai.usage.audio.cache_read.input_tokens";
        ImageInput = "gen_ai.usage.image.input_tokens";
        ImageOutput = "gen_ai.usage.image.output_tokens";
        ImageCache = "gen_ai.usage.image.cache_read.input_tokens";
        VideoInput = "gen_ai.usage.video.input_tokens";
        VideoOutput = "gen_ai.usage.video.output_tokens";

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
        LangfuseFinishReason = "langfuse.observation.metadata.finish_reason";

        Stream = "gen_ai.request.stream";
        IsStreaming = "gen_ai.is_streaming";
        LlmIsStreaming = "llm.is_streaming";
        IsStream = "gen_ai.request.is_stream";
        LitellmStreaming = "litellm.request.streaming";
        TimeToFirstChunk = "gen_ai.response.time_to_first_chunk";
        ClientTimeToFirstChunk = "gen_ai.client.operation.time_to_first_chunk";
        AiMsToFirstChunk = "ai.response.msToFirstChunk";
        CopilotTimeToFirstToken = "copilot_chat.time_to_first_token";
        LangfuseCompletionStart = "langfuse.observation.completion_start_time";
        LatencyToFirstToken = "gen_ai.latency.time_to_first_token";
        ServerTimeToFirstToken = "gen_ai.server.time_to_first_token";
        LivekitTimeToFirstToken = "lk.response.ttft";

        ToolName = "gen_ai.tool.name";
        ToolNamePlain = "tool.name";
        AiToolName = "ai.toolCall.name";
        LivekitToolName = "lk.function_tool.name";
        SpringToolName = "spring.ai.tool.definition.name";
        HaystackToolName = "haystack.tool.name";
        TraceloopEntityName = "traceloop.entity.name";
        ToolCallId = "gen_ai.tool.call.id";
        ToolId = "tool.id";
        ToolCallIdPlain = "tool_call.id";
        GeminiToolCallId = "gen_ai.tool.call_id";
        LivekitToolId = "lk.function_tool.id";
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
        ErrorMessage = "error.message";

        LangsmithTemperature = "langsmith.metadata.ls_temperature";
        LangsmithMaxTokens = "langsmith.metadata.ls_max_tokens";
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
        ResponseServiceTier = "openai.response.service_tier";
        OldResponseServiceTier = "gen_ai.openai.response.service_tier";
        PlainResponseServiceTier = "gen_ai.response.service_tier";
        AiProviderMetadata = "ai.response.providerMetadata";
    }
    // looked at only when the span failed, which every failed span is
    Ordinary {
        HttpStatusCode = "http.response.status_code";
        OldHttpStatusCode = "http.status_code";
        RpcResponseStatusCode = "rpc.response.status_code";
        GrpcStatusCode = "rpc.grpc.status_code";
    }
    Content {
        // of the Responses API they hold the instructions
        InvocationParameters = "llm.invocation_parameters";
        InputMessages = "gen_ai.input.messages";
        OutputMessages = "gen_ai.output.messages";
        SystemInstructions = "gen_ai.system_instructions";
        ToolDefinitions = "gen_ai.tool.definitions";
        SentryMessages = "gen_ai.request.messages";
        SentryText = "gen_ai.response.text";
        SentryToolCalls = "gen_ai.response.tool_calls";
        AvailableTools = "gen_ai.request.available_tools";
        Prompt = "gen_ai.prompt";
        PromptJson = "gen_ai.prompt_json";
        CompletionJson = "gen_ai.completion_json";
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
        GenkitInput = "genkit:input";
        GenkitOutput = "genkit:output";
        LmnrInput = "lmnr.span.input";
        LmnrOutput = "lmnr.span.output";
        HaystackLlmInput = "haystack.agent.step.llm.input";
        HaystackLlmOutput = "haystack.agent.step.llm.output";
        HaystackInput = "haystack.component.input";
        HaystackOutput = "haystack.component.output";
    }
}

/// Content that no typed column comes of: what tools got and gave, whole traces' input, documents.
pub(super) const CONTENT: &[&str] = &[
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
    // OpenLLMetry's LangGraph
    "gen_ai.task.input",
    "gen_ai.task.output",
    // OpenInference's CrewAI and smolagents
    "crew_agents",
    "crew_tasks",
    "crew_inputs",
    "flow_inputs",
    "smolagents.task",
    // Claude Code
    "tool_input",
    "tool_parameters",
    "user_prompt",
    "user_system_prompt",
    "system_prompt_preview",
    "new_context",
    "response.model_output",
    "full_command",
    // GitHub Copilot
    "copilot_chat.user_request",
    "copilot_chat.reasoning_content",
    "copilot_chat.prompt_context",
    "copilot_chat.prompt_instructions",
    "copilot_chat.markdown_content",
    "copilot_chat.hook_input",
    "copilot_chat.hook_output",
    "github.copilot.tool.parameters.command",
    // LiveKit before it marked what is personal: `lk.pii.`
    "lk.user_input",
    "lk.user_transcript",
    "lk.instructions",
    "lk.chat_ctx",
    "lk.response.text",
    "lk.response.function_calls",
    "lk.function_tool.arguments",
    "lk.function_tool.output",
    "lk.input_text",
    "millrace.request.content",
    "millrace.response.content",
    "millrace.record.content",
    "millrace.document.content",
];
