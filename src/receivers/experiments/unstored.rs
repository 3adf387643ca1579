//! Rows that wait on disk, for lists while ClickHouse answers questions and takes no rows: they are sent along with the question, and of the
//! rows of one name, stored or not, the latest counts.
//!
//! ```text
//! FROM table AS e FINAL                                                       nothing waits
//! FROM (stored rows UNION ALL rows of {p0:String}, {p1:String}, ...           something does
//!       ORDER BY Version DESC LIMIT 1 BY Name) AS e
//! ```

use super::rows::{Kind, Named, Row};
use crate::clickhouse::Statement;
use crate::clickhouse::schema::columns_of;
use crate::workspace::Workspace;

/// Rows, and bytes of them as JSON, that are sent along with a question at most. If there are more, nobody can say what a list has.
const ROWS_MAX: usize = 1_000;
const BYTES_MAX: usize = 8 << 20;
/// Bytes of one of them. ClickHouse takes 128 KiB of one value (`http_max_field_value_size`), in which some bytes are two.
const ROW_BYTES_MAX: usize = 60 << 10;

/// The rows of a workspace that are not stored, as JSON by their table.
#[derive(Debug, Default)]
pub(crate) struct Unstored {
    experiments: Vec<String>,
    groups: Vec<String>,
}

impl Unstored {
    /// Those of a workspace, in the order in which they were written; `None` if they are too many or too large to be sent along.
    pub(super) fn of(rows: &[Row]) -> Option<Self> {
        let (mut unstored, mut bytes) = (Self::default(), 0_usize);
        if rows.len() > ROWS_MAX {
            return None;
        }
        for row in rows {
            let (json, of_kind) = match row {
                Row::Experiment(row) => (serde_json::to_string(row), &mut unstored.experiments),
                Row::Group(row) => (serde_json::to_string(row), &mut unstored.groups),
            };
            let json = json.expect("numbers, texts and lists of texts are JSON");
            if json.len() > ROW_BYTES_MAX {
                return None;
            }
            bytes += json.len();
            of_kind.push(json);
        }
        (bytes <= BYTES_MAX).then_some(unstored)
    }

    fn rows<R: Named>(&self) -> &[String] {
        match R::TABLE {
            Kind::Experiment => &self.experiments,
            Kind::Group => &self.groups,
        }
    }

    /// Adds the rows of a table, as `e`, of which those of a workspace are wanted.
    pub(super) fn push_from<R: Named>(&self, statement: &mut Statement, table: &str, workspace: &Workspace) {
        let rows = self.rows::<R>();
        if rows.is_empty() {
            statement.push(&format!("{table} AS e FINAL"));
            return;
        }
        let columns: Vec<_> = columns_of(R::TABLE.table()).collect();
        let joined = |of: fn(&(&str, &str)) -> String| columns.iter().map(of).collect::<Vec<_>>().join(", ");
        let names = joined(|(name, _)| (*name).to_owned());
        let structure = joined(|(name, of_type)| format!("{name} {}", json_type(of_type)));
        let values = joined(|(name, of_type)| format!("CAST({}, '{of_type}') AS {name}", value(name, of_type)));
        statement.push(&format!("(SELECT {names} FROM (SELECT {names} FROM {table} FINAL WHERE Workspace = "));
        statement.bind(workspace.as_str()).push(&format!(" UNION ALL SELECT {values} FROM (SELECT arrayJoin(["));
        for (number, row) in rows.iter().enumerate() {
            statement.push(if number == 0 { "" } else { ", " }).bind(row.as_str());
        }
        statement.push(&format!(
            "]) AS json, JSONExtract(json, 'Tuple({structure})') AS row)) ORDER BY Version DESC LIMIT 1 BY Name) AS e"
        ));
    }
}

/// The type of a column in the JSON of a row: times are numbers.
fn json_type(of_type: &str) -> String {
    of_type.replace("LowCardinality(String)", "String").replace("DateTime64(6)", "Int64")
}

/// A column of a row that was sent along.
fn value(name: &str, of_type: &str) -> String {
    let value = format!("tupleElement(row, '{name}')");
    if of_type.contains("DateTime64(6)") { format!("fromUnixTimestamp64Micro({value})") } else { value }
}
