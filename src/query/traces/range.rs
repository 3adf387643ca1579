//! From when to when questions look that count traces: as filter and search say, else a while back from now.

use super::{List, fields};
use crate::query::counted::{CountSpec, Counted};
use crate::query::filter::Condition;
use crate::query::q::Search;
use crate::query::request::{self, Api};
use crate::time::UnixNanos;
use std::time::Duration;

/// From when to when traces are counted.
pub(super) type Bounds = (UnixNanos, UnixNanos);

/// A question that counts traces.
pub(super) fn kind(api: &Api, own: &'static [&'static str]) -> CountSpec {
    CountSpec { fields: fields::of(api), condition: fields::condition, own }
}

/// Traces that are counted, within a range of time.
pub(super) struct Ranged {
    pub(super) of: Counted,
    pub(super) bounds: Bounds,
    condition: Condition,
}

impl Ranged {
    /// Looks so far back when no time is given.
    pub(super) fn new(of: Counted, look_back: Duration) -> Self {
        let (since, until) = bounds(&of.condition, of.search.as_ref(), of.now, look_back);
        let range = [Condition::Since("started_at", since), Condition::Until("started_at", until)];
        let condition = Condition::All([of.condition.clone()].into_iter().chain(range).collect());
        Self { of, bounds: (since, until), condition }
    }

    pub(super) fn list<'a>(&'a self, api: &'a Api) -> List<'a> {
        let Counted { workspace, search, .. } = &self.of;
        List { api, workspace, condition: &self.condition, search: search.as_ref(), within: None }
    }
}

fn bounds(condition: &Condition, search: Option<&Search>, now: UnixNanos, look_back: Duration) -> Bounds {
    let (since, until) = request::bounds(condition, search);
    let until = until.unwrap_or(now);
    (since.unwrap_or_else(|| until.saturating_sub(look_back)).min(until), until)
}
