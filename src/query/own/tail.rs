//! `GET .../tail`: says when something was stored, as server-sent events, so that a live list asks again only then.
//!
//! ```text
//! : live                     at once, and whenever nothing was said for a while
//! event: stored              ClickHouse has more than before; at most twice a second
//! data: {}
//! ```
//!
//! What was stored, and of whom, is not said: the list asks that with its own filter and rights.
//!
//! Source: the HTML standard, "Server-sent events".

use crate::access::routes::{Guard, Routes};
use crate::clickhouse::Availability;
use crate::query::answer::Refusal;
use crate::query::request::workspace;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::unfold;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// The pause after an event: what is stored meanwhile is the next one.
const EVERY: Duration = Duration::from_millis(500);
/// How often a silent stream shows that it is alive.
const ALIVE: Duration = Duration::from_secs(15);
/// Streams at once.
const TAILS_MAX: usize = 100;
const STORED: &[u8] = b"event: stored\ndata: {}\n\n";
const LIVE: &[u8] = b": live\n\n";

/// Where streams learn what happens.
#[derive(Debug)]
struct Tail {
    availability: Availability,
    stopping: CancellationToken,
    turns: Arc<Semaphore>,
}

/// The path of the stream; it ends when the service stops.
#[must_use]
pub fn routes(availability: Availability, stopping: CancellationToken, guard: &Guard) -> Routes {
    let turns = Arc::new(Semaphore::new(TAILS_MAX));
    Routes::new(guard).get("/api/v1/workspaces/{workspace}/tail", super::READ, tail).with_state(Arc::new(Tail {
        availability,
        stopping,
        turns,
    }))
}

struct Stream {
    stored: watch::Receiver<u64>,
    stopping: CancellationToken,
    has_begun: bool,
    _turn: OwnedSemaphorePermit,
}

async fn tail(State(tail): State<Arc<Tail>>, Path(name): Path<String>) -> Result<Response, Refusal> {
    workspace(&name)?;
    let turn = Arc::clone(&tail.turns).try_acquire_owned();
    let turn = turn.map_err(|_all_taken| Refusal::unavailable("too many live views are open; close one"))?;
    let stream =
        Stream { stored: tail.availability.stored(), stopping: tail.stopping.clone(), has_begun: false, _turn: turn };
    let events = unfold(stream, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from_static(event)), stream))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(events)).into_response())
}

impl Stream {
    async fn next(&mut self) -> Option<&'static [u8]> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Some(LIVE);
        }
        tokio::select! {
            () = self.stopping.cancelled() => None,
            () = tokio::time::sleep(ALIVE) => Some(LIVE),
            changed = self.stored.changed() => {
                changed.ok()?;
                tokio::select! {
                    () = self.stopping.cancelled() => return None,
                    () = tokio::time::sleep(EVERY) => {}
                }
                self.stored.mark_unchanged();
                Some(STORED)
            }
        }
    }
}
