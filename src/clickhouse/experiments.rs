//! Experiments and their groups as the tables have them: rows to read, and to write before the answer.

use super::client::Client;
use super::errors::Failure;
use super::rollups::insert;
use super::schema::{EXPERIMENTS, GROUPS};
use ::clickhouse::Row;
use serde::{Deserialize, Serialize};

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupRow {
    /// Whose it is.
    pub workspace: String,
    /// Its name; another one once it is deleted.
    pub name: String,
    /// Its id.
    pub group_id: String,
    /// What it is for.
    pub description: Option<String>,
    /// What led to it, by an id of somebody else's.
    pub insight_id: Option<String>,
    /// What came out.
    pub summary: Option<String>,
    /// An object as JSON, if there is any.
    pub metadata: Option<String>,
    /// The order in which its experiments are shown, if it is not the usual one.
    pub default_sort: Option<String>,
    /// The measures of the axes on which they are compared, if they are not the usual ones.
    pub pareto_x: Option<String>,
    /// The other one.
    pub pareto_y: Option<String>,
    /// Who made it, if that is known.
    pub created_by: String,
    /// When, in microseconds since 1970, as all times here.
    pub created_at: i64,
    /// When it was changed.
    pub updated_at: i64,
    /// When it was deleted.
    pub deleted_at: Option<i64>,
    /// When the row was written: the latest counts.
    pub version: u64,
    /// 1 if there is none of this name any more.
    pub is_deleted: u8,
}

/// An experiment.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExperimentRow {
    /// Whose it is.
    pub workspace: String,
    /// Its name; another one once it is deleted.
    pub name: String,
    /// Its id.
    pub experiment_id: String,
    /// The id of its first group.
    pub group_id: String,
    /// The ids of its groups; of a row that an earlier release wrote none.
    pub group_ids: Vec<String>,
    /// What it was run on.
    pub dataset_name: String,
    /// Which version of that.
    pub dataset_version: Option<String>,
    /// Where it comes from.
    pub source_link: Option<String>,
    /// An object as JSON.
    pub metadata: String,
    /// What it is.
    pub description: Option<String>,
    /// What came out.
    pub summary: Option<String>,
    /// The id of the experiment that it is derived from.
    pub parent_id: Option<String>,
    /// What its producer calls the state that it is in.
    pub status: Option<String>,
    /// Why it came out as it did.
    pub root_cause: Option<String>,
    /// Who made it, if that is known.
    pub created_by: String,
    /// When, in microseconds since 1970, as all times here.
    pub created_at: i64,
    /// When it was changed.
    pub updated_at: i64,
    /// Since when it is pinned.
    pub pinned_at: Option<i64>,
    /// When it was deleted.
    pub deleted_at: Option<i64>,
    /// When the row was written: the latest counts.
    pub version: u64,
    /// 1 if there is none of this name any more.
    pub is_deleted: u8,
}

impl GroupRow {
    /// The columns, in the order of the fields.
    pub const COLUMNS: &'static str = "toString(Workspace) AS Workspace, Name, GroupId, Description, InsightId, \
         Summary, Metadata, DefaultSort, ParetoX, ParetoY, toString(CreatedBy) AS CreatedBy, \
         toUnixTimestamp64Micro(CreatedAt) AS CreatedAt, toUnixTimestamp64Micro(UpdatedAt) AS UpdatedAt, \
         toUnixTimestamp64Micro(DeletedAt) AS DeletedAt, Version, IsDeleted";
}

impl ExperimentRow {
    /// The columns, in the order of the fields.
    pub const COLUMNS: &'static str = "toString(Workspace) AS Workspace, Name, ExperimentId, GroupId, GroupIds, DatasetName, \
         DatasetVersion, SourceLink, Metadata, Description, Summary, ParentId, Status, RootCause, toString(CreatedBy) AS CreatedBy, \
         toUnixTimestamp64Micro(CreatedAt) AS CreatedAt, toUnixTimestamp64Micro(UpdatedAt) AS UpdatedAt, \
         toUnixTimestamp64Micro(PinnedAt) AS PinnedAt, toUnixTimestamp64Micro(DeletedAt) AS DeletedAt, Version, IsDeleted";
}

/// The ids of the groups of a row, in SQL.
pub const GROUPS_OF_ROW: &str = "if(empty(e.GroupIds), [e.GroupId], e.GroupIds)";

impl ExperimentRow {
    /// The ids of its groups: at least one.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        if self.group_ids.is_empty() { std::slice::from_ref(&self.group_id) } else { &self.group_ids }
    }
}

/// Writes rows of groups, all or none.
///
/// # Errors
/// If ClickHouse did not confirm it. It can be repeated.
pub async fn write_groups(client: &Client, rows: &[GroupRow]) -> Result<(), Failure> {
    insert(client, GROUPS, rows).await
}

/// Writes rows of experiments, all or none.
///
/// # Errors
/// If ClickHouse did not confirm it. It can be repeated.
pub async fn write(client: &Client, rows: &[ExperimentRow]) -> Result<(), Failure> {
    insert(client, EXPERIMENTS, rows).await
}
