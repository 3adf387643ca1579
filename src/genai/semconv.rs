//! The one place with the attribute keys of model calls, each with its stability and its source.
//!
//! Sources, as the doc comments shorten them:
//!
//! - *genai*: OpenTelemetry semantic-conventions-genai, main of 2026-08-15 with the renames merged since;
//!   everything there has the stability "Development".
//! - *core*: OpenTelemetry semantic-conventions, stable unless it says otherwise.
//! - *`OpenInference`*, *`OpenLLMetry`*, *`OpenLIT`*: conventions of those projects, outside OpenTelemetry.
//! - *Intake*: names the reference implementation of the chat ingest writes.
//! - *ours*: what no convention has a name for; kept under `millrace.`.

/// The schema that describes the spans made here. Source: genai, `model/manifest.yaml`.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev";

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident = $key:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $key;)*

        /// Every key above, for tests and for documentation.
        pub const ALL: &[&str] = &[$($key),*];
    };
}

keys! {
    /// What the call did. Development, genai.
    OPERATION_NAME = "gen_ai.operation.name";
    /// Whose flavour of telemetry this is. Development, genai.
    PROVIDER_NAME = "gen_ai.provider.name";
    /// The model asked for. Development, genai.
    REQUEST_MODEL = "gen_ai.request.model";
    /// Most tokens to generate. Development, genai.
    REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens";
    /// Choices asked for, when not 1. Development, genai.
    REQUEST_CHOICE_COUNT = "gen_ai.request.choice.count";
    /// Sampling temperature. Development, genai.
    REQUEST_TEMPERATURE = "gen_ai.request.temperature";
    /// Nucleus sampling. Development, genai.
    REQUEST_TOP_P = "gen_ai.request.top_p";
    /// Top-k sampling, an int since v1.42. Development, genai.
    REQUEST_TOP_K = "gen_ai.request.top_k";
    /// Frequency penalty. Development, genai.
    REQUEST_FREQUENCY_PENALTY = "gen_ai.request.frequency_penalty";
    /// Presence penalty. Development, genai.
    REQUEST_PRESENCE_PENALTY = "gen_ai.request.presence_penalty";
    /// Where to stop. Development, genai.
    REQUEST_STOP_SEQUENCES = "gen_ai.request.stop_sequences";
    /// Seed of the sampler. Development, genai.
    REQUEST_SEED = "gen_ai.request.seed";
    /// Streaming was used; only ever true. Development, genai.
    REQUEST_STREAM = "gen_ai.request.stream";
    /// Effort of reasoning, as sent. Development, genai.
    REQUEST_REASONING_LEVEL = "gen_ai.request.reasoning.level";
    /// Kind of output asked for: text, json, image, speech. Development, genai.
    OUTPUT_TYPE = "gen_ai.output.type";
    /// Id the provider gave the response. Development, genai.
    RESPONSE_ID = "gen_ai.response.id";
    /// The model that answered. Development, genai.
    RESPONSE_MODEL = "gen_ai.response.model";
    /// The provider's raw finish reasons, one a choice. Development, genai.
    RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons";
    /// Seconds to the first chunk of a stream. Development, genai.
    RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk";
    /// Input tokens, cached ones included. Development, genai.
    USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens";
    /// Output tokens, reasoning included. Development, genai.
    USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens";
    /// Input tokens read from a cache. Development, genai.
    USAGE_CACHE_READ = "gen_ai.usage.cache_read.input_tokens";
    /// Input tokens written to a cache. Development, genai (once `cache_creation`).
    USAGE_CACHE_WRITE = "gen_ai.usage.cache_write.input_tokens";
    /// Output tokens spent on reasoning. Development, genai.
    USAGE_REASONING = "gen_ai.usage.reasoning.output_tokens";
    /// Text tokens of the input. Development, genai.
    USAGE_TEXT_INPUT = "gen_ai.usage.text.input_tokens";
    /// Text tokens of the output. Development, genai.
    USAGE_TEXT_OUTPUT = "gen_ai.usage.text.output_tokens";
    /// Image tokens of the input. Development, genai.
    USAGE_IMAGE_INPUT = "gen_ai.usage.image.input_tokens";
    /// Image tokens of the output. Development, genai.
    USAGE_IMAGE_OUTPUT = "gen_ai.usage.image.output_tokens";
    /// Audio tokens of the input. Development, genai.
    USAGE_AUDIO_INPUT = "gen_ai.usage.audio.input_tokens";
    /// Audio tokens of the output. Development, genai.
    USAGE_AUDIO_OUTPUT = "gen_ai.usage.audio.output_tokens";
    /// Video tokens of the input. Not in the conventions, which have the like of other kinds.
    USAGE_VIDEO_INPUT = "gen_ai.usage.video.input_tokens";
    /// Video tokens of the output. Not in the conventions, which have the like of other kinds.
    USAGE_VIDEO_OUTPUT = "gen_ai.usage.video.output_tokens";
    /// Audio tokens of the input read from a cache. Development, genai.
    USAGE_AUDIO_CACHE_READ = "gen_ai.usage.audio.cache_read.input_tokens";
    /// Image tokens of the input read from a cache. Development, genai.
    USAGE_IMAGE_CACHE_READ = "gen_ai.usage.image.cache_read.input_tokens";
    /// All tokens. Not in the conventions; `OpenLLMetry`, `OpenLIT`.
    USAGE_TOTAL_TOKENS = "gen_ai.usage.total_tokens";
    /// Cost in US dollars. Not in the conventions; `OpenLIT`, Intake.
    USAGE_COST = "gen_ai.usage.cost";
    /// The conversation, as the caller names it; never generated. Development, genai.
    CONVERSATION_ID = "gen_ai.conversation.id";
    /// The messages sent. Development, genai (JSON).
    INPUT_MESSAGES = "gen_ai.input.messages";
    /// The messages received, one a choice. Development, genai (JSON).
    OUTPUT_MESSAGES = "gen_ai.output.messages";
    /// The tools offered to the model. Development, genai (JSON).
    TOOL_DEFINITIONS = "gen_ai.tool.definitions";

    /// Which API of `OpenAI`'s was called. Development, genai.
    OPENAI_API_TYPE = "openai.api.type";
    /// Service tier asked for, unless `auto`. Development, genai.
    OPENAI_REQUEST_SERVICE_TIER = "openai.request.service_tier";
    /// Service tier that answered. Development, genai.
    OPENAI_RESPONSE_SERVICE_TIER = "openai.response.service_tier";
    /// Fingerprint of the serving system. Development, genai.
    OPENAI_RESPONSE_SYSTEM_FINGERPRINT = "openai.response.system_fingerprint";

    /// Class of the failure. Stable, core.
    ERROR_TYPE = "error.type";
    /// The session. Development, core.
    SESSION_ID = "session.id";
    /// The end user. Development, core.
    USER_ID = "user.id";

    /// Total cost in US dollars. `OpenInference`.
    LLM_COST_TOTAL = "llm.cost.total";
    /// Cost of the input in US dollars. `OpenInference`.
    LLM_COST_PROMPT = "llm.cost.prompt";
    /// Cost of the output in US dollars. `OpenInference`.
    LLM_COST_COMPLETION = "llm.cost.completion";
    /// Cost of cached input read, in US dollars. `OpenInference`.
    LLM_COST_CACHE_READ = "llm.cost.prompt_details.cache_read";
    /// Cost of cached input written, in US dollars. `OpenInference`.
    LLM_COST_CACHE_WRITE = "llm.cost.prompt_details.cache_write";
    /// Cost of reasoning, in US dollars. `OpenInference`.
    LLM_COST_REASONING = "llm.cost.completion_details.reasoning";

    /// The experiment a call belongs to. Intake.
    NEMO_EXPERIMENT_ID = "nemo.experiment.id";
    /// The test case a call belongs to. Intake.
    NEMO_TEST_CASE_ID = "nemo.test_case.id";
    /// `evaluation_context.evaluation_id`. Ours, in Intake's manner.
    NEMO_EVALUATION_ID = "nemo.evaluation.id";
    /// `evaluation_context.evaluation_sha`. Ours, in Intake's manner.
    NEMO_EVALUATION_SHA = "nemo.evaluation.sha";
    /// `evaluation_context.evaluation_run_id`. Ours, in Intake's manner.
    NEMO_EVALUATION_RUN_ID = "nemo.evaluation.run_id";
    /// `evaluation_context.metadata`, JSON. Ours, in Intake's manner.
    NEMO_EVALUATION_METADATA = "nemo.evaluation.metadata";

    /// The trace id as given, when it is not the stored one. Ours.
    MILLRACE_TRACE_ID = "millrace.trace_id";
    /// The span id as given, when it is not the stored one. Ours.
    MILLRACE_SPAN_ID = "millrace.span_id";
    /// The provider was inferred, not given; only ever true. Ours.
    MILLRACE_PROVIDER_INFERRED = "millrace.provider.inferred";
    /// Where start and end come from: given, derived, ingest, unknown. Ours.
    MILLRACE_TIMING = "millrace.timing";
    /// Where the cost comes from: caller, response; or that it is unreadable. Ours.
    MILLRACE_COST_SOURCE = "millrace.cost.source";
    /// Members of the request that no attribute holds, JSON. Ours.
    MILLRACE_REQUEST_EXTRA = "millrace.request.extra";
    /// Members of the response that no attribute holds, JSON. Ours.
    MILLRACE_RESPONSE_EXTRA = "millrace.response.extra";
    /// Members of the experiment and evaluation contexts that no attribute holds, JSON. Ours.
    MILLRACE_CONTEXT_EXTRA = "millrace.context.extra";
    /// Members of the request that may hold a prompt and that no attribute holds, JSON; content. Ours.
    MILLRACE_REQUEST_CONTENT = "millrace.request.content";
    /// Members of the response that may hold an answer and that no attribute holds, JSON; content. Ours.
    MILLRACE_RESPONSE_CONTENT = "millrace.response.content";
    /// Members of a tool's record that may hold prompts and answers and that no attribute holds, JSON; content. Ours.
    MILLRACE_RECORD_CONTENT = "millrace.record.content";
    /// The provider's whole error, JSON. Ours.
    MILLRACE_RESPONSE_ERROR = "millrace.response.error";
    /// The stream ended before its end; only ever false. Ours.
    MILLRACE_STREAM_COMPLETE = "millrace.stream.complete";
    /// The caller's tags. Ours.
    MILLRACE_TAGS = "millrace.tags";
    /// Bytes cut from attributes, by attribute, JSON. Ours.
    MILLRACE_TRUNCATED = "millrace.truncated";
    /// Media replaced by references, by attribute, JSON. Ours.
    MILLRACE_MEDIA_REPLACED = "millrace.media.replaced";
    /// Members of LiteLLM's record that no attribute holds, JSON. Ours.
    MILLRACE_LITELLM_EXTRA = "millrace.litellm.extra";
    /// Members of Helicone's log that no attribute holds, credentials left out, JSON. Ours.
    MILLRACE_HELICONE_EXTRA = "millrace.helicone.extra";
}

/// What starts the keys of cost details that `OpenInference` has no name for.
pub const LLM_COST_PREFIX: &str = "llm.cost.";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_is_listed_once() {
        assert_eq!(ALL.iter().collect::<BTreeSet<_>>().len(), ALL.len());
    }
}
