//! The floor: what a gRPC service costs that reads a request and says OK, under the same load. What Millrace costs beyond it is its own
//! work; what lies below it is the price of HTTP/2 requests.
//!
//! ```text
//! bench -- floor 128  ->  this program again, as the service  <- the load of single spans
//! ```

use super::load::{Load, Plan};
use super::scenario::Workload;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::machine::{Usage, float, percentile};
use tokio::net::TcpListener;

/// The argument that makes this program the service.
pub(crate) const SERVE: &str = "--serve-empty";

/// Serves until it is killed.
pub(crate) fn serve() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let serving = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(serving.serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    })
}

type Frames = futures_util::stream::Iter<std::array::IntoIter<Result<Frame<Bytes>, Infallible>, 2>>;

/// Source: gRPC over HTTP/2, "Responses".
async fn answer(request: Request<Incoming>) -> Result<Response<StreamBody<Frames>>, hyper::Error> {
    let _message = request.into_body().collect().await?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Ok(Frame::data(Bytes::from_static(&[0; 5]))), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(futures_util::stream::iter(frames)));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _ended_already = self.0.wait();
    }
}

/// Measures, and prints a line.
pub(crate) fn measure(in_flight: usize, measure_for: Duration) -> anyhow::Result<()> {
    let mut service =
        Killed(Command::new(std::env::current_exe()?).arg(SERVE).stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?);
    let mut address = String::new();
    BufReader::new(service.0.stdout.take().expect("it is piped")).read_line(&mut address)?;
    let address = address.trim().to_owned();
    let load = Load::start(Plan { workload: Workload::Single, address, in_flight, spans_max: usize::MAX, rate: None })?;
    load.run_for(Duration::from_secs(1));
    let before = Usage::of(service.0.id())?;
    load.measure(true);
    load.run_for(measure_for);
    load.measure(false);
    let after = Usage::of(service.0.id())?;
    let answers = load.stop()?;
    let requests = float(u64::try_from(answers.latencies.len())?);
    println!(
        "floor: an empty service, {in_flight} in flight: {:.2} us of CPU a request, {:.0} requests/s, p50 {:.2} ms, p99 {:.2} ms",
        (after.cpu.saturating_sub(before.cpu)).as_secs_f64() * 1e6 / requests,
        requests / measure_for.as_secs_f64(),
        percentile(&answers.latencies, 0.5),
        percentile(&answers.latencies, 0.99),
    );
    Ok(())
}
