//! Replicas of the tables that hold rows: a node that lacks one gets it where its shard keeps it, and nodes whose replicas meet in
//! different places are told apart.
//!
//! ```text
//! shard 1   node A  /clickhouse/tables/<uuid of A>/1   -.  one shard, two places: rows of one are not on the other
//!           node B  /clickhouse/tables/<uuid of B>/1   -'
//! ```
//!
//! A table that some node has already is never made from this program's DDL: its place in Keeper follows from its UUID, and its
//! columns and TTLs must be those that Keeper knows.

use super::super::cluster::TABLE;
use super::ddl::{TRACE_ID_TS_MV, TRACE_TIMES, VERSIONS};
use super::experiments::{EXPERIMENTS, GROUPS};
use super::found::{self, Found, NodeFound};
use super::layout::Layout;
use super::rollups::{REPORT_ROWS, TRACE_ROWS};
use crate::columns::Table;
use std::collections::{BTreeMap, BTreeSet};

/// Something that no statement for all nodes mends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What, for people.
    pub what: String,
    /// What an operator does, in order: statements, and comments that say where.
    pub statements: Vec<String>,
}

/// Where in Keeper replicas meet.
type Place = String;

/// What makes a table, as a node has it, on the nodes that lack it. `None` when none has it, or not all that lack it can have
/// it like that.
pub(super) fn copy(layout: &Layout, found: &Found, name: &str) -> Option<String> {
    let lacking: Vec<&NodeFound> = found.nodes.iter().filter(|node| node.table(name).is_none()).collect();
    let shard = lacking.first()?.node.shard;
    let of_shard = found.nodes.iter().find(|node| node.node.shard == shard && node.table(name).is_some());
    let source: &found::Table = of_shard.and_then(|node| node.table(name)).or_else(|| found.table(name))?;
    let full = layout.full(name);
    let rest = source.create_table_query.strip_prefix(&format!("CREATE TABLE {full} "))?;
    if !source.engine.starts_with("Replicated") || (of_shard.is_none() && !rest.contains("{shard}")) {
        return None;
    }
    let uuid = if rest.contains("{uuid}") { format!(" UUID '{}'", source.uuid) } else { String::new() };
    Some(format!("CREATE TABLE IF NOT EXISTS {full}{uuid}{} {rest}", layout.on_cluster()))
}

/// Every table that has replicas, as each node has it.
fn replicated(layout: &Layout) -> Vec<String> {
    let records = Table::ALL.into_iter().filter(|table| *table != Table::Traces).map(Table::name);
    let others = [TABLE, TRACE_TIMES, VERSIONS, REPORT_ROWS, TRACE_ROWS, GROUPS, EXPERIMENTS];
    others.into_iter().chain(records).map(|table| layout.local(table)).collect()
}

/// Replicas that do not meet where they should.
pub(super) fn wrong(layout: &Layout, found: &Found) -> Vec<Wrong> {
    let tables = replicated(layout);
    let mut apart: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for table in &tables {
        for node in apart_from_their_shard(found, table) {
            apart.entry(node).or_default().push(table);
        }
    }
    let mut wrong: Vec<Wrong> = apart.iter().map(|(node, tables)| moved(layout, node, tables)).collect();
    for table in &tables {
        wrong.extend(shared_between_shards(layout, found, table));
        wrong.extend(left_in_keeper(layout, found, table));
    }
    wrong
}

fn places<'f>(found: &'f Found, table: &str) -> Vec<(&'f NodeFound, &'f Place)> {
    found.nodes.iter().filter_map(|node| Some((node, &node.replicas.get(table)?.path))).collect()
}

/// The nodes that keep a table elsewhere than most of their shard, or than the first of it.
fn apart_from_their_shard<'f>(found: &'f Found, table: &str) -> Vec<&'f str> {
    let mut of_shards: BTreeMap<u32, Vec<(&NodeFound, &Place)>> = BTreeMap::new();
    for (node, place) in places(found, table) {
        of_shards.entry(node.node.shard).or_default().push((node, place));
    }
    let apart = of_shards.values().flat_map(|shard| {
        let nodes_at = |place: &Place| shard.iter().filter(|(_, other)| *other == place).count();
        let usual = shard.iter().rev().max_by_key(|(_, place)| nodes_at(place)).map(|(_, place)| *place);
        shard.iter().filter(move |(_, place)| Some(*place) != usual).map(|(node, _)| node.node.address.as_str())
    });
    apart.collect()
}

/// How the rows of a node come to where its shard has its own.
fn moved(layout: &Layout, node: &str, tables: &[&str]) -> Wrong {
    let full = |table: &str| layout.full(table);
    let what = format!(
        "{} of {node} meets no other replica of its shard: its path in Keeper is another, so rows of one are not on the other",
        tables.iter().map(|table| full(table)).collect::<Vec<_>>().join(", ")
    );
    let mut statements = vec![format!("-- on {node}:\nDROP VIEW IF EXISTS {} SYNC", full(TRACE_ID_TS_MV))];
    for table in tables {
        statements.push(if holds_rows(layout, table).is_some() {
            format!("RENAME TABLE {} TO {}_apart", full(table), full(table))
        } else {
            // notes, and what follows from the spans
            format!("DROP TABLE {} SYNC", full(table))
        });
    }
    let mut moved: Vec<_> = tables.iter().filter_map(|table| holds_rows(layout, table)).collect();
    moved.sort_unstable();
    if moved.is_empty() {
        statements.push("-- `millrace schema apply`".to_owned());
    }
    for (place, table) in moved.into_iter().enumerate() {
        let first =
            if place == 0 { format!("-- `millrace schema apply`, and then on {node} again:\n") } else { String::new() };
        let columns: Vec<_> = table.columns().iter().map(|column| format!("`{}`", column.name)).collect();
        let (columns, apart) = (columns.join(", "), format!("{}_apart", full(&layout.local(table.name()))));
        statements.push(format!(
            "{first}INSERT INTO {} ({columns}) SELECT {columns} FROM {apart} SETTINGS insert_distributed_sync = 1",
            full(table.name()),
        ));
        statements.push(format!("DROP TABLE {apart} SYNC"));
    }
    Wrong { what, statements }
}

/// Which table's rows it holds that follow from nothing else.
fn holds_rows(layout: &Layout, local: &str) -> Option<Table> {
    Table::ALL.into_iter().find(|table| layout.local(table.name()) == *local)
}

/// Shards that are replicas of each other: every row is found once for each of them.
fn shared_between_shards(layout: &Layout, found: &Found, table: &str) -> Option<Wrong> {
    let mut shards_at: BTreeMap<&Place, BTreeSet<u32>> = BTreeMap::new();
    for (node, place) in places(found, table) {
        shards_at.entry(place).or_default().insert(node.node.shard);
    }
    let (place, shards) = shards_at.into_iter().find(|(_, shards)| shards.len() > 1)?;
    let shards = shards.iter().map(u32::to_string).collect::<Vec<_>>().join(" and ");
    let what = format!(
        "{} of shards {shards} meets at {place} in Keeper, so that each has the rows of the other: the path needs the macro \
         {{shard}}, and nodes of different shards different values of it",
        layout.full(table)
    );
    Some(Wrong { what, statements: Vec::new() })
}

/// Replicas that Keeper knows and that are on no node. Said only while all nodes answer.
fn left_in_keeper(layout: &Layout, found: &Found, table: &str) -> Option<Wrong> {
    if !found.absent.is_empty() || !found.has(table) {
        return None;
    }
    let there: BTreeSet<(&Place, &str)> = found
        .nodes
        .iter()
        .filter_map(|node| node.replicas.get(table))
        .map(|replica| (&replica.path, replica.name.as_str()))
        .collect();
    let known = found.nodes.iter().filter_map(|node| node.replicas.get(table));
    let left: BTreeSet<(&Place, &str)> = known
        .flat_map(|replica| replica.all.iter().map(|name| (&replica.path, name.as_str())))
        .filter(|one| !there.contains(one))
        .collect();
    if left.is_empty() {
        return None;
    }
    let names = left.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
    Some(Wrong {
        what: format!("Keeper knows replicas of {} that are on no node of the cluster: {names}", layout.full(table)),
        statements: left
            .iter()
            .map(|(place, name)| format!("SYSTEM DROP REPLICA '{name}' FROM ZKPATH '{place}'"))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::layout::Home;
    use super::*;
    use crate::clickhouse::cluster::{Cluster, ClusterName};
    use crate::clickhouse::config::Database;

    #[test]
    fn every_replicated_table_that_is_made_is_looked_at() {
        let cluster = Cluster { name: ClusterName::try_from("c".to_owned()).unwrap(), replica_path: None };
        let layout = Layout { cluster: Some(cluster), ..Layout::plain(Database::default(), Home::Server) };
        let statements = super::super::statements(&layout);
        let made = statements.iter().filter(|statement| statement.contains("ENGINE = Replicated"));
        let name = |statement: &String| {
            let rest = statement.strip_prefix("CREATE TABLE IF NOT EXISTS otel.")?;
            rest.split([' ', '\n']).next().map(str::to_owned)
        };
        let mut made: Vec<String> = made.filter_map(name).collect();
        let mut looked_at = replicated(&layout);
        made.sort();
        looked_at.sort();
        assert!(!made.is_empty());
        assert_eq!(looked_at, made);
    }
}
