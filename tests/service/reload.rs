//! SIGHUP: what the configuration says about rows holds for the next request, as a whole or not at all.

use millrace::time::Clock;
use serde_json::{Value, json};
use std::fs;
use support::http::post_json;
use support::{Options, Service, wait_until};

const ADDRESS: &str = "jane.doe@example.com";

/// Sends a call of a model that no book knows, by somebody with an address.
fn send(service: &Service, id: &str) {
    let call = json!({
        "request": {"model": "own-model", "user": ADDRESS, "messages": [{"role": "user", "content": "Capital of Peru?"}]},
        "response": {"id": id, "model": "own-model", "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000},
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Lima."}, "finish_reason": "stop"}]},
    });
    assert_eq!(post_json(&service.chat("default"), &call).status, 201);
}

fn call(id: &str, user: &str, cost: &Value, has_messages: bool) -> Value {
    json!({"id": id, "user": user, "cost": cost, "has_messages": u8::from(has_messages)})
}

fn rejection_of_an_old_span(service: &Service, id: &str) -> String {
    const DAYS: i64 = 45 * 86_400 * 1_000_000_000;
    let start = (Clock::System.now().nanos() - DAYS).to_string();
    let span = json!({"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": id, "name": "old", "startTimeUnixNano": start, "endTimeUnixNano": start});
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]});
    let answer = post_json(&service.http("/v1/traces"), &request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["partialSuccess"]["errorMessage"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn what_the_configuration_says_about_rows_is_read_again_as_a_whole_or_not_at_all() {
    let service = Service::start_with(Options { yaml: "log: { level: info }".to_owned(), ..Options::default() });
    let prices = service.folder().join("prices.yaml");
    let own = "book: ours\nproviders:\n  - id: own\n    model_match: {equals: own-model}\n    models:\n      - {id: own-model, match: {equals: own-model}, prices: {input_mtok: 2, output_mtok: 4}}\n";
    fs::write(&prices, own).unwrap();
    let began_with = fs::read_to_string(service.config()).unwrap();
    let write = |more: &str| {
        let others = began_with.replace("log: { level: info }", more);
        assert_ne!(others, began_with);
        fs::write(service.config(), others).unwrap();
        service.hang_up();
    };
    let stored = "SELECT ResponseId AS id, UserId AS user, CostTotal AS cost, InputMessages != '' AS has_messages \
                  FROM otel_traces WHERE Operation = 'chat' ORDER BY id";
    let ttl = "SELECT countIf(position(create_table_query, 'toIntervalSecond(2592000)') > 0) AS n FROM system.tables \
               WHERE database = currentDatabase() AND name = 'otel_traces'";

    send(&service, "1");
    assert_eq!(rejection_of_an_old_span(&service, "00000000000000a1"), "");
    let first = call("1", ADDRESS, &Value::Null, true);
    service.sql().becomes(stored, &[], std::slice::from_ref(&first));
    assert!(!service.log().contains("DEBUG"));

    let rows = format!(
        "redaction: {{ detectors: [email] }}\nprices: {{ overrides: {} }}\nretention: {{ spans: 30d }}\n\
         genai: {{ content: drop }}\nlog: {{ level: debug }}\nmemory: {{ limit: 300MiB }}",
        prices.display()
    );
    write(&rows);
    wait_until("it is read again", || service.log().contains("reloaded the configuration").then_some(()));
    send(&service, "2");
    assert!(rejection_of_an_old_span(&service, "00000000000000a2").contains("retention.spans"));
    let second = call("2", "[REDACTED:email]", &json!(2), false);
    service.sql().becomes(stored, &[], &[first.clone(), second.clone()]);
    service.sql().becomes(ttl, &[], &[json!({"n": 1})]);
    wait_until("lines of the new level are logged", || service.log().contains("DEBUG").then_some(()));
    let kept = "changes of these keys take effect after a restart keys=\"memory.limit\"";
    assert!(service.log().contains(kept), "{}", service.log());

    write("redaction: { patterns: [{ name: own, regex: '(' }] }\nprices: { enabled: false }");
    wait_until("what is wrong is refused", || service.log().contains("nothing was reloaded").then_some(()));
    send(&service, "3");
    let third = call("3", "[REDACTED:email]", &json!(2), false);
    service.sql().becomes(stored, &[], &[first, second, third]);
}
