//! What questions that count rows have in common: a workspace, a filter and a search, and parameters of their own.
//!
//! ```text
//! parameters -> the question's own, filter, search -> condition -> the question's own statement
//! ```

use super::answer::Refusal;
use super::filter::{Condition, Fields, Filter};
use super::page::Checks;
use super::parameters::Parameters;
use super::q::Search;
use super::request::{Api, workspace};
use crate::time::UnixNanos;
use crate::workspace::Workspace;

/// How a filter and a search become a condition: that of the list with the same rows.
pub(super) type ToCondition = fn(&Api, Option<&Filter>, Option<&Search>) -> Result<Condition, Refusal>;

/// A question that counts, whoever asks it.
#[derive(Clone, Copy)]
pub(super) struct CountSpec {
    /// What its rows may be filtered by.
    pub(super) fields: Fields,
    pub(super) condition: ToCondition,
    /// The names of its own parameters.
    pub(super) own: &'static [&'static str],
}

/// What is counted.
pub(super) struct Counted {
    pub(super) workspace: Workspace,
    pub(super) parameters: Parameters,
    pub(super) filter: Option<Filter>,
    pub(super) search: Option<Search>,
    pub(super) condition: Condition,
    /// What time it is.
    pub(super) now: UnixNanos,
}

impl Counted {
    /// Reads a request; `own` reads the question's own parameters.
    ///
    /// # Errors
    /// 400 and 422 that name what is wrong.
    pub(super) fn read<T>(
        api: &Api,
        (name, query): (&str, Option<&str>),
        kind: CountSpec,
        own: impl FnOnce(&mut Checks<'_>, &Parameters) -> T,
    ) -> Result<(Self, T), Refusal> {
        let workspace = workspace(name)?;
        let parameters = Parameters::parse(query)?;
        let filter = Filter::of(&parameters)?;
        filter.as_ref().map_or(Ok(()), |filter| kind.fields.check_names(filter))?;
        let mut checks = Checks::new(&parameters);
        let own = own(&mut checks, &parameters);
        checks.finish()?;
        let known: Vec<&str> = ["filter", "q"].iter().chain(kind.own).copied().collect();
        parameters.refuse_others(&known)?;
        let now = api.reads.clock.now();
        let search = Search::of(&parameters, now)?;
        let condition = (kind.condition)(api, filter.as_ref(), search.as_ref())?;
        Ok((Self { workspace, parameters, filter, search, condition, now }, own))
    }
}
