//! Requests that are small to send and large to read, and bodies that are not what they say: each gets its documented answer,
//! and what others send meanwhile is stored.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use async_compression::Level;
use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZstdEncoder};
use millrace::time::Clock;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::{Attack, hold_off};
use support::{DEADLINE, Service, http, wait_until};

const ATTACKS: &[Attack] = &[
    Attack { name: "small bodies that are 80 MiB once decompressed, to every path", run: bombs },
    Attack { name: "one member of a response again and again", run: repeated_members },
    Attack { name: "very many empty spans, attributes, events, choices, records", run: empties },
    Attack { name: "lists and objects nested a hundred thousand times", run: nesting },
    Attack { name: "numbers that are out of every range", run: numbers },
    Attack { name: "bytes that are not UTF-8, and halves of characters", run: text },
    Attack { name: "a value of the wrong type at every level", run: types },
    Attack { name: "bodies that are cut, and encodings that they do not have", run: cut },
    Attack { name: "lengths that no body has", run: lengths },
    Attack { name: "losing or doubling what others sent meanwhile", run: what_was_sent_meanwhile },
];

/// One service for all of them; it ends with the test.
static SERVICE: Mutex<Option<Arc<Service>>> = Mutex::new(None);
/// Spans that well-behaved senders sent.
static SENT: AtomicUsize = AtomicUsize::new(0);

struct EndsWithTheTest;

impl Drop for EndsWithTheTest {
    fn drop(&mut self) {
        drop(SERVICE.lock().expect("nobody panics with it").take());
    }
}

#[test]
fn attacks_of_this_area_hold() {
    *SERVICE.lock().expect("nobody panics with it") = Some(Arc::new(Service::start()));
    let _ends = EndsWithTheTest;
    hold_off("bodies", ATTACKS);
}

fn service() -> Arc<Service> {
    SERVICE.lock().expect("nobody panics with it").clone().expect("it was started")
}

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";
const TRACES: &str = "/v1/traces";
const CHAT: &str = "/apis/intake/v2/workspaces/default/ingest/chat-completions";
const LITELLM: &str = "/apis/intake/v2/workspaces/default/ingest/litellm";
const HELICONE: &str = "/apis/intake/v2/workspaces/default/ingest/helicone";

/// One request and the answers that are documented for it.
struct Case {
    path: &'static str,
    content_type: &'static str,
    encoding: Option<&'static str>,
    body: Vec<u8>,
    answers: &'static [u16],
}

fn case(path: &'static str, body: impl Into<Vec<u8>>, answers: &'static [u16]) -> Case {
    Case { path, content_type: JSON, encoding: None, body: body.into(), answers }
}

/// Sends them one after the other, while somebody else sends what is to be stored.
fn attack(cases: &[Case]) {
    let service = service();
    beside(&service, || {
        for case in cases {
            let mut headers = vec![("content-type", case.content_type)];
            headers.extend(case.encoding.map(|encoding| ("content-encoding", encoding)));
            let answer = http::send("POST", &service.http(case.path), &headers, &case.body);
            let beginning = String::from_utf8_lossy(case.body.get(..80).unwrap_or(&case.body)).into_owned();
            assert!(case.answers.contains(&answer.status), "{} {beginning}: {answer:?}", case.path);
        }
    });
}

/// A sender of one span at a time, each of which must be acknowledged.
fn beside(service: &Service, attack: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                send_span(service);
            }
            send_span(service);
        });
        let attacked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(attack));
        is_over.store(true, Ordering::SeqCst);
        sender.join().expect("whoever sends spans is not harmed");
        if let Err(panic) = attacked {
            std::panic::resume_unwind(panic);
        }
    });
}

fn send_span(service: &Service) {
    let now = Clock::System.now().nanos().to_string();
    let number = SENT.fetch_add(1, Ordering::SeqCst) + 1;
    let span = json!({"traceId": format!("{number:032x}"), "spanId": format!("{number:016x}"), "name": "meanwhile",
        "startTimeUnixNano": now, "endTimeUnixNano": now});
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
    let answer = http::post_json(&service.http(TRACES), &request);
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
}

fn what_was_sent_meanwhile() {
    let service = service();
    send_span(&service);
    let sent = SENT.load(Ordering::SeqCst);
    let count =
        |what: &str| service.sql().number(&format!("SELECT {what} FROM otel_traces WHERE SpanName = 'meanwhile'"), &[]);
    let sent = u64::try_from(sent).expect("few");
    wait_until("all of them are stored", || (count("uniqExact(TraceId)") == sent).then_some(()));
    assert_eq!(count("count()"), sent);
}

fn compressed(encoding: &str, piece: &[u8], times: usize) -> Vec<u8> {
    async fn all(mut to: impl tokio::io::AsyncWrite + Unpin, piece: &[u8], times: usize) {
        for _ in 0..times {
            to.write_all(piece).await.expect("a vector takes it");
        }
        to.shutdown().await.expect("a vector takes it");
    }
    let mut out = Vec::new();
    let level = Level::Fastest;
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        match encoding {
            "gzip" => all(GzipEncoder::with_quality(&mut out, level), piece, times).await,
            "zstd" => all(ZstdEncoder::with_quality(&mut out, level), piece, times).await,
            _ => all(BrotliEncoder::with_quality(&mut out, level), piece, times).await,
        }
    });
    out
}

fn bombs() {
    let spaces = vec![b' '; 1 << 20];
    let mut cases = Vec::new();
    for encoding in ["gzip", "zstd", "br"] {
        let body = compressed(encoding, &spaces, 80);
        for (path, content_type) in
            [(TRACES, JSON), (TRACES, PROTOBUF), (CHAT, JSON), (LITELLM, JSON), (HELICONE, JSON)]
        {
            let body = body.clone();
            // 415 where the encoding is not taken
            cases.push(Case { path, content_type, encoding: Some(encoding), body, answers: &[413, 415] });
        }
    }
    attack(&cases);
}

fn repeated(n: usize, member: &str) -> String {
    vec![member; n].join(",")
}

fn repeated_members() {
    let members = repeated(10_000, r#""object":"chat.completion.chunk""#);
    let escaped = repeated(10_000, r#""\u006fbject":1"#);
    let mut cases = Vec::new();
    for members in [members, escaped] {
        cases.extend([
            case(LITELLM, format!(r#"{{"call_type":"completion","response":{{{members}}}}}"#), &[201]),
            case(
                HELICONE,
                format!(r#"{{"providerRequest":{{"json":{{}}}},"providerResponse":{{"json":{{{members}}}}}}}"#),
                &[201],
            ),
            case(
                CHAT,
                format!(r#"{{"request":{{"model":"m","messages":[]}},"response":{{"choices":[],{members}}}}}"#),
                &[201, 422],
            ),
        ]);
    }
    let names = repeated(10_000, r#""evaluation_name":"x""#);
    cases.push(case(
        CHAT,
        format!(r#"{{"request":{{"model":"m","messages":[]}},"response":{{"choices":[]}},"evaluation_context":{{{names}}}}}"#),
        // there is no such experiment, which only ClickHouse knows
        &[201, 400],
    ));
    let large = repeated(10_000, r#""":0"#);
    let choices: Vec<String> = (0..10_000).map(|i| format!(r#"{{"index":{i}}}"#)).collect();
    cases.push(case(
        CHAT,
        format!(
            r#"{{"request":{{"model":"m","messages":[]}},"response":{{"choices":[{{"index":10000,{large}}},{{"index":10001}},{}]}}}}"#,
            choices.join(",")
        ),
        &[201],
    ));
    attack(&cases);
}

const IDS: &str = r#""traceId":"00000000000000000000000000000abc","spanId":"0000000000000abc""#;

fn span(members: &str) -> String {
    format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{IDS},{members}}}]}}]}}]}}"#)
}

fn empties() {
    let many = repeated(100_000, "{}");
    let of_spans = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{many}]}}]}}]}}"#);
    attack(&[
        case(TRACES, of_spans, &[200]),
        case(TRACES, span(&format!(r#""attributes":[{many}]"#)), &[200]),
        case(TRACES, span(&format!(r#""events":[{many}]"#)), &[200]),
        case(TRACES, format!(r#"{{"resourceSpans":[{many}]}}"#), &[200]),
        Case { content_type: PROTOBUF, ..case(TRACES, [10, 0].repeat(1 << 20), &[200]) },
        case(CHAT, format!(r#"{{"request":{{"model":"m","messages":[{many}]}},"response":{{"choices":[]}}}}"#), &[422]),
        case(CHAT, format!(r#"{{"request":{{"model":"m","messages":[]}},"response":{{"choices":[{many}]}}}}"#), &[201]),
        case(CHAT, format!(r#"{{"request":{{"model":"m","messages":[]}},"response":[{many}]}}"#), &[422]),
        case(LITELLM, format!("[{}]", repeated(2_000, "{}")), &[200]),
        case(LITELLM, format!("[{}]", repeated(100_001, "{}")), &[413]),
        case(HELICONE, format!("[{}", "]".repeat(1 << 20)), &[200]),
    ]);
}

fn nesting() {
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    let values = r#"{"arrayValue":{"values":["#.repeat(10_000) + &"]}}".repeat(10_000);
    attack(&[
        case(CHAT, format!(r#"{{"request":{open}{close}}}"#), &[422]),
        case(CHAT, objects.clone(), &[422]),
        case(LITELLM, format!(r#"{{"call_type":"x","response":{open}{close}}}"#), &[422]),
        case(HELICONE, objects.clone(), &[422]),
        case(TRACES, format!(r#"{{"unknown":{open}{close}}}"#), &[200]),
        case(TRACES, span(&format!(r#""attributes":[{{"key":"k","value":{values}}}]"#)), &[200]),
        case(
            TRACES,
            span(&format!(r#""attributes":[{{"key":"input.value","value":{{"stringValue":"{open}"}}}}]"#)),
            &[200],
        ),
        case(TRACES, objects, &[200]),
        case(TRACES, open, &[400]),
    ]);
}

fn numbers() {
    let mut cases = Vec::new();
    for number in ["1e308", "-1e308", "1e999999999", "18446744073709551616", "-9223372036854775809", "0.1e-400"] {
        cases.extend([
            case(TRACES, span(&format!(r#""startTimeUnixNano":{number},"kind":{number},"flags":{number}"#)), &[200]),
            case(TRACES, span(&format!(r#""attributes":[{{"key":"gen_ai.usage.input_tokens","value":{{"stringValue":"{number}"}}}}]"#)), &[200]),
            case(
                CHAT,
                format!(r#"{{"request":{{"model":"m","messages":[],"n":{number},"temperature":{number}}},"response":{{"created":{number},"choices":[{{"index":{number}}}],"usage":{{"prompt_tokens":{number},"cost":{number}}}}}}}"#),
                &[201],
            ),
            case(LITELLM, format!(r#"{{"call_type":"x","startTime":{number},"response_cost":{number},"prompt_tokens":{number}}}"#), &[201]),
        ]);
    }
    attack(&cases);
}

fn text() {
    let chat = br#"{"request":{"model":"m","messages":[{"role":"user","content":"@"}]},"response":{"choices":[]}}"#;
    let with = |bytes: &[u8]| chat.split(|byte| *byte == b'@').collect::<Vec<_>>().join(bytes);
    let name =
        |bytes: &[u8]| [span(r#""name":""#).trim_end_matches("}]}]}]}").as_bytes(), bytes, b"\"}]}]}]}"].concat();
    attack(&[
        case(CHAT, with(b"\xe6\x88"), &[422]),
        case(CHAT, with(br"\ud83d \u0000"), &[201]),
        case(LITELLM, b"{\"call_type\":\"\xff\"}".to_vec(), &[422]),
        case(LITELLM, br#"{"call_type":"\udead","messages":"\ud83d"}"#.to_vec(), &[201]),
        case(TRACES, name(b"\xe6\x88"), &[200]),
        case(TRACES, name(br"\ud83d \u0000"), &[200]),
        case(TRACES, b"\xff\xfe\x00".to_vec(), &[400]),
    ]);
}

fn types() {
    let mut cases = Vec::new();
    for value in ["5", "-1.5", "\"x\"", "true", "[]", "[1]", "{}"] {
        for place in [
            "@",
            r#"{"resourceSpans":@}"#,
            r#"{"resourceSpans":[@]}"#,
            r#"{"resourceSpans":[{"resource":@,"scopeSpans":[@]}]}"#,
            r#"{"resourceSpans":[{"scopeSpans":[{"scope":@,"spans":[@]}]}]}"#,
        ] {
            cases.push(case(TRACES, place.replace('@', value), &[200, 400]));
        }
        for member in ["name", "kind", "status", "attributes", "events", "links", "startTimeUnixNano", "traceState"] {
            cases.push(case(TRACES, span(&format!(r#""{member}":{value}"#)), &[200]));
        }
        for place in
            ["@", r#"{"request":@,"response":@}"#, r#"{"request":{"model":@,"messages":@},"response":{"choices":@}}"#]
        {
            cases.push(case(CHAT, place.replace('@', value), &[422]));
        }
        cases.push(case(LITELLM, format!(r#"{{"call_type":{value},"response":{value},"messages":{value}}}"#), &[201]));
        cases.push(case(HELICONE, format!(r#"{{"providerRequest":{value},"providerResponse":{value}}}"#), &[422]));
    }
    attack(&cases);
}

fn cut() {
    let whole = span(r#""name":"a""#);
    let half = whole.get(..whole.len() / 2).expect("ASCII").as_bytes().to_vec();
    let gzip = compressed("gzip", whole.as_bytes(), 1);
    let mut cases = vec![
        case(TRACES, half.clone(), &[400]),
        Case { content_type: PROTOBUF, ..case(TRACES, [10, 100, 1].to_vec(), &[400]) },
        case(CHAT, half, &[422]),
        case(CHAT, b"".to_vec(), &[422]),
    ];
    for path in [TRACES, CHAT, LITELLM, HELICONE] {
        let with =
            |encoding, body: &[u8], answers| Case { encoding: Some(encoding), ..case(path, body.to_vec(), answers) };
        cases.extend([
            with("gzip", whole.as_bytes(), &[400]),
            with("zstd", whole.as_bytes(), &[400]),
            with("gzip", gzip.get(..gzip.len() - 4).expect("longer than that"), &[400]),
            with("nonsense", whole.as_bytes(), &[415]),
            with("gzip, gzip, gzip", &gzip, &[400, 415]),
        ]);
    }
    attack(&cases);
}

fn lengths() {
    let service = service();
    let url = service.http("/");
    let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    beside(&service, || {
        for length in ["18446744073709551615", "99999999999999999999", "-1", "1e3", "0x10", "", "5, 6"] {
            let mut stream = TcpStream::connect(&address).expect("it accepts");
            stream.set_read_timeout(Some(DEADLINE)).expect("a socket has a time-out");
            let head = format!(
                "POST {TRACES} HTTP/1.1\r\nhost: a\r\ncontent-type: {JSON}\r\ncontent-length: {length}\r\n\r\n{{}}"
            );
            stream.write_all(head.as_bytes()).expect("it reads");
            stream.shutdown(std::net::Shutdown::Write).expect("it is open");
            let mut answer = String::new();
            let _closed_or_reset = stream.read_to_string(&mut answer);
            let is_refused = ["HTTP/1.1 400", "HTTP/1.1 408", "HTTP/1.1 413", "HTTP/1.1 431"]
                .iter()
                .any(|line| answer.starts_with(line));
            assert!(answer.is_empty() || is_refused, "{length}: {answer}");
        }
    });
}
