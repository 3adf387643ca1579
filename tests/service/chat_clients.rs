//! Producers that nobody here wrote, against the real service: the official `OpenAI` package, and schemathesis.

use serde::Deserialize;
use serde_json::Value;

use support::clients::{python, run_json};
use support::{Service, project, wait_until};

/// One call that `openai_chat.py` captured and posted.
#[derive(Debug, Deserialize)]
struct Call {
    case: String,
    status: u16,
    answer: Value,
    /// What the row must say; null: nothing.
    attributes: serde_json::Map<String, Value>,
    failed: bool,
}

const ROW: &str = "SELECT SpanId, TraceId, SpanName, SpanKind, StatusCode, StatusMessage, AllAttributes AS SpanAttributes \
                   FROM otel_traces WHERE SpanId = {s:String}";

/// The text of a column against what it should be: JSON by value, texts as they are.
fn holds(text: Option<&str>, want: &Value) -> bool {
    match want {
        Value::Null => text.is_none(),
        Value::String(want) => text == Some(want),
        want => text.and_then(|text| serde_json::from_str::<Value>(text).ok()).as_ref() == Some(want),
    }
}

#[test]
fn what_the_openai_package_captures_is_stored_as_the_span_of_the_call() {
    let service = Service::start();
    let calls: Vec<Call> = run_json(&mut python("openai_chat.py", &["--chat", &service.chat("default")]));
    assert_eq!(calls.len(), 5);
    for call in calls {
        let case = &call.case;
        assert_eq!(call.status, 201, "{case}");
        assert_eq!(call.answer["session_id"], format!("session-{case}"));
        let span = call.answer["span_id"].as_str().unwrap();
        let row = wait_until("the pair is stored", || service.sql().try_rows(ROW, &[("s", span)]).ok()?.pop());
        assert_eq!(row["TraceId"], call.answer["trace_id"], "{case}");
        assert_eq!(row["SpanName"], format!("chat gpt-4.1-mini:{case}"));
        assert_eq!(row["SpanKind"], "Client");
        assert_eq!(row["StatusCode"], if call.failed { "Error" } else { "Unset" }, "{case}");
        assert_eq!(row["StatusMessage"], if call.failed { "Rate limit reached" } else { "" }, "{case}");
        for (key, want) in &call.attributes {
            let text = row["SpanAttributes"].get(key).and_then(Value::as_str);
            assert!(holds(text, want), "{case}: {key} is {text:?}, not {want}");
        }
    }
}

/// Statuses and how often each was answered, for bodies that fit the document and for those that do not.
#[derive(Debug, Deserialize)]
struct Answered {
    positive: std::collections::BTreeMap<u16, u64>,
    negative: std::collections::BTreeMap<u16, u64>,
}

#[test]
fn schemathesis_finds_no_failure_and_nothing_undocumented() {
    let service = Service::start();
    let spec = project().join("tests/spec/ingest-chat-completions.openapi.yaml");
    let arguments = ["--base", &service.http(""), "--spec", spec.to_str().unwrap()];
    let answered: Answered = run_json(&mut python("schemathesis_chat.py", &arguments));
    println!("{answered:?}");
    let statuses = |answers: &std::collections::BTreeMap<u16, u64>| answers.keys().copied().collect::<Vec<_>>();
    assert_eq!(statuses(&answered.positive), [201], "what fits the document is stored");
    assert!(answered.negative.keys().all(|status| [201, 422].contains(status)), "{answered:?}");
    assert!(answered.negative.contains_key(&422), "something was refused: {answered:?}");
}
