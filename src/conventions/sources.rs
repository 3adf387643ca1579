//! Where each column that holds one text or one number comes from, in order: the first that has something wins.
//!
//! Source: the table of the mapping specification's section 4. What has a rule of its own stands beside that rule.

use super::keys::Slot;

/// What names a session. Not among them: `langsmith.trace.session_id`, which is a project, and `mcp.session.id`.
pub(crate) const SESSION_ID: &[Slot] = &[
    Slot::SessionId,
    Slot::LangfuseSessionId,
    Slot::ConversationId,
    // Azure AI Agents
    Slot::ThreadId,
    // Google ADK
    Slot::AdkSessionId,
    // the AI SDK: what the application puts into `experimental_telemetry.metadata`
    Slot::AiSessionId,
    Slot::AiSessionIdSnake,
    Slot::AiConversationId,
    Slot::AiConversationIdSnake,
    Slot::AiThreadId,
    Slot::AiThreadIdSnake,
    Slot::AiChatId,
    Slot::AiChatIdSnake,
    // OpenLLMetry: association properties, among them the metadata of LangChain and LangGraph
    Slot::TraceloopSessionId,
    Slot::TraceloopConversationId,
    Slot::TraceloopThreadId,
    Slot::MlflowSession,
    // LangSmith: any of the three makes a thread
    Slot::LangsmithSessionId,
    Slot::LangsmithConversationId,
    Slot::LangsmithThreadId,
    Slot::MastraSessionId,
    Slot::MastraThreadId,
    Slot::OpikThreadId,
    Slot::OpikThreadIdPlain,
    // Alibaba's conventions, which Dify sends too
    Slot::GenAiSessionId,
    Slot::LmnrSessionId,
    Slot::GenkitSessionId,
    Slot::SpringConversationId,
];
pub(crate) const USER_ID: &[Slot] = &[
    Slot::UserId,
    Slot::LangfuseUserId,
    Slot::EnduserId,
    Slot::LlmUser,
    Slot::GenAiUser,
    Slot::RequestUser,
    Slot::AiUserId,
    Slot::MlflowUser,
    Slot::TraceloopUserId,
    Slot::GenAiUserId,
    Slot::LmnrUserId,
    Slot::LangsmithUserId,
    // what names a person or an account without being an id
    Slot::UserEmail,
    Slot::UserAccountId,
    Slot::UserName,
    Slot::EnduserPseudoId,
];
pub(crate) const RESPONSE_ID: &[Slot] = &[Slot::ResponseId, Slot::AiResponseId];
pub(crate) const TOOL_CALL_ID: &[Slot] = &[
    Slot::ToolCallId,
    Slot::ToolId,
    Slot::ToolCallIdPlain,
    Slot::AiToolCallId,
    Slot::GeminiToolCallId,
    Slot::LivekitToolId,
];
pub(crate) const TOOL_NAME: &[Slot] = &[
    Slot::ToolName,
    Slot::ToolNamePlain,
    Slot::AiToolName,
    Slot::LivekitToolName,
    Slot::SpringToolName,
    Slot::HaystackToolName,
];
pub(crate) const AGENT_NAME: &[Slot] = &[Slot::AgentName, Slot::AgentNamePlain];
pub(crate) const WORKFLOW_NAME: &[Slot] = &[Slot::WorkflowName, Slot::TraceloopWorkflowName];

/// The provider, before it gets the conventions' name.
pub(crate) const PROVIDER: &[Slot] = &[
    Slot::ProviderName,
    Slot::System,
    Slot::ModelProvider,
    Slot::LlmProvider,
    Slot::LlmSystem,
    Slot::AiModelProvider,
    Slot::MlflowProvider,
];

/// The model asked for, where it is an attribute of its own.
pub(crate) const REQUEST_MODEL: &[Slot] = &[Slot::RequestModel, Slot::LlmRequestModelName];
/// The model, where the attribute does not say whether it was asked for or answered.
pub(crate) const MODEL: &[Slot] = &[
    Slot::LlmModelName,
    Slot::EmbeddingModelName,
    Slot::AiModelId,
    Slot::LangfuseModelName,
    Slot::MlflowModel,
    Slot::RerankerModelName,
    Slot::GenAiModelName,
];
/// The model that answered.
pub(crate) const RESPONSE_MODEL: &[Slot] = &[Slot::ResponseModel, Slot::LlmResponseModelName, Slot::AiResponseModel];

pub(crate) const INPUT_TOKENS: &[Slot] = &[
    Slot::InputTokens,
    Slot::PromptTokens,
    Slot::LlmCountPrompt,
    Slot::LlmUsagePrompt,
    Slot::AiInputTokens,
    Slot::AiPromptTokens,
    Slot::AiTokens,
    Slot::ResponsePromptTokens,
];
pub(crate) const OUTPUT_TOKENS: &[Slot] = &[
    Slot::OutputTokens,
    Slot::CompletionTokens,
    Slot::LlmCountCompletion,
    Slot::LlmUsageCompletion,
    Slot::AiOutputTokens,
    Slot::AiCompletionTokens,
    Slot::ResponseCompletionTokens,
];
/// Only tells whether parts are inside of their wholes.
pub(crate) const TOTAL_TOKENS: &[Slot] =
    &[Slot::TotalTokens, Slot::LlmUsageTotal, Slot::LlmCountTotal, Slot::AiTotalTokens, Slot::CodexTotal];
pub(crate) const CACHE_READ: &[Slot] = &[
    Slot::CacheRead,
    Slot::CacheReadFlat,
    Slot::CacheReadSentry,
    Slot::CacheReadPydantic,
    Slot::CacheReadOpenlit,
    Slot::CachedTokens,
    Slot::CachedInputTokens,
    Slot::LivekitCachedTokens,
    Slot::InputCacheTokens,
    Slot::LlmCacheRead,
    Slot::LlmCacheInput,
    Slot::AiCacheRead,
    Slot::AiCachedInput,
];
pub(crate) const CACHE_WRITE: &[Slot] = &[
    Slot::CacheWrite,
    Slot::CacheCreation,
    Slot::CacheCreationFlat,
    Slot::CacheWriteFlat,
    Slot::CacheWriteSentry,
    Slot::CacheWritePydantic,
    Slot::CacheWriteOpenlit,
    Slot::LlmCacheWrite,
    Slot::AiCacheWrite,
];
pub(crate) const CACHE_WRITE_MINUTES: &[Slot] = &[Slot::CacheWriteMinutes];
pub(crate) const CACHE_WRITE_HOUR: &[Slot] = &[Slot::CacheWriteHour];
pub(crate) const REASONING: &[Slot] = &[
    Slot::Reasoning,
    Slot::ReasoningFlat,
    Slot::ReasoningSentry,
    Slot::ReasoningOpenlit,
    Slot::ReasoningPydantic,
    Slot::ReasoningOfGemini,
    Slot::LlmUsageReasoning,
    Slot::LlmReasoning,
    Slot::AiReasoningDetail,
    Slot::AiReasoning,
    Slot::CodexReasoning,
];
/// The service tier that answered.
pub(crate) const SERVICE_TIER: &[Slot] =
    &[Slot::ResponseServiceTier, Slot::OldResponseServiceTier, Slot::PlainResponseServiceTier];
pub(crate) const AUDIO_INPUT: &[Slot] = &[
    Slot::AudioInput,
    Slot::LivekitAudioInput,
    Slot::LlmAudioInput,
    Slot::AudioInputPydantic,
    Slot::AudioInputOfGemini,
];
pub(crate) const AUDIO_OUTPUT: &[Slot] = &[
    Slot::AudioOutput,
    Slot::LivekitAudioOutput,
    Slot::LlmAudioOutput,
    Slot::AudioOutputPydantic,
    Slot::AudioOutputOfGemini,
];
// What has a price of its own and no column. `clickhouse/prices.rs` finds it again in the attributes, by the same keys.
pub(crate) const AUDIO_CACHE: &[Slot] = &[Slot::AudioCache, Slot::AudioCachePydantic, Slot::AudioCacheOfGemini];
pub(crate) const IMAGE_INPUT: &[Slot] = &[Slot::ImageInput, Slot::ImageInputOfGemini];
pub(crate) const IMAGE_OUTPUT: &[Slot] = &[Slot::ImageOutput, Slot::ImageOutputOfGemini];
pub(crate) const IMAGE_CACHE: &[Slot] = &[Slot::ImageCache];
pub(crate) const VIDEO_INPUT: &[Slot] = &[Slot::VideoInput, Slot::VideoInputOfGemini];
pub(crate) const VIDEO_OUTPUT: &[Slot] = &[Slot::VideoOutput];

/// Costs that come after those with conditions of their own.
pub(crate) const COST_TOTAL: &[Slot] =
    &[Slot::OperationCost, Slot::GenAiTotalCost, Slot::LitellmCostTotal, Slot::MlflowCostTotal];
pub(crate) const COST_TOTAL_LAST: &[Slot] =
    &[Slot::UsageTotalCost, Slot::UsageCostUsd, Slot::LlmUsageTotalCost, Slot::SentryCostTotal, Slot::AiTotalCost];

/// Whether the response was streamed.
pub(crate) const STREAMING: &[Slot] =
    &[Slot::Stream, Slot::IsStreaming, Slot::LlmIsStreaming, Slot::IsStream, Slot::LitellmStreaming];

/// Why the model stopped, where it is an attribute of its own.
pub(crate) const FINISH_REASONS: &[Slot] = &[
    Slot::FinishReasons,
    Slot::FinishReason,
    Slot::LlmFinishReason,
    Slot::LlmStopReason,
    Slot::LlmFinish,
    Slot::LangfuseFinishReason,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_what_names_a_session_in_this_order() {
        let columns = include_str!("../../docs/columns.md");
        let (_, list) = columns.split_once("### What names a session").unwrap();
        let mut rest = list;
        for slot in SESSION_ID {
            // several keys that differ in their last part share a line
            let (prefix, last) = slot.key().rsplit_once('.').map_or(("", slot.key()), |(prefix, last)| (prefix, last));
            let at = rest.find(&format!("{}`", slot.key())).or_else(|| rest.find(&format!("`{last}`")));
            let at = at.unwrap_or_else(|| panic!("docs/columns.md does not list {prefix}.{last} here"));
            rest = &rest[at..];
        }
    }
}
