//! OTLP and google.rpc messages for requests made by hand, from the same pinned protos as the service.

use prost::Message;

pub use millrace::otlp::proto::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
pub use millrace::otlp::proto::common::v1::{AnyValue, KeyValue, any_value};
use millrace::otlp::proto::resource::v1::Resource;
pub use millrace::otlp::proto::trace::v1::{ResourceSpans, ScopeSpans, Span};

/// Source: google/rpc/status.proto.
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
}

/// A request with the given spans, encoded.
pub fn request_of(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// A span that is fine; `n` makes its ids.
pub fn span(n: u8) -> Span {
    Span {
        trace_id: vec![n.max(1); 16],
        span_id: vec![n.max(1); 8],
        name: format!("made by hand {n}"),
        start_time_unix_nano: 1_741_569_952_000_000_001,
        end_time_unix_nano: 1_741_569_952_000_000_003,
        ..Span::default()
    }
}

/// A string attribute.
pub fn string_attribute(key: &str, value: String) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value)) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// A request whose resources have these attributes instead of their own.
pub fn with_resource(request: &[u8], attributes: Vec<KeyValue>) -> Vec<u8> {
    let mut request = ExportTraceServiceRequest::decode(request).expect("a request made by hand");
    for resource in &mut request.resource_spans {
        resource.resource = Some(Resource { attributes: attributes.clone(), ..Resource::default() });
    }
    request.encode_to_vec()
}
