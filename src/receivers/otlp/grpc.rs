//! OTLP over gRPC on 4317: `Export` of the services of all three signals, with the statuses of tonic. The message is read here and not by a codec of tonic, so that
//! memory is reserved for every byte as it arrives, compressed and not, and decoding goes straight into columns.
//!
//! Source: OTLP specification, "OTLP/gRPC"; google/rpc/error_details.proto for RetryInfo.

use super::answer;
use super::error::ExportError;
use super::receiver::{OtlpReceiver, QueuedExport};
use crate::access::routes::Listed;
use crate::access::{Denied, Needs, Principal, Scope};
use crate::audit::Peer;
use crate::connections::Server;
use crate::numbers::saturating_i64;
use crate::otlp::proto::collector::trace::v1::ExportTraceServiceResponse;
use crate::otlp::{Encoding, Signal, count_items};
use crate::pipeline::{IngestError, Reservation};
use crate::receivers::http::body::BodyError;
use crate::receivers::http::encoding::Coding;
use crate::receivers::http::headers::{RETRY_AFTER, Unfit, ack_wanted};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::Frame;
use http_body_util::StreamBody;
use prost::Message as _;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Flag and length before a message.
const PREFIX_BYTES: usize = 5;
/// How long a request may take from its headers to the queue; its acknowledgement has a time of its own. Nearly all are there at once,
/// and need no timer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// RetryInfo as a message, under the key where the Python SDK looks for it.
const RETRY_INFO_KEY: &str = "google.rpc.retryinfo-bin";

/// What each method needs of who calls it.
const NEEDS: Needs = Needs::Own(Scope::Ingest);

/// The methods, for those who list them.
#[must_use]
pub fn listed() -> Vec<Listed> {
    Signal::ALL.iter().map(|signal| Listed::new(&http::Method::POST, signal.method(), NEEDS)).collect()
}

/// Serves until the shutdown, then answers the requests in flight.
pub async fn serve(listener: TcpListener, server: Server, receiver: Arc<OtlpReceiver>, shutdown: CancellationToken) {
    let service = tower::service_fn(move |request| {
        let receiver = Arc::clone(&receiver);
        async move { Ok::<_, Infallible>(answer(&receiver, request).await) }
    });
    server.serve(listener, service, shutdown).await;
}

async fn answer(receiver: &Arc<OtlpReceiver>, request: http::Request<axum::body::Body>) -> http::Response<Body> {
    let path = request.uri().path();
    let Some(signal) = Signal::ALL.into_iter().find(|signal| signal.method() == path) else {
        return Status::unimplemented(
            "this service has the method Export of TraceService, LogsService and MetricsService",
        )
        .into_http();
    };
    let principal = match permitted(receiver, request.headers()) {
        Ok(principal) => principal,
        Err(denied) => {
            let peer = request.extensions().get::<Peer>().copied();
            receiver.gate.refuse(denied, None, signal.method(), peer).await;
            return denied_status(denied).into_http();
        }
    };
    let queued = match tokio::time::timeout(REQUEST_TIMEOUT, queue(receiver, signal, &principal, request)).await {
        Ok(Ok(queued)) => queued,
        Ok(Err(status)) => return status.into_http(),
        Err(_) => return Status::deadline_exceeded("the request took too long").into_http(),
    };
    match receiver.acked(queued).await {
        Ok(summary) => unary_answer(&answer::success(&summary)),
        Err(error) => status(&error).into_http(),
    }
}

/// Who calls, if they may.
fn permitted(receiver: &OtlpReceiver, metadata: &http::HeaderMap) -> Result<Principal, Denied> {
    let principal = receiver.gate.identify(metadata)?;
    NEEDS.met_by(&principal, None)?;
    Ok(principal)
}

fn denied_status(denied: Denied) -> Status {
    let message = denied.to_string();
    if denied.is_unauthenticated() { Status::unauthenticated(message) } else { Status::permission_denied(message) }
}

async fn queue(
    receiver: &Arc<OtlpReceiver>,
    signal: Signal,
    principal: &Principal,
    request: http::Request<axum::body::Body>,
) -> Result<QueuedExport, Status> {
    let (head, body) = request.into_parts();
    let reject = |status: Status| {
        receiver.count_failed(signal, 1, false);
        status
    };
    let destination = receiver.destination(&head.headers, principal.clone());
    let wanted = destination.and_then(|destination| Ok((destination, ack_wanted(&head.headers, receiver.ack)?)));
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(Unfit::Invalid(message)) => return Err(reject(Status::invalid_argument(format!("metadata {message}")))),
        Err(Unfit::Denied(denied)) => {
            let peer = head.extensions.get::<Peer>().copied();
            receiver.gate.refuse(denied, Some(principal), signal.method(), peer).await;
            return Err(reject(denied_status(denied)));
        }
    };
    if let Err(over) = receiver.admit(&wanted.0) {
        receiver.count_failed(signal, 1, true);
        return Err(try_again(Code::ResourceExhausted, over.to_string(), over.retry_after()));
    }
    let (message, reservation) = match read_message(receiver, signal, body, &head.headers).await {
        Ok(read) => read,
        Err(Unread::Refused { items, why }) => {
            receiver.count_failed(signal, items.max(1), true);
            return Err(status(&ExportError::Ingest(why)));
        }
        Err(Unread::Rejected(status)) => return Err(reject(status)),
    };
    receiver.charge_bytes(&wanted.0, message.len());
    let queued = receiver.queue(signal, wanted, message, Encoding::Protobuf, reservation).await;
    queued.map_err(|error| status(&error))
}

/// Why a message was not read.
enum Unread {
    /// Not now; `items` is how many it has, if that is known.
    Refused { items: usize, why: IngestError },
    /// It is invalid; another attempt does not help.
    Rejected(Status),
}

/// Reads the one message of a unary call, and reserves memory for every byte as it arrives.
///
/// ```text
/// 0  1  1 = compressed as `grpc-encoding` says, 0 = not
/// 1  4  length of the message, big endian
/// 5  -  message
/// ```
///
/// Source: gRPC over HTTP/2, "Length-Prefixed-Message".
async fn read_message(
    receiver: &OtlpReceiver,
    signal: Signal,
    body: axum::body::Body,
    headers: &http::HeaderMap,
) -> Result<(Bytes, Reservation), Unread> {
    let read = receiver.bodies.read_raw(body, headers, message_end, PREFIX_BYTES).await;
    let (bytes, reservation) = read.map_err(|error| unread(&error, 0))?;
    let (Some(compressed), Some(end)) = (bytes.first().copied(), message_end(&bytes)) else {
        return Err(Unread::Rejected(Status::invalid_argument("the call has no message")));
    };
    let message = bytes.slice(PREFIX_BYTES..);
    if end != bytes.len() {
        return Err(Unread::Rejected(Status::invalid_argument("the call must have one whole message")));
    }
    let encoding = match compressed {
        0 => "identity",
        _ => headers.get("grpc-encoding").and_then(|encoding| encoding.to_str().ok()).unwrap_or("gzip"),
    };
    let coding = Coding::named(encoding).map_err(|error| unread(&error.into(), 0))?;
    let expanded = receiver.bodies.expand(message.clone(), coding, reservation).await;
    expanded.map_err(|error| unread(&error, if compressed == 0 { count_items(&message, signal) } else { 0 }))
}

/// Where the message ends that begins with these bytes.
fn message_end(bytes: &[u8]) -> Option<usize> {
    let [_compressed, length @ ..] = *bytes.first_chunk::<PREFIX_BYTES>()?;
    PREFIX_BYTES.checked_add(usize::try_from(u32::from_be_bytes(length)).ok()?)
}

fn unread(error: &BodyError, items: usize) -> Unread {
    let message = error.to_string();
    Unread::Rejected(match error {
        BodyError::Ingest(why) if why.is_retryable() => return Unread::Refused { items, why: *why },
        BodyError::Ingest(_) | BodyError::TooLarge { .. } | BodyError::ExpandsTooFar { .. } => {
            Status::resource_exhausted(message)
        }
        BodyError::Encoding(_) => Status::unimplemented(message),
        BodyError::Compression { .. } => Status::invalid_argument(message),
        BodyError::CutOff(_) => Status::cancelled(message),
        BodyError::TooSlow(_) => Status::deadline_exceeded(message),
    })
}

/// One message and the trailers of status OK.
fn unary_answer(message: &ExportTraceServiceResponse) -> http::Response<Body> {
    let length = u32::try_from(message.encoded_len()).expect("an answer has a bounded message");
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + message.encoded_len());
    bytes.put_u8(0);
    bytes.put_u32(length);
    message.encode(&mut bytes).expect("there is room for it");
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let frames = [Ok::<_, Infallible>(Frame::data(bytes.freeze())), Ok(Frame::trailers(trailers))];
    let mut response = http::Response::new(Body::new(StreamBody::new(futures_util::stream::iter(frames))));
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-accept-encoding", http::HeaderValue::from_static("identity,gzip,zstd"));
    response
}

fn status(error: &ExportError) -> Status {
    let message = error.to_string();
    match error {
        ExportError::Denied(denied) => return denied_status(*denied),
        ExportError::OverQuota(over) => return try_again(Code::ResourceExhausted, message, over.retry_after()),
        ExportError::Malformed(_) | ExportError::Json(_) | ExportError::Ingest(_) | ExportError::Workspace(_) => {}
    }
    if error.is_retryable() {
        return try_again(Code::Unavailable, message, RETRY_AFTER);
    }
    if error.is_too_large() { Status::resource_exhausted(message) } else { Status::invalid_argument(message) }
}

/// A status with RetryInfo, in both places where senders look for it.
fn try_again(code: Code, message: String, after: Duration) -> Status {
    let mut metadata = MetadataMap::new();
    let retry_info = tonic_types::pb::RetryInfo {
        retry_delay: Some(prost_types::Duration { seconds: saturating_i64(after.as_secs().into()), nanos: 0 }),
    };
    metadata.insert_bin(RETRY_INFO_KEY, MetadataValue::from_bytes(&retry_info.encode_to_vec()));
    let details = ErrorDetails::with_retry_info(Some(after));
    Status::with_error_details_and_metadata(code, message, details, metadata)
}
