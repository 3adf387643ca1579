//! A ClickHouse that keeps no row, so that the service's own cost is seen alone: inserts are taken and forgotten, and every
//! other statement goes on to an engine. It runs in a thread of the benchmark: its CPU is not counted.

use bytes::Bytes;
use http::Uri;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Either, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use support::Engine;
use tokio::net::TcpListener;

/// A running sink; it runs as long as the benchmark.
pub(crate) struct Sink {
    address: SocketAddr,
    bytes: Arc<AtomicU64>,
    _engine: Engine,
}

/// Where statements go that insert nothing.
#[derive(Clone)]
struct Onward {
    client: Client<HttpConnector, Incoming>,
    port: u16,
}

impl Sink {
    /// Starts on a free port.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let engine = Engine::start();
        let onward = Onward { client: Client::builder(TokioExecutor::new()).build_http(), port: engine.port };
        let sink = Self { address: listener.local_addr()?, bytes: Arc::default(), _engine: engine };
        let bytes = Arc::clone(&sink.bytes);
        thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || runtime.block_on(serve(listener, bytes, onward)))?;
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

async fn serve(listener: TcpListener, bytes: Arc<AtomicU64>, onward: Onward) {
    while let Ok((stream, _)) = listener.accept().await {
        let (bytes, onward) = (Arc::clone(&bytes), onward.clone());
        tokio::spawn(async move {
            let answer = service_fn(|request| take(request, &bytes, &onward));
            // the service ends its connections as it likes
            let _broken_by_the_service = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

type Answer = Response<Either<Incoming, Empty<Bytes>>>;

async fn take(request: Request<Incoming>, bytes: &AtomicU64, onward: &Onward) -> anyhow::Result<Answer> {
    if !request.uri().query().is_some_and(|query| query.contains("query=INSERT")) {
        return onward.ask(request).await;
    }
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let length = frame?.data_ref().map_or(0, Bytes::len);
        bytes.fetch_add(u64::try_from(length).unwrap_or(0), Ordering::Relaxed);
    }
    Ok(Response::new(Either::Right(Empty::new())))
}

impl Onward {
    async fn ask(&self, mut request: Request<Incoming>) -> anyhow::Result<Answer> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let host = format!("127.0.0.1:{}", self.port);
        *request.uri_mut() = Uri::try_from(format!("http://{host}{path}"))?;
        request.headers_mut().insert(http::header::HOST, host.parse()?);
        Ok(self.client.request(request).await?.map(Either::Left))
    }
}
