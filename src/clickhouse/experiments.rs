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
    /// The id of the insight that led to it, in another system.
    pub insight_id: Option<String>,
    /// What its experiments showed.
    pub summary: Option<String>,
    /// A JSON object, if one was sent.
    pub metadata: Option<String>,
    /// The order in which its experiments are shown; none means the default.
    pub default_sort: Option<String>,
    /// The measure on the x axis of the plot of its experiments; none means the default.
    pub pareto_x: Option<String>,
    /// The measure on the y axis; none means the default.
    pub pareto_y: Option<String>,
    /// Who made it; empty if that is not known.
    pub created_by: String,
    /// When it was made, in microseconds since 1970, as all times here.
    pub created_at: i64,
    /// When it was changed.
    pub updated_at: i64,
    /// When it was deleted, if it was.
    pub deleted_at: Option<i64>,
    /// When the row was written. Of the rows of one name, the latest counts.
    pub version: u64,
    /// 1 if the row says that nothing has this name any more.
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
    /// The ids of its groups. Empty in rows that an earlier release wrote: then `group_id` is the only one.
    pub group_ids: Vec<String>,
    /// The dataset that it was run on.
    pub dataset_name: String,
    /// The version of the dataset.
    pub dataset_version: Option<String>,
    /// A link to its source.
    pub source_link: Option<String>,
    /// A JSON object.
    pub metadata: String,
    /// What it is.
    pub description: Option<String>,
    /// What it showed.
    pub summary: Option<String>,
    /// The id of the experiment that it is derived from.
    pub parent_id: Option<String>,
    /// Its state, in its producer's words.
    pub status: Option<String>,
    /// The cause of its result.
    pub root_cause: Option<String>,
    /// Who made it; empty if that is not known.
    pub created_by: String,
    /// When it was made, in microseconds since 1970, as all times here.
    pub created_at: i64,
    /// When it was changed.
    pub updated_at: i64,
    /// When it was pinned, if it is.
    pub pinned_at: Option<i64>,
    /// When it was deleted, if it was.
    pub deleted_at: Option<i64>,
    /// When the row was written. Of the rows of one name, the latest counts.
    pub version: u64,
    /// 1 if the row says that nothing has this name any more.
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
