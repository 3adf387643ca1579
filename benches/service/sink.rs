//! A ClickHouse that says yes to every statement and keeps nothing, so that the service's own cost is seen alone. It runs
//! in a thread of the benchmark: its CPU is not counted.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use tokio::net::TcpListener;

/// A running sink; it runs as long as the benchmark.
pub(crate) struct Sink {
    address: SocketAddr,
    bytes: Arc<AtomicU64>,
}

impl Sink {
    /// Starts on a free port.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let sink = Self { address: listener.local_addr()?, bytes: Arc::default() };
        let bytes = Arc::clone(&sink.bytes);
        thread::Builder::new().name("sink".to_owned()).spawn(move || runtime.block_on(serve(listener, bytes)))?;
        Ok(sink)
    }

    /// `http://host:port`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes of all bodies so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, bytes: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        let bytes = Arc::clone(&bytes);
        tokio::spawn(async move {
            let answer = service_fn(|request| take(request, &bytes));
            // the service ends its connections as it likes
            let _broken_by_the_service = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn take(request: Request<Incoming>, bytes: &AtomicU64) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let length = frame?.data_ref().map_or(0, Bytes::len);
        bytes.fetch_add(u64::try_from(length).unwrap_or(0), Ordering::Relaxed);
    }
    Ok(Response::new(Empty::new()))
}
