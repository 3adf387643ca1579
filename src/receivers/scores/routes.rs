//! The paths of scores and experiments.

use super::experiments::{comparison, groups, handlers, sessions};
use super::receiver::ScoresReceiver;
use super::{annotations, results};
use crate::access::routes::{Guard, Routes};
use crate::access::{Needs, Scope};
use std::sync::Arc;

const ROOT: &str = "/apis/intake/v2/workspaces/{workspace}";

/// Releases of the reference after 0.2.0 have the second name.
const EXPERIMENTS: [&str; 2] = ["experiments", "evaluations"];

/// Who reads, who says something, who takes it away.
const READ: Needs = Needs::InWorkspace(Scope::Read);
const SAY: Needs = Needs::InWorkspace(Scope::Ingest);
const REMOVE: Needs = Needs::InWorkspace(Scope::Admin);

/// The paths.
pub(crate) fn routes(scores: Arc<ScoresReceiver>, guard: &Guard) -> Routes {
    let at = |path: &str| format!("{ROOT}/{path}");
    let mut routes = Routes::new(guard)
        .get(&at("annotations"), READ, annotations::list)
        .post(&at("annotations"), SAY, annotations::create)
        .get(&at("annotations/{id}"), READ, annotations::get)
        .delete(&at("annotations/{id}"), REMOVE, annotations::delete)
        .get(&at("evaluator-results"), READ, results::list)
        .post(&at("evaluator-results"), SAY, results::create)
        .get(&at("evaluator-results/{id}"), READ, results::get)
        .get(&at("spans/{span_id}/evaluator-results"), READ, results::of_span)
        .get(&at("experiment-groups"), READ, groups::list)
        .post(&at("experiment-groups"), SAY, groups::create)
        .get(&at("experiment-groups/{name}"), READ, groups::get)
        .put(&at("experiment-groups/{name}"), SAY, groups::put)
        .delete(&at("experiment-groups/{name}"), REMOVE, groups::delete);
    for experiments in EXPERIMENTS {
        let (all, one) = (at(experiments), at(&format!("{experiments}/{{name}}")));
        let [pin, of_sessions, compared] = ["pin", "sessions", "comparison"].map(|part| format!("{one}/{part}"));
        routes = routes
            .get(&all, READ, handlers::list)
            .post(&all, SAY, handlers::create)
            .get(&one, READ, handlers::get)
            .put(&one, SAY, handlers::put)
            .delete(&one, REMOVE, handlers::delete)
            .post(&pin, SAY, handlers::pin)
            .delete(&pin, SAY, handlers::unpin)
            .get(&of_sessions, READ, sessions::list)
            .get(&compared, READ, comparison::compare);
    }
    // a partial change is of 0.3.0
    routes = routes.patch(&at("evaluations/{name}"), SAY, handlers::patch);
    routes.with_state(scores)
}
