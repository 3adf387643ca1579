//! The paths of the read API.

use super::request::Api;
use super::{metrics, openapi, sessions, spans, traces, users, values};
use crate::access::routes::{Guard, Routes};
use crate::access::{Needs, Scope};
use std::sync::Arc;

/// What each needs.
const READ: Needs = Needs::InWorkspace(Scope::Read);

/// Every path that is answered here.
#[must_use]
pub fn routes(api: Api, guard: &Guard) -> Routes {
    Routes::new(guard)
        .get("/apis/intake/v2/workspaces/{workspace}/spans", READ, spans::list)
        .get("/apis/intake/v2/workspaces/{workspace}/spans/groups", READ, spans::groups)
        .get("/apis/intake/v2/workspaces/{workspace}/spans/{span_id}", READ, spans::one)
        .get("/apis/intake/v2/workspaces/{workspace}/traces", READ, traces::list)
        .get("/apis/intake/v2/workspaces/{workspace}/traces/histogram", READ, traces::histogram)
        .get("/apis/intake/v2/workspaces/{workspace}/traces/metrics", READ, traces::metrics)
        .get("/apis/intake/v2/workspaces/{workspace}/traces/facets", READ, traces::facets)
        .get("/apis/intake/v2/workspaces/{workspace}/fields", READ, values::fields)
        .get("/apis/intake/v2/workspaces/{workspace}/values", READ, values::values)
        .get("/apis/intake/v2/workspaces/{workspace}/traces/{trace_id}", READ, traces::one)
        .get("/apis/intake/v2/workspaces/{workspace}/traces/{trace_id}/tree", READ, traces::tree)
        .get("/apis/intake/v2/workspaces/{workspace}/traces/{trace_id}/cost", READ, traces::cost)
        .get("/apis/intake/v2/workspaces/{workspace}/traces/{trace_id}/export", READ, traces::export)
        .get("/apis/intake/v2/workspaces/{workspace}/traces/{trace_id}/conversation", READ, traces::conversation)
        .get(
            "/apis/intake/v2/workspaces/{workspace}/sessions/{session_id}/conversation",
            READ,
            traces::session_conversation,
        )
        .get("/apis/intake/v2/workspaces/{workspace}/metrics", READ, metrics::metrics)
        .get("/apis/intake/v2/workspaces/{workspace}/sessions", READ, sessions::list)
        .get("/apis/intake/v2/workspaces/{workspace}/sessions/{session_id}", READ, sessions::one)
        .get("/apis/intake/v2/workspaces/{workspace}/users", READ, users::list)
        .get("/openapi.json", Needs::Nothing, openapi::document)
        .with_state(Arc::new(api))
}
