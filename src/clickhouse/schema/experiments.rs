//! The tables of experiments and of their groups. They have few rows, which people write and change. A change is a further row: of the rows
//! of one name, the one with the latest `Version` counts.
//!
//! A deletion writes two rows. One, with `IsDeleted = 1`, says that nothing has the old name any more, so that it is free. The other has
//! the same id, `DeletedAt` and a new name, by which what was deleted can still be listed.

use super::ddl::{self, Create, Setting};
use super::layout::Layout;

/// The groups of experiments.
pub const GROUPS: &str = "genai_experiment_groups";
/// The experiments.
pub const EXPERIMENTS: &str = "genai_experiments";

/// A column: its name, type and codec.
type Definition = (&'static str, &'static str, &'static str);

const COLUMNS_OF_GROUPS: &[Definition] = &[
    ("Workspace", "LowCardinality(String)", "ZSTD(1)"),
    ("Name", "String", "ZSTD(1)"),
    ("GroupId", "String", "ZSTD(1)"),
    ("Description", "Nullable(String)", "ZSTD(1)"),
    ("CreatedBy", "LowCardinality(String)", "ZSTD(1)"),
    ("CreatedAt", "DateTime64(6)", "ZSTD(1)"),
    ("UpdatedAt", "DateTime64(6)", "ZSTD(1)"),
    ("DeletedAt", "Nullable(DateTime64(6))", "ZSTD(1)"),
    // microseconds since 1970, when the row was written
    ("Version", "UInt64", "ZSTD(1)"),
    ("IsDeleted", "UInt8", "ZSTD(1)"),
];

const COLUMNS_OF_EXPERIMENTS: &[Definition] = &[
    ("Workspace", "LowCardinality(String)", "ZSTD(1)"),
    ("Name", "String", "ZSTD(1)"),
    ("ExperimentId", "String", "ZSTD(1)"),
    ("GroupId", "String", "ZSTD(1)"),
    ("DatasetName", "String", "ZSTD(1)"),
    ("DatasetVersion", "Nullable(String)", "ZSTD(1)"),
    ("SourceLink", "Nullable(String)", "ZSTD(1)"),
    // an object as JSON
    ("Metadata", "String", "ZSTD(1)"),
    ("Description", "Nullable(String)", "ZSTD(1)"),
    ("Summary", "Nullable(String)", "ZSTD(1)"),
    ("CreatedBy", "LowCardinality(String)", "ZSTD(1)"),
    ("CreatedAt", "DateTime64(6)", "ZSTD(1)"),
    ("UpdatedAt", "DateTime64(6)", "ZSTD(1)"),
    ("PinnedAt", "Nullable(DateTime64(6))", "ZSTD(1)"),
    ("DeletedAt", "Nullable(DateTime64(6))", "ZSTD(1)"),
    ("Version", "UInt64", "ZSTD(1)"),
    ("IsDeleted", "UInt8", "ZSTD(1)"),
];

/// Columns of groups since version 16.
const LATER_OF_GROUPS: &[Definition] = &[
    ("InsightId", "Nullable(String)", "ZSTD(1)"),
    ("Summary", "Nullable(String)", "ZSTD(1)"),
    // an object as JSON
    ("Metadata", "Nullable(String)", "ZSTD(1)"),
    ("DefaultSort", "Nullable(String)", "ZSTD(1)"),
    ("ParetoX", "Nullable(String)", "ZSTD(1)"),
    ("ParetoY", "Nullable(String)", "ZSTD(1)"),
];

/// Columns of experiments since version 16.
const LATER_OF_EXPERIMENTS: &[Definition] = &[
    // empty in rows that were written before: then GroupId is the only group
    ("GroupIds", "Array(String)", "ZSTD(1)"),
    ("ParentId", "Nullable(String)", "ZSTD(1)"),
    ("Status", "Nullable(String)", "ZSTD(1)"),
    ("RootCause", "Nullable(String)", "ZSTD(1)"),
];

/// A column as an `ALTER` adds it: its name, type and definition.
type Added = (&'static str, &'static str, String);

/// The columns that version 16 added, by table.
pub(super) fn later() -> [(&'static str, Vec<Added>); 2] {
    [(GROUPS, LATER_OF_GROUPS), (EXPERIMENTS, LATER_OF_EXPERIMENTS)].map(|(name, columns)| {
        let added = columns.iter().map(|definition| (definition.0, definition.1, column(definition)));
        (name, added.collect())
    })
}

fn column((name, of_type, codec): &Definition) -> String {
    format!("`{name}` {of_type} CODEC({codec})")
}

/// The statements that make the tables: for each its name, the table that holds the rows, and on a cluster the distributed one.
pub(super) fn create(layout: &Layout) -> [(&'static str, (Create, Option<String>)); 2] {
    [GROUPS, EXPERIMENTS].map(|name| {
        let distributed = layout.create_distributed(name, "cityHash64(Workspace, Name)");
        (name, (create_local(layout, name), distributed))
    })
}

/// The columns of one of the tables: name and type.
pub fn columns_of(table: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    definitions(table).map(|(name, of_type, _)| (*name, *of_type))
}

fn definitions(table: &str) -> impl Iterator<Item = &'static Definition> {
    let of_groups = [COLUMNS_OF_GROUPS, LATER_OF_GROUPS];
    let of_experiments = [COLUMNS_OF_EXPERIMENTS, LATER_OF_EXPERIMENTS];
    (if table == GROUPS { of_groups } else { of_experiments }).into_iter().flatten()
}

fn create_local(layout: &Layout, name: &str) -> Create {
    let mut settings = vec![Setting::new("index_granularity", 1_024)];
    settings.extend(ddl::durability(layout));
    Create {
        name: layout.local(name),
        columns: ddl::named(definitions(name).map(|definition| (definition.0, column(definition)))),
        indexes: &[],
        engine: layout.engine_with("ReplacingMergeTree", "Version, IsDeleted"),
        partition_by: None,
        order_by: "(Workspace, Name)",
        settings,
    }
}
