//! The versions of the schema, and what each one has: all of it can be made again at any time, and nothing is taken away.
//!
//! A new column, table or view goes into a new version at the end.

use super::super::cluster::TABLE;
use super::ddl::{self, Create, Extras, Setting, TRACE_ID_TS, TRACE_ID_TS_MV, TRACE_TIMES, VERSIONS};
use super::experiments;
use super::found::{self, Found};
use super::layout::Layout;
use super::records;
use super::replicas;
use super::retention;
use super::rollups::{self, COST, ROLLUPS, Rollup, TRACE_ROWS};
use super::sums;
use super::trace_times;
use super::views;
use crate::columns::{ALIASES, COLUMNS, FILLED, Table};
use crate::telemetry::{RowKind, Signal};

/// One version.
pub(super) struct Migration {
    pub(super) version: u32,
    pub(super) what: &'static str,
    parts: fn(&Layout, &Found) -> Vec<Part>,
}

/// Every version, in order.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, what: "the table of the OpenTelemetry exporter", parts: |layout, _| spans(layout) },
    Migration {
        version: 2,
        what: "request and response of a chat-completion as they were sent",
        parts: |layout, _| columns(layout, "RawRequest", "RawResponse"),
    },
    Migration {
        version: 3,
        what: "the segment of each row",
        parts: |layout, _| columns(layout, "SegmentId", "SegmentId"),
    },
    Migration { version: 4, what: "typed columns", parts: typed_columns },
    Migration { version: 5, what: "when each trace began and ended", parts: trace_times },
    // these views read other tables now, and so come after them
    Migration { version: 6, what: "views of calls, traces, sessions and usage", parts: |_, _| Vec::new() },
    Migration {
        version: 7,
        what: "prices, service tiers and the cache kept for an hour",
        parts: |layout, _| columns(layout, "PriceId", "ServiceTier"),
    },
    Migration { version: 8, what: "tables of what was counted", parts: |layout, _| rollups(layout) },
    Migration {
        version: 9,
        what: "previews of messages",
        parts: |layout, _| columns(layout, "InputPreview", "OutputPreview"),
    },
    // and these read the sums of settled days as well
    Migration { version: 10, what: "the views read what was counted", parts: |_, _| Vec::new() },
    Migration { version: 11, what: "sums of settled days", parts: |layout, _| sums(layout) },
    Migration {
        version: 12,
        what: "costs of traces in eight bytes, and views that read them and the sums",
        parts: |layout, _| costs(layout),
    },
    Migration { version: 13, what: "log records", parts: |layout, _| records(layout, Table::Logs) },
    Migration {
        version: 14,
        what: "data points of metrics",
        parts: |layout, _| {
            let tables = Table::ALL.into_iter().filter(|table| table.row_kind() == RowKind::Of(Signal::Metrics));
            tables.flat_map(|table| records(layout, table)).collect()
        },
    },
    Migration {
        version: 15,
        what: "annotations, evaluator results and experiments",
        parts: |layout, _| scores(layout),
    },
    Migration {
        version: 16,
        what: "experiments in several groups, their states and origins, and how groups show them",
        parts: |layout, _| {
            let added = experiments::later().into_iter();
            added.flat_map(|(name, columns)| of_all_tables(layout, name, &columns)).collect()
        },
    },
    Migration { version: 17, what: "how each span ended", parts: |layout, _| filled_column(layout, "Status") },
    Migration {
        version: 18,
        what: "the first and the last call of a user, a session and an agent, and views that read them",
        parts: |layout, _| times_of_keys(layout).into_iter().chain(views(layout)).collect(),
    },
];

/// The version that this program knows.
pub(super) fn latest() -> u32 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// Something that the schema consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// The database.
    Database(String),
    /// A table that holds rows, and what it has beside what any ClickHouse takes.
    Rows { create: Create, extras: Extras, is_needed_to_insert: bool },
    /// Another table or a materialized view by its name, and what makes it.
    Table { name: String, create: String, is_needed_to_insert: bool },
    /// A column of a table: its name, type and definition.
    Column { table: String, name: &'static str, table_type: &'static str, definition: String },
    /// A view by its name, and what it selects.
    View { name: &'static str, select: String },
    /// A setting of a table.
    Setting { table: String, setting: Setting },
    /// The times of the traces that are there already.
    TraceTimes { target: String },
}

impl Part {
    /// Whether it is there.
    pub(super) fn is_in(&self, found: &Found) -> bool {
        match self {
            Self::Database(_) => found.has_database(),
            Self::Rows { create: Create { name, .. }, .. } | Self::Table { name, .. } => found.has(name),
            Self::Column { table, name, .. } => found.column_type(table, name).is_some(),
            Self::View { name, select } => {
                // a table of that name is somebody's: nothing takes its place
                let is_there = |there: &found::Table| there.engine != "View" || there.comment == ddl::mark(select);
                found.has(name) && found.tables(name).all(is_there)
            }
            Self::Setting { table, setting } => found.has_setting(table, setting),
            // a node that was added later has no rows of its own
            Self::TraceTimes { target } => {
                [target, TRACE_ID_TS, TRACE_ID_TS_MV].iter().all(|name| found.is_anywhere(name))
            }
        }
    }

    /// Whether rows can be inserted without it.
    pub(super) fn is_needed_to_insert(&self) -> bool {
        match self {
            Self::Database(_) => true,
            Self::Column { table, .. } => table.strip_prefix(TABLE).is_some_and(|rest| matches!(rest, "" | "_local")),
            Self::Rows { is_needed_to_insert, .. } | Self::Table { is_needed_to_insert, .. } => *is_needed_to_insert,
            Self::View { .. } | Self::Setting { .. } | Self::TraceTimes { .. } => false,
        }
    }

    /// What it is, for an operator.
    pub(super) fn what(&self, layout: &Layout) -> String {
        match self {
            Self::Database(_) => format!("database {}", layout.database),
            Self::Rows { create: Create { name, .. }, .. } | Self::Table { name, .. } => layout.full(name),
            Self::View { name, .. } => format!("view {}", layout.full(name)),
            Self::Column { table, name, table_type, .. } => {
                format!("column {name} {table_type} of {}", layout.full(table))
            }
            Self::Setting { table, setting } => format!("setting {} of {}", setting.sql(), layout.full(table)),
            Self::TraceTimes { target } => format!("the times of the traces stored before, in {}", layout.full(target)),
        }
    }
}

/// Everything, in the order in which it is made.
pub(super) fn parts(layout: &Layout, found: &Found) -> Vec<Part> {
    let first = [Part::Database(ddl::create_database(layout))];
    let versions = tables(layout, VERSIONS, (ddl::create_versions(layout), ddl::distribute_versions(layout)), false);
    let all = MIGRATIONS.iter().flat_map(|migration| (migration.parts)(layout, found));
    first.into_iter().chain(versions).chain(all).map(|part| as_elsewhere(layout, found, part)).collect()
}

/// What is not there, in that order. A table that is nowhere is made with all that it has in the end: what later versions add to it and
/// what is configured is part of its `CREATE`, and not listed.
pub(super) fn lacking(layout: &Layout, found: &Found) -> Vec<Part> {
    let parts = parts(layout, found);
    let is_nowhere = |table: &str| !found.is_anywhere(table) && !found.is_anywhere(&layout.local(table));
    let is_made_with_its_table = |part: &Part| match part {
        Part::Column { table, .. } | Part::Setting { table, .. } => is_nowhere(table),
        _ => false,
    };
    let lacking: Vec<_> =
        parts.iter().filter(|part| !part.is_in(found) && !is_made_with_its_table(part)).cloned().collect();
    lacking.into_iter().map(|part| as_a_whole(&parts, part)).collect()
}

/// The table with what later parts say of it.
fn as_a_whole(parts: &[Part], part: Part) -> Part {
    match part {
        Part::Rows { create, extras, is_needed_to_insert } => {
            let settings = parts.iter().filter_map(|part| match part {
                Part::Setting { table, setting } if *table == create.name => Some(setting),
                _ => None,
            });
            let settings = settings.filter(|setting| !create.settings.contains(setting)).cloned();
            let settings = settings.chain(extras.settings).collect();
            Part::Rows { create, extras: Extras { settings, ..extras }, is_needed_to_insert }
        }
        part => part,
    }
}

/// A table that other nodes have already is made as they have it.
fn as_elsewhere(layout: &Layout, found: &Found, part: Part) -> Part {
    match part {
        Part::Rows { create, extras, is_needed_to_insert } => match replicas::copy(layout, found, &create.name) {
            Some(copy) => Part::Table { name: create.name, create: copy, is_needed_to_insert },
            None => Part::Rows { create, extras, is_needed_to_insert },
        },
        part => part,
    }
}

/// Columns that are of another type than ours.
pub(super) fn differing(layout: &Layout, found: &Found) -> Vec<String> {
    let differs = |part: &Part| match part {
        Part::Column { table, name, table_type, .. } => {
            let there = found.column_type(table, name).filter(|there| there != table_type)?;
            Some(format!("column {name} of {} is {there}, not {table_type}", layout.full(table)))
        }
        _ => None,
    };
    let unread = found.table(&layout.local(TABLE)).filter(|table| {
        found.has(TRACE_ID_TS_MV) && !table.dependencies_table.iter().any(|view| view == TRACE_ID_TS_MV)
    });
    let unread = unread.map(|_| {
        let (view, table) = (layout.full(TRACE_ID_TS_MV), layout.full(&layout.local(TABLE)));
        format!(
            "{view} does not read {table}, as happens when the table is renamed: drop the view, and it is made again"
        )
    });
    parts(layout, found).iter().filter_map(differs).chain(unread).collect()
}

/// The statements that make the parts, in order: neighbouring columns of a table in one, and so its settings.
pub(super) fn statements(layout: &Layout, parts: &[Part]) -> Vec<String> {
    let is_together = |a: &Part, b: &Part| match (a, b) {
        (Part::Column { table: a, .. }, Part::Column { table: b, .. }) => a == b,
        (Part::Setting { table: a, .. }, Part::Setting { table: b, .. }) => a == b,
        _ => false,
    };
    parts.chunk_by(is_together).flat_map(|together| statement(layout, together)).collect()
}

fn statement(layout: &Layout, together: &[Part]) -> Option<String> {
    let on_cluster = layout.on_cluster();
    let first = together.first()?;
    Some(match first {
        Part::Database(create) | Part::Table { create, .. } => create.clone(),
        Part::Rows { create, extras, .. } => create.sql(layout, extras),
        Part::View { name, select } if *name == sums::SETTLED => ddl::create_view_of_system(layout, name, select),
        Part::View { name, select } => ddl::create_view(layout, name, select),
        Part::Column { table, .. } => {
            let add = together.iter().filter_map(|part| match part {
                Part::Column { definition, .. } => Some(format!("    ADD COLUMN IF NOT EXISTS {definition}")),
                _ => None,
            });
            format!("ALTER TABLE {}{on_cluster}\n{}", layout.full(table), add.collect::<Vec<_>>().join(",\n"))
        }
        Part::Setting { table, .. } => {
            let set = together.iter().filter_map(|part| match part {
                Part::Setting { setting, .. } => Some(setting.sql()),
                _ => None,
            });
            // a Distributed table has no such settings, so this is the one that holds rows
            format!(
                "ALTER TABLE {}{on_cluster} MODIFY SETTING {}",
                layout.full(table),
                set.collect::<Vec<_>>().join(", ")
            )
        }
        Part::TraceTimes { target } => trace_times::fill_all(layout, target),
    })
}

/// A table, and on a cluster the one that spreads it.
fn tables(layout: &Layout, name: &str, (create, distribute): (Create, Option<String>), is_needed: bool) -> Vec<Part> {
    let extras = retention::wish(&layout.retention, name);
    let mut tables = vec![Part::Rows { create, extras, is_needed_to_insert: is_needed }];
    let distribute = distribute.map(|create| (name.to_owned(), create));
    tables.extend(distribute.map(|(name, create)| Part::Table { name, create, is_needed_to_insert: is_needed }));
    tables
}

fn spans(layout: &Layout) -> Vec<Part> {
    let mut parts = tables(layout, TABLE, (ddl::create_spans(layout), ddl::distribute_spans(layout)), true);
    let table = layout.local(TABLE);
    // apart from the settings that any ClickHouse knows
    let tuning = [ddl::merging(), ddl::texts()];
    parts.extend(tuning.map(|setting| Part::Setting { table: table.clone(), setting }));
    parts.extend(columns(layout, "Timestamp", "Links.Attributes"));
    let settings = ddl::settings(layout).into_iter().chain(ddl::joining());
    parts.extend(settings.map(|setting| Part::Setting { table: table.clone(), setting }));
    parts
}

/// The columns from `first` to `last` of the one list, of all tables that have them.
fn columns(layout: &Layout, first: &str, last: &str) -> Vec<Part> {
    let place = |name: &str| COLUMNS.iter().position(|column| column.name == name);
    let range = place(first).zip(place(last)).and_then(|(first, last)| COLUMNS.get(first..=last));
    let columns = range.into_iter().flatten();
    let columns: Vec<_> = columns.map(|column| (column.name, column.table_type, ddl::column(column))).collect();
    of_all_tables(layout, TABLE, &columns)
}

/// Those that the conventions fill, and what is computed from them.
fn typed_columns(layout: &Layout, _found: &Found) -> Vec<Part> {
    let mut parts = columns(layout, "Workspace", "ScopeSchemaUrl");
    let aliases: Vec<_> = ALIASES.iter().map(|alias| (alias.name, alias.table_type, ddl::alias(alias))).collect();
    parts.extend(of_all_tables(layout, TABLE, &aliases));
    parts.extend(filled_column(layout, "SessionHash"));
    parts
}

/// One that ClickHouse fills. Of rows that are there already it computes it when it is read.
fn filled_column(layout: &Layout, name: &str) -> Vec<Part> {
    let of = FILLED.iter().filter(|filled| filled.name == name);
    let of: Vec<_> = of.map(|filled| (filled.name, filled.table_type, ddl::filled(filled))).collect();
    of_all_tables(layout, TABLE, &of)
}

/// Columns of the table that holds rows and, on a cluster, of the one that spreads them.
fn of_all_tables(layout: &Layout, name: &str, columns: &[(&'static str, &'static str, String)]) -> Vec<Part> {
    let mut tables = vec![layout.local(name), name.to_owned()];
    tables.dedup();
    let of = |table: &String, (name, table_type, definition): &(&'static str, &'static str, String)| Part::Column {
        table: table.clone(),
        name,
        table_type,
        definition: definition.clone(),
    };
    tables.iter().flat_map(|table| columns.iter().map(|column| of(table, column))).collect()
}

/// The times of traces, by the name that Grafana knows. A table of that name that the OpenTelemetry exporter made is kept and
/// filled; otherwise it is a view, which comes last, when what it shows is whole.
fn trace_times(layout: &Layout, found: &Found) -> Vec<Part> {
    let view = |target: &str| Part::Table {
        name: TRACE_ID_TS_MV.to_owned(),
        create: ddl::create_trace_times_view(layout, target),
        is_needed_to_insert: false,
    };
    if found.table(TRACE_ID_TS).is_some_and(|table| table.engine != "View") {
        return vec![view(TRACE_ID_TS), Part::TraceTimes { target: TRACE_ID_TS.to_owned() }];
    }
    let both = (ddl::create_trace_times(layout), ddl::distribute_trace_times(layout));
    let mut parts = tables(layout, TRACE_TIMES, both, false);
    parts.push(Part::Setting { table: layout.local(TRACE_TIMES), setting: ddl::merging() });
    parts.push(view(&layout.local(TRACE_TIMES)));
    parts.push(Part::TraceTimes { target: TRACE_TIMES.to_owned() });
    parts.push(Part::View { name: TRACE_ID_TS, select: ddl::select_trace_id_ts(layout) });
    parts
}

/// What the reconciler writes: spans are stored without it.
fn rollups(layout: &Layout) -> Vec<Part> {
    let parts = |rollup: &Rollup| {
        let both = (rollups::create(layout, rollup), rollups::distribute(layout, rollup));
        let columns = rollup.columns.iter().map(|of| (of.name, of.table_type, rollups::column(of)));
        let mut parts = tables(layout, rollup.name, both, false);
        parts.extend(of_all_tables(layout, rollup.name, &columns.collect::<Vec<_>>()));
        parts
    };
    ROLLUPS.into_iter().flat_map(parts).collect()
}

/// A table that is there keeps its key.
fn costs(layout: &Layout) -> Vec<Part> {
    of_all_tables(layout, TRACE_ROWS, &[(COST.name, COST.table_type, COST.definition())])
}

/// A table of records. Spans are stored without it.
fn records(layout: &Layout, table: Table) -> Vec<Part> {
    let Some(both) = records::create(layout, table) else { return Vec::new() };
    let mut parts = tables(layout, table.name(), both, false);
    parts.extend(of_all_tables(layout, table.name(), &records::columns(table)));
    let local = layout.local(table.name());
    let settings = records::settings(layout).into_iter();
    parts.extend(settings.map(|setting| Part::Setting { table: local.clone(), setting }));
    parts
}

/// What people and evaluators say, and the experiments that they compare.
fn scores(layout: &Layout) -> Vec<Part> {
    let rows = Table::ALL.into_iter().filter(|table| table.row_kind() == RowKind::Scores);
    let rows = rows.flat_map(|table| records(layout, table));
    let of_experiments = experiments::create(layout).into_iter();
    let of_experiments = of_experiments.flat_map(|(name, create)| tables(layout, name, create, false));
    let (name, select) = views::scores(layout);
    rows.chain(of_experiments).chain([Part::View { name, select }]).collect()
}

/// What the reconciler sums of it, where sums are kept.
fn sums(layout: &Layout) -> Vec<Part> {
    if !sums::are_kept(layout) {
        return Vec::new();
    }
    let tables = sums::create(layout).map(|create| tables(layout, &create.name.clone(), (create, None), false));
    let settled = Part::View { name: sums::SETTLED, select: views::settled(layout) };
    tables.into_iter().flatten().chain([settled]).collect()
}

fn times_of_keys(layout: &Layout) -> Vec<Part> {
    if !sums::are_kept(layout) {
        return Vec::new();
    }
    of_all_tables(layout, sums::KEY_ROWS, &sums::added_by_key())
}

fn views(layout: &Layout) -> Vec<Part> {
    views::all(layout).map(|(name, select)| Part::View { name, select }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::layout::Home;
    use super::*;
    use crate::clickhouse::cluster::{Cluster, ClusterName};
    use crate::clickhouse::config::Database;
    use crate::retention::{Keep, Retention};
    use std::collections::BTreeSet;
    use std::time::Duration;

    #[test]
    fn every_column_belongs_to_one_version_and_versions_count_up() {
        let layout = Layout::plain(Default::default(), Home::Server);
        let parts = parts(&layout, &Found::default());
        let names: BTreeSet<_> = parts
            .iter()
            .filter_map(|part| match part {
                Part::Column { table, name, .. } if table == TABLE => Some(*name),
                _ => None,
            })
            .collect();
        let filled = FILLED.iter().map(|filled| filled.name);
        let all = COLUMNS.iter().map(|column| column.name).chain(ALIASES.iter().map(|alias| alias.name)).chain(filled);
        assert_eq!(names, all.collect());
        let parts_of_columns =
            parts.iter().filter(|part| matches!(part, Part::Column { table, .. } if table == TABLE)).count();
        assert_eq!(parts_of_columns, names.len(), "each column is in one version");
        let versions: Vec<_> = MIGRATIONS.iter().map(|migration| migration.version).collect();
        assert_eq!(versions, (1..=latest()).collect::<Vec<_>>());
    }

    /// So that no `ALTER` follows the `CREATE` of a table.
    #[test]
    fn a_table_that_is_nowhere_is_made_with_all_that_later_versions_add_and_that_is_configured() {
        let cluster = Cluster { name: ClusterName::try_from("c".to_owned()).unwrap(), replica_path: None };
        let day = Keep::For(Duration::from_secs(86_400));
        let retention = Retention { spans: Some(day), content: Some(day), ..Retention::default() };
        for (home, cluster) in [(Home::Embedded, None), (Home::Server, None), (Home::Server, Some(cluster))] {
            let layout = Layout { cluster, retention: retention.clone(), ..Layout::plain(Database::default(), home) };
            let nothing = Found::default();
            let lacking = lacking(&layout, &nothing);
            let statements = statements(&layout, &lacking);
            assert!(statements.iter().all(|statement| !statement.contains("ALTER TABLE")), "{statements:#?}");
            let create = |table: &str| {
                let rows = lacking.iter().find_map(|part| match part {
                    Part::Rows { create, extras, .. } if create.name == layout.local(table) || create.name == table => {
                        Some((create, extras))
                    }
                    _ => None,
                });
                rows.unwrap_or_else(|| panic!("{table} is made"))
            };
            let mut seen = 0;
            for part in parts(&layout, &nothing) {
                match part {
                    Part::Column { table, name, definition, .. } => {
                        let (create, _) = create(&table);
                        assert!(create.columns.contains(&(name.to_owned(), definition)), "{name} of {table}");
                    }
                    Part::Setting { table, setting } => {
                        let (create, extras) = create(&table);
                        let sql = create.sql(&layout, extras);
                        assert_eq!(sql.matches(&setting.sql()).count(), 1, "{setting:?} of {table}");
                    }
                    _ => continue,
                }
                seen += 1;
            }
            assert!(seen > 100, "{seen}");
            let (create, extras) = create(TABLE);
            let sql = create.sql(&layout, extras);
            assert!(
                sql.contains("ORDER BY (toStartOfHour(Timestamp), SessionHash, TraceId, Timestamp)\nTTL toDateTime(")
            );
            assert_eq!(sql.matches("ttl_only_drop_parts = ").count(), 1, "one of the two values");
            assert!(sql.contains("ttl_only_drop_parts = 0"), "texts go before the row");
            assert_eq!(sql.matches(" TTL toDateTime(").count(), 9, "the columns of content");
        }
    }
}
