//! What the configuration says about keeping, as TTLs of the tables.
//!
//! A TTL of ours is known by [`CAP`], which nobody else writes: so what is configured no more is taken away again, and
//! what an operator set by hand stays until something is configured.

use super::super::cluster::TABLE;
use super::ddl::{Extras, Setting, TRACE_TIMES, Ttls};
use super::found::Found;
use super::layout::Layout;
use super::rollups::{PREVIEWS, REPORT_ROWS, TRACE_ROWS};
use crate::columns::{RAW_REQUEST, RAW_RESPONSE, Table};
use crate::retention::{Keep, Retention};
use crate::telemetry::{RowKind, Signal};
use std::time::Duration;

/// `DateTime`, which a TTL must be, ends in 2106 and begins again in 1970: times later than this count as this, so that
/// what a wrong clock says is far in the future is not deleted at once.
const CAP: &str = "toDateTime64('2070-01-01 00:00:00', 9)";
const NEVER: &str = "toDateTime('2106-01-01 00:00:00')";
/// The columns of spans whose text goes before the row.
const CONTENT: &[&str] = &[
    RAW_REQUEST,
    RAW_RESPONSE,
    "InputMessages",
    "OutputMessages",
    "ToolDefinitions",
    "SystemPrompt",
    "ContentAttributes",
    "InputPreview",
    "OutputPreview",
];

/// And those of log records.
const CONTENT_OF_LOGS: &[&str] = &["ContentAttributes"];

/// The TTL of a table's rows or of a column, as ClickHouse prints it; `None`: kept for ever.
fn expression(time: &str, all: Option<Keep>, own: &[(&str, Keep)]) -> Option<String> {
    let all = all.and_then(Keep::duration);
    let moment = |keep: Option<Duration>| match keep {
        Some(keep) => format!("toDateTime(least({time}, {CAP})) + toIntervalSecond({})", keep.as_secs()),
        None => NEVER.to_owned(),
    };
    let own: Vec<_> = own.iter().filter(|(_, keep)| keep.duration() != all).collect();
    if own.is_empty() {
        return all.map(|keep| moment(Some(keep)));
    }
    let cases = own.iter().map(|(name, keep)| format!("Workspace = '{name}', {}, ", moment(keep.duration())));
    Some(format!("multiIf({}{})", cases.collect::<String>(), moment(all)))
}

fn rows(retention: &Retention) -> Option<String> {
    rows_of(retention, Signal::Traces.into(), "Timestamp")
}

fn rows_of(retention: &Retention, kind: RowKind, time: &str) -> Option<String> {
    let workspaces = retention.workspaces.iter();
    let own: Vec<_> = workspaces.filter_map(|(name, own)| Some((name.as_str(), own.rows_of(kind)?))).collect();
    expression(time, retention.rows_of(kind), &own)
}

fn content(retention: &Retention) -> Option<String> {
    let own: Vec<_> =
        retention.workspaces.iter().filter_map(|(name, own)| Some((name.as_str(), own.content?))).collect();
    expression("Timestamp", retention.content, &own)
}

/// Trace times stay as long as any span of any workspace may.
fn trace_times(retention: &Retention) -> Option<String> {
    let own = retention.workspaces.values().filter_map(|own| own.spans);
    let longest =
        own.map(Keep::duration).chain([retention.spans.and_then(Keep::duration)]).collect::<Option<Vec<_>>>()?;
    let longest = longest.into_iter().max()?;
    expression("End", Some(Keep::For(longest)), &[])
}

/// The tables that have a TTL when one is configured.
fn kept() -> impl Iterator<Item = &'static str> {
    let with_columns = Table::ALL.into_iter().filter(|table| !table.columns().is_empty());
    with_columns.map(Table::name).chain([REPORT_ROWS, TRACE_ROWS, TRACE_TIMES])
}

/// The columns of a table whose text goes before the row.
fn content_of(table: &str) -> &'static [&'static str] {
    match table {
        TABLE => CONTENT,
        TRACE_ROWS => PREVIEWS,
        _ if table == Table::Logs.name() => CONTENT_OF_LOGS,
        _ => &[],
    }
}

/// What is configured for a table.
pub(super) fn wish(retention: &Retention, table: &str) -> Extras {
    let of_records = Table::ALL.into_iter().find(|of| of.name() == table);
    let of_rows = match (table, of_records) {
        (TRACE_TIMES, _) => {
            return Extras { ttls: Ttls { rows: trace_times(retention), columns: None }, settings: Vec::new() };
        }
        (REPORT_ROWS | TRACE_ROWS, _) => rows(retention),
        (_, Some(of)) => rows_of(retention, of.row_kind(), of.time_column()),
        _ => None,
    };
    let columns = content(retention).map(|content| (content_of(table), content));
    let columns = columns.filter(|(columns, _)| !columns.is_empty());
    let settings = settings(of_rows.as_deref(), columns.is_some());
    Extras { settings, ttls: Ttls { rows: of_rows, columns } }
}

/// The statements that make the TTLs of the tables what is configured, each with what it is for. Nothing when they are. A table that
/// is not there gets them when it is made.
pub(super) fn changes(layout: &Layout, found: &Found) -> Vec<(String, String)> {
    let is_there = |table: &&str| found.is_anywhere(&layout.local(table));
    kept().filter(is_there).flat_map(|table| changes_of(layout, found, table)).collect()
}

fn changes_of(layout: &Layout, found: &Found, table: &str) -> Vec<(String, String)> {
    let local = layout.local(table);
    let alter = |command: &str| format!("ALTER TABLE {}{} {command}", layout.full(&local), layout.on_cluster());
    let Extras { settings, ttls } = wish(&layout.retention, table);
    let settings = settings.iter().filter(|setting| !found.has_setting(&local, setting)).map(Setting::sql);
    let mut changes: Vec<_> =
        settings.map(|setting| (setting.clone(), alter(&format!("MODIFY SETTING {setting}")))).collect();
    // in one statement: after a part was rewritten for one TTL, ClickHouse lets four hours pass before it looks again
    let content = ttls.columns.as_ref().map(|(_, content)| content.as_str());
    let columns = content_of(table).iter();
    let columns = columns.filter_map(|column| column_change(column, found.column_ttl(&local, column), content));
    // the TTL of rows comes last: what follows a comma after it would belong to it
    let commands: Vec<_> = columns.chain(row_change(found.row_ttl(&local), ttls.rows.as_deref())).collect();
    if !commands.is_empty() {
        changes.push((format!("the TTLs of {table}"), alter(&commands.join(", "))));
    }
    changes
}

/// Without them ClickHouse would drop only parts of which every row has expired, and no text before the rows; and it would
/// write whole parts anew only to note when they expire.
fn settings(rows: Option<&str>, has_content: bool) -> Vec<Setting> {
    let is_uneven = has_content || rows.is_some_and(|rows| rows.starts_with("multiIf"));
    let mut settings = Vec::new();
    if is_uneven {
        settings.push(Setting::new("ttl_only_drop_parts", 0));
    }
    if rows.is_some() || has_content {
        settings.push(Setting::new("materialize_ttl_recalculate_only", 1));
    }
    settings
}

fn row_change(there: Option<&str>, wish: Option<&str>) -> Option<String> {
    match (there, wish) {
        (Some(there), Some(wish)) if there == wish => None,
        (_, Some(wish)) => Some(format!("MODIFY TTL {wish}")),
        (Some(there), None) if there.contains(CAP) => Some("REMOVE TTL".to_owned()),
        (_, None) => None,
    }
}

fn column_change(column: &str, there: Option<&str>, wish: Option<&str>) -> Option<String> {
    row_change(there, wish).map(|command| match command.strip_prefix("MODIFY ") {
        Some(ttl) => format!("MODIFY COLUMN `{column}` {ttl}"),
        None => format!("MODIFY COLUMN `{column}` {command}"),
    })
}

/// A TTL of somebody else's that the configuration takes the place of.
pub(super) fn replaced<'f>(layout: &Layout, found: &'f Found) -> Option<&'f str> {
    rows(&layout.retention)?;
    found.row_ttl(&layout.local(TABLE)).filter(|there| !there.contains(CAP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::WorkspaceRetention;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn nothing_configured_is_no_ttl_and_only_ours_is_taken_away() {
        assert_eq!((rows(&Retention::default()), content(&Retention::default())), (None, None));
        assert_eq!(row_change(None, None), None);
        assert_eq!(row_change(Some("toDateTime(Timestamp) + toIntervalDay(3)"), None), None);
        assert_eq!(
            row_change(expression("Timestamp", Some(Keep::For(DAY)), &[]).as_deref(), None).unwrap(),
            "REMOVE TTL"
        );
    }

    #[test]
    fn a_workspace_that_differs_makes_the_time_depend_on_it() {
        let own = |spans| WorkspaceRetention { spans: Some(spans), ..WorkspaceRetention::default() };
        let workspaces = [("a", Keep::Forever), ("b", Keep::For(DAY)), ("c", Keep::For(2 * DAY))];
        let workspaces = workspaces.map(|(name, keep)| (name.to_owned(), own(keep))).into();
        let retention = Retention { spans: Some(Keep::For(DAY)), workspaces, ..Retention::default() };
        let capped = format!("toDateTime(least(Timestamp, {CAP}))");
        assert_eq!(
            rows(&retention).unwrap(),
            format!(
                "multiIf(Workspace = 'a', {NEVER}, Workspace = 'c', {capped} + toIntervalSecond(172800), \
                 {capped} + toIntervalSecond(86400))"
            )
        );
        assert_eq!(trace_times(&retention), None, "a trace of `a` stays");
        let even = Retention { workspaces: Default::default(), ..retention };
        assert_eq!(trace_times(&even).unwrap(), format!("toDateTime(least(End, {CAP})) + toIntervalSecond(86400)"));
        assert!(settings(rows(&even).as_deref(), false).iter().all(|setting| setting.name != "ttl_only_drop_parts"));
    }
}
