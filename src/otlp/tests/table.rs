//! The table of the specification: every source of every column, and that the ones before it win.

use super::{column, row};
use serde_json::{Map, Value as Json, json};

/// Sends all sources from each one on: that one must win. A source that is there and empty does not.
fn in_order(name: &str, sources: &[&str], value: impl Fn(usize) -> Json, want: impl Fn(usize) -> Json) {
    for first in 0..sources.len() {
        let mut attributes = Map::new();
        for (at, key) in sources.iter().enumerate() {
            attributes.insert((*key).to_owned(), if at < first { json!("") } else { value(at) });
        }
        let row = row(Json::Object(attributes));
        assert_eq!(column(&row, name), want(first), "{name} from {}", sources[first]);
    }
}

fn texts_in_order(name: &str, sources: &[&str]) {
    in_order(name, sources, |at| json!(format!("text {at}")), |at| json!(format!("text {at}")));
}

/// Counts as an integer, a double, or a decimal text.
fn counts_in_order(name: &str, sources: &[&str]) {
    let value = |at: usize| match at % 3 {
        0 => json!(100 + at),
        1 => json!(f64::from(u32::try_from(100 + at).unwrap())),
        _ => json!((100 + at).to_string()),
    };
    in_order(name, sources, value, |at| json!(100 + at));
}

fn costs_in_order(name: &str, sources: &[&str]) {
    let value = |at: usize| if at.is_multiple_of(2) { json!(0.25 + at as f64) } else { json!(format!("{at}.25")) };
    in_order(name, sources, value, |at| json!(format!("{at}.25")));
}

#[test]
fn a_session_is_named_by_the_first_of_its_sources() {
    texts_in_order(
        "SessionId",
        &[
            "session.id",
            "langfuse.session.id",
            "gen_ai.conversation.id",
            "gen_ai.thread.id",
            "gcp.vertex.agent.session_id",
            "ai.telemetry.metadata.sessionId",
            "ai.telemetry.metadata.session_id",
            "ai.telemetry.metadata.conversationId",
            "ai.telemetry.metadata.conversation_id",
            "ai.telemetry.metadata.threadId",
            "ai.telemetry.metadata.thread_id",
            "ai.telemetry.metadata.chatId",
            "ai.telemetry.metadata.chat_id",
            "traceloop.association.properties.session_id",
            "traceloop.association.properties.conversation_id",
            "traceloop.association.properties.thread_id",
            "mlflow.trace.session",
            "langsmith.metadata.session_id",
            "langsmith.metadata.conversation_id",
            "langsmith.metadata.thread_id",
            "mastra.metadata.sessionId",
            "mastra.metadata.threadId",
            "opik.thread_id",
            "thread_id",
            "gen_ai.session.id",
            "lmnr.association.properties.session_id",
            "genkit:sessionId",
            "spring.ai.chat.client.conversation.id",
        ],
    );
}

#[test]
fn each_text_column_is_filled_from_its_sources_in_order() {
    texts_in_order(
        "UserId",
        &[
            "user.id",
            "langfuse.user.id",
            "enduser.id",
            "llm.user",
            "gen_ai.user",
            "gen_ai.request.user",
            "ai.telemetry.metadata.userId",
            "mlflow.trace.user",
            "traceloop.association.properties.user_id",
            "gen_ai.user.id",
            "lmnr.association.properties.user_id",
            "user.email",
            "user.account_id",
            "user.name",
            "enduser.pseudo.id",
        ],
    );
    texts_in_order(
        "Provider",
        &[
            "gen_ai.provider.name",
            "gen_ai.system",
            "llm.provider",
            "llm.system",
            "ai.model.provider",
            "mlflow.llm.provider",
        ],
    );
    texts_in_order(
        "RequestModel",
        &[
            "gen_ai.request.model",
            "llm.request.model_name",
            "llm.model_name",
            "embedding.model_name",
            "ai.model.id",
            "langfuse.observation.model.name",
            "mlflow.llm.model",
        ],
    );
    texts_in_order("ResponseModel", &["gen_ai.response.model", "llm.response.model_name", "ai.response.model"]);
    texts_in_order("ResponseId", &["gen_ai.response.id", "ai.response.id"]);
    texts_in_order("ToolName", &["gen_ai.tool.name", "tool.name", "ai.toolCall.name"]);
    texts_in_order("ToolCallId", &["gen_ai.tool.call.id", "tool.id", "tool_call.id", "ai.toolCall.id"]);
    texts_in_order("AgentName", &["gen_ai.agent.name", "agent.name"]);
    texts_in_order("WorkflowName", &["gen_ai.workflow.name", "traceloop.workflow.name"]);
    texts_in_order("ConversationId", &["gen_ai.conversation.id"]);
    texts_in_order("ErrorType", &["error.type", "exception.type"]);
}

#[test]
fn each_count_column_is_filled_from_its_sources_in_order() {
    counts_in_order(
        "InputTokens",
        &[
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "llm.token_count.prompt",
            "llm.usage.prompt_tokens",
            "ai.usage.inputTokens",
            "ai.usage.promptTokens",
            "ai.usage.tokens",
        ],
    );
    counts_in_order(
        "OutputTokens",
        &[
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "llm.token_count.completion",
            "llm.usage.completion_tokens",
            "ai.usage.outputTokens",
            "ai.usage.completionTokens",
        ],
    );
    counts_in_order(
        "CacheReadTokens",
        &[
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.input_tokens.cached",
            "gen_ai.usage.details.cache_read_tokens",
            "gen_ai.usage.prompt_tokens_details.cached_tokens",
            "gen_ai.usage.cached_tokens",
            "gen_ai.usage.input_cache_tokens",
            "llm.token_count.prompt_details.cache_read",
            "llm.token_count.prompt_details.cache_input",
            "ai.usage.inputTokenDetails.cacheReadTokens",
            "ai.usage.cachedInputTokens",
        ],
    );
    counts_in_order(
        "CacheWriteTokens",
        &[
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "gen_ai.usage.input_tokens.cache_write",
            "gen_ai.usage.details.cache_write_tokens",
            "gen_ai.usage.prompt_tokens_details.cache_creation_tokens",
            "llm.token_count.prompt_details.cache_write",
            "ai.usage.inputTokenDetails.cacheWriteTokens",
        ],
    );
}

#[test]
fn each_output_count_is_filled_from_its_sources_in_order() {
    counts_in_order(
        "ReasoningTokens",
        &[
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.output_tokens.reasoning",
            "gen_ai.usage.completion_tokens_details.reasoning_tokens",
            "gen_ai.usage.details.reasoning_tokens",
            "llm.usage.reasoning_tokens",
            "llm.token_count.completion_details.reasoning",
            "ai.usage.outputTokenDetails.reasoningTokens",
            "ai.usage.reasoningTokens",
        ],
    );
    counts_in_order("InputAudioTokens", &["gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio"]);
    counts_in_order(
        "OutputAudioTokens",
        &["gen_ai.usage.audio.output_tokens", "llm.token_count.completion_details.audio"],
    );
}

#[test]
fn each_cost_column_is_filled_from_its_sources_in_order() {
    costs_in_order(
        "CostTotal",
        &[
            "gen_ai.usage.cost",
            "gen_ai.usage.cost.amount",
            "llm.cost.total",
            "operation.cost",
            "gen_ai.cost.total_cost",
            "litellm.cost.total",
            "mlflow.llm.cost.total_cost",
            "gen_ai.usage.total_cost",
            "gen_ai.usage.cost_usd",
            "llm.usage.total_cost",
            "gen_ai.cost.total_tokens",
            "ai.total_cost",
        ],
    );
    costs_in_order(
        "CostInput",
        &[
            "llm.cost.prompt",
            "gen_ai.cost.input_cost",
            "mlflow.llm.cost.input_cost",
            "gen_ai.cost.input_tokens",
            "litellm.cost.input",
        ],
    );
    costs_in_order(
        "CostOutput",
        &[
            "llm.cost.completion",
            "gen_ai.cost.output_cost",
            "mlflow.llm.cost.output_cost",
            "gen_ai.cost.output_tokens",
            "litellm.cost.output",
        ],
    );
}
