//! What the pairs of some traces get, from what the table has of them. Pure: the same rows give the same joins.

use crate::chat::derived_session;
use crate::clickhouse::joins::{Join, Seen, key_of};
use crate::columns::typed::JoinState;
use crate::ids::SpanId;
use crate::traces::TraceKey;
use std::collections::{BTreeMap, HashSet};

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Traces whose pairs lack something.
    pub(crate) joins: Vec<Join>,
    /// How many pairs of each.
    pub(crate) pairs: Vec<u64>,
    /// Traces that have pairs.
    pub(crate) with_pairs: Vec<TraceKey>,
    /// Traces whose pairs have everything, once the joins are done.
    pub(crate) settled: HashSet<TraceKey>,
}

pub(crate) fn plan(seen: Vec<Seen>) -> Plan {
    let mut traces: BTreeMap<(String, String), Vec<Seen>> = BTreeMap::new();
    for row in seen {
        traces.entry((row.workspace.clone(), row.trace.clone())).or_default().push(row);
    }
    let mut plan = Plan::default();
    for ((workspace, trace), rows) in traces {
        let Some(key) = key_of(&trace, &workspace) else { continue };
        let (roots, pairs): (Vec<Seen>, Vec<Seen>) = rows.into_iter().partition(|row| row.is_root);
        if pairs.is_empty() {
            continue;
        }
        let root = roots.into_iter().find_map(|row| Some((SpanId::from_hex(row.first.as_bytes()).ok()?, row)));
        plan.with_pairs.push(key.clone());
        let Some((root, of_root)) = root else { continue };
        let session = match of_root.first_session {
            session if session.is_empty() => derived_session(key.1),
            session => session,
        };
        let join = Join { key: key.clone(), root, session };
        let lacking = pairs.iter().filter(|pairs| join.changes(pairs)).map(|pairs| pairs.spans).sum();
        if lacking > 0 {
            plan.joins.push(join);
            plan.pairs.push(lacking);
        }
        plan.settled.insert(key);
    }
    plan
}

impl Join {
    /// Whether these pairs lack something.
    fn changes(&self, pairs: &Seen) -> bool {
        let has_parent = pairs.state == JoinState::Given.literal()
            || (pairs.state == JoinState::Joined.literal() && pairs.parent == self.root.to_string());
        !has_parent || (pairs.takes_session && pairs.session != self.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const ROOT: &str = "00f067aa0ba902b7";

    fn root(session: &str) -> Seen {
        Seen {
            workspace: "default".into(),
            trace: TRACE.into(),
            is_root: true,
            state: String::new(),
            parent: String::new(),
            session: String::new(),
            takes_session: false,
            spans: 1,
            first: ROOT.into(),
            first_session: session.into(),
        }
    }

    fn pairs(state: &str, parent: &str, session: Option<&str>) -> Seen {
        Seen {
            is_root: false,
            state: state.into(),
            parent: parent.into(),
            session: session.unwrap_or_default().into(),
            takes_session: session.is_some(),
            spans: 2,
            ..root("")
        }
    }

    #[test]
    fn pairs_get_parent_and_session_only_where_they_lack_them() {
        let derived = "session_4bf92f3577b34da6";
        for (root_session, pairs_have, lacks) in [
            ("s", pairs("waiting", "", Some(derived)), true),
            ("s", pairs("waiting", "", None), true),
            ("s", pairs("joined", ROOT, Some("s")), false),
            ("", pairs("joined", ROOT, Some(derived)), false),
            ("s", pairs("joined", ROOT, Some(derived)), true),
            ("s", pairs("joined", "1111111111111111", Some("s")), true),
            ("s", pairs("joined", ROOT, None), false),
            ("s", pairs("given", "", Some(derived)), true),
            ("s", pairs("given", "", Some("s")), false),
            ("s", pairs("given", "", None), false),
            ("", pairs("given", "", Some(derived)), false),
        ] {
            let plan = plan(vec![root(root_session), pairs_have.clone()]);
            assert_eq!(plan.pairs, if lacks { vec![2] } else { vec![] }, "{root_session:?} {pairs_have:?}");
            assert_eq!((plan.settled.len(), plan.with_pairs.len()), (1, 1));
            for join in plan.joins {
                let session = if root_session.is_empty() { derived } else { root_session };
                assert_eq!((join.root.to_string(), &*join.session), (ROOT.to_owned(), session));
            }
        }
    }

    #[test]
    fn a_trace_without_a_root_waits_and_one_without_pairs_is_nothing_to_us() {
        let waiting = plan(vec![pairs("waiting", "", None)]);
        assert_eq!((waiting.with_pairs.len(), waiting.joins.len(), waiting.settled.len()), (1, 0, 0));
        assert_eq!(plan(vec![root("s")]), Plan::default());
        let elsewhere = Seen { workspace: "other".into(), ..root("s") };
        assert_eq!(plan(vec![elsewhere, pairs("waiting", "", None)]), waiting, "another workspace's root");
    }
}
