//! Pages of the lists of the read API: in which order, by numbers and by cursors.

use crate::read_api::{ask, export, ids, list, span, stored};
use crate::rows::text;
use millrace::time::Clock;
use serde_json::{Value, json};

use support::{Service, wait_until};

#[test]
fn pages_have_what_sql_has_in_its_order_and_traces_without_a_root_too() {
    let service = stored();
    // 12 traces of three spans; of each third one the root is not there
    let of = |number: u32| {
        let (trace, place) = (number / 3 + 1, number % 3);
        let root = format!("{:016x}", (number / 3) * 3 + 1);
        let is_root = place == 0 && trace % 3 != 0;
        span(trace, number + 1, if is_root { "" } else { &root }, "s")
    };
    export(&service, "pages", &(0..36).map(of).collect::<Vec<_>>());
    for (sort, way) in [("started_at", "ASC"), ("-started_at", "DESC")] {
        let sql = format!("SELECT SpanId AS id FROM otel_traces ORDER BY Timestamp {way}, SpanId");
        let want: Vec<String> = service.sql().rows(&sql, &[]).iter().map(|row| text(row, "id").to_owned()).collect();
        let page = |number: u32| {
            let page = list(&service, "pages", &format!("/spans?mode=summary&page_size=7&page={number}&sort={sort}"));
            assert_eq!(page["pagination"]["total_results"], 36);
            ids(&page, "span_id")
        };
        assert_eq!((1..=6).flat_map(page).collect::<Vec<_>>(), want, "{sort}");
    }
    let sql = "SELECT TraceId AS id, countIf(ParentSpanId = '') = 0 AS orphan, \
               if(orphan, min(Timestamp), minIf(Timestamp, ParentSpanId = '')) AS began \
               FROM otel_traces GROUP BY TraceId ORDER BY began DESC, id";
    let want = service.sql().rows(sql, &[]);
    let traces: Vec<Value> = (1..=3)
        .flat_map(|number| {
            let page = list(&service, "pages", &format!("/traces?page_size=5&page={number}"));
            assert_eq!(page["pagination"]["total_results"], 12);
            page["data"].as_array().unwrap().clone()
        })
        .collect();
    let told = |row: &Value, orphan: &str| {
        (text(row, "id").to_owned(), matches!(row[orphan].to_string().as_str(), "true" | "1"))
    };
    let answered: Vec<_> = traces.iter().map(|trace| told(trace, "is_orphan")).collect();
    assert_eq!(answered, want.iter().map(|row| told(row, "orphan")).collect::<Vec<_>>());
    assert!(answered.iter().filter(|(_, orphan)| *orphan).count() == 4, "{answered:?}");
    assert!(
        traces
            .iter()
            .all(|trace| trace["span_count"] == 3 && trace["is_orphan"] != json!(trace.get("root_span_id").is_some()))
    );
}

#[test]
fn the_newest_traces_come_first_whatever_else_is_as_new() {
    let service = stored();
    let mut spans: Vec<Value> = (1..=20).map(|number| span(number, number * 3, "", "s")).collect();
    // of old traces: a child that is as new as the newest, a second root, and of one without a root the last span
    spans.push(span(1, 61, "0000000000000003", "s"));
    spans.push(span(2, 62, "", "s"));
    spans.extend([span(100, 3 * 4 + 1, "00000000000000ff", "s"), span(100, 3 * 19 + 1, "00000000000000ff", "s")]);
    // of a new one a child that began before its root, and one without a root that is new
    spans.push(span(20, 1, "000000000000003c", "s"));
    spans.push(span(101, 3 * 18 + 1, "00000000000000fe", "s"));
    // another workspace has the same trace earlier
    export(&service, "newest-other", &[span(101, 1, "", "s")]);
    export(&service, "newest", &spans);
    let sql = "SELECT TraceId AS id, if(countIf(ParentSpanId = '') = 0, min(Timestamp), minIf(Timestamp, ParentSpanId = '')) AS began \
               FROM otel_traces WHERE Workspace = 'newest' GROUP BY TraceId ORDER BY began DESC, id";
    let want: Vec<String> = service.sql().rows(sql, &[]).iter().map(|row| text(row, "id").to_owned()).collect();
    assert_eq!(want.len(), 22);
    for size in [1, 3, 5, 22, 30] {
        let pages = want.len().div_ceil(size);
        let page = |number: usize| {
            let page = list(&service, "newest", &format!("/traces?mode=summary&page_size={size}&page={number}"));
            assert_eq!(page["pagination"]["total_results"], 22);
            ids(&page, "id")
        };
        assert_eq!((1..=pages).flat_map(page).collect::<Vec<_>>(), want, "pages of {size}");
        let (mut walked, mut cursor) = (Vec::new(), Some(String::new()));
        while let Some(at) = cursor {
            let page = list(&service, "newest", &format!("/traces?mode=summary&page_size={size}&cursor={at}"));
            walked.extend(ids(&page, "id"));
            cursor = page["next_cursor"].as_str().map(str::to_owned);
        }
        assert_eq!(walked, want, "cursors of {size}");
    }
}

#[test]
fn cursors_walk_a_list_once_while_spans_arrive() {
    let service = stored();
    let some = |from: u32| (from..from + 30).map(|number| span(number, number + 1, "", "s")).collect::<Vec<_>>();
    export(&service, "cursors", &some(100));
    for (list_of, name) in [("/spans", "span_id"), ("/traces", "id")] {
        for sort in ["-started_at", "started_at"] {
            let all = ids(&list(&service, "cursors", &format!("{list_of}?page_size=1000&sort={sort}")), name);
            let (mut walked, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
            loop {
                let page = list(&service, "cursors", &format!("{list_of}?page_size=7&sort={sort}&cursor={cursor}"));
                walked.extend(ids(&page, name));
                pages += 1;
                // what arrives is before what descends, and after what ascends
                export(&service, "cursors", &[span(1_000 + pages, 1_000 + pages, "", "s")]);
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = next.to_owned(),
                    None => break,
                }
                assert!(pages < 20, "{list_of} {sort}");
            }
            walked.truncate(all.len());
            assert_eq!(walked, all, "{list_of} {sort}");
        }
    }
    let refused = |rest: &str| {
        let answer = ask(&service, "cursors", rest);
        (answer.status, answer.json()["detail"].as_str().unwrap_or_default().to_owned())
    };
    let next = list(&service, "cursors", "/spans?page_size=1&cursor=")["next_cursor"].as_str().unwrap().to_owned();
    assert_eq!(refused("/spans?cursor=x"), (400, "Invalid cursor".to_owned()));
    let other = "The cursor belongs to another list, sort or filter".to_owned();
    assert_eq!(refused(&format!("/spans?sort=started_at&cursor={next}")), (400, other));
    assert_eq!(refused("/spans?page=2&cursor=").0, 400);
}

/// Ids of a list, by cursors and by numbers of pages, which have to agree.
fn walked(service: &Service, (workspace, of): (&str, &str), sort: &str, size: usize) -> Vec<String> {
    let page = |rest: &str| list(service, workspace, &format!("{of}?sort={sort}&page_size={size}{rest}"));
    let name = if of == "/spans" { "span_id" } else { "id" };
    let (mut by_cursor, mut cursor) = (Vec::new(), Some(String::new()));
    while let Some(at) = cursor {
        let page = page(&format!("&cursor={at}"));
        by_cursor.extend(ids(&page, name));
        cursor = page["next_cursor"].as_str().map(str::to_owned);
    }
    let mut by_number = Vec::new();
    for number in 1..=by_cursor.len().div_ceil(size) {
        let page = page(&format!("&page={number}"));
        assert_eq!(page["pagination"]["total_results"], by_cursor.len(), "{of} {sort} {size}");
        by_number.extend(ids(&page, name));
    }
    assert_eq!(by_cursor, by_number, "{of} {sort} {size}");
    by_cursor
}

#[test]
fn a_page_is_the_same_however_old_its_rows_are() {
    let service = stored();
    let now = u64::try_from(Clock::System.now().nanos()).unwrap();
    let call = |number: u32, minutes: u64, session: &str| {
        let mut call = span(number, number, "", session);
        let began = now - minutes * 60_000_000_000;
        call["startTimeUnixNano"] = began.to_string().into();
        call["endTimeUnixNano"] = (began + 1_000_000).to_string().into();
        for (key, value) in [("gen_ai.operation.name", "chat"), ("gen_ai.request.model", "m"), ("user.id", session)] {
            call["attributes"].as_array_mut().unwrap().push(json!({"key": key, "value": {"stringValue": value}}));
        }
        call
    };
    const DAY: u64 = 24 * 60;
    let ages = [10, 50, 120, DAY - 60, DAY + 120, 3 * DAY, 9 * DAY, 40 * DAY, 200 * DAY];
    let mut calls: Vec<Value> =
        (1..).zip(ages).map(|(number, minutes)| call(number, minutes, &format!("s-{number}"))).collect();
    // the oldest session and its user go on until now
    calls.extend([call(100, 9 * DAY + 5, "s-9"), call(101, 5, "s-9")]);
    export(&service, "ages", &calls);
    export(&service, "ages-other", &[call(200, 1, "s-200")]);
    wait_until("all calls are counted", || {
        let total = list(&service, "ages", "/users").pointer("/pagination/total_results").and_then(Value::as_u64);
        (total == Some(9)).then_some(())
    });
    let newest_first = |numbers: &[u32], id: fn(&u32) -> String| numbers.iter().map(id).collect::<Vec<_>>();
    let all = [101, 1, 2, 3, 4, 5, 6, 7, 100, 8, 9];
    let named = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    for (of, want) in [
        ("/spans", newest_first(&all, |number| format!("{number:016x}"))),
        ("/traces", newest_first(&all, |number| format!("{number:032x}"))),
        ("/sessions", newest_first(&named, |number| format!("s-{number}"))),
        ("/users", newest_first(&named, |number| format!("s-{number}"))),
    ] {
        for size in [1, 4, 20] {
            assert_eq!(walked(&service, ("ages", of), "-started_at", size), want, "{of} {size}");
            let mut oldest_first = walked(&service, ("ages", of), "started_at", size);
            oldest_first.reverse();
            assert_eq!(oldest_first, want, "{of} {size}");
        }
    }
    let session = list(&service, "ages", "/sessions?filter[id]=s-9")["data"][0].clone();
    assert_eq!((&session["trace_count"], &session["call_count"]), (&json!(3), &json!(3)), "{session}");
}
