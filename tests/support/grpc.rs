//! One request of OTLP/gRPC, one answer, however large.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// Bytes before a message: whether it is compressed, and its length. Source: gRPC over HTTP/2, "Length-Prefixed-Message".
const PREFIX_BYTES: usize = 5;

/// What the server said.
#[derive(Debug)]
pub struct GrpcAnswer {
    /// `grpc-status`.
    pub code: u32,
    /// `grpc-message`, percent-encoded as it came.
    pub message: String,
    /// Whether it says when to try again.
    pub is_retryable: bool,
    /// The message of the answer.
    pub body: Vec<u8>,
}

/// Sends an `ExportTraceServiceRequest` to `host:port`.
pub fn export(address: &str, request: &[u8]) -> GrpcAnswer {
    export_to(address, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", request)
}

/// Sends a request to a method of `host:port`.
pub fn export_to(address: &str, method: &str, request: &[u8]) -> GrpcAnswer {
    export_with(address, method, &[], request)
}

/// Sends a request with further metadata.
pub fn export_with(address: &str, method: &str, metadata: &[(&str, &str)], request: &[u8]) -> GrpcAnswer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let stream = TcpStream::connect(address).await.expect("the receiver listens");
        let io = TokioIo::new(stream);
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2 is spoken");
        tokio::spawn(connection);
        let url = format!("http://{address}{method}");
        let mut head = Request::post(url).header("content-type", "application/grpc").header("te", "trailers");
        for (name, value) in metadata {
            head = head.header(*name, *value);
        }
        let response = sender.send_request(head.body(Full::new(framed(request))).expect("a request")).await;
        let (head, body) = response.expect("an answer").into_parts();
        let body = body.collect().await.expect("the answer is whole");
        let trailers = body.trailers().cloned().unwrap_or_default();
        let value = |name: &str| {
            let value = trailers.get(name).or_else(|| head.headers.get(name));
            value.and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        GrpcAnswer {
            code: value("grpc-status").and_then(|code| code.parse().ok()).expect("a status"),
            message: value("grpc-message").unwrap_or_default(),
            is_retryable: value("google.rpc.retryinfo-bin").is_some(),
            body: body.to_bytes().get(PREFIX_BYTES..).unwrap_or_default().to_vec(),
        }
    })
}

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("less than 4 GiB");
    [&[0], length.to_be_bytes().as_slice(), message].concat().into()
}
