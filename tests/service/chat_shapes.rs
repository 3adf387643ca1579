//! Many pairs at once as lines, and the records of LiteLLM and Helicone, by plain HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::rows::{attribute, text};
use support::http::{Answer, post_json, send};
use support::proxy::{Fault, Proxy};
use support::{Engine, Options, Service, process, wait_until};

const NDJSON: &str = "application/x-ndjson";
const MIB: u64 = 1024 * 1024;
/// Lines of the long stream, and bytes of what each asks: held whole, they and their rows would take several hundred MiB.
const MANY: usize = 40_000;
const LONG_QUESTION_BYTES: usize = 3_000;

fn path(service: &Service, shape: &str) -> String {
    service.http(&format!("/apis/intake/v2/workspaces/default/ingest/{shape}"))
}

fn pair(number: usize) -> Value {
    json!({
        "request": {"model": "m", "messages": [{"role": "user", "content": format!("question {number}")}]},
        "response": {"choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}]},
    })
}

fn lines(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn stored(service: &Service) -> u64 {
    service
        .sql()
        .try_rows("SELECT count() AS n FROM otel_traces", &[])
        .map_or(0, |rows| rows.first().and_then(|row| row.get("n")?.as_u64()).unwrap_or(0))
}

fn wait_for_rows(service: &Service, rows: u64) {
    wait_until("all rows are there", || (stored(service) >= rows).then_some(()));
    assert_eq!(stored(service), rows);
}

fn row_of(service: &Service, said: &Value) -> Value {
    const ROW: &str = "SELECT SpanName, TraceId, StatusCode, StatusMessage, ServiceName, Duration, AllAttributes AS SpanAttributes, \
                       RawRequest, RawResponse, \
                       toString(toUnixTimestamp64Nano(Timestamp)) AS at FROM otel_traces WHERE SpanId = {s:String}";
    let rows = wait_until("the record is stored", || {
        service.sql().try_rows(ROW, &[("s", text(said, "span_id"))]).ok().filter(|rows| !rows.is_empty())
    });
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.into_iter().next().expect("one row")
}

fn litellm(number: usize) -> Value {
    json!({
        "id": format!("chatcmpl-{number}"), "litellm_call_id": format!("call-{number}"), "call_type": "acompletion",
        "trace_id": "3fa85f64-5717-4562-b3fc-2c963f66afa6", "status": "success", "custom_llm_provider": "openai",
        "startTime": 1795445760.255576, "endTime": 1795445761.542783, "completionStartTime": 1795445760.5,
        "stream": true, "model": "gpt-4o-mini", "response_cost": 3.6e-06, "request_tags": ["shop"],
        "prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15, "metadata": {"user_api_key_alias": "k"},
        "messages": [{"role": "user", "content": "Capital of Peru?"}],
        "response": {"id": format!("chatcmpl-{number}"), "model": "gpt-4o-mini", "object": "chat.completion",
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Lima."}}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}},
    })
}

#[test]
fn each_line_is_answered_by_a_line_and_a_bad_one_costs_only_itself() {
    let service = Service::start();
    let body = format!("{}\n\n{{\"request\":\n{}\r\n{{\"cost_usdd\":1}}\n{}", pair(1), pair(2), pair(3));
    let answer = send(
        "POST",
        &service.chat("default"),
        &[("content-type", "application/jsonl; charset=utf-8")],
        body.as_bytes(),
    );
    assert_eq!((answer.status, answer.header("content-type")), (200, NDJSON), "{}", answer.text());
    let said = lines(&answer);
    let summary: Vec<_> =
        said.iter().map(|line| (line["line"].as_u64(), line.get("status").and_then(Value::as_u64))).collect();
    let want = [(1, None), (3, Some(422)), (4, None), (5, Some(422)), (6, None)];
    assert_eq!(summary, want.map(|(line, status)| (Some(line), status)));
    assert_eq!(said[1]["detail"][0]["type"], "json_invalid");
    assert_eq!(said[3]["detail"][0]["loc"], json!(["body", "cost_usdd"]));
    wait_for_rows(&service, 3);
    assert_eq!(text(&row_of(&service, &said[4]), "SpanName"), "chat m");

    // the same lines again, compressed: the same spans, not stored again
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(body.as_bytes()).expect("memory can be written");
    let packed = packed.finish().expect("memory can be written");
    let again =
        send("POST", &service.chat("default"), &[("content-type", NDJSON), ("content-encoding", "gzip")], &packed);
    assert_eq!(lines(&again), said);
    wait_for_rows(&service, 3);

    // one key for many lines does not make them one span
    let keyed = format!("{}\n{}\n", pair(8), pair(9));
    let keyed =
        send("POST", &service.chat("default"), &[("content-type", NDJSON), ("idempotency-key", "k")], keyed.as_bytes());
    assert_ne!(lines(&keyed)[0]["span_id"], lines(&keyed)[1]["span_id"]);

    let refused =
        send("POST", &service.chat("default"), &[("content-type", NDJSON), ("content-encoding", "lzma")], b"x");
    assert_eq!(refused.status, 415);
    let broken =
        send("POST", &service.chat("default"), &[("content-type", NDJSON), ("content-encoding", "zstd")], b"no zstd");
    assert_eq!((broken.status, lines(&broken)[0]["status"].as_u64()), (200, Some(400)), "{}", broken.text());
}

/// A request whose body is sent in chunks while its answer is read.
struct Talk {
    stream: TcpStream,
    answers: BufReader<TcpStream>,
}

impl Talk {
    fn start(service: &Service) -> Self {
        let url = service.chat("default");
        let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a URL");
        let mut stream = TcpStream::connect(host).expect("the service listens");
        write!(
            stream,
            "POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: {NDJSON}\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        .expect("the head can be sent");
        let answers = BufReader::new(stream.try_clone().expect("a socket can be cloned"));
        Self { stream, answers }
    }

    fn say(stream: &mut TcpStream, text: &str) {
        write!(stream, "{:x}\r\n{text}\r\n", text.len()).expect("the service reads");
    }

    fn end(stream: &mut TcpStream) {
        stream.write_all(b"0\r\n\r\n").expect("the service reads");
    }

    fn head(&mut self) {
        loop {
            let mut line = String::new();
            self.answers.read_line(&mut line).expect("the service answers");
            if line.trim().is_empty() {
                return;
            }
        }
    }

    /// The next chunk of the answer; empty at its end.
    fn chunk(&mut self) -> String {
        let mut size = String::new();
        self.answers.read_line(&mut size).expect("the service answers");
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or_else(|error| panic!("{error}: {size:?}"));
        let mut chunk = vec![0; size + 2];
        self.answers.read_exact(&mut chunk).expect("the chunk is whole");
        chunk.truncate(size);
        String::from_utf8(chunk).expect("answers are text")
    }
}

#[test]
fn a_line_is_answered_while_the_next_ones_are_still_to_come() {
    let service = Service::start();
    let mut talk = Talk::start(&service);
    for number in 1..4 {
        let line = pair(number).to_string();
        let (half, rest) = line.split_at(20);
        Talk::say(&mut talk.stream, half);
        Talk::say(&mut talk.stream, &format!("{rest}\n"));
        if number == 1 {
            talk.head();
        }
        let answer: Value = serde_json::from_str(&talk.chunk()).expect("one line of JSON");
        assert_eq!(answer["line"], number, "{answer}");
    }
    Talk::end(&mut talk.stream);
    assert_eq!(talk.chunk(), "");
    wait_for_rows(&service, 3);
}

#[test]
fn a_long_stream_is_stored_in_bounded_memory() {
    let options = Options {
        yaml: "memory: { limit: 33554432 }\njournal: { segment_bytes: 1MiB }".to_owned(),
        ..Options::default()
    };
    let service = Service::start_with(options);
    let before = process::peak_memory_bytes(service.pid());
    let mut talk = Talk::start(&service);
    let mut sending = talk.stream.try_clone().expect("a socket can be cloned");
    let sender = thread::spawn(move || {
        for numbers in (0..MANY).collect::<Vec<_>>().chunks(100) {
            let line = |number: &usize| {
                let mut pair = pair(*number);
                let question = format!("question {number}, ");
                pair["request"]["messages"][0]["content"] =
                    question.repeat(LONG_QUESTION_BYTES / question.len()).into();
                format!("{pair}\n")
            };
            let lines: String = numbers.iter().map(line).collect();
            Talk::say(&mut sending, &lines);
        }
        Talk::end(&mut sending);
    });
    talk.head();
    let (mut answers, mut bad) = (0, Vec::new());
    loop {
        let chunk = talk.chunk();
        if chunk.is_empty() {
            break;
        }
        answers += chunk.lines().count();
        bad.extend(chunk.lines().filter(|line| !line.contains("span_id")).take(3).map(str::to_owned));
    }
    sender.join().expect("the sender sent all");
    assert_eq!((answers, bad), (MANY, Vec::new()));
    wait_for_rows(&service, MANY as u64);
    let grown = process::peak_memory_bytes(service.pid()) - before;
    println!("{MANY} lines: peak memory grew by {} MiB to {} MiB", grown / MIB, (before + grown) / MIB);
    assert!(grown < 128 * MIB, "peak memory grew by {} MiB", grown / MIB);
}

#[test]
fn a_sender_that_does_not_read_is_told_where_that_ended() {
    let service = Service::start();
    let mut talk = Talk::start(&service);
    for _ in 0..100 {
        Talk::say(&mut talk.stream, &"x\n".repeat(5_000));
    }
    Talk::end(&mut talk.stream);
    let refused = || service.metric("otelcol_receiver_refused_spans_total").filter(|spans| *spans > 0.0);
    wait_until("reading has stopped", refused);
    talk.head();
    let mut said = Vec::new();
    loop {
        let chunk = talk.chunk();
        if chunk.is_empty() {
            break;
        }
        said.extend(chunk.lines().map(str::to_owned));
    }
    let last: Value = serde_json::from_str(said.last().expect("an answer")).expect("JSON");
    assert_eq!((last["status"].as_u64(), last["line"].as_u64()), (Some(503), Some(said.len() as u64)), "{last}");
    assert!(said.len() < 500_000 && said.len() > 10_000, "{}", said.len());
}

/// Letters that do not compress.
fn noise(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'0' + (state >> 33) as u8 % 75)
    };
    (0..length).map(letter).filter(|letter| *letter != '\\').collect()
}

#[test]
fn what_finds_no_room_waits_is_refused_and_can_be_sent_again() {
    let engine = Engine::start();
    let proxy = Proxy::before(engine.port, Fault::Refuse);
    let yaml = "memory: { limit: 4194304 }\njournal: { segment_bytes: 1MiB, max_bytes: 1MiB }".to_owned();
    let url = Some(proxy.url());
    let service = Service::start_with(Options { yaml, ack: Some("memory"), clickhouse_url: url, ..Options::default() });
    // each takes 180 KB twice or more of the 2 MiB and what the journal takes beside them, which do not compress, and the batch itself
    // 1.5 MB: some fit
    let large = |number: usize| {
        let mut record = litellm(number);
        record["messages"][0]["content"] = noise(number as u64, 180_000).into();
        record
    };
    let batch: Vec<_> = (0..8).map(large).collect();
    let answer = post_json(&path(&service, "litellm"), &json!(batch));
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{}", answer.text());
    let said = answer.json()["detail"].as_array().expect("a list").clone();
    let taken = said.iter().filter(|result| result.get("span_id").is_some()).count();
    assert!(taken > 0 && taken < 8, "{taken} of 8");

    let more: String = (8..24).map(|number| format!("{}\n", large(number))).collect();
    let answer = send("POST", &path(&service, "litellm"), &[("content-type", NDJSON)], more.as_bytes());
    assert_eq!(answer.status, 200);
    let full = |line: &Value| line["status"] == 503;
    assert!(lines(&answer).iter().any(full), "so many do not fit: {}", answer.text());

    proxy.set(Fault::Pass);
    let said = wait_until("there is room again", || {
        Some(post_json(&path(&service, "litellm"), &json!(batch))).filter(|answer| answer.status == 200)
    });
    let again = said.json();
    assert!((0..8).all(|index| again[index].get("span_id").is_some()), "{again}");
    let in_lines = lines(&answer).iter().filter(|line| !full(line)).count() as u64;
    wait_for_rows(&service, 8 + in_lines);
}

#[test]
fn litellm_records_come_as_one_as_a_list_and_as_lines() {
    let service = Service::start();
    let url = path(&service, "litellm");
    let one = post_json(&url, &litellm(1));
    assert_eq!(one.status, 201, "{}", one.text());
    let row = row_of(&service, &one.json());
    assert_eq!(text(&row, "TraceId"), "3fa85f6457174562b3fc2c963f66afa6");
    assert_eq!((text(&row, "at"), row["Duration"].as_u64()), ("1795445760255576000", Some(1_287_207_000)));
    assert_eq!(text(&row, "ServiceName"), "litellm");
    for (name, value) in [
        ("gen_ai.response.time_to_first_chunk", "0.244424"),
        ("gen_ai.usage.cost", "0.0000036"),
        ("millrace.timing", "given"),
        ("millrace.tags", "[\"shop\"]"),
    ] {
        assert_eq!(attribute(&row, name), value, "{name}");
    }
    assert!(attribute(&row, "millrace.litellm.extra").contains(r#""metadata":{"user_api_key_alias":"k"}"#));

    // what the record carried as request and response, in its own words
    let sent = litellm(1);
    let request = json!({"stream": sent["stream"], "model": sent["model"], "messages": sent["messages"]});
    assert_eq!(
        (text(&row, "RawRequest"), text(&row, "RawResponse")),
        (&*request.to_string(), &*sent["response"].to_string())
    );

    let list = format!("[{}, {{\"call_type\": nan}}, null, {}]", litellm(1), litellm(2));
    let list = send("POST", &url, &[("content-type", "application/json")], list.as_bytes());
    assert_eq!(list.status, 200, "{}", list.text());
    let said = list.json();
    assert_eq!(
        (&said[0]["index"], &said[0]["span_id"]),
        (&json!(0), &one.json()["span_id"]),
        "a repeat is the same span"
    );
    assert_eq!((&said[1]["status"], &said[2]["status"], &said[3]["index"]), (&json!(422), &json!(422), &json!(3)));

    // LiteLLM says application/json for its lines too
    let both = format!("{}\n{}", litellm(3), litellm(4));
    for (media, number) in [("application/json", 5), (NDJSON, 5)] {
        let answer = send("POST", &url, &[("content-type", media)], format!("{both}\n{}", litellm(number)).as_bytes());
        assert_eq!((answer.status, answer.header("content-type")), (200, NDJSON));
        let ids: Vec<_> =
            lines(&answer).iter().map(|line| (line["line"].as_u64(), line.get("span_id").is_some())).collect();
        assert_eq!(ids, [(Some(1), true), (Some(2), true), (Some(3), true)]);
    }
    wait_for_rows(&service, 5);

    let mut failed = litellm(6);
    failed["status"] = "failure".into();
    failed["response"] = json!({});
    failed["error_information"] =
        json!({"error_class": "RateLimitError", "error_code": "429", "error_message": "slow down"});
    let row = row_of(&service, &post_json(&url, &failed).json());
    assert_eq!((text(&row, "StatusCode"), text(&row, "StatusMessage")), ("Error", "slow down"));
    assert_eq!(post_json(&url, &json!({"model": "m"})).status, 422);
    assert_eq!(post_json(&url, &json!([])).text(), "[]");
}

#[test]
fn helicone_logs_are_taken_where_its_client_sends_them() {
    let service = Service::start();
    let log = json!({
        "providerRequest": {"url": "custom-model-nopath", "json": {"model": "mill-7b", "messages": [{"role": "user", "content": "hi"}]}, "meta": {}},
        "providerResponse": {"json": {"choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}]},
            "status": 200, "headers": {}},
        "timing": {"startTime": {"seconds": 1795445761, "milliseconds": 556}, "endTime": {"seconds": 1795445763, "milliseconds": 6}, "timeToFirstToken": 250},
    });
    let headers = [
        ("content-type", "application/json"),
        ("authorization", "Bearer sk-helicone-secret"),
        ("helicone-session-id", "s-1"),
        ("helicone-property-app", "shop"),
    ];
    let said = send("POST", &path(&service, "helicone/custom/v1/log"), &headers, log.to_string().as_bytes());
    assert_eq!(said.status, 201, "{}", said.text());
    assert_eq!(said.json()["session_id"], "s-1");
    let again = send("POST", &path(&service, "helicone"), &headers, log.to_string().as_bytes());
    assert_eq!(again.json()["span_id"], said.json()["span_id"]);
    let row = row_of(&service, &said.json());
    assert_eq!((text(&row, "at"), row["Duration"].as_u64()), ("1795445761556000000", Some(1_450_000_000)));
    assert_eq!(attribute(&row, "gen_ai.response.time_to_first_chunk"), "0.25");
    assert!(attribute(&row, "millrace.helicone.extra").contains(r#""helicone-property-app":"shop""#));
    assert!(!row.to_string().contains("sk-helicone-secret"));
    for (column, part) in [("RawRequest", "providerRequest"), ("RawResponse", "providerResponse")] {
        assert_eq!(text(&row, column), log[part]["json"].to_string(), "{column}");
    }
    let mut stream = log.clone();
    let sse = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    stream["providerResponse"] = json!({"textBody": sse, "status": 200});
    let row = row_of(&service, &post_json(&path(&service, "helicone"), &stream).json());
    assert_eq!(text(&row, "RawResponse"), json!(sse).to_string(), "a stream stays the text it was");
    assert_eq!(post_json(&path(&service, "helicone"), &json!({"providerRequest": {}})).status, 422);
}

#[test]
fn raw_texts_are_not_kept_when_nobody_wants_them() {
    let service = Service::start_with(Options { yaml: "genai: { keep_raw: false }".to_owned(), ..Options::default() });
    let answers = [post_json(&service.chat("default"), &pair(1)), post_json(&path(&service, "litellm"), &litellm(1))];
    for answer in answers {
        let row = row_of(&service, &answer.json());
        assert_eq!((text(&row, "RawRequest"), text(&row, "RawResponse")), ("", ""));
        assert!(attribute(&row, "gen_ai.input.messages").contains("content"));
    }
}
