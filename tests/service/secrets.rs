//! Secrets come out nowhere: one is planted in every place where it can be configured or sent, and everything that comes out is read.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::json;
use support::http::{Answer, send};
use support::{Options, Service, grpc, service, wait_until, wire};

/// What is planted, wherever a secret can be.
const PLANTED: [&str; 9] = [
    "planted-password-of-clickhouse",
    "planted-key-of-hashes",
    "planted-wrong-bearer",
    "planted-wrong-basic",
    "planted-in-the-url",
    "planted-prompt",
    "planted-value-of-an-attribute",
    "planted-key-of-a-repeat",
    "planted-header-of-telemetry",
];

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = service::binary();
    let Output { stdout, stderr, .. } = command.args(arguments).envs(environment.iter().copied()).output().unwrap();
    String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned()
}

/// Fails if a secret is in a text.
fn is_clean(place: &str, text: &str, token: &str) {
    for secret in PLANTED.into_iter().chain([token, base64_of(PLANTED[3]).as_str()]) {
        assert!(!text.contains(secret), "{secret} is in {place}: {text}");
    }
}

fn base64_of(password: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("user:{password}"))
}

fn everything(answer: &Answer) -> String {
    format!("{:?}\n{}", answer.headers, answer.text())
}

#[test]
fn a_secret_is_in_no_log_metric_answer_or_output() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.yaml");
    let token = crate::access::create(&file, "a", "*", "ingest,read,admin");
    let yaml = format!(
        "auth: {{ tokens_file: {} }}\nlog: {{ level: trace }}\nclickhouse: {{ password: '{}' }}\n\
         redaction: {{ detectors: [email], action: hash, hash_key: '{}' }}\nquotas: {{ rows_per_second: 1000000 }}\n\
         telemetry: {{ endpoint: 'http://127.0.0.1:9', headers: {{ authorization: '{}' }} }}\n",
        file.display(),
        PLANTED[0],
        PLANTED[1],
        PLANTED[8]
    );
    let mut service = Service::start_with(Options { yaml, ..Options::default() });
    ask_everything(&service, &token);
    ask_commands(&service, &file, &token);
    service.terminate();
    let log = service.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log has everything that it can have");
    is_clean("the log", &log, &token);
    assert_audited(&log);
}

/// Sends every secret to every listener, in every form and wrongly too.
fn ask_everything(service: &Service, token: &str) {
    let (bearer, basic) = (format!("Bearer {token}"), format!("Basic {}", base64_of(token)));
    let (wrong, wrong_basic) = (format!("Bearer {}", PLANTED[2]), format!("Basic {}", base64_of(PLANTED[3])));
    let call = json!({"request": {"model": "m", "messages": [{"role": "user", "content": PLANTED[5]}]},
        "response": {"id": "r", "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": PLANTED[5]}, "finish_reason": "stop"}]}});
    let span = json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "s",
        "startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000000000001",
        "attributes": [{"key": "k", "value": {"stringValue": PLANTED[6]}}]});
    let spans = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string();
    let cut_off = spans.split_at(spans.len() - 4).0.to_owned();
    let wrong_type = spans.replace("\"1790000000000000000\"", &format!("\"{}\"", PLANTED[6]));
    let mut answers = Vec::new();
    for authorization in [&bearer, &basic, &wrong, &wrong_basic] {
        let json =
            [("content-type", "application/json"), ("authorization", authorization), ("idempotency-key", PLANTED[7])];
        let url = service.http("/v1/traces");
        for body in [&spans, &cut_off, &wrong_type] {
            answers.push(send("POST", &url, &json, body.as_bytes()));
        }
        answers.push(send("POST", &format!("{url}?api_key={}", PLANTED[4]), &json, spans.as_bytes()));
        answers.push(send("POST", &service.http(&format!("/nowhere/{}", PLANTED[4])), &json, b"{}"));
        for body in [call.to_string(), call.to_string().replace("\"request\"", "\"requests\""), format!("[{cut_off}")] {
            answers.push(send("POST", &service.chat("default"), &json, body.as_bytes()));
        }
        answers.push(send("GET", &service.metrics_url(), &json, b""));
        answers.push(send("GET", &service.health(), &json, b""));
        let protobuf = [("content-type", "application/x-protobuf"), ("authorization", authorization.as_str())];
        answers.push(send("POST", &url, &protobuf, format!("\u{a}\u{7f}{}", PLANTED[6]).as_bytes()));
        let method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        let called = grpc::export_with(
            &service.grpc(),
            method,
            &[("authorization", authorization)],
            &wire::request_of(vec![wire::span(1)]),
        );
        is_clean("an answer over gRPC", &called.message, token);
    }
    let with_password = |password: &str| {
        let headers = [("x-clickhouse-user", "default"), ("x-clickhouse-key", password)];
        send("POST", &service.sql().url, &headers, b"SELECT count() > 0 FROM otel.otel_traces FORMAT TSV")
    };
    assert_eq!(with_password(PLANTED[3]).status, 403, "a wrong password is refused");
    answers.push(with_password(PLANTED[3]));
    wait_until("rows are stored", || with_password(PLANTED[0]).text().starts_with('1').then_some(()));
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    for wanted in [200, 201, 400, 401, 404, 422] {
        assert!(statuses.contains(&wanted), "{wanted} is not among {statuses:?}");
    }
    answers.iter().for_each(|answer| is_clean("an answer", &everything(answer), token));
}

/// Runs the commands that show a configuration, also with a mistake in the file of tokens, which is not quoted.
fn ask_commands(service: &Service, file: &Path, token: &str) {
    let tokens = fs::read_to_string(file).unwrap();
    fs::write(file, tokens.replace("sha256:", PLANTED[2])).unwrap();
    service.hang_up();
    wait_until("the reload is refused", || service.log().contains("nothing was reloaded").then_some(()));
    let config = service.config().display().to_string();
    for command in [
        &["validate", "--config", &config][..],
        &["validate", "--print", "--config", &config],
        &["token", "list", "--config", &config],
    ] {
        is_clean("a command", &run(command, &[]), token);
    }
    fs::write(file, &tokens).unwrap();
    let printed = run(&["validate", "--print", "--config", &config], &[("MILLRACE_CLICKHOUSE_PASSWORD", PLANTED[4])]);
    assert!(printed.contains("tokens_file") && printed.contains("[REDACTED]"), "{printed}");
    is_clean("validate --print", &printed, token);
    is_clean("the file of tokens", &tokens, token);
    for command in [
        &["token", "list", "--config", &config][..],
        &["status", "--config", &config],
        &["schema", "print", "--config", &config],
        &["prices", "unpriced", "--config", &config],
    ] {
        is_clean(&format!("{command:?}"), &run(command, &[("MILLRACE_TOKEN", token)]), token);
    }
}

fn assert_audited(log: &str) {
    let audit: Vec<serde_json::Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &serde_json::Value| line["target"] == "audit")
        .collect();
    let has = |message: &str, key: &str, value: serde_json::Value| {
        audit.iter().any(|line| line["message"] == message && line[key] == value)
    };
    assert!(
        audit.iter().any(|line| line["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")))
            && has("token refused", "reason", json!("unknown"))
            && has("token refused", "route", json!("POST /v1/traces")),
        "{audit:?}"
    );
    assert!(
        audit.iter().any(|line| line["message"] == "schema changed")
            && audit.iter().any(|line| line["message"] == "reload refused"),
        "{audit:?}"
    );
}
