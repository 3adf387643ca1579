//! Whose a call is: its session, user, conversation, agent and workflow. What none of its reports says is handed down to it.
//!
//! ```text
//! its reports -> the nearest span above that says it -> its trace, of a session and a user -> what was derived, of a session
//! ```

use super::row::{names_session, root_rank};
use crate::clickhouse::rollups::rows::{Name, SpanRow};
use crate::columns::typed::HANDED_ON_BYTES_MAX;
use crate::genai::counting::{Lineage, Report};

/// Something that holds for all that lies below the span that says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Session,
    User,
    Conversation,
    Agent,
    Workflow,
}

impl Kind {
    /// What a row says of it. A session that was derived is said by nobody.
    pub(super) fn said_by(self, row: &SpanRow) -> Option<&Name> {
        let name = match self {
            Self::Session if !names_session(row) => return None,
            Self::Session => &row.session,
            Self::User => &row.user,
            Self::Conversation => &row.conversation,
            Self::Agent => &row.agent,
            Self::Workflow => &row.workflow,
        };
        Some(name).filter(|name| !name.is_empty())
    }

    /// What its rows say of a trace: the root, or else the row that stands for it best.
    pub(super) fn of_trace(self, rows: &[SpanRow]) -> Option<&Name> {
        let said = rows.iter().filter_map(|row| Some((root_rank(row), self.said_by(row)?)));
        said.min_by(|(one, _), (other, _)| one.cmp(other)).map(|(_, name)| name)
    }
}

/// What calls are handed down.
#[derive(Debug, Default)]
pub(super) struct HandedDown<'r> {
    session: Names<'r>,
    user: Names<'r>,
    conversation: Names<'r>,
    agent: Names<'r>,
    workflow: Names<'r>,
}

#[derive(Debug, Default)]
struct Names<'r> {
    /// For each span that was counted; none at all if no span says any.
    at: Vec<Option<&'r Name>>,
    of_trace: Option<&'r Name>,
}

impl<'r> HandedDown<'r> {
    /// What `rows` hand down, which are those of a trace; `row_at` has those of the spans that were counted.
    pub(super) fn new(lineage: &Lineage, rows: &'r [SpanRow], row_at: impl Fn(usize) -> Option<&'r SpanRow>) -> Self {
        let is_short = |name: &&Name| name.len() <= HANDED_ON_BYTES_MAX;
        let below = |kind: Kind| {
            let is_said = rows.iter().any(|row| kind.said_by(row).is_some());
            let said = |at: usize| row_at(at).and_then(|row| kind.said_by(row)).filter(is_short);
            Names { at: if is_said { lineage.handed_down(said) } else { Vec::new() }, of_trace: None }
        };
        let of_trace = |kind: Kind| Names { of_trace: kind.of_trace(rows).filter(is_short), ..below(kind) };
        Self {
            session: of_trace(Kind::Session),
            user: of_trace(Kind::User),
            conversation: below(Kind::Conversation),
            agent: below(Kind::Agent),
            workflow: below(Kind::Workflow),
        }
    }

    /// What a call with these reports has of it.
    pub(super) fn of_call(&self, kind: Kind, reports: &[(&'r SpanRow, Report)]) -> Option<&'r Name> {
        let names = match kind {
            Kind::Session => &self.session,
            Kind::User => &self.user,
            Kind::Conversation => &self.conversation,
            Kind::Agent => &self.agent,
            Kind::Workflow => &self.workflow,
        };
        let said = reports.iter().find_map(|(row, _)| kind.said_by(row));
        let handed_down = || reports.iter().find_map(|(_, report)| names.at.get(report.span).copied().flatten());
        said.or_else(handed_down).or(names.of_trace)
    }
}

/// As a column has it: empty if nobody says it.
pub(super) fn shown(name: Option<&Name>) -> Name {
    name.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::trace::{RolledUp, roll_up};
    use super::*;
    use crate::clickhouse::rollups::rows::ReportRow;
    use crate::ids::TraceId;
    use crate::workspace::Workspace;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use std::collections::BTreeMap;

    const ROOT: u8 = 1;

    fn hex(id: u8) -> String {
        format!("{id:02x}").repeat(8)
    }

    /// A span below another one; below none it is a root. Those with greater ids began later.
    fn row(id: u8, parent: u8, operation: &str, more: impl FnOnce(&mut SpanRow)) -> SpanRow {
        let mut row = SpanRow {
            span: hex(id),
            parent: if parent == 0 { String::new() } else { hex(parent) },
            began: i64::from(id),
            duration: 1,
            operation: operation.to_owned(),
            input_tokens: (operation == "chat").then_some(1),
            ..SpanRow::default()
        };
        more(&mut row);
        row
    }

    fn said(user: &'static str) -> impl FnOnce(&mut SpanRow) {
        move |row| row.user = user.into()
    }

    fn nothing(_: &mut SpanRow) {}

    fn rolled(rows: &[SpanRow]) -> RolledUp {
        roll_up(&(Workspace::default(), TraceId::new([7; 16]).unwrap()), rows.to_vec(), 0)
    }

    fn calls(rolled: &RolledUp) -> BTreeMap<u8, &ReportRow> {
        let calls = rolled.reports.iter().filter(|report| report.counted_as == "call");
        calls.map(|call| (u8::from_str_radix(&call.span_id[..2], 16).unwrap(), call)).collect()
    }

    /// The users of the calls by their ids, and the user of the trace.
    fn users(rows: &[SpanRow]) -> (BTreeMap<u8, String>, String) {
        let rolled = rolled(rows);
        let users = calls(&rolled).into_iter().map(|(id, call)| (id, call.user_id.to_string())).collect();
        (users, rolled.trace.unwrap().user_id.to_string())
    }

    fn of<const N: usize>(users: [(u8, &str); N]) -> BTreeMap<u8, String> {
        users.map(|(id, user)| (id, user.to_owned())).into()
    }

    #[test]
    fn a_call_belongs_to_whom_it_says_or_the_nearest_span_above_it_or_its_trace() {
        let rows = [
            row(ROOT, 0, "", said("root")),
            row(2, ROOT, "", said("branch")),
            row(3, 2, "", nothing),
            row(4, 3, "chat", nothing),
            row(5, 3, "chat", said("own")),
            row(6, ROOT, "chat", nothing),
            // its parent is not there
            row(7, 99, "chat", nothing),
        ];
        assert_eq!(users(&rows), (of([(4, "branch"), (5, "own"), (6, "root"), (7, "root")]), "root".to_owned()));
    }

    #[test]
    fn of_two_users_in_two_branches_the_nearest_counts_and_without_one_above_that_of_the_trace() {
        let rows = [
            row(ROOT, 0, "", nothing),
            row(2, ROOT, "", said("ana")),
            row(3, ROOT, "", said("bo")),
            row(4, 2, "chat", nothing),
            row(5, 3, "chat", nothing),
            row(6, ROOT, "chat", nothing),
        ];
        assert_eq!(users(&rows), (of([(4, "ana"), (5, "bo"), (6, "ana")]), "ana".to_owned()));
    }

    #[test]
    fn every_report_of_a_call_is_asked_before_what_lies_above_them() {
        let rows = [
            row(ROOT, 0, "", said("root")),
            row(2, ROOT, "chat", said("wrapper")),
            row(3, 2, "", said("between")),
            row(4, 3, "chat", nothing),
            // a wrapper of two calls is none of their reports: what lies between is nearer
            row(5, ROOT, "chat", said("of both")),
            row(6, 5, "", said("nearer")),
            row(7, 6, "chat", nothing),
            row(8, 5, "chat", nothing),
        ];
        assert_eq!(users(&rows).0, of([(4, "wrapper"), (7, "nearer"), (8, "of both")]));
    }

    #[test]
    fn an_agent_is_that_which_a_call_lies_below_and_no_other_of_its_trace() {
        let agent = |name: &'static str| move |row: &mut SpanRow| row.agent = name.into();
        let rows = [
            row(ROOT, 0, "", nothing),
            row(2, ROOT, "invoke_agent", agent("outer")),
            row(3, 2, "invoke_agent", agent("inner")),
            row(4, 3, "execute_tool", nothing),
            row(5, 4, "chat", nothing),
            row(6, 2, "chat", nothing),
            row(7, ROOT, "chat", nothing),
        ];
        let rolled = rolled(&rows);
        let agents: Vec<&str> = calls(&rolled).into_values().map(|call| &*call.agent_name).collect();
        assert_eq!(agents, ["inner", "outer", ""]);
    }

    #[test]
    fn a_session_that_was_derived_is_no_one_elses_and_gives_way_to_one_that_any_span_names() {
        let captured = |row: &mut SpanRow| (row.join_state, row.session) = ("waiting".to_owned(), "derived".into());
        let named = |row: &mut SpanRow| row.session = "named".into();
        let sessions = |rows: &[SpanRow]| {
            let rolled = rolled(rows);
            let calls = calls(&rolled).into_values().map(|call| call.session_id.to_string()).collect::<Vec<_>>();
            (calls, rolled.trace.unwrap().session_id.to_string())
        };
        let alone = [row(2, 0, "chat", captured), row(3, 99, "chat", nothing)];
        assert_eq!(sessions(&alone), (vec!["derived".to_owned(), String::new()], String::new()));
        let with_another = [alone.to_vec(), vec![row(4, 99, "", named)]].concat();
        assert_eq!(sessions(&with_another), (vec!["named".to_owned(); 2], "named".to_owned()));
    }

    #[test]
    fn a_name_that_is_too_long_is_its_own_span_s_alone() {
        let long = "l".repeat(HANDED_ON_BYTES_MAX + 1);
        let rows = [
            row(ROOT, 0, "", said("short")),
            row(2, ROOT, "", |row| row.user = long.clone().into()),
            row(3, 2, "chat", nothing),
            row(4, ROOT, "chat", |row| row.user = long.clone().into()),
        ];
        assert_eq!(users(&rows).0, of([(3, "short"), (4, &long)]));
    }

    #[test]
    fn a_name_is_kept_once_however_many_have_it() {
        let rows: Vec<SpanRow> = (ROOT..200)
            .map(|id| row(id, id - 1, "invoke_agent", nothing))
            .chain([row(200, 1, "chat", nothing)])
            .collect();
        let named = [vec![SpanRow { user: "ana".into(), ..rows[0].clone() }], rows[1..].to_vec()].concat();
        let rolled = rolled(&named);
        let (call, trace) = (calls(&rolled)[&200], rolled.trace.as_ref().unwrap());
        assert!(std::ptr::eq(&*call.user_id, &*trace.user_id));
    }

    /// Rows below any others, or below nothing that is there; circles too. Some name a user.
    fn rows() -> impl Strategy<Value = Vec<SpanRow>> {
        let operation = prop::sample::select(&["chat", "", "invoke_agent", "execute_tool"][..]);
        let user = prop::sample::select(&["", "", "ana", "bo"][..]);
        prop::collection::vec((0..20_u8, operation, user), 1..16).prop_map(|spans| {
            let with_id = |(at, (parent, operation, user)): (usize, (u8, &str, &'static str))| {
                row(u8::try_from(at).unwrap() + 1, parent, operation, said(user))
            };
            spans.into_iter().enumerate().map(with_id).collect()
        })
    }

    /// The user that the nearest span at or above this one names; the way is given up where it comes back.
    fn nearest(rows: &[SpanRow], span: &str) -> String {
        let mut here = rows.iter().find(|row| row.span == span);
        for _ in 0..rows.len() {
            let Some(row) = here else { break };
            if !row.user.is_empty() {
                return row.user.to_string();
            }
            here = rows.iter().find(|other| other.span == row.parent);
        }
        String::new()
    }

    proptest! {
        #[test]
        fn the_order_in_which_spans_came_changes_nothing(rows in rows(), places in prop::collection::vec(any::<Index>(), 16)) {
            let mut turned = rows.clone();
            for (at, place) in places.iter().enumerate().take(rows.len()) {
                turned.swap(at, place.index(rows.len()));
            }
            let [mut one, mut other] = [rolled(&rows), rolled(&turned)];
            for rolled in [&mut one, &mut other] {
                rolled.reports.sort_by_key(ReportRow::key);
            }
            prop_assert_eq!(one, other);
        }

        #[test]
        fn every_call_of_a_trace_with_a_user_has_one_and_no_other_has(rows in rows()) {
            let rolled = rolled(&rows);
            let Some(trace) = &rolled.trace else { return Ok(()) };
            for call in calls(&rolled).into_values() {
                prop_assert_eq!(call.user_id.is_empty(), trace.user_id.is_empty());
                if call.reports == 1 && !rows.iter().any(|row| row.span == call.span_id && is_in_circle(&rows, row)) {
                    let nearest = nearest(&rows, &call.span_id);
                    prop_assert_eq!(&*call.user_id, if nearest.is_empty() { &*trace.user_id } else { &*nearest });
                }
            }
        }
    }

    /// Whether the way up from a row never ends.
    fn is_in_circle(rows: &[SpanRow], row: &SpanRow) -> bool {
        let above = |row: &&SpanRow| rows.iter().find(|other| other.span == row.parent);
        std::iter::successors(Some(row), above).nth(rows.len()).is_some()
    }
}
