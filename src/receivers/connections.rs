//! HTTP connections within their bounds: how many, how long their headers may take, how large those may be.
//!
//! `axum::serve` has none of these bounds, and a handful of silent clients could hold it for ever.

use crate::shutdown::Shutdown;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::ServiceExt as _;

/// Connections open at once; more wait in the listener's queue.
const CONNECTIONS_MAX: usize = 4_096;
/// How long a client may take to send a request's headers, and stay silent between two requests.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a request's headers.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// The same bound where it is given as a buffer, which must hold at least 8 KiB.
const HTTP1_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Requests of one HTTP/2 connection at once.
const STREAMS_PER_CONNECTION_MAX: u32 = 128;
/// How often a silent HTTP/2 connection is asked whether it still lives.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// Pause after a failed accept: out of file descriptors, most likely, so others must close first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves a router until the shutdown, then answers what is in flight.
pub(super) async fn serve(listener: TcpListener, router: Router, mut shutdown: Shutdown) {
    let builder = Arc::new(builder());
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = shutdown.requested() => break,
            accepted = async { (Arc::clone(&slots).acquire_owned().await, listener.accept().await) } => accepted,
        };
        let (slot, Ok((stream, _peer))) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let _latency_only = stream.set_nodelay(true);
        let service = router.clone().map_request(|request: hyper::Request<Incoming>| request.map(Body::new));
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = graceful.watch(connection.into_owned());
        tokio::spawn(async move {
            let _client_left_or_broke_the_protocol = connection.await;
            drop(slot);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_buf_size(HTTP1_BUFFER_BYTES_MAX)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(20)
        .keep_alive_interval(Some(KEEPALIVE_INTERVAL));
    builder
}
