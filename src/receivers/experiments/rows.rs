//! Rows of the two tables: of experiments, and of their groups.

use crate::clickhouse::experiments::{ExperimentRow, GroupRow};
use crate::clickhouse::schema::{EXPERIMENTS, GROUPS};
use crate::scores::experiment::deleted_name;
use ::clickhouse::{RowOwned, RowRead};
use serde::{Deserialize, Serialize};

/// Which of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Experiment,
    Group,
}

impl Kind {
    pub(super) fn table(self) -> &'static str {
        match self {
            Self::Experiment => EXPERIMENTS,
            Self::Group => GROUPS,
        }
    }

    /// The column of ids.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Experiment => "e.ExperimentId",
            Self::Group => "e.GroupId",
        }
    }
}

/// A row of one of the two tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Row {
    Experiment(ExperimentRow),
    Group(GroupRow),
}

/// The rows of one of the two tables.
pub(crate) trait Named: RowOwned + RowRead + Clone + Into<Row> {
    const TABLE: Kind;
    /// The columns, in the order of the fields.
    const COLUMNS: &'static str;

    /// The row, if it is of this table.
    fn of(row: Row) -> Option<Self>;
}

impl Named for ExperimentRow {
    const TABLE: Kind = Kind::Experiment;
    const COLUMNS: &'static str = Self::COLUMNS;

    fn of(row: Row) -> Option<Self> {
        if let Row::Experiment(row) = row { Some(row) } else { None }
    }
}

impl Named for GroupRow {
    const TABLE: Kind = Kind::Group;
    const COLUMNS: &'static str = Self::COLUMNS;

    fn of(row: Row) -> Option<Self> {
        if let Row::Group(row) = row { Some(row) } else { None }
    }
}

impl From<ExperimentRow> for Row {
    fn from(row: ExperimentRow) -> Self {
        Self::Experiment(row)
    }
}

impl From<GroupRow> for Row {
    fn from(row: GroupRow) -> Self {
        Self::Group(row)
    }
}

impl Row {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Experiment(_) => Kind::Experiment,
            Self::Group(_) => Kind::Group,
        }
    }

    pub(super) fn workspace(&self) -> &str {
        match self {
            Self::Experiment(row) => &row.workspace,
            Self::Group(row) => &row.workspace,
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Experiment(row) => &row.name,
            Self::Group(row) => &row.name,
        }
    }

    pub(super) fn id(&self) -> &str {
        match self {
            Self::Experiment(row) => &row.experiment_id,
            Self::Group(row) => &row.group_id,
        }
    }

    /// Whether there is something of this name.
    pub(super) fn is_live(&self) -> bool {
        match self {
            Self::Experiment(row) => row.is_deleted == 0 && row.deleted_at.is_none(),
            Self::Group(row) => row.is_deleted == 0 && row.deleted_at.is_none(),
        }
    }

    pub(super) fn set_name(&mut self, name: String) {
        match self {
            Self::Experiment(row) => row.name = name,
            Self::Group(row) => row.name = name,
        }
    }

    pub(super) fn set_version(&mut self, version: u64) {
        match self {
            Self::Experiment(row) => row.version = version,
            Self::Group(row) => row.version = version,
        }
    }

    /// The rows that delete it at a time, in microseconds since 1970: nothing has its name any more, and it goes on under another one.
    pub(super) fn deleted(self, at: i64) -> [Self; 2] {
        let (mut tombstone, mut renamed) = (self.clone(), self);
        match &mut tombstone {
            Self::Experiment(row) => row.is_deleted = 1,
            Self::Group(row) => row.is_deleted = 1,
        }
        let (deleted_at, updated_at) = match &mut renamed {
            Self::Experiment(row) => (&mut row.deleted_at, &mut row.updated_at),
            Self::Group(row) => (&mut row.deleted_at, &mut row.updated_at),
        };
        (*deleted_at, *updated_at) = (Some(at), at);
        renamed.set_name(deleted_name(renamed.name()));
        [tombstone, renamed]
    }
}
