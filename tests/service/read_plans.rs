//! What the read API reads: every statement over `otel_traces` has a bound in time, or an index of a trace or a session that serves it.

use serde_json::{Value, json};

use support::http::{Answer, get};
use support::{Options, Service, wait_until};

/// Days that have spans, of which each is a partition.
const DAYS: usize = 80;
/// Days that a search reads which does not say from when on: 30, the day that they begin in, and a day before.
const LOOK_BACK_DAYS: usize = 32;

/// The ids of today's trace with a session, and of the one without; those of earlier days follow.
const OF_SESSIONS: usize = 256;
const ALONE: usize = 512;

fn ask(service: &Service, path: &str) -> Answer {
    get(&service.http(&format!("/apis/intake/v2/workspaces/default{path}")))
}

/// A day has a trace with a session, and one without.
fn stored() -> Service {
    let service = Service::start_with(Options { ack: Some("stored"), ..Options::default() });
    // one insert, so that each day is one part
    let spans = format!(
        "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, SessionId, ToolName) \
         SELECT now64(9) - toIntervalDay(number) - toIntervalSecond(5), leftPad(lower(hex(number + first)), 32, '0'), \
         leftPad(lower(hex(number + first)), 16, '0'), 'step', if(first = {OF_SESSIONS}, concat('s-', toString(number)), ''), 'bash' \
         FROM numbers({DAYS}) ARRAY JOIN [{OF_SESSIONS}, {ALONE}] AS first"
    );
    service.sql().rows(&spans, &[]);
    wait_until("the spans are stored", || {
        let days = service.sql().number("SELECT uniqExact(toDate(Timestamp)) AS days FROM otel_traces", &[]);
        (days == DAYS as u64).then_some(())
    });
    service
}

/// The trace of a day, counted back from today.
fn trace(day: usize, first: usize) -> String {
    format!("{:032x}", day + first)
}

/// The most parts that any of the statements of an answer reads of `otel_traces`. Sets of subqueries are not made before the plan is,
/// so that the plan has what they read, too.
fn parts_read(service: &Service, path: &str) -> usize {
    let separator = if path.contains('?') { '&' } else { '?' };
    let answer = ask(service, &format!("{path}{separator}show=sql"));
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    let answer = answer.json();
    let statements = answer["sql"].as_array().unwrap();
    let reads = statements.iter().flat_map(|shown| {
        let sql = shown["statement"].as_str().unwrap();
        let explained = format!("EXPLAIN indexes = 1 {sql} SETTINGS use_index_for_in_with_subqueries = 0");
        let rows = service.sql().rows(&explained, &[]);
        let plan: Vec<&str> = rows.iter().map(|row| row["explain"].as_str().unwrap()).collect();
        parts(&plan.join("\n"))
    });
    reads.max().unwrap_or_else(|| panic!("{path} reads no spans: {answer}"))
}

/// How many parts each step of a plan reads of the table of spans after all of its indexes, which stands before what each of them left.
fn parts(plan: &str) -> Vec<usize> {
    let reads = plan.split("ReadFromMergeTree").skip(1);
    let of_spans = reads.filter(|read| read.lines().next().is_some_and(|line| line.ends_with(".otel_traces)")));
    let selected = |read: &str| {
        let after = read.split("Parts: ").nth(1).unwrap_or_else(|| panic!("a read without parts:\n{plan}"));
        after.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    of_spans.map(selected).collect()
}

#[test]
fn nothing_reads_all_spans_for_a_search_a_session_or_a_trace() {
    let service = stored();
    let (old, older) = (trace(60, OF_SESSIONS), trace(60, ALONE));
    let cases = [
        ("/spans?q=tool:bash", LOOK_BACK_DAYS),
        ("/spans/groups?by=trace_id&q=tool:bash", LOOK_BACK_DAYS),
        ("/traces?q=tool:bash", LOOK_BACK_DAYS),
        ("/traces?q=-tool:zsh%20OR%20%22free%20text%22", LOOK_BACK_DAYS),
        ("/traces?q=status:ok", LOOK_BACK_DAYS),
        ("/traces?q=tool:bash%20started:%3E-2d", 5),
        ("/traces?q=tool:bash&filter[started_at][$lte]=2020-01-01", LOOK_BACK_DAYS),
        ("/sessions?q=tool:bash", LOOK_BACK_DAYS),
        ("/sessions/s-60", 1),
        ("/sessions/s-60/conversation", 1),
        (&*format!("/sessions/session-{older}"), 1),
        (&*format!("/sessions/session-{older}/conversation"), 1),
        (&*format!("/spans?filter[trace_id]={old}&q=tool:bash"), 1),
        ("/spans?filter[session_id]=s-60&q=tool:bash", 1),
        (&*format!("/traces?filter[id]={old}&q=tool:bash"), 1),
        (&*format!("/traces?q=trace:{old}"), 1),
        (&*format!("/spans?q=trace:{old}%20tool:bash"), 1),
        ("/spans/0000000000000100", 2),
        (&*format!("/spans/{:016x}?trace_id={old}", 60 + OF_SESSIONS), 1),
        (&*format!("/traces/{old}"), 1),
        (&*format!("/traces/{old}/tree"), 1),
        (&*format!("/traces/{old}/conversation"), 1),
        (&*format!("/traces/{old}/export?format=json"), 1),
    ];
    for (path, most) in cases {
        let read = parts_read(&service, path);
        assert!(read <= most, "{path} reads {read} parts of {DAYS} days, and {most} would do");
    }
}

#[test]
fn a_search_says_since_when_it_looked_and_finds_older_ones_when_it_is_told_to() {
    let service = stored();
    for (path, of) in [("/traces", 2), ("/spans", 2), ("/sessions", 0)] {
        let found = |q: &str| {
            let page = ask(&service, &format!("{path}?page_size=1000&q={q}")).json();
            (page["pagination"]["total_results"].clone(), page["since"].clone())
        };
        let (recent, since) = found("tool:bash");
        assert!(since.is_string(), "{path}");
        // sessions are those with calls, of which there are none
        assert_eq!(recent, json!(30 * of), "{path}");
        let (all, since) = found("tool:bash%20started:%3E2000-01-01");
        assert_eq!((all, since), (json!(DAYS * of), json!("2000-01-01T00:00:00.000000Z")), "{path}");
    }
    assert_eq!(ask(&service, "/traces").json().get("since"), None, "a list without a search has no bound");
    let one = ask(&service, &format!("/spans?filter[trace_id]={}&q=tool:bash", trace(60, OF_SESSIONS))).json();
    assert_eq!((&one["pagination"]["total_results"], one.get("since")), (&json!(1), None::<&Value>));
    for path in ["/spans", "/traces"] {
        let one = ask(&service, &format!("{path}?q=trace:{}", trace(60, OF_SESSIONS))).json();
        let want = (&json!(1), None::<&Value>);
        assert_eq!((&one["pagination"]["total_results"], one.get("since")), want, "{path}: it has an index");
    }
    let old = format!("/spans/{:016x}", 60 + OF_SESSIONS);
    for path in [old.clone(), format!("{old}?trace_id={}", trace(60, OF_SESSIONS))] {
        assert_eq!(ask(&service, &path).json()["trace_id"], trace(60, OF_SESSIONS), "{path}");
    }
    assert_eq!(ask(&service, &format!("{old}?trace_id={}", trace(61, OF_SESSIONS))).status, 404);
    let session = ask(&service, "/sessions/s-60").json();
    assert_eq!((&session["span_count"], &session["id"]), (&json!(1), &json!("s-60")));
    let made = ask(&service, &format!("/sessions/session-{}", trace(60, ALONE))).json();
    assert_eq!(made["span_count"], 1);
    assert_eq!(ask(&service, "/sessions/s-60x").status, 404);
}
