//! The decoder against prost: for any request, the rows are what a plain walk over prost's owned tree makes of it.

use super::*;
use crate::bounds::ROW_BYTES_MAX;
use crate::columns::testing::rows;
use crate::ids::{SpanId, TraceId};
use crate::otlp::proto::collector::trace::v1::ExportTraceServiceRequest;
use crate::otlp::proto::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value as V};
use crate::otlp::proto::resource::v1::Resource;
use crate::otlp::proto::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};
use crate::otlp::protobuf::testing::{
    all_of, any_text, attributes, expected_map, expected_text, hex, id, text_attribute, time,
};
use crate::otlp::{DAYS_PER_REQUEST_MAX, Root, count_items};
use crate::time::UnixNanos;
use crate::workspace;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Map, Value as Json, json};

fn decode(request: &ExportTraceServiceRequest) -> Result<Decoded, DecodeError> {
    decode_traces(&request.encode_to_vec(), Encoding::Protobuf, &Workspace::default(), &Limits::default())
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
}

fn valid_span(name: &str) -> Span {
    Span { trace_id: vec![1; 16], span_id: vec![2; 8], name: name.into(), ..Span::default() }
}

// ---- the oracle: slow, simple, from the specification ----

fn expected_rows(request: &ExportTraceServiceRequest) -> Vec<Map<String, Json>> {
    let mut rows = Vec::new();
    for resource_spans in &request.resource_spans {
        for scope_spans in &resource_spans.scope_spans {
            for span in &scope_spans.spans {
                rows.extend(expected_row(resource_spans, scope_spans, span));
            }
        }
    }
    rows
}

fn expected_row(resource_spans: &ResourceSpans, scope_spans: &ScopeSpans, span: &Span) -> Option<Map<String, Json>> {
    let id = |bytes: &[u8], length| bytes.len() == length && bytes.iter().any(|byte| *byte != 0);
    let parent = &span.parent_span_id;
    let in_range = |nanos: u64| i64::try_from(nanos).is_ok();
    let valid = id(&span.trace_id, 16)
        && id(&span.span_id, 8)
        && (parent.is_empty() || parent.len() == 8)
        && u32::try_from(span.start_time_unix_nano / 1_000_000_000).is_ok()
        && in_range(span.end_time_unix_nano)
        && span.events.iter().all(|event| in_range(event.time_unix_nano))
        && span.links.iter().all(|link| id(&link.trace_id, 16) && id(&link.span_id, 8));
    if !valid {
        return None;
    }
    let resource = resource_spans.resource.clone().unwrap_or_default();
    let scope = scope_spans.scope.clone().unwrap_or_default();
    let status = span.status.clone().unwrap_or_default();
    let service = resource.attributes.iter().rev().find(|attribute| attribute.key == "service.name");
    let kinds = ["Unspecified", "Internal", "Server", "Client", "Producer", "Consumer"];
    let Json::Object(row) = json!({
        "Timestamp": span.start_time_unix_nano,
        "TraceId": hex(&span.trace_id),
        "SpanId": hex(&span.span_id),
        "ParentSpanId": if id(parent, 8) { hex(parent) } else { String::new() },
        "TraceState": span.trace_state,
        "SpanName": span.name,
        "SpanKind": usize::try_from(span.kind).ok().and_then(|kind| kinds.get(kind)).unwrap_or(&"Unspecified"),
        "ServiceName": service.map(|attribute| expected_text(attribute.value.as_ref())).unwrap_or_default(),
        "ResourceAttributes": expected_map(&resource.attributes),
        "ScopeName": scope.name,
        "ScopeVersion": scope.version,
        "SpanAttributes": expected_map(&span.attributes),
        "Duration": span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano),
        "StatusCode": match status.code { 1 => "Ok", 2 => "Error", _ => "Unset" },
        "StatusMessage": status.message,
        "Events.Timestamp": span.events.iter().map(|event| event.time_unix_nano).collect::<Vec<_>>(),
        "Events.Name": span.events.iter().map(|event| event.name.clone()).collect::<Vec<_>>(),
        "Events.Attributes": span.events.iter().map(|event| all_of(&event.attributes)).collect::<Vec<_>>(),
        "Links.TraceId": span.links.iter().map(|link| hex(&link.trace_id)).collect::<Vec<_>>(),
        "Links.SpanId": span.links.iter().map(|link| hex(&link.span_id)).collect::<Vec<_>>(),
        "Links.TraceState": span.links.iter().map(|link| link.trace_state.clone()).collect::<Vec<_>>(),
        "Links.Attributes": span.links.iter().map(|link| all_of(&link.attributes)).collect::<Vec<_>>(),
        "Workspace": "default",
        "SpanFlags": span.flags,
        "ScopeAttributes": expected_map(&scope.attributes),
        "ResourceSchemaUrl": resource_spans.schema_url,
        "ScopeSchemaUrl": scope_spans.schema_url,
        "ErrorMessage": if status.code == 2 { status.message.as_str() } else { "" },
    }) else {
        return None;
    };
    // what a typed column has nothing in is not there
    let typed = ["SpanFlags", "ScopeAttributes", "ResourceSchemaUrl", "ScopeSchemaUrl", "ErrorMessage"];
    let is_nothing = |value: &Json| value == "" || value == 0 || *value == json!([]);
    Some(row.into_iter().filter(|(name, value)| !(typed.contains(&name.as_str()) && is_nothing(value))).collect())
}

// ---- any request ----

fn any_span() -> impl Strategy<Value = Span> {
    let event = (time(), any_text(), attributes()).prop_map(|(time_unix_nano, name, attributes)| span::Event {
        time_unix_nano,
        name,
        attributes,
        ..span::Event::default()
    });
    let link = (id(16), id(8), any_text(), attributes()).prop_map(|(trace_id, span_id, trace_state, attributes)| {
        span::Link { trace_id, span_id, trace_state, attributes, ..span::Link::default() }
    });
    let status = option::of((any_text(), -1..4).prop_map(|(message, code)| Status { message, code }));
    let ids = (id(16), id(8), prop_oneof![Just(vec![]), id(8)]);
    let rest = (attributes(), vec(event, 0..3), vec(link, 0..2), status, any_text(), -1..8);
    (ids, any_text(), time(), time(), rest).prop_map(|(ids, name, start, end, rest)| {
        let (trace_id, span_id, parent_span_id) = ids;
        let (attributes, events, links, status, trace_state, kind) = rest;
        Span {
            trace_id,
            span_id,
            parent_span_id,
            name,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            events,
            links,
            status,
            trace_state,
            kind,
            flags: if kind == 3 { 0 } else { 257 },
            dropped_attributes_count: 3,
            ..Span::default()
        }
    })
}

fn any_request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope = option::of((any_text(), any_text(), attributes()).prop_map(|(name, version, attributes)| {
        InstrumentationScope { name, version, attributes, ..InstrumentationScope::default() }
    }));
    let scope_spans = (scope, vec(any_span(), 0..4), "[a-z/]{0,9}").prop_map(|(scope, spans, schema_url)| ScopeSpans {
        scope,
        spans,
        schema_url,
    });
    let resource = option::of(attributes().prop_map(|attributes| Resource { attributes, ..Resource::default() }));
    let resource_spans = (resource, vec(scope_spans, 0..3), "[a-z/]{0,9}")
        .prop_map(|(resource, scope_spans, schema_url)| ResourceSpans { resource, scope_spans, schema_url });
    vec(resource_spans, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

proptest! {
    #[test]
    fn rows_are_those_of_prosts_tree(request in any_request()) {
        let decoded = decode(&request).unwrap();
        let expected = expected_rows(&request);
        let spans: usize = request.resource_spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum();
        prop_assert_eq!(decoded.rejected, spans - expected.len());
        prop_assert_eq!(rows(&decoded.rows), expected);
        prop_assert_eq!(count_items(&request.encode_to_vec(), Signal::Traces), spans);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _any_outcome = decode_traces(&bytes, Encoding::Protobuf, &Workspace::default(), &Limits::default());
    }

    #[test]
    fn a_request_cut_anywhere_is_refused_or_is_whole_up_to_the_cut(request in any_request(), at in any::<proptest::sample::Index>()) {
        let bytes = request.encode_to_vec();
        prop_assume!(!bytes.is_empty());
        let cut = &bytes[..at.index(bytes.len())];
        let ours = decode_traces(cut, Encoding::Protobuf, &Workspace::default(), &Limits::default()).is_ok();
        prop_assert_eq!(ours, ExportTraceServiceRequest::decode(cut).is_ok());
    }
}

// ---- what must be so, one thing each ----

#[test]
fn the_resource_may_come_after_its_spans() {
    let whole = ResourceSpans {
        resource: Some(Resource { attributes: vec![text_attribute("service.name", "late")], ..Resource::default() }),
        scope_spans: request(vec![valid_span("a")]).resource_spans.remove(0).scope_spans,
        ..ResourceSpans::default()
    };
    let [resource, spans] = [
        ResourceSpans { scope_spans: vec![], ..whole.clone() }.encode_to_vec(),
        ResourceSpans { resource: None, ..whole }.encode_to_vec(),
    ];
    let message = [spans, resource].concat();
    let request = [&[0x0a, u8::try_from(message.len()).unwrap()], message.as_slice()].concat();
    let decoded = decode_traces(&request, Encoding::Protobuf, &Workspace::default(), &Limits::default()).unwrap();
    assert_eq!(rows(&decoded.rows)[0]["ServiceName"], "late");
}

#[test]
fn a_bad_span_costs_itself_and_is_named() {
    let bad = Span { trace_id: vec![1; 8], ..valid_span("bad") };
    let decoded = decode(&request(vec![valid_span("a"), bad, valid_span("b")])).unwrap();
    assert_eq!((decoded.rows.rows(), decoded.rejected), (2, 1));
    assert_eq!(decoded.reasons, ["span 2 (\"bad\"): trace_id is 8 bytes long, must be 16"]);
}

#[test]
fn bytes_that_are_not_utf8_are_replaced_wherever_text_may_stand() {
    let link =
        span::Link { trace_id: vec![1; 16], span_id: vec![2; 8], trace_state: "lXXXX".into(), ..span::Link::default() };
    let event = span::Event {
        name: "eXXXX".into(),
        attributes: vec![text_attribute("fXXXX", "gXXXX")],
        ..span::Event::default()
    };
    let nested = V::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(V::StringValue("iXXXX".into())) }] });
    let list = KeyValue { key: "list".into(), value: Some(AnyValue { value: Some(nested) }), ..KeyValue::default() };
    let span = Span {
        name: "nXXXX".into(),
        trace_state: "tXXXX".into(),
        attributes: vec![text_attribute("kXXXX", "vXXXX"), list],
        events: vec![event],
        links: vec![link],
        status: Some(Status { message: "sXXXX".into(), code: 2 }),
        ..valid_span("")
    };
    let mut request = request(vec![span, valid_span("fine")]);
    let attributes = vec![text_attribute("rXXXX", "qXXXX")];
    request.resource_spans[0].resource = Some(Resource { attributes, ..Resource::default() });
    request.resource_spans[0].schema_url = "uXXXX".into();
    let mut bytes = request.encode_to_vec();
    while let Some(at) = bytes.windows(4).position(|window| window == b"XXXX") {
        bytes[at..at + 4].copy_from_slice(b"\xe6\x88x\xff");
    }
    let decoded = decode_traces(&bytes, Encoding::Protobuf, &Workspace::default(), &Limits::default()).unwrap();
    assert_eq!((decoded.rows.rows(), decoded.rejected), (2, 0));
    let row = serde_json::Value::from(rows(&decoded.rows).remove(0)).to_string();
    for letter in "nkvitefglsrqu".chars() {
        assert!(row.contains(&format!("{letter}\u{fffd}x\u{fffd}")), "{letter}: {row}");
    }
}

#[test]
fn a_span_whose_bytes_are_malformed_costs_itself_and_a_resource_all_of_its_spans() {
    let cut = |what: &str, spans: Vec<Span>| {
        let mut request = request(spans);
        let attributes = vec![text_attribute("resource", "r")];
        request.resource_spans[0].resource = Some(Resource { attributes, ..Resource::default() });
        let mut bytes = request.encode_to_vec();
        let at = bytes.windows(what.len()).position(|window| window == what.as_bytes()).unwrap();
        // the length before the text goes beyond the end of its message
        bytes[at - 1] = 0x7f;
        decode_traces(&bytes, Encoding::Protobuf, &Workspace::default(), &Limits::default()).unwrap()
    };
    let with = |name: &str| Span { attributes: vec![text_attribute(name, "v")], ..valid_span("s") };
    let decoded = cut("broken", vec![valid_span("a"), with("broken"), valid_span("b")]);
    assert_eq!((decoded.rows.rows(), decoded.rejected), (2, 1));
    assert_eq!(decoded.reasons, ["span 2 (\"s\"): a KeyValue message is cut off"]);
    let decoded = cut("resource", vec![valid_span("a"), valid_span("b")]);
    assert_eq!((decoded.rows.rows(), decoded.rejected), (0, 2));
    assert_eq!(decoded.reasons[1], "span 2 (without a name): a KeyValue message is cut off");
}

#[test]
fn limits_refuse_the_request_before_it_grows() {
    let with = |limits: Limits, request: &ExportTraceServiceRequest| {
        decode_traces(&request.encode_to_vec(), Encoding::Protobuf, &Workspace::default(), &limits)
            .map(|decoded| decoded.rows.rows())
    };
    let many = request(vec![Span::default(); 11]);
    let spans = with(Limits { spans: 10, ..Limits::default() }, &many);
    assert_eq!(spans, Err(DecodeError::TooMany { what: "spans", max: 10 }));

    // 3 attributes of the resource count once for each of its 4 spans
    let mut amplified = request(vec![valid_span("a"); 4]);
    let attributes = ["a", "b", "c"].map(|key| text_attribute(key, "v")).to_vec();
    amplified.resource_spans[0].resource = Some(Resource { attributes, ..Resource::default() });
    assert_eq!(with(Limits { items: 19, ..Limits::default() }, &amplified), Ok(4));
    assert!(matches!(with(Limits { items: 18, ..Limits::default() }, &amplified), Err(DecodeError::TooMany { .. })));
    let bytes = with(Limits { column_bytes: 40, ..Limits::default() }, &amplified);
    assert_eq!(bytes, Err(DecodeError::TooLarge { items: "spans", max: 40 }));

    // what a resource and a scope say once is in the row of each of their spans
    let long = "u".repeat(1_000);
    for (of_resource, of_scope) in [(long.as_str(), ""), ("", long.as_str())] {
        let mut amplified = request(vec![valid_span("a"); 4]);
        amplified.resource_spans[0].schema_url = of_resource.to_owned();
        amplified.resource_spans[0].scope_spans[0].schema_url = of_scope.to_owned();
        assert_eq!(with(Limits { column_bytes: 7_000, ..Limits::default() }, &amplified), Ok(4));
        let bytes = with(Limits { column_bytes: 5_000, ..Limits::default() }, &amplified);
        assert_eq!(bytes, Err(DecodeError::TooLarge { items: "spans", max: 5_000 }), "{of_resource}");
    }
}

#[test]
fn a_span_that_no_row_holds_is_rejected_alone_and_by_name() {
    let mut large = valid_span("large");
    large.attributes.push(text_attribute("k", &"x".repeat(ROW_BYTES_MAX)));
    let bytes = request(vec![valid_span("a"), large, valid_span("b")]).encode_to_vec();
    let decoded = decode_traces(&bytes, Encoding::Protobuf, &Workspace::default(), &Limits::default()).unwrap();
    assert_eq!((decoded.rows.rows(), decoded.rejected), (2, 1));
    let [reason] = &decoded.reasons[..] else { panic!("{:?}", decoded.reasons) };
    assert!(reason.starts_with("span 2 (\"large\"): it takes 6710"), "{reason}");
    assert!(reason.ends_with("more than the 67108864 that a row may have; send less content in it"), "{reason}");
}

#[test]
fn the_receiver_decides_the_workspace_and_the_sender_does_not() {
    let mut claimed = request(vec![valid_span("a")]);
    let attributes = vec![text_attribute("k", "v"), text_attribute(workspace::ATTRIBUTE, "somebody-elses")];
    claimed.resource_spans[0].resource = Some(Resource { attributes, ..Resource::default() });
    let resource_in = |name: &str| {
        let workspace = Workspace::new(name).unwrap();
        let bytes = claimed.encode_to_vec();
        let decoded = decode_traces(&bytes, Encoding::Protobuf, &workspace, &Limits::default()).unwrap();
        rows(&decoded.rows).remove(0)["ResourceAttributes"].clone()
    };
    assert_eq!(resource_in("default"), json!([["k", "v"]]));
    assert_eq!(resource_in("mine"), json!([["k", "v"], [workspace::ATTRIBUTE, "mine"]]));
}

#[test]
fn a_request_spans_so_many_days_and_no_more() {
    let on_day = |day: u64| Span { start_time_unix_nano: day * 86_400_000_000_000, ..valid_span("a") };
    let days = u64::try_from(DAYS_PER_REQUEST_MAX).unwrap();
    let decoded = decode(&request((0..days + 5).chain(0..3).map(on_day).collect())).unwrap();
    assert_eq!((decoded.rows.rows(), decoded.rejected), (DAYS_PER_REQUEST_MAX + 3, 5));
    assert_eq!(decoded.rows.days().len(), DAYS_PER_REQUEST_MAX);
    assert!(decoded.reasons[0].contains("400"), "{:?}", decoded.reasons);
}

/// A span of that day with an event at that time that reports an evaluation.
fn evaluated(day: u64, at: u64) -> Span {
    let said = [("name", "q"), ("score.value", "1")];
    let said = said.map(|(key, value)| text_attribute(&format!("gen_ai.evaluation.{key}"), value)).to_vec();
    let name = "gen_ai.evaluation.result".to_owned();
    let event = span::Event { time_unix_nano: at, name, attributes: said, ..span::Event::default() };
    Span { start_time_unix_nano: day * DAY_NANOS, events: vec![event], ..valid_span("a") }
}

const DAY_NANOS: u64 = 86_400_000_000_000;

#[test]
fn an_evaluation_is_of_the_time_of_its_event_only_if_a_span_could_begin_then() {
    use crate::columns::Group as _;
    use crate::timestamps::Config;
    let now = UnixNanos::new(20_000 * DAY_NANOS).unwrap();
    let limits = Limits { window: Some(Config::default().window(now)), ..Limits::default() };
    let days_of = |spans: Vec<Span>| {
        let bytes = request(spans).encode_to_vec();
        let decoded = decode_traces(&bytes, Encoding::Protobuf, &Workspace::default(), &limits).unwrap();
        assert_eq!(decoded.rejected, 0, "{:?}", decoded.reasons);
        decoded.evaluations.unwrap().days().to_vec()
    };
    for (at, day) in [(19_999, 19_999), (0, 20_000), (10_000, 20_000), (21_000, 20_000), (60_000, 20_000)] {
        assert_eq!(days_of(vec![evaluated(20_000, at * DAY_NANOS)]), [day], "{at}");
    }
    // the days of events count among those that a request may span, with those of spans
    let first = 20_000 - u64::try_from(DAYS_PER_REQUEST_MAX).unwrap();
    let mut spans: Vec<Span> = (first..19_998).map(|day| evaluated(day, day * DAY_NANOS)).collect();
    spans.extend([19_998, 19_999, 20_000, 20_001].map(|day| evaluated(first, day * DAY_NANOS)));
    let days = days_of(spans.clone());
    assert_eq!((days.len(), days.last()), (DAYS_PER_REQUEST_MAX, Some(&19_999)));
    // a span may begin on a day that an event has already, but on no further one
    spans.push(evaluated(19_998, 19_998 * DAY_NANOS));
    assert_eq!(days_of(spans.clone()).len(), DAYS_PER_REQUEST_MAX);
    // whichever of both comes first
    let each_before_the_next = (first + 1..20_000).map(|day| evaluated(day, (day + 1) * DAY_NANOS)).collect();
    assert_eq!(days_of(each_before_the_next).len(), DAYS_PER_REQUEST_MAX - 1);
    spans.push(evaluated(20_000, 20_000 * DAY_NANOS));
    let bytes = request(spans).encode_to_vec();
    let decoded = decode_traces(&bytes, Encoding::Protobuf, &Workspace::default(), &limits).unwrap();
    assert_eq!((decoded.rejected, decoded.evaluations.unwrap().days().len()), (1, DAYS_PER_REQUEST_MAX));
}

#[test]
fn roots_are_returned_with_their_session() {
    let root = Span {
        attributes: vec![text_attribute("gen_ai.conversation.id", "c"), text_attribute("session.id", "s")],
        ..valid_span("root")
    };
    let child = Span { parent_span_id: vec![2; 8], span_id: vec![3; 8], ..valid_span("child") };
    let decoded = decode(&request(vec![child, root])).unwrap();
    let expected = Root {
        trace_id: TraceId::new([1; 16]).unwrap(),
        span_id: SpanId::new([2; 8]).unwrap(),
        start: UnixNanos::new(valid_span("root").start_time_unix_nano).unwrap(),
        session: Some("s".into()),
    };
    assert_eq!(decoded.roots, [expected]);
}

#[test]
fn a_span_has_the_same_fingerprint_until_anything_in_its_report_differs() {
    let fingerprints = |request: &ExportTraceServiceRequest| decode(request).unwrap().rows.fingerprints().to_vec();
    let with = |change: &dyn Fn(&mut ResourceSpans)| {
        let mut request = request(vec![valid_span("a")]);
        let resource_spans = &mut request.resource_spans[0];
        resource_spans.resource = Some(Resource { attributes: vec![text_attribute("r", "1")], ..Resource::default() });
        resource_spans.scope_spans[0].scope =
            Some(InstrumentationScope { name: "s".into(), ..InstrumentationScope::default() });
        change(resource_spans);
        fingerprints(&request)
    };
    let first = with(&|_| {});
    assert_eq!(first.len(), 1);
    let span = |change: fn(&mut Span)| with(&move |all| change(&mut all.scope_spans[0].spans[0]));
    let others = [
        span(|span| span.end_time_unix_nano = 5),
        span(|span| span.attributes.push(text_attribute("k", "v"))),
        span(|span| span.status = Some(Status { code: 2, ..Status::default() })),
        with(&|all| all.resource.as_mut().unwrap().attributes.push(text_attribute("k", "v"))),
        with(&|all| all.resource = None),
        with(&|all| all.schema_url = "x".into()),
        with(&|all| all.scope_spans[0].scope.as_mut().unwrap().version = "1".into()),
        with(&|all| all.scope_spans[0].scope = None),
        with(&|all| all.scope_spans[0].schema_url = "x".into()),
    ];
    let all: std::collections::BTreeSet<_> = others.iter().chain([&first]).collect();
    assert_eq!(all.len(), others.len() + 1);
    // in whatever company it comes
    let in_company = with(&|all| {
        all.scope_spans[0].spans.insert(0, valid_span("b"));
        all.scope_spans.push(ScopeSpans { spans: vec![valid_span("a")], ..ScopeSpans::default() });
    });
    assert_eq!((in_company.len(), in_company[1]), (3, first[0]));
    assert_ne!(in_company[2], first[0], "another scope");
}

#[test]
fn fingerprints_stay_with_their_rows_when_spans_are_rejected() {
    let nameless = |name: &str| Span { trace_id: Vec::new(), ..valid_span(name) };
    let mixed = decode(&request(vec![nameless("x"), valid_span("a"), nameless("y"), valid_span("b")])).unwrap();
    let good = decode(&request(vec![valid_span("a"), valid_span("b")])).unwrap();
    assert_eq!((mixed.rows.rows(), mixed.rejected), (2, 2));
    assert_eq!(mixed.rows.fingerprints(), good.rows.fingerprints());
    assert_ne!(good.rows.fingerprints()[0], good.rows.fingerprints()[1]);
}
