//! The sums of settled days: usage of days whose calls have not changed since they were summed.
//!
//! ```text
//! genai_report_rows ──reconciler, day by day──▶ genai_usage_hour_rows   by hour, provider, model, operation
//!                                          ├──▶ genai_usage_key_rows    by user, session, agent
//!                                          └──▶ genai_usage_days        which parts of a day the sums are of; written last
//!                    system.parts ◀──compares── genai_usage_settled     the days whose parts are still those
//! ```
//!
//! A part never changes, so sums of a day's parts are right for as long as the day has those parts. Nobody has to note what
//! changes: whatever inserts, merges, deletes or drops rows makes other parts, and from then on the views compute that day from
//! its calls until it is summed again. Each summing is a run with a number of its own, and its rows are a partition, so that runs
//! of two Millraces do not mix, one that was cut off is never read, and an old one is dropped as a whole.
//!
//! On a cluster there are none: a node knows the parts of its own shard only, and the shards sum the calls side by side.

use super::ddl::{self, Create};
use super::layout::Layout;
use super::rollups::REPORT_ROWS;

/// Sums by hour, provider, model and operation: rows of `genai_usage_1h`.
pub const HOUR_ROWS: &str = "genai_usage_hour_rows";
/// Sums of a day by user, by session and by agent.
pub const KEY_ROWS: &str = "genai_usage_key_rows";
/// The runs: which day, and which parts it had.
pub const DAYS: &str = "genai_usage_days";
/// Those runs that hold now.
pub const SETTLED: &str = "genai_usage_settled";

/// The kinds of `genai_usage_key_rows`: what it calls them, and their column of calls.
pub const KEYS: [(&str, &str); 3] = [USER, SESSION, AGENT];
pub(super) const USER: (&str, &str) = ("user", "UserId");
pub(super) const SESSION: (&str, &str) = ("session", "SessionId");
pub(super) const AGENT: (&str, &str) = ("agent", "AgentName");

/// Columns that are summed: their name, and the type of the sum.
const SUMMED: [(&str, &str); 10] = [
    ("InputTokens", "Nullable(UInt64)"),
    ("OutputTokens", "Nullable(UInt64)"),
    ("CacheReadTokens", "Nullable(UInt64)"),
    ("CacheWriteTokens", "Nullable(UInt64)"),
    ("ReasoningTokens", "Nullable(UInt64)"),
    ("InputAudioTokens", "Nullable(UInt64)"),
    ("OutputAudioTokens", "Nullable(UInt64)"),
    ("CostTotal", "Nullable(Decimal(38, 12))"),
    ("CostInput", "Nullable(Decimal(38, 12))"),
    ("CostOutput", "Nullable(Decimal(38, 12))"),
];

/// When the first and the last call of a key began: what lists of users are sorted by.
const FIRST_AND_LAST: [&str; 2] = ["FirstTime", "LastTime"];

/// Columns of which there are quantiles.
const TIMED: [&str; 2] = ["Duration", "TimeToFirstToken"];
const QUANTILES: [(&str, &str); 3] = [("P50", "0.5"), ("P95", "0.95"), ("P99", "0.99")];

/// A number of the parts of a day, from their rows in `system.parts`: another one means that something changed. Names of parts may
/// come again in a table that was dropped and made anew, what they hold does not. The first number is to be changed with what is
/// summed and how. Hours depend on the time zone.
pub const PARTS: &str = "cityHash64(2, timezone(), sum(cityHash64(name, rows, hash_of_all_files)))";

/// The parts of a table: what comes after `FROM`.
#[must_use]
pub fn parts_of(database: &str, table: &str) -> String {
    format!("system.parts WHERE active AND database = '{database}' AND table = '{table}'")
}

/// By what the sums of hours are told apart.
pub(super) const HOUR_KEY: &str = "Workspace, Hour, Provider, Model, Operation";
const HOUR_COLUMNS: &str = "r.Workspace AS Workspace, toStartOfHour(r.Timestamp) AS Hour, r.Provider AS Provider, \
                            r.Model AS Model, r.Operation AS Operation";

/// Whether there are any.
pub(super) fn are_kept(layout: &Layout) -> bool {
    layout.cluster.is_none()
}

/// Which days are settled is asked once, however many parts of a query need it: they must not disagree about a day.
pub(super) const WITH_SETTLED: &str =
    "WITH (SELECT groupArray((PartitionId, Run)) FROM {{database}}.genai_usage_settled";

/// Sums of calls, by their names.
pub(super) fn of_calls() -> String {
    let sums = SUMMED.iter().map(|(name, _)| format!("sum(r.{name}) AS {name}"));
    let counts = ["count() AS Calls", "countIf(r.IsError) AS Errors"].map(str::to_owned);
    counts.into_iter().chain(sums).collect::<Vec<_>>().join(", ")
}

/// The same by a key, with when the first and the last of them began.
pub(super) fn of_calls_by_key() -> String {
    let [first, last] = FIRST_AND_LAST;
    format!("{}, min(r.Timestamp) AS {first}, max(r.Timestamp) AS {last}", of_calls())
}

/// Their names.
fn names() -> String {
    ["Calls", "Errors"].into_iter().chain(SUMMED.iter().map(|(name, _)| *name)).collect::<Vec<_>>().join(", ")
}

fn names_by_key() -> String {
    format!("{}, {}", names(), FIRST_AND_LAST.join(", "))
}

/// Sums of sums by a key.
pub(super) fn of_sums_by_key() -> String {
    let [first, last] = FIRST_AND_LAST;
    format!("{},\n    min(u.{first}) AS {first},\n    max(u.{last}) AS {last}", of_sums())
}

/// Sums of sums, by their names. What nothing is known of is NULL.
pub(super) fn of_sums() -> String {
    const TOTAL: &str = "if(sum(u.InputTokens) IS NULL, sum(u.OutputTokens), \
                         sum(u.InputTokens) + ifNull(sum(u.OutputTokens), 0)) AS TotalTokens";
    let sum = |name: &str| format!("sum(u.{name}) AS {name}");
    let sums = SUMMED.iter().flat_map(|(name, _)| match *name {
        "OutputTokens" => vec![sum(name), TOTAL.to_owned()],
        _ => vec![sum(name)],
    });
    ["Calls", "Errors"].map(sum).into_iter().chain(sums).collect::<Vec<_>>().join(",\n    ")
}

/// What `genai_usage_1h` shows of calls: quantiles of a column are made in one pass.
pub(super) fn hours_of_calls() -> String {
    let levels = QUANTILES.map(|(_, level)| level).join(", ");
    let quantiles = TIMED.iter().flat_map(|column| {
        let of = |(at, (name, _)): (usize, &(&str, &str))| {
            let values = format!("quantiles({levels})(r.{column})");
            format!("if(count(r.{column}) = 0, NULL, {values}[{}]) AS {column}{name}", at + 1)
        };
        QUANTILES.iter().enumerate().map(of).collect::<Vec<_>>()
    });
    let all = [HOUR_COLUMNS.to_owned(), of_calls()].into_iter().chain(quantiles);
    all.collect::<Vec<_>>().join(",\n        ")
}

fn names_of_quantiles() -> String {
    let of = |column: &&str| QUANTILES.map(|(name, _)| format!("{column}{name}")).join(", ");
    TIMED.iter().map(of).collect::<Vec<_>>().join(", ")
}

/// The sums of settled days, before those of calls.
pub(super) fn settled_hours() -> String {
    format!("SELECT {HOUR_KEY}, {}, {} {}", names(), names_of_quantiles(), from_settled(HOUR_ROWS, ""))
}

/// The same by model.
pub(super) fn settled_models() -> String {
    format!("SELECT Workspace, Provider, Model, {} {}", names(), from_settled(HOUR_ROWS, ""))
}

/// The same by a key of this kind.
pub(super) fn settled_keys(kind: &str) -> String {
    format!("SELECT Workspace, Key, {} {}", names_by_key(), from_settled(KEY_ROWS, &format!("By = '{kind}' AND ")))
}

fn from_settled(table: &str, condition: &str) -> String {
    format!("FROM {{{{database}}}}.{table} WHERE {condition}Run IN (settled.2)\n    UNION ALL\n    ")
}

/// What writes the sums of a day by hour into [`HOUR_ROWS`].
#[must_use]
pub fn insert_hours(database: &str, partition_id: &str, run: u64) -> String {
    format!(
        "INSERT INTO {database}.{HOUR_ROWS} (Run, {HOUR_KEY}, {}, {}) SELECT {run} AS Run, {} {} GROUP BY {HOUR_KEY}",
        names(),
        names_of_quantiles(),
        hours_of_calls(),
        calls_of(database, partition_id),
    )
}

/// What writes the sums of a day by each key into [`KEY_ROWS`].
#[must_use]
pub fn insert_keys(database: &str, partition_id: &str, run: u64) -> String {
    let of = |(kind, column): (&str, &str)| {
        format!(
            "SELECT {run} AS Run, '{kind}' AS By, r.Workspace AS Workspace, r.{column} AS Key, {} {} GROUP BY Workspace, Key",
            of_calls_by_key(),
            calls_of(database, partition_id),
        )
    };
    format!(
        "INSERT INTO {database}.{KEY_ROWS} (Run, By, Workspace, Key, {}) {}",
        names_by_key(),
        KEYS.map(of).join(" UNION ALL "),
    )
}

fn calls_of(database: &str, partition_id: &str) -> String {
    format!(
        "FROM {database}.{REPORT_ROWS} AS r FINAL \
         WHERE r.CountedAs = 'call' AND r.IsDeleted = 0 AND r._partition_id = '{partition_id}'"
    )
}

/// The tables.
pub(super) fn create(layout: &Layout) -> [Create; 3] {
    let of =
        |name: &str, table_type: &str, codec: &str| (name.to_owned(), format!("`{name}` {table_type} CODEC({codec})"));
    let text = |name: &str| of(name, "LowCardinality(String)", "LZ4");
    let run = || of("Run", "UInt64", "ZSTD(1)");
    let counts = || ["Calls", "Errors"].map(|name| of(name, "UInt64", "T64, LZ4"));
    let sums = || counts().into_iter().chain(SUMMED.map(|(name, table_type)| of(name, table_type, codec(table_type))));
    let quantile = |name: String| of(&name, "Nullable(Float64)", "LZ4");
    let quantiles = TIMED.iter().flat_map(|of| QUANTILES.map(|(name, _)| quantile(format!("{of}{name}"))));
    let hours = [run(), text("Workspace"), of("Hour", "DateTime", "Delta(4), LZ4")].into_iter();
    let hours = hours.chain(["Provider", "Model", "Operation"].map(text)).chain(sums()).chain(quantiles);
    let times = added_by_key().map(|(name, _, definition)| (name.to_owned(), definition));
    let keys =
        [run(), text("By"), text("Workspace"), of("Key", "String", "LZ4")].into_iter().chain(sums()).chain(times);
    let days = [
        ("PartitionId", "String"),
        ("Parts", "UInt64"),
        ("Run", "UInt64"),
        ("First", "DateTime64(9)"),
        ("Last", "DateTime64(9)"),
        ("HourRows", "UInt64"),
        ("KeyRows", "UInt64"),
    ];
    let days = days.map(|(name, table_type)| (name.to_owned(), format!("`{name}` {table_type}")));
    let table = |name: &str, columns: Vec<(String, String)>, engine: &str, order_by| Create {
        name: name.to_owned(),
        columns,
        indexes: &[],
        engine: engine.to_owned(),
        partition_by: (name != DAYS).then_some("Run"),
        order_by,
        settings: ddl::durability(layout),
    };
    [
        table(HOUR_ROWS, hours.collect(), "MergeTree", "(Hour, Workspace, Provider, Model, Operation)"),
        table(KEY_ROWS, keys.collect(), "MergeTree", "(By, Workspace, Key)"),
        table(DAYS, days.to_vec(), "ReplacingMergeTree(Run)", "PartitionId"),
    ]
}

/// Columns of [`KEY_ROWS`] that came later: name, type and definition.
pub(super) fn added_by_key() -> [(&'static str, &'static str, String); 2] {
    FIRST_AND_LAST.map(|name| (name, "DateTime64(9)", format!("`{name}` DateTime64(9) CODEC(ZSTD(1))")))
}

fn codec(table_type: &str) -> &'static str {
    if table_type.contains("UInt64") { "T64, LZ4" } else { "LZ4" }
}
