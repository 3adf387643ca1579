//! What was done, in the conventions' words.

/// A conversation with a model.
pub(crate) const CHAT: &str = "chat";
/// A text that a model goes on with.
pub(crate) const TEXT_COMPLETION: &str = "text_completion";
/// What a model makes of contents, in Google's words.
pub(crate) const GENERATE_CONTENT: &str = "generate_content";
/// Vectors of texts.
pub(crate) const EMBEDDINGS: &str = "embeddings";
/// Documents in the order of their relevance.
pub(crate) const RERANK: &str = "rerank";
/// Documents looked up.
pub(crate) const RETRIEVAL: &str = "retrieval";
/// A tool ran.
pub(crate) const EXECUTE_TOOL: &str = "execute_tool";
/// An agent ran.
pub(crate) const INVOKE_AGENT: &str = "invoke_agent";
/// A workflow ran.
pub(crate) const INVOKE_WORKFLOW: &str = "invoke_workflow";

/// Whether it is what a model is called for.
pub(crate) fn is_of_model(name: &str) -> bool {
    matches!(name, CHAT | TEXT_COMPLETION | GENERATE_CONTENT | EMBEDDINGS | RERANK)
}

/// The conventions' name of an operation: what senders called it before there was one, and what some call it beside it.
/// docs/senders.md says who.
pub(crate) fn normalise(name: &str) -> &str {
    match name {
        // Semantic Kernel; asynchronous calls of LiteLLM begin with an `a`; Gemini CLI; Mastra; Sentry and the OpenAI Agents
        // SDK name the API
        "acompletion" | "chat.completions" | "chat_completions" | "chat.streaming_completions" | "llm_call" => CHAT,
        "model_generation" | "model_step" | "model_inference" | "responses" | "response" | "messages" => CHAT,
        "completion" | "text_completion" | "atext_completion" | "text.completions" | "text.streaming_completions" => {
            TEXT_COMPLETION
        }
        "embedding" | "aembedding" | "embed_content" => EMBEDDINGS,
        "arerank" => RERANK,
        // Gemini CLI, Mastra, LiveKit
        "tool_call" | "mcp_tool_call" | "function_tool" => EXECUTE_TOOL,
        "agent_run" | "agent_call" | "user_prompt" => INVOKE_AGENT,
        // Mastra; LangSmith; OpenLLMetry's LangGraph
        "workflow_run" | "workflow_step" | "chain" | "execute_task" => INVOKE_WORKFLOW,
        // OpenAI Agents SDK
        "guardrail_check" => "guardrail",
        other => other,
    }
}
