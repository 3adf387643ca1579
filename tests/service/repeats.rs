//! The same pair sent again: acknowledged again with the same ids, stored once.

use millrace::time::Clock;
use serde_json::{Value, json};

use crate::rows::text;
use support::http::{Answer, post_json, send};
use support::{Engine, Options, Service, wait_until};

const ROWS: &str = "SELECT count() FROM otel_traces WHERE SpanId = {s:String}";

fn pair(question: &str) -> Value {
    json!({
        "request": {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": question}]},
        "response": {"id": "chatcmpl-7", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}]}
    })
}

fn accepted(service: &Service, pair: &Value) -> Value {
    let answer = post_json(&service.chat("default"), pair);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn rows(service: &Service, said: &Value) -> u64 {
    service.sql().number(ROWS, &[("s", text(said, "span_id"))])
}

/// Waits until a pair sent after the others is stored: what was sent before it is stored too, if it ever will be.
fn everything_is_stored(service: &Service, last: &str) {
    let said = accepted(service, &pair(last));
    wait_until("the last pair is stored", || (rows(service, &said) == 1).then_some(()));
}

#[test]
fn a_pair_sent_again_is_answered_alike_and_stored_once_even_over_a_restart() {
    let mut service = Service::start();
    let first = accepted(&service, &pair("again?"));
    assert_eq!(accepted(&service, &pair("again?")), first);
    everything_is_stored(&service, "the last of the first life");
    assert_eq!(rows(&service, &first), 1);
    assert_eq!(service.metric("millrace_receiver_duplicate_spans_total"), Some(1.0), "the repeat was seen");

    assert_eq!(service.terminate().code(), Some(0));
    service.start_again();
    assert_eq!(accepted(&service, &pair("again?")), first);
    everything_is_stored(&service, "the last of the second life");
    assert_eq!(rows(&service, &first), 1);
    assert_eq!(service.metric("millrace_receiver_duplicate_spans_total"), Some(1.0), "the repeat was seen");
}

#[test]
fn an_idempotency_key_stands_for_one_body_even_over_a_crash() {
    let mut service = Service::start();
    let mut attempts = 0;
    let mut send_with = |service: &Service, key: &str, pair: &Value| {
        attempts += 1;
        let trace = pair["trace_id"].as_str().unwrap_or("4bf92f3577b34da6a3ce929d0e0e4736");
        // an instrumented client makes each attempt a span
        let traceparent = format!("00-{trace}-{attempts:016x}-01");
        let headers =
            [("content-type", "application/json"), ("idempotency-key", key), ("traceparent", traceparent.as_str())];
        send("POST", &service.chat("default"), &headers, pair.to_string().as_bytes())
    };
    let stored = |answer: Answer| {
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    };
    let first = stored(send_with(&service, "key-1", &pair("one?")));
    let other = stored(send_with(&service, "key-2", &pair("one?")));
    assert_ne!(text(&other, "span_id"), text(&first, "span_id"));
    let mut in_another_trace = pair("one?");
    in_another_trace["trace_id"] = json!("0af7651916cd43dd8448eb211c80319c");
    for life in 1..=2 {
        for another in [&pair("two?"), &in_another_trace] {
            let answer = send_with(&service, "key-1", another);
            assert_eq!(answer.status, 422, "life {life}: {}", answer.text());
            assert_eq!(answer.json()["detail"][0]["loc"], json!(["header", "Idempotency-Key"]));
        }
        assert_eq!(stored(send_with(&service, "key-1", &pair("one?"))), first, "life {life}");
        assert_eq!(service.metric("millrace_spans_rejected_total"), Some(2.0));
        if life == 1 {
            service.kill();
            service.start_again();
        }
    }
    everything_is_stored(&service, "the last");
    assert_eq!((rows(&service, &first), rows(&service, &other)), (1, 1));
}

/// A span with attributes, as OTLP/JSON carries it; `end` in seconds after it began, 0 = not yet.
struct Report {
    end: u64,
    kind: u8,
    service: &'static str,
    attributes: &'static [(&'static str, &'static str)],
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A minute ago, in whole seconds.
fn begin_nanos() -> u64 {
    let now = u64::try_from(Clock::System.now().nanos()).expect("it is after 1970");
    (now / 1_000_000_000 - 60) * 1_000_000_000
}

fn report(service: &Service, begin: u64, span: u64, said: &Report) {
    let attribute = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let end = if said.end == 0 { 0 } else { begin + said.end * 1_000_000_000 };
    let attributes: Vec<Value> = said.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    let request = json!({"resourceSpans": [{
        "resource": {"attributes": [attribute("service.name", said.service)]},
        "scopeSpans": [{"spans": [{
            "traceId": TRACE, "spanId": format!("{span:016x}"), "name": "work", "kind": said.kind,
            "startTimeUnixNano": begin.to_string(), "endTimeUnixNano": end.to_string(), "attributes": attributes
        }]}]
    }]});
    let answer = post_json(&service.http("/v1/traces"), &request);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn one_text(service: &Service, query: &str, parameters: &[(&str, &str)]) -> String {
    let rows = service.sql().rows(query, parameters);
    text(rows.first().expect("one row"), "said").to_owned()
}

/// What is left of a span: for each row its duration in seconds and the value of its attribute `a`.
fn reports_left(service: &Service, span: u64) -> String {
    one_text(
        service,
        "SELECT arrayStringConcat(arraySort(groupArray(concat(toString(intDiv(Duration, 1000000000)), SpanAttributes['a']))), ' ') AS said \
         FROM otel_traces WHERE SpanId = {s:String}",
        &[("s", &format!("{span:016x}"))],
    )
}

const STARTED: Report = Report { end: 0, kind: 2, service: "shop", attributes: &[("a", "started")] };
const ENDED: Report = Report { end: 2, kind: 2, service: "shop", attributes: &[("a", "ended")] };
const ENDED_FULLER: Report = Report { end: 2, kind: 2, service: "shop", attributes: &[("a", "fuller"), ("b", "more")] };
const CLIENT: Report = Report { end: 9, kind: 3, service: "shop", attributes: &[("a", "client")] };
const ELSEWHERE: Report = Report { end: 9, kind: 2, service: "bank", attributes: &[("a", "bank")] };

#[test]
fn of_the_reports_of_one_span_the_fullest_stays_in_any_order_over_a_crash() {
    const REPORTS: [&Report; 3] = [&STARTED, &ENDED, &ENDED_FULLER];
    const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let (mut service, begin) = (Service::start(), begin_nanos());
    for place in 0..3 {
        for (span, order) in (1..).zip(ORDERS) {
            // all of them for two of the spans at once, one after the other for the rest
            report(&service, begin, span, REPORTS[order[place]]);
            report(&service, begin, span, REPORTS[order[place]]);
        }
        if place == 1 {
            service.kill();
            service.start_again();
        }
    }
    for span in 1..=6 {
        wait_until("the fullest report alone is left", || (reports_left(&service, span) == "2fuller").then_some(()));
    }
    everything_is_stored(&service, "the last");
    assert!((1..=6).all(|span| reports_left(&service, span) == "2fuller"));
}

#[test]
fn spans_of_other_kinds_and_services_that_share_their_ids_all_stay() {
    let (service, begin) = (Service::start(), begin_nanos());
    for said in [&ENDED, &CLIENT, &ELSEWHERE, &STARTED, &CLIENT] {
        report(&service, begin, 1, said);
    }
    wait_until("the report that superseded is gone", || {
        (service.metric("millrace_superseded_spans_total") == Some(1.0)).then_some(())
    });
    assert_eq!(reports_left(&service, 1), "2ended 9bank 9client");
    assert_eq!(service.metric("millrace_receiver_duplicate_spans_total"), Some(1.0), "the same report of the client");
    let count = |name: &str| service.metric(&format!("millrace_spans_{name}_total")).unwrap();
    assert_eq!(
        (count("received"), count("stored"), count("duplicate")),
        (5.0, 4.0, 1.0),
        "what is superseded was stored"
    );
}

#[test]
fn a_call_that_is_sent_again_with_its_cost_keeps_the_cost_in_any_order() {
    let service = Service::start();
    let with_cost = |question: &str| {
        let mut pair = pair(question);
        pair["cost_usd"] = json!(0.25);
        pair
    };
    let first = accepted(&service, &pair("before?"));
    assert_eq!(accepted(&service, &with_cost("before?")), first);
    let second = accepted(&service, &with_cost("after?"));
    assert_eq!(accepted(&service, &pair("after?")), second);
    for said in [first, second] {
        let cost = "SELECT arrayStringConcat(groupArray(toString(CostTotal)), ' ') AS said FROM otel_traces WHERE SpanId = {s:String}";
        wait_until("one row is left, with its cost", || {
            (one_text(&service, cost, &[("s", text(&said, "span_id"))]) == "0.25").then_some(())
        });
    }
}

/// Each Millrace got one report and knows nothing of the other's: only the walk over the table can find them.
#[test]
fn reports_of_one_span_that_went_to_two_millraces_are_found_in_the_table_and_the_fullest_stays() {
    // 24 hours back is where the walk of a new one begins
    const HOURS_BACK: u64 = 23;
    let engine = Engine::start();
    let options = Options { clickhouse_url: Some(engine.url()), ..Options::default() };
    let (mut one, two) = (Service::start_with(options.clone()), Service::start_with(options));
    wait_until("the table is made", || one.sql().try_rows("SELECT SpanId FROM otel_traces", &[]).ok());
    everything_is_stored(&one, "the first of the one");
    everything_is_stored(&two, "the first of the other");
    let begin = begin_nanos() - HOURS_BACK * 3_600 * 1_000_000_000;
    let cases: [(&[&Report], &[&Report], &str); 6] = [
        (&[&STARTED], &[&ENDED], "2ended"),
        (&[&ENDED], &[&STARTED], "2ended"),
        (&[&ENDED_FULLER], &[&ENDED], "2fuller"),
        (&[&ENDED], &[&ENDED_FULLER], "2fuller"),
        // alike in all but how they came
        (&[&ENDED], &[&ENDED], "2ended"),
        (&[&ENDED, &CLIENT], &[&ELSEWHERE], "2ended 9bank 9client"),
    ];
    for (span, (to_one, to_two, _)) in (1..).zip(cases) {
        to_one.iter().for_each(|said| report(&one, begin, span, said));
        to_two.iter().for_each(|said| report(&two, begin, span, said));
    }
    everything_is_stored(&one, "the last of the one");
    everything_is_stored(&two, "the last of the other");
    for service in [&one, &two] {
        assert_eq!(
            service.metric("millrace_receiver_duplicate_spans_total").unwrap_or_default(),
            0.0,
            "nobody knows of the other's"
        );
    }
    assert_eq!(one.terminate().code(), Some(0));
    one.start_again();
    for (span, (_, _, left)) in (1..).zip(cases) {
        wait_until("the fullest report alone is left", || (reports_left(&one, span) == left).then_some(()));
    }
    drop(one);
    for (span, (_, _, left)) in (1..).zip(cases) {
        assert_eq!(reports_left(&two, span), left);
    }
}
