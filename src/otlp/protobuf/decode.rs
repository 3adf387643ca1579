//! ExportTraceServiceRequest -> RowGroup, in one pass over the request's bytes.
//!
//! A span that is malformed is left out, counted and named, and so are those of a resource or scope that is. A request in which
//! the spans cannot be told apart, or that goes over a limit, is refused whole before anything of it is kept.
//!
//! Source: OTLP 1.11.0, trace.proto, common.proto, resource.proto.

use super::request::Request;
use super::span::SpanDecoder;
use super::walk::walk;
use crate::columns::RowGroup;
use crate::genai::prices::Prices;
use crate::otlp::decoded::{Decoded, Encoding};
use crate::otlp::error::{DecodeError, TypeErrors};
use crate::otlp::limits::Limits;
use crate::otlp::signal::Signal;
use crate::workspace::Workspace;

/// Decodes an ExportTraceServiceRequest in binary protobuf. A workspace that is not the default one is noted on the resource.
///
/// # Errors
/// If the bytes are not that message, or hold more than `limits`. Nothing is kept then.
pub fn decode_traces(
    request: &[u8],
    encoding: Encoding,
    workspace: &Workspace,
    limits: &Limits,
) -> Result<Decoded, DecodeError> {
    let rows = Box::new(RowGroup::for_request_of(request.len(), workspace.clone()));
    decode_priced(request, encoding, rows, limits, None)
}

/// The same into an empty group, for its workspace; calls whose sender gave no cost get one from the prices, if there are any.
///
/// # Errors
/// As [`decode_traces`].
pub fn decode_priced(
    request: &[u8],
    encoding: Encoding,
    rows: Box<RowGroup>,
    limits: &Limits,
    prices: Option<&Prices>,
) -> Result<Decoded, DecodeError> {
    decode(request, encoding, &TypeErrors::new(), rows, limits, prices)
}

/// As [`decode_priced`]; `type_errors` are what JSON had wrong.
///
/// # Errors
/// As [`decode_traces`].
pub(crate) fn decode(
    request: &[u8],
    encoding: Encoding,
    type_errors: &TypeErrors,
    rows: Box<RowGroup>,
    limits: &Limits,
    prices: Option<&Prices>,
) -> Result<Decoded, DecodeError> {
    let request_under_way = Request::new(Signal::Traces, encoding, type_errors, rows.workspace().clone(), limits);
    let mut spans = SpanDecoder::new(request_under_way, rows, prices);
    walk(request, &mut spans)?;
    Ok(spans.into_decoded())
}

#[cfg(test)]
mod tests;
