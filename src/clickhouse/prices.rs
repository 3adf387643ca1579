//! Calls without a given cost: which models have no price, and new costs for those that have one.
//!
//! ```text
//! unpriced   models whose calls have no cost                             SELECT .. GROUP BY provider, model
//! hours      where in time are calls whose cost may be computed          SELECT DISTINCT hour
//! alike      of an hour, the calls by all that a price depends on        SELECT .. GROUP BY key LIMIT n
//! reprice    gives them their new costs                                  UPDATE .. WHERE key IN (..)
//! ```
//!
//! The UPDATE is a lightweight one: it writes a small patch part, and readers see it at once.

use super::client::{Client, STATEMENT_TIMEOUT, Setting};
use super::errors::Failure;
use crate::sql::quoted;
use crate::time::UnixNanos;
use ::clickhouse::Row;
use serde::Deserialize;

/// Spans that are calls of models. What agents report is the sum of their calls.
const IS_PRICED: &str = "Operation IN ('chat', 'text_completion', 'generate_content', 'embeddings', 'rerank')";

/// A model whose calls have no cost.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct UnpricedModel {
    /// The provider, as calls name it.
    pub provider: String,
    /// The model that answered, else the one asked for.
    pub model: String,
    /// How many of its calls have no cost.
    pub calls: u64,
    /// What they used.
    pub input_tokens: u64,
    /// What they made.
    pub output_tokens: u64,
}

/// The models whose calls since then used tokens and have no cost, though no sender gave one, most calls first.
///
/// # Errors
/// If ClickHouse is unreachable or refuses.
pub async fn unpriced(client: &Client, since: UnixNanos, limit: usize) -> Result<Vec<UnpricedModel>, Failure> {
    let table = client.table();
    let statement = format!(
        "SELECT toString(Provider) AS provider, if(ResponseModel = '', toString(RequestModel), toString(ResponseModel)) AS model, \
         count() AS calls, ifNull(sum(InputTokens), 0) AS input_tokens, ifNull(sum(OutputTokens), 0) AS output_tokens \
         FROM {table} WHERE {IS_PRICED} AND CostTotal IS NULL AND CostSource = '' AND (InputTokens > 0 OR OutputTokens > 0) \
         AND Timestamp >= fromUnixTimestamp64Nano({}) \
         GROUP BY provider, model ORDER BY calls DESC, provider, model LIMIT {limit}",
        since.nanos()
    );
    client.rows(&statement).await
}

/// Calls that have the same cost: all that a price depends on, and what their rows have now.
#[derive(Debug, Clone, PartialEq, Eq, Row, Deserialize)]
pub struct Alike {
    /// A hash of all that a price depends on.
    pub key: u64,
    /// The minute in which they began, in seconds since 1970.
    pub minute: i64,
    /// `Operation`
    pub operation: String,
    /// `Provider`
    pub provider: String,
    /// `ResponseModel`
    pub response_model: String,
    /// `RequestModel`
    pub request_model: String,
    /// `ServiceTier`
    pub service_tier: String,
    /// `InputTokens`
    pub input: Option<u64>,
    /// `OutputTokens`
    pub output: Option<u64>,
    /// `CacheReadTokens`
    pub cache_read: Option<u64>,
    /// `CacheWriteTokens`
    pub cache_write: Option<u64>,
    /// `CacheWrite1hTokens`
    pub cache_write_1h: Option<u64>,
    /// `ReasoningTokens`
    pub reasoning: Option<u64>,
    /// `InputAudioTokens`
    pub audio_input: Option<u64>,
    /// `OutputAudioTokens`
    pub audio_output: Option<u64>,
    /// Tokens of images that went in.
    pub image_input: Option<u64>,
    /// Tokens of images that came out.
    pub image_output: Option<u64>,
    /// Tokens of videos that went in.
    pub video_input: Option<u64>,
    /// Tokens of videos that came out.
    pub video_output: Option<u64>,
    /// Tokens of audio that were read from a cache.
    pub cached_audio: Option<u64>,
    /// Tokens of images that were read from a cache.
    pub cached_images: Option<u64>,
    /// `CostTotal`, in decimal.
    pub total: Option<String>,
    /// `PriceId`
    pub price_id: String,
    /// `PriceBook`
    pub price_book: String,
    /// How many calls.
    pub calls: u64,
}

/// The cost that calls get; without a total they have none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repriced {
    /// [`Alike::key`]
    pub key: u64,
    /// Total, input and output in decimal; empty for none.
    pub costs: [String; 3],
    /// `PriceId`
    pub price_id: String,
    /// `PriceBook`
    pub price_book: String,
}

/// Most calls that are alike in one page, and so in one UPDATE.
const ALIKE_MAX: usize = 5_000;
/// The list of keys is long, and a statement that nobody waits for any more must end.
const SETTINGS: [Setting; 3] =
    [("max_query_size", "16777216"), ("max_execution_time", "60"), ("allow_experimental_lightweight_update", "1")];

/// What may be computed: nobody gave a cost, not even one that could not be read.
const IS_OURS: &str = "(CostSource = 'computed' OR (CostSource = '' AND CostTotal IS NULL AND CostInput IS NULL AND CostOutput IS NULL)) AND (InputTokens > 0 OR OutputTokens > 0)";

/// All that a price depends on. Counts without a column are found again in the attributes that `conventions` read them from.
const DEPENDS_ON: &[(&str, &str)] = &[
    ("minute", "toInt64(toUnixTimestamp(toStartOfMinute(Timestamp)))"),
    ("operation", "toString(Operation)"),
    ("provider", "toString(Provider)"),
    ("response_model", "toString(ResponseModel)"),
    ("request_model", "toString(RequestModel)"),
    ("service_tier", "toString(ServiceTier)"),
    ("input", "InputTokens"),
    ("output", "OutputTokens"),
    ("cache_read", "CacheReadTokens"),
    ("cache_write", "CacheWriteTokens"),
    ("cache_write_1h", "CacheWrite1hTokens"),
    ("reasoning", "ReasoningTokens"),
    ("audio_input", "InputAudioTokens"),
    ("audio_output", "OutputAudioTokens"),
    (
        "image_input",
        "toUInt64OrNull(coalesce(nullIf(SpanAttributes['gen_ai.usage.image.input_tokens'], ''), SpanAttributes['gen_ai.usage.details.image_prompt_tokens']))",
    ),
    (
        "image_output",
        "toUInt64OrNull(coalesce(nullIf(SpanAttributes['gen_ai.usage.image.output_tokens'], ''), SpanAttributes['gen_ai.usage.details.image_candidates_tokens']))",
    ),
    (
        "video_input",
        "toUInt64OrNull(coalesce(nullIf(SpanAttributes['gen_ai.usage.video.input_tokens'], ''), SpanAttributes['gen_ai.usage.details.video_prompt_tokens']))",
    ),
    ("video_output", "toUInt64OrNull(SpanAttributes['gen_ai.usage.video.output_tokens'])"),
    (
        "cached_audio",
        "toUInt64OrNull(coalesce(nullIf(SpanAttributes['gen_ai.usage.audio.cache_read.input_tokens'], ''), nullIf(SpanAttributes['gen_ai.usage.details.cache_audio_read_tokens'], ''), SpanAttributes['gen_ai.usage.details.audio_cache_tokens']))",
    ),
    ("cached_images", "toUInt64OrNull(SpanAttributes['gen_ai.usage.image.cache_read.input_tokens'])"),
];

fn key() -> String {
    let all: Vec<_> = DEPENDS_ON.iter().map(|(_, expression)| *expression).collect();
    format!("cityHash64(toString(tuple({})))", all.join(", "))
}

/// Which calls: those of an hour, and of a model.
#[derive(Debug, Clone)]
pub struct Which {
    /// From then on, in nanoseconds since 1970.
    pub from: i64,
    /// To before then.
    pub to: i64,
    /// Only of this model, whether it was asked for or answered.
    pub model: Option<String>,
}

impl Which {
    fn condition(&self) -> String {
        let model = self.model.as_deref().map(quoted);
        let model = model.map_or_else(String::new, |model| format!(" AND {model} IN (ResponseModel, RequestModel)"));
        format!(
            "Timestamp >= fromUnixTimestamp64Nano({}) AND Timestamp < fromUnixTimestamp64Nano({}) AND {IS_PRICED} AND {IS_OURS}{model}",
            self.from, self.to
        )
    }
}

/// The hours that have calls whose cost may be computed, when each begins in seconds since 1970.
///
/// # Errors
/// If ClickHouse is unreachable or refuses.
pub async fn hours(client: &Client, which: &Which) -> Result<Vec<i64>, Failure> {
    let statement = format!(
        "SELECT DISTINCT toInt64(toUnixTimestamp(toStartOfHour(Timestamp))) AS hour FROM {} WHERE {} ORDER BY hour",
        client.table(),
        which.condition()
    );
    client.rows_with(&statement, &SETTINGS[..2]).await
}

/// A page of calls that are alike, in the order of their keys, after the key `after`. Calls that are alike are all on one page.
///
/// # Errors
/// If ClickHouse is unreachable or refuses.
pub async fn alike(client: &Client, which: &Which, after: Option<u64>) -> Result<Vec<Alike>, Failure> {
    let names: Vec<String> = DEPENDS_ON.iter().map(|(name, expression)| format!("{expression} AS {name}")).collect();
    let groups: Vec<&str> = DEPENDS_ON.iter().map(|(name, _)| *name).collect();
    let after = after.map_or_else(String::new, |key| format!("HAVING key > {key} "));
    let statement = format!(
        "SELECT {} AS key, {}, toString(CostTotal) AS total, toString(PriceId) AS price_id, toString(PriceBook) AS price_book, \
         count() AS calls FROM {} WHERE {} GROUP BY key, {}, total, price_id, price_book {after}\
         ORDER BY key LIMIT {ALIKE_MAX} WITH TIES",
        key(),
        names.join(", "),
        client.table(),
        which.condition(),
        groups.join(", "),
    );
    client.rows_with(&statement, &SETTINGS[..2]).await
}

/// Gives calls their costs, in one lightweight UPDATE. Doing it twice is the same.
///
/// # Errors
/// If ClickHouse is unreachable or refuses; it may have been done.
pub async fn reprice(client: &Client, which: &Which, repriced: &[Repriced]) -> Result<(), Failure> {
    if repriced.is_empty() {
        return Ok(());
    }
    let list = |of: &dyn Fn(&Repriced) -> String| repriced.iter().map(of).collect::<Vec<_>>().join(",");
    let keys = list(&|one| one.key.to_string());
    let key = key();
    let of = |text: &dyn Fn(&Repriced) -> &str| {
        format!("transform({key}, [{keys}], [{}], '')", list(&|one| quoted(text(one))))
    };
    let [total, input, output] = [0, 1, 2].map(|side| of(&|one| one.costs.get(side).map_or("", String::as_str)));
    let statement = format!(
        "UPDATE {} SET CostTotal = toDecimal64OrNull({total}, 12), CostInput = toDecimal64OrNull({input}, 12), \
         CostOutput = toDecimal64OrNull({output}, 12), CostSource = if({total} = '', '', 'computed'), \
         PriceId = {}, PriceBook = {} WHERE {} AND {key} IN ({keys})",
        client.changed_table(),
        of(&|one| &one.price_id),
        of(&|one| &one.price_book),
        which.condition(),
    );
    client.execute_with(&statement, &SETTINGS, STATEMENT_TIMEOUT).await
}
