//! Answers of OTLP: `ExportTraceServiceResponse` and the like, and for failures `google.rpc.Status`, always in the encoding of the
//! request.
//!
//! Source: OTLP specification, "OTLP/HTTP Response"; google/rpc/code.proto for the numbers.

use crate::access::routes::challenge;
use crate::access::{Denied, OverQuota};
use crate::numbers::{saturating_i64, to_u64};
use crate::otlp::proto::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use crate::otlp::{Encoding, Signal};
use crate::receivers::http::headers::RETRY_AFTER;
use crate::receivers::otlp::error::ExportError;
use crate::receivers::otlp::receiver::ExportSummary;
use crate::text::cut;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prost::Message as _;
use serde_json::json;

/// Longest message in an answer.
const MESSAGE_BYTES_MAX: usize = 2_048;

/// google.rpc.Code
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    ResourceExhausted,
    Unimplemented,
    Unavailable,
}

impl Code {
    fn number(self) -> i32 {
        match self {
            Self::InvalidArgument => 3,
            Self::NotFound => 5,
            Self::PermissionDenied => 7,
            Self::Unauthenticated => 16,
            Self::ResourceExhausted => 8,
            Self::Unimplemented => 12,
            Self::Unavailable => 14,
        }
    }
}

pub(crate) fn content_type(encoding: Encoding) -> HeaderValue {
    HeaderValue::from_static(match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    })
}

/// The message of a full or partial success. Those of the other signals have the same fields under other names.
pub(crate) fn success(summary: &ExportSummary) -> ExportTraceServiceResponse {
    let partial_success = (summary.rejected > 0).then(|| ExportTracePartialSuccess {
        rejected_spans: saturating_i64(to_u64(summary.rejected).into()),
        error_message: summary.message(),
    });
    ExportTraceServiceResponse { partial_success }
}

pub(crate) fn success_response(summary: &ExportSummary, encoding: Encoding) -> Response {
    let message = success(summary);
    let body = match encoding {
        Encoding::Protobuf => message.encode_to_vec(),
        Encoding::Json => match message.partial_success {
            None => b"{}".to_vec(),
            Some(partial) => json!({"partialSuccess": {
                rejected_name(summary.signal): partial.rejected_spans.to_string(), "errorMessage": partial.error_message,
            }})
            .to_string()
            .into_bytes(),
        },
    };
    ([(header::CONTENT_TYPE, content_type(encoding))], body).into_response()
}

/// What the number of rejected items is called in JSON.
fn rejected_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Logs => "rejectedLogRecords",
        Signal::Metrics => "rejectedDataPoints",
    }
}

/// A failure with its HTTP status and its google.rpc.Status.
pub(crate) fn failure(http: StatusCode, code: Code, message: &str, encoding: Encoding) -> Response {
    let message = cut(message, MESSAGE_BYTES_MAX);
    let body = match encoding {
        Encoding::Protobuf => {
            let details = if code == Code::InvalidArgument { vec![bad_request(message)] } else { Vec::new() };
            let status = tonic_types::pb::Status { code: code.number(), message: message.to_owned(), details };
            status.encode_to_vec()
        }
        Encoding::Json => {
            let details = json!([{"@type": BAD_REQUEST, "fieldViolations": [{"description": message}]}]);
            let status = match code {
                Code::InvalidArgument => json!({"code": code.number(), "message": message, "details": details}),
                _ => json!({"code": code.number(), "message": message}),
            };
            status.to_string().into_bytes()
        }
    };
    let mut response = (http, [(header::CONTENT_TYPE, content_type(encoding))], body).into_response();
    if http == StatusCode::SERVICE_UNAVAILABLE || http == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs()));
    }
    response
}

/// The type of what says what is wrong with a request.
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

/// What is wrong with a request. Source: OTLP specification, "Bad Data"; google/rpc/error_details.proto.
fn bad_request(message: &str) -> prost_types::Any {
    let violation = tonic_types::pb::bad_request::FieldViolation {
        description: message.to_owned(),
        ..tonic_types::pb::bad_request::FieldViolation::default()
    };
    let bad_request = tonic_types::pb::BadRequest { field_violations: vec![violation] };
    prost_types::Any { type_url: BAD_REQUEST.to_owned(), value: bad_request.encode_to_vec() }
}

/// The answer to who may not ask this, without what says how to ask.
pub(crate) fn denial(denied: Denied, encoding: Encoding) -> Response {
    let (status, code) = if denied.is_unauthenticated() {
        (StatusCode::UNAUTHORIZED, Code::Unauthenticated)
    } else {
        (StatusCode::FORBIDDEN, Code::PermissionDenied)
    };
    failure(status, code, &denied.to_string(), encoding)
}

/// The answer to who may not ask this.
pub(crate) fn denied_response(denied: Denied, encoding: Encoding) -> Response {
    let mut response = denial(denied, encoding);
    challenge(&mut response, denied);
    response
}

/// The answer to a workspace that sends too much.
pub(crate) fn over_quota_response(over: OverQuota, encoding: Encoding) -> Response {
    let mut response = failure(StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted, &over.to_string(), encoding);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(over.retry_after().as_secs()));
    response
}

pub(crate) fn error_response(error: &ExportError, encoding: Encoding) -> Response {
    let message = error.to_string();
    match error {
        ExportError::Denied(denied) => return denied_response(*denied, encoding),
        ExportError::OverQuota(over) => return over_quota_response(*over, encoding),
        ExportError::Malformed(_) | ExportError::Json(_) | ExportError::Ingest(_) | ExportError::Workspace(_) => {}
    }
    if error.is_retryable() {
        failure(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, &message, encoding)
    } else if error.is_too_large() {
        failure(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, &message, encoding)
    } else {
        failure(StatusCode::BAD_REQUEST, Code::InvalidArgument, &message, encoding)
    }
}
