//! What foreign bytes cost is linear in their number, whatever they repeat, nest or leave empty.
//!
//! ```text
//! shape(n), shape(2n), shape(4n)  --the whole path of its door-->  steps <= STEPS_PER_BYTE * bytes
//! ```
//!
//! Steps are counted and not timed (`millrace::steps`); what is quadratic goes over the line at the sizes used here.

use millrace::chat::vendor::{helicone, litellm};
use millrace::chat::{self, Body, Capture, ChatSpan, Context, ParseOptions};
use millrace::columns::{MapRow, RowGroup, SpanScalars};
use millrace::conventions;
use millrace::otlp::{self, Encoding};
use millrace::steps;
use millrace::time::UnixNanos;
use millrace::workspace::Workspace;

/// Most steps for a byte that arrives: a name of a body is looked for under some fifty names.
const STEPS_PER_BYTE: u64 = 60;

/// Repetitions, each size twice the one before.
const SIZES: [usize; 3] = [400, 800, 1_600];

/// Makes so many of something.
type Make = fn(usize) -> String;

/// Reads a body as its door does, up to the finished row.
type Read = fn(&[u8]);

/// Bodies of a shape in every size, and whether they cost too much. What is linear costs as much a byte in each size, what is
/// sorted hardly more.
fn is_linear(what: &str, make: impl Fn(usize) -> String, read: Read) -> bool {
    let cost = |size: usize| {
        let body = make(size);
        let ((), steps) = steps::of(|| read(body.as_bytes()));
        let bytes = u64::try_from(body.len()).unwrap();
        assert!(steps >= bytes / 4, "{what}: {steps} steps are counted for {bytes} bytes");
        steps as f64 / bytes as f64
    };
    let costs = SIZES.map(cost);
    let is_linear = costs[2] <= STEPS_PER_BYTE as f64 && costs[2] <= 1.4 * costs[0] + 1.0;
    if !is_linear {
        eprintln!("{what}: {costs:.1?} steps a byte");
    }
    is_linear
}

/// Reads every kind of members in every place of a body; `@` is the place.
fn hold(read: Read, places: &[&str]) {
    let cases = places.iter().flat_map(|place| MEMBERS.iter().map(move |members| (place, members)));
    let broken = cases
        .filter(|(place, (name, members))| {
            !is_linear(&format!("{name} in {place}"), |n| place.replace('@', &members(n)), read)
        })
        .count();
    assert_eq!(broken, 0);
}

fn times(n: usize, one: &str) -> String {
    numbered(n, |_| one.to_owned())
}

fn numbered(n: usize, one: impl Fn(usize) -> String) -> String {
    (0..n).map(one).collect::<Vec<_>>().join(",")
}

/// Lists of lists as deep as is read, so many beside each other.
fn nested(n: usize, deep: usize) -> String {
    times(n / deep, &format!("{}{}", "[".repeat(deep), "]".repeat(deep)))
}

/// The span's row as the receiver makes it, and as it is made of a span that has the same attributes.
fn row(span: &ChatSpan<'_>) {
    let mut rows = RowGroup::default();
    let mut text = String::new();
    let mark = rows.begin();
    for (key, value) in &span.attributes {
        text.clear();
        value.as_column_text(&mut text);
        rows.attribute_of(conventions::kind(key.as_bytes()), key.as_bytes(), text.as_bytes());
    }
    let (scalars, resource) = (SpanScalars::new(span.start, span.trace.id(), span.span_id), MapRow::default());
    let filled = rows.sink(mark, &scalars, &resource).fill(&span.call).unwrap();
    rows.finish(mark, &scalars, &resource, Some(filled)).unwrap();

    let mark = rows.begin();
    for (key, value) in span.all_attributes() {
        text.clear();
        value.as_column_text(&mut text);
        rows.attribute_of(conventions::kind(key.as_bytes()), key.as_bytes(), text.as_bytes());
    }
    let filled =
        rows.view(mark, &scalars, &resource).map(|(view, sink)| sink.fill(&conventions::normalise(&view)).unwrap());
    rows.finish(mark, &scalars, &resource, filled).unwrap();
}

fn convert(capture: &Capture<'_>) {
    let workspace = Workspace::default();
    let context = Context {
        workspace: &workspace,
        received_at: UnixNanos::new(1_800_000_000_000_000_000).unwrap(),
        traceparent: None,
        idempotency_key: None,
    };
    row(&chat::convert(capture, &context).unwrap());
}

fn chat(body: &[u8]) {
    let body = Body::of_call(body).unwrap();
    if let Ok(capture) = chat::parse(&body, &ParseOptions::default()) {
        convert(&capture);
    }
}

fn litellm(record: &[u8]) {
    let body = Body::of_record(record).unwrap();
    convert(&litellm::read(&body, &ParseOptions::default()).unwrap());
}

fn helicone(record: &[u8]) {
    let body = Body::of_record(record).unwrap();
    convert(&helicone::read(&body, &[], &ParseOptions::default()).unwrap());
}

fn otlp_json(body: &[u8]) {
    otlp_protobuf(otlp::transcode_traces(body, otlp::Limits::default().depth).unwrap().protobuf());
}

fn otlp_protobuf(body: &[u8]) {
    otlp::decode_traces(body, Encoding::Protobuf, &Workspace::default(), &otlp::Limits::default()).unwrap();
}

fn otlp_metrics(body: &[u8]) {
    let (workspace, limits) = (Workspace::default(), otlp::Limits::default());
    let transcoded = otlp::transcode(body, otlp::Signal::Metrics, limits.depth).unwrap();
    transcoded.decode_metrics(&workspace, &limits).unwrap();
    otlp::decode_metrics(transcoded.protobuf(), Encoding::Protobuf, &workspace, &limits).unwrap();
}

/// Values of a member, or members, of which there are many. None of them has to make sense where it stands.
const MEMBERS: [(&str, Make); 14] = [
    ("one name again and again", |n| times(n, r#""object":"chat.completion.chunk""#)),
    ("names that differ", |n| numbered(n, |i| format!(r#""k{i}":{i}"#))),
    ("the name of a list", |n| times(n, r#""choices":[]"#)),
    ("names that are looked for", |n| {
        let names = ["evaluation_name", "role", "content", "usage", "error", "index", "type", "delta", "message", "id"];
        numbered(n, |i| format!(r#""{}":"x""#, names[i % names.len()]))
    }),
    ("names with escapes", |n| times(n, r#""\u006fbject":1"#)),
    ("empty lists", |n| format!(r#""choices":[{}],"messages":[{}]"#, times(n, "[]"), times(n, "[]"))),
    ("empty objects", |n| format!(r#""choices":[{}],"messages":[{}]"#, times(n, "{}"), times(n, "{}"))),
    ("lists in lists", |n| format!(r#""choices":[{}],"error":[{}]"#, nested(n, 20), nested(n, 20))),
    ("choices", |n| {
        let choice =
            |i| format!(r#"{{"index":{i},"message":{{"role":"assistant","content":"x"}},"finish_reason":"stop"}}"#);
        format!(r#""choices":[{}]"#, numbered(n / 8, choice))
    }),
    ("one large choice before all that it is compared with", |n| {
        let large = format!(r#"{{"index":{n},{}}}"#, times(4 * n, r#""":0"#));
        let small = |from: usize, count: usize| numbered(count, |i| format!(r#"{{"index":{}}}"#, from + i));
        format!(r#""choices":[{large},{},{}]"#, small(n + 1, n / 2), small(0, n))
    }),
    ("tool calls", |n| {
        let call = |i| format!(r#"{{"id":"c{i}","type":"function","function":{{"name":"f","arguments":"{{}}"}}}}"#);
        format!(r#""choices":[{{"message":{{"tool_calls":[{}]}}}}]"#, numbered(n / 8, call))
    }),
    ("deltas of tool calls", |n| {
        let call = |i| format!(r#"{{"index":{i},"function":{{"name":"f","arguments":"x"}}}}"#);
        format!(r#""choices":[{{"delta":{{"tool_calls":[{}]}}}}]"#, numbered(n / 8, call))
    }),
    ("usages with details", |n| times(n / 4, r#""usage":{"prompt_tokens_details":{"a":1},"prompt_tokens":1}"#)),
    ("pictures", |n| {
        let picture = r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAEC"}}"#;
        format!(r#""messages":[{{"role":"user","content":[{}]}}]"#, times(n / 8, picture))
    }),
];

#[test]
fn a_body_costs_what_it_weighs() {
    hold(
        chat,
        &[
            r#"{"request":{"model":"m","messages":[],@},"response":{"choices":[]}}"#,
            r#"{"request":{"model":"m","messages":[]},"response":{"choices":[],@}}"#,
            r#"{"request":{"model":"m","messages":[]},"response":{@}}"#,
            r#"{"request":{"model":"m","messages":[]},"response":[{@}]}"#,
            r#"{"request":{"model":"m","messages":[{"role":"user",@}]},"response":{"choices":[]}}"#,
            r#"{"request":{"model":"m","messages":[{"role":"user","content":[{"type":"text",@}]}]},"response":{"choices":[]}}"#,
            r#"{"request":{"model":"m","messages":[],"tools":[{"type":"function",@}]},"response":{"choices":[]}}"#,
            r#"{"request":{"model":"m","messages":[]},"response":{"choices":[{"message":{},@}]}}"#,
            r#"{"request":{"model":"m","messages":[]},"response":{"choices":[{"message":{@}}]}}"#,
            r#"{"request":{"model":"m","messages":[]},"response":{"choices":[{"delta":{@}}]}}"#,
            r#"{"request":{"model":"m","messages":[]},"response":{"choices":[],"usage":{@}}}"#,
            r#"{"request":{"model":"m","messages":[]},"response":{"error":{@}}}"#,
            r#"{"request":{"model":"m","messages":[]},"response":{"choices":[]},"evaluation_context":{@}}"#,
            r#"{"request":{"model":"m","messages":[]},"response":{"choices":[]},"experiment_context":{"experiment_id":"e",@}}"#,
            r#"{"request":{"model":"m","messages":[]},"response":{"choices":[]},"cost_details":{@}}"#,
            r#"{"request":{"model":"m","messages":[]},"response":{"choices":[]},@}"#,
        ],
    );
}

#[test]
fn a_record_of_litellm_costs_what_it_weighs() {
    hold(
        litellm,
        &[
            r#"{"call_type":"completion",@}"#,
            r#"{"call_type":"completion","response":{@}}"#,
            r#"{"call_type":"completion","response":{"choices":[{@}]}}"#,
            r#"{"call_type":"completion","model_parameters":{@}}"#,
            r#"{"call_type":"completion","messages":[{"role":"user",@}]}"#,
            r#"{"call_type":"completion","status":"failure","error_information":{@}}"#,
            r#"{"call_type":"completion","metadata":{@},"cost_breakdown":{@}}"#,
        ],
    );
}

#[test]
fn a_record_of_helicone_costs_what_it_weighs() {
    hold(
        helicone,
        &[
            r#"{"providerRequest":{"json":{@}},"providerResponse":{}}"#,
            r#"{"providerRequest":{"json":{},"meta":{@}},"providerResponse":{}}"#,
            r#"{"providerRequest":{"json":{}},"providerResponse":{"json":{@}}}"#,
            r#"{"providerRequest":{"json":{}},"providerResponse":{"json":{"choices":[{@}]}}}"#,
            r#"{"providerRequest":{"json":{}},"providerResponse":{"headers":{@}}}"#,
            r#"{"providerRequest":{"json":{}},"providerResponse":{},@}"#,
        ],
    );
}

/// What stands in a text that a dialect reads as JSON.
const DIALECTS: [&str; 20] = [
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.request.messages",
    "gen_ai.response.finish_reasons",
    "input.value",
    "output.value",
    "ai.prompt.messages",
    "ai.response.toolCalls",
    "ai.prompt.tools",
    "langfuse.observation.usage_details",
    "langfuse.observation.cost_details",
    "llm.invocation_parameters",
    "mlflow.chat.tokenUsage",
    "metadata.usage_object",
    "events",
    "all_messages_events",
];

fn span(fields: &str) -> String {
    format!(r#"{{"traceId":"{}","spanId":"{}",{fields}}}"#, "01".repeat(16), "02".repeat(8))
}

fn request(spans: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#)
}

fn attribute(key: &str, value: &str) -> String {
    let value = serde_json::to_string(value).unwrap();
    format!(r#"{{"key":"{key}","value":{{"stringValue":{value}}}}}"#)
}

fn with_attributes(attributes: &str) -> String {
    request(&span(&format!(r#""attributes":[{attributes}]"#)))
}

#[test]
fn a_text_that_a_dialect_reads_costs_what_it_weighs() {
    let wrappings = ["{@}", "[{@}]", r#"[{"role":"user",@}]"#, r#"[{"role":"user","parts":[{"type":"tool_call",@}]}]"#];
    let cases = DIALECTS.iter().flat_map(|key| wrappings.map(|wrapping| (key, wrapping)));
    let cases = cases.flat_map(|case| MEMBERS.map(|members| (case, members)));
    let broken = cases
        .filter(|((key, wrapping), (name, members))| {
            let make = |n| with_attributes(&attribute(key, &wrapping.replace('@', &members(n / 4))));
            !is_linear(&format!("{name} in {wrapping} in {key}"), make, otlp_json)
        })
        .count();
    assert_eq!(broken, 0);
}

/// Requests of OTLP, of one kind each.
const REQUESTS: [(&str, Make); 24] = [
    ("one key again and again", |n| with_attributes(&times(n, &attribute("k", "v")))),
    ("keys that differ", |n| with_attributes(&numbered(n, |i| attribute(&format!("k{i}"), "v")))),
    ("one typed key again and again", |n| with_attributes(&times(n, &attribute("gen_ai.request.model", "m")))),
    ("parameters", |n| with_attributes(&numbered(n, |i| attribute(&format!("gen_ai.request.p{i}"), "1")))),
    ("numbered messages", |n| {
        with_attributes(&numbered(n, |i| attribute(&format!("llm.input_messages.{i}.message.content"), "hi")))
    }),
    ("numbered messages from the last to the first", |n| {
        with_attributes(&numbered(n, |i| attribute(&format!("gen_ai.prompt.{}.content", n - i), "hi")))
    }),
    ("messages with huge numbers", |n| {
        let key = |i| format!("llm.output_messages.{}{i}.message.content", "9".repeat(i % 300));
        with_attributes(&numbered(n, |i| attribute(&key(i), "hi")))
    }),
    ("one number as long as all others", |n| {
        let long = attribute(&format!("gen_ai.prompt.0.{}", "7".repeat(40 * n)), "x");
        let short = |i| attribute(&format!("gen_ai.prompt.0.{}", i * 7_919 % n), "x");
        with_attributes(&format!("{long},{}", numbered(n, short)))
    }),
    ("one number with as many zeros as all others", |n| {
        let long = attribute(&format!("gen_ai.prompt.{}7.a", "0".repeat(40 * n)), "x");
        with_attributes(&format!("{long},{}", numbered(n, |i| attribute(&format!("gen_ai.prompt.7.b{i}"), "x"))))
    }),
    ("numbered finish reasons", |n| {
        with_attributes(&numbered(n, |i| attribute(&format!("gen_ai.completion.{i}.finish_reason"), "stop")))
    }),
    ("numbered tools", |n| {
        with_attributes(&numbered(n, |i| attribute(&format!("llm.tools.{i}.tool.json_schema"), "{}")))
    }),
    ("empty attributes", |n| with_attributes(&times(n, "{}"))),
    ("empty events", |n| request(&span(&format!(r#""events":[{}]"#, times(n, "{}"))))),
    ("empty spans", |n| request(&times(n, "{}"))),
    ("spans", |n| request(&times(n, &span(r#""name":"a""#)))),
    ("links", |n| {
        let link = format!(r#"{{"traceId":"{}","spanId":"{}"}}"#, "01".repeat(16), "02".repeat(8));
        request(&span(&format!(r#""links":[{}]"#, times(n, &link))))
    }),
    ("events that are messages", |n| {
        let event = format!(r#"{{"name":"gen_ai.user.message","attributes":[{}]}}"#, attribute("content", "hi"));
        request(&span(&format!(r#""events":[{}]"#, times(n, &event))))
    }),
    ("choices in events", |n| {
        let message = attribute("message", r#"{"content":"a"}"#);
        let event = |i: usize| {
            let index = attribute("index", &i.to_string());
            format!(r#"{{"name":"gen_ai.choice","attributes":[{index},{message}]}}"#)
        };
        let large = event(n).replace('[', &format!("[{},", numbered(n, |i| attribute(&format!("k{i}"), "v"))));
        let later = numbered(n / 4, |i| event(n + i + 1));
        request(&span(&format!(r#""events":[{large},{later},{}]"#, numbered(n / 2, event))))
    }),
    ("exceptions", |n| {
        let event = format!(r#"{{"name":"exception","attributes":[{}]}}"#, attribute("exception.type", "E"));
        request(&span(&format!(r#""status":{{"code":2}},"events":[{}]"#, times(n, &event))))
    }),
    ("resources of one span each", |n| {
        let one = format!(
            r#"{{"resource":{{"attributes":[{}]}},"scopeSpans":[{{"scope":{{"name":"s"}},"spans":[{}]}}]}}"#,
            attribute("service.name", "a"),
            span(r#""name":"a""#)
        );
        format!(r#"{{"resourceSpans":[{}]}}"#, times(n, &one))
    }),
    ("scopes without spans", |n| format!(r#"{{"resourceSpans":[{{"scopeSpans":[{}]}}]}}"#, times(n, "{}"))),
    ("resources in one message", |n| {
        let resource = format!(r#""resource":{{"attributes":[{}]}}"#, attribute("a", "b"));
        format!(
            r#"{{"resourceSpans":[{{{},"scopeSpans":[{{"spans":[{}]}}]}}]}}"#,
            times(n, &resource),
            span(r#""name":"a""#)
        )
    }),
    ("lists in lists", |n| {
        let deep = format!("{}{}", r#"{"arrayValue":{"values":["#.repeat(20), "]}}".repeat(20));
        with_attributes(&format!(r#"{{"key":"k","value":{{"arrayValue":{{"values":[{}]}}}}}}"#, times(n / 20, &deep)))
    }),
    ("names again and again", |n| request(&span(&format!("{},{}", times(n, r#""name":"a""#), times(n, r#""x":{}"#))))),
];

#[test]
fn a_request_of_otlp_costs_what_it_weighs() {
    let broken = REQUESTS
        .iter()
        .filter(|(name, make)| {
            let as_protobuf = |body: &[u8]| {
                let transcoded = otlp::transcode_traces(body, otlp::Limits::default().depth).unwrap();
                let ((), steps) = steps::of(|| otlp_protobuf(transcoded.protobuf()));
                let bytes = u64::try_from(transcoded.protobuf().len()).unwrap();
                assert!(steps <= STEPS_PER_BYTE * bytes, "{steps} steps for {bytes} bytes of protobuf");
            };
            !(is_linear(name, make, otlp_json) && is_linear(name, make, as_protobuf))
        })
        .count();
    assert_eq!(broken, 0);
}

fn metrics(metrics: &str) -> String {
    format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metrics}]}}]}}]}}"#)
}

fn gauge(points: &str) -> String {
    metrics(&format!(r#"{{"name":"m","gauge":{{"dataPoints":[{points}]}}}}"#))
}

fn histogram(members: &str) -> String {
    metrics(&format!(r#"{{"name":"m","histogram":{{"dataPoints":[{{{members}}}]}}}}"#))
}

/// Requests with metrics, of one kind each.
const METRICS: [(&str, Make); 12] = [
    ("metrics without data", |n| metrics(&times(n, "{}"))),
    ("metrics", |n| metrics(&times(n, r#"{"name":"m","sum":{"dataPoints":[{"asInt":1}]}}"#))),
    ("metrics of all kinds", |n| {
        let kinds = ["gauge", "sum", "histogram", "exponentialHistogram", "summary"];
        metrics(&numbered(n, |i| format!(r#"{{"name":"m{i}","{}":{{"dataPoints":[{{}}]}}}}"#, kinds[i % 5])))
    }),
    ("empty data points", |n| gauge(&times(n, "{}"))),
    ("attributes of one key", |n| gauge(&format!(r#"{{"attributes":[{}]}}"#, times(n, &attribute("k", "v"))))),
    ("attributes that differ", |n| {
        gauge(&format!(r#"{{"attributes":[{}]}}"#, numbered(n, |i| attribute(&format!("k{i}"), "v"))))
    }),
    ("exemplars", |n| {
        let exemplar = format!(r#"{{"traceId":"{}","filteredAttributes":[{}]}}"#, "01".repeat(16), attribute("k", "v"));
        gauge(&format!(r#"{{"exemplars":[{}]}}"#, times(n, &exemplar)))
    }),
    ("buckets", |n| histogram(&format!(r#""bucketCounts":[{}]"#, times(n, "7")))),
    ("lists of buckets", |n| histogram(&times(n, r#""bucketCounts":[1,2],"explicitBounds":[0.5]"#))),
    ("quantiles", |n| {
        let quantiles = times(n, r#"{"quantile":0.5,"value":1}"#);
        metrics(&format!(r#"{{"summary":{{"dataPoints":[{{"quantileValues":[{quantiles}]}}]}}}}"#))
    }),
    ("names again and again", |n| metrics(&format!("{{{}}}", times(n, r#""name":"m","metadata":[{}]"#)))),
    ("data again and again", |n| {
        metrics(&format!(
            "{{{}}}",
            times(n, r#""gauge":{"dataPoints":[{}]},"sum":{"dataPoints":[{}],"isMonotonic":true}"#)
        ))
    }),
];

#[test]
fn a_request_with_metrics_costs_what_it_weighs() {
    let broken = METRICS.iter().filter(|(name, make)| !is_linear(name, make, otlp_metrics)).count();
    assert_eq!(broken, 0);
}
