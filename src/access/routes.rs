//! The routes of a listener. Each is made here, with what it needs of who asks, so that none can be forgotten: what passes is decided by
//! one function, and the list of all routes is what the tests walk.

use super::{Denied, Gate, Needs, Principal};
use crate::audit::Peer;
use axum::Router;
use axum::extract::{FromRequestParts as _, RawPathParams, Request};
use axum::handler::Handler;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, Method};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// The name of the workspace in a path.
const WORKSPACE: &str = "workspace";

/// Answers a request that is refused, in the form of its protocol.
pub type Refusal = fn(Request, Denied) -> BoxFuture<'static, Response>;

/// What stands before the handlers of a listener.
#[derive(Clone)]
pub struct Guard {
    gate: Gate,
    refusal: Refusal,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("gate", &self.gate).finish_non_exhaustive()
    }
}

impl Guard {
    /// A guard that refuses in this form.
    #[must_use]
    pub fn new(gate: Gate, refusal: Refusal) -> Self {
        Self { gate, refusal }
    }
}

/// A route, for those who list them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// As it is matched, such as `/v1/traces` or `/apis/.../{workspace}/...`.
    pub path: String,
    /// What it needs, as [`Needs`] shows itself.
    pub needs: String,
}

impl Listed {
    /// A route.
    #[must_use]
    pub fn new(method: &Method, path: &str, needs: Needs) -> Self {
        Self { method: method.to_string(), path: path.to_owned(), needs: format!("{needs:?}") }
    }
}

/// Routes with what each needs; a `Router` when complete.
#[derive(Debug)]
pub struct Routes<S = ()> {
    router: Router<S>,
    listed: Vec<Listed>,
    guard: Guard,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes yet.
    #[must_use]
    pub fn new(guard: &Guard) -> Self {
        Self { router: Router::new(), listed: Vec::new(), guard: guard.clone() }
    }

    /// Adds `GET path`.
    #[must_use]
    pub fn get<H: Handler<T, S>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.add((Method::GET, MethodFilter::GET), path, needs, handler)
    }

    /// Adds `POST path`.
    #[must_use]
    pub fn post<H: Handler<T, S>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.add((Method::POST, MethodFilter::POST), path, needs, handler)
    }

    /// Adds `PUT path`.
    #[must_use]
    pub fn put<H: Handler<T, S>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.add((Method::PUT, MethodFilter::PUT), path, needs, handler)
    }

    /// Adds `PATCH path`.
    #[must_use]
    pub fn patch<H: Handler<T, S>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.add((Method::PATCH, MethodFilter::PATCH), path, needs, handler)
    }

    /// Adds `DELETE path`.
    #[must_use]
    pub fn delete<H: Handler<T, S>, T: 'static>(self, path: &str, needs: Needs, handler: H) -> Self {
        self.add((Method::DELETE, MethodFilter::DELETE), path, needs, handler)
    }

    fn add<H: Handler<T, S>, T: 'static>(
        mut self,
        (method, filter): (Method, MethodFilter),
        path: &str,
        needs: Needs,
        handler: H,
    ) -> Self {
        let has_workspace = path.split('/').any(|part| part == "{workspace}");
        assert!(
            has_workspace == matches!(needs, Needs::InWorkspace(_)),
            "{path}: a route with {{workspace}} in its path needs a scope in it, and no other route does"
        );
        self.listed.push(Listed::new(&method, path, needs));
        self.router =
            self.router.route(path, guarded(on(filter, handler), &self.guard, needs, format!("{method} {path}")));
        self
    }

    /// Adds the routes of another part.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.listed.extend(other.listed);
        self
    }

    /// Gives the handlers their state.
    #[must_use]
    pub fn with_state<S2: Clone + Send + Sync + 'static>(self, state: S) -> Routes<S2> {
        Routes { router: self.router.with_state(state), listed: self.listed, guard: self.guard }
    }

    /// Their list.
    #[must_use]
    pub fn listed(&self) -> &[Listed] {
        &self.listed
    }

    /// The routes as a router.
    pub fn into_router(self) -> Router<S> {
        self.router
    }
}

fn guarded<S: Clone + Send + Sync + 'static>(
    route: MethodRouter<S>,
    guard: &Guard,
    needs: Needs,
    name: String,
) -> MethodRouter<S> {
    if guard.gate.is_open() || needs == Needs::Nothing {
        return route;
    }
    let place = Arc::new((guard.clone(), name));
    route.route_layer(from_fn(move |request, next| decide(Arc::clone(&place), needs, request, next)))
}

/// Answers a request if who sends it may, else says why not.
async fn decide(place: Arc<(Guard, String)>, needs: Needs, request: Request, next: Next) -> Response {
    let (guard, route) = &*place;
    let (mut parts, body) = request.into_parts();
    let decided = match guard.gate.identify(&parts.headers) {
        Ok(principal) => {
            let met = if let Needs::InWorkspace(_) = needs {
                let params = RawPathParams::from_request_parts(&mut parts, &()).await.ok();
                let mut params = params.iter().flat_map(RawPathParams::iter);
                needs.met_by(&principal, params.find(|(name, _)| *name == WORKSPACE).map(|(_, value)| value))
            } else {
                needs.met_by(&principal, None)
            };
            match met {
                Ok(()) => Ok(principal),
                Err(denied) => Err((denied, Some(principal))),
            }
        }
        Err(denied) => Err((denied, None)),
    };
    match decided {
        Ok(principal) => {
            parts.extensions.insert::<Principal>(principal);
            next.run(Request::from_parts(parts, body)).await
        }
        Err((denied, principal)) => {
            let peer = parts.extensions.get::<Peer>().copied();
            guard.gate.refuse(denied, principal.as_ref(), route, peer).await;
            let mut response = (guard.refusal)(Request::from_parts(parts, body), denied).await;
            challenge(&mut response, denied);
            response
        }
    }
}

/// Says how to ask. Source: RFC 6750, section 3; RFC 7617, section 2.
pub fn challenge(response: &mut Response, denied: Denied) {
    let bearer = match denied {
        Denied::Missing => HeaderValue::from_static("Bearer realm=\"millrace\""),
        Denied::Scope(scope) => {
            let text = format!("Bearer realm=\"millrace\", error=\"insufficient_scope\", scope=\"{scope}\"");
            HeaderValue::try_from(text).expect("a scope is a word")
        }
        Denied::Workspace | Denied::NotForAll => {
            HeaderValue::from_static("Bearer realm=\"millrace\", error=\"insufficient_scope\"")
        }
        Denied::Malformed | Denied::Unknown | Denied::Expired => {
            HeaderValue::from_static("Bearer realm=\"millrace\", error=\"invalid_token\"")
        }
    };
    let headers = response.headers_mut();
    headers.append(WWW_AUTHENTICATE, bearer);
    if denied.is_unauthenticated() {
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"millrace\", charset=\"UTF-8\""));
    }
}
