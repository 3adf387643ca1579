//! What a start finds in the journal's folder: segments of earlier versions, damaged ones, and those that ClickHouse has in
//! part.
//!
//! The fixtures are segments of format version 1: three commits of spans 1 to 3, 4, and 5 to 6, as
//! `src/journal/tests/corruption.rs` reads them.

use std::fs;
use std::path::PathBuf;

use millrace::columns::native::frames::{check_frame, checksum_of, compress_pieces, decompress_checked_frame};
use serde_json::{Value, json};

use support::http::post_json;
use support::{Service, project, wait_until};

/// The id in the fixtures' rows, as their files' names have it.
const FIXTURE_NAME: &str = "0000000000000008-0000000000000007";

fn fixture(name: &str) -> Vec<u8> {
    fs::read(project().join("tests/fixtures/journal").join(name)).expect("the fixture is there")
}

/// A fixture as the segment of another number: in its header, and in every row.
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
fn fixture_numbered(name: &str, number: u8) -> Vec<u8> {
    let bytes = fixture(name);
    let renumbered = |bytes: &[u8]| {
        let old = [&[7, 0, 0, 0, 0, 0, 0, 0, 8][..], &[0; 7]].concat();
        let mut bytes = bytes.to_vec();
        for at in 0..bytes.len().saturating_sub(old.len() - 1) {
            if bytes[at..].starts_with(&old) {
                bytes[at + 8] = number;
            }
        }
        bytes
    };
    let length = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
    let (header, mut frames) = bytes.split_at(length);
    let mut out = renumbered(&header[..length - 16]);
    out.extend(checksum_of(&out));
    while !frames.is_empty() {
        let shape = check_frame(frames).expect("a frame").expect("a whole one");
        let (frame, rest) = frames.split_at(shape.frame_bytes);
        let mut block = Vec::new();
        decompress_checked_frame(frame, &mut block).expect("it was checked");
        compress_pieces(&renumbered(&block), &mut out);
        frames = rest;
    }
    out
}

/// A service that has made its table and was stopped, and its journal's folder.
fn stopped() -> (Service, PathBuf) {
    let mut service = Service::start();
    wait_until("the table is there", || service.sql().try_rows("SELECT 1 FROM otel_traces", &[]).ok());
    assert_eq!(service.terminate().code(), Some(0));
    let dir = service.data_dir().join("journal");
    (service, dir)
}

fn wait_until_drained(service: &Service) {
    wait_until("the journal is empty", || (service.metric("millrace_journal_segments")? == 0.0).then_some(()));
}

#[test]
fn segments_of_earlier_versions_are_stored_with_the_columns_that_they_have() {
    let (mut service, dir) = stopped();
    for (file, number, name) in [
        ("v1.segment", 8, "0000000000000008-0000000000000007.open"),
        ("v1.segment", 9, "0000000000000009-0000000000000007-6.segment"),
        ("v1-fewer-columns.segment", 10, "000000000000000a-0000000000000007-6.segment"),
    ] {
        fs::write(dir.join(name), fixture_numbered(file, number)).expect("the folder can be written");
    }
    service.start_again();
    let count = "SELECT count() AS n, uniqExact(SpanId) AS spans, countIf(ServiceName = 'simulated') AS whole, \
                 countIf(SpanAttributes['number'] = SpanName) AS with_attributes, uniqExact(toDate(Timestamp)) AS days, \
                 countIf(SpanName = concat('span ', toString(reinterpretAsUInt64(reverse(unhex(substring(TraceId, 17))))))) \
                 AS named FROM otel_traces";
    let want = json!({"n": 18, "spans": 6, "whole": 12, "with_attributes": 12, "days": 2, "named": 18});
    wait_until("all of them are stored", || (service.sql().rows(count, &[]) == [want.clone()]).then_some(()));
    wait_until_drained(&service);
    assert_eq!(service.metric("millrace_spans_stored_total"), Some(18.0));
    // and their repeats are known again, in the next process too
    assert_eq!(service.terminate().code(), Some(0));
    service.start_again();
    assert_eq!(service.sql().rows(count, &[]), [want]);
}

#[test]
fn a_damaged_segment_gives_what_is_whole_and_is_set_aside() {
    let (mut service, dir) = stopped();
    let mut bytes = fixture("v1.segment");
    let name = format!("{FIXTURE_NAME}-6.segment");
    let middle = bytes.len() * 6 / 10;
    bytes[middle] ^= 1;
    fs::write(dir.join(&name), &bytes).expect("the folder can be written");
    service.start_again();
    wait_until_drained(&service);
    let stored = service.sql().rows("SELECT SpanName FROM otel_traces ORDER BY SpanName", &[]);
    let stored: Vec<&str> = stored.iter().filter_map(|row| row["SpanName"].as_str()).collect();
    assert_eq!(stored, ["span 1", "span 2", "span 3", "span 5", "span 6"]);
    // what is left of it was sent in parts, and its name says so
    let set_aside = dir.join("damaged").join(format!("{FIXTURE_NAME}-6.doubt"));
    assert_eq!(fs::read(set_aside).expect("it is set aside"), bytes);
    let sample = |name: &str| service.metric(name);
    assert_eq!(
        (sample("millrace_spans_stored_total"), sample("millrace_spans_dead_lettered_total")),
        (Some(5.0), Some(1.0))
    );
    assert!(service.log().contains("is damaged"), "it is said");
}

#[test]
fn of_a_segment_in_doubt_only_what_is_missing_is_inserted() {
    let spans = |rows: Vec<Value>| -> Vec<(String, u64)> {
        let text = |row: &Value| row["SpanName"].as_str().map(str::to_owned);
        rows.iter().filter_map(|row| Some((text(row)?, row["n"].as_u64()?))).collect()
    };
    let query = "SELECT SpanName, count() AS n FROM otel_traces GROUP BY SpanName ORDER BY SpanName";
    let each_once: Vec<_> = (1..=6).map(|number| (format!("span {number}"), 1)).collect();
    // ClickHouse has nothing of it; one of two days; rows of both; all
    for present in [&[][..], &[2, 5], &[1, 2, 4], &[1, 2, 3, 4, 5, 6]] {
        let (mut service, dir) = stopped();
        service.start_again();
        for number in present {
            let sql = format!(
                "INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanName, SpanKind, ServiceName, Duration, SegmentId) \
                 VALUES (fromUnixTimestamp64Nano(toInt64({})), '{}{number:016x}', '8{number:015x}', 'span {number}', \
                 'Client', 'simulated', {number}, '00000000-0000-0007-0000-000000000008')",
                1_790_000_000_000_000_000_u64 + number % 3 / 2 * 86_400_000_000_000 + number,
                "01".repeat(8),
            );
            service.sql().rows(&sql, &[]);
        }
        service.terminate();
        fs::write(dir.join(format!("{FIXTURE_NAME}-6.doubt")), fixture("v1.segment")).expect("it can be written");
        service.start_again();
        wait_until_drained(&service);
        assert_eq!(spans(service.sql().rows(query, &[])), each_once, "it had {present:?}");
        assert_eq!(service.metric("millrace_spans_stored_total"), Some(6.0));
    }
}

#[test]
fn dead_letters_that_cannot_be_written_keep_their_segment_waiting() {
    let service = Service::start();
    wait_until("the table is there", || service.sql().try_rows("SELECT 1 FROM otel_traces", &[]).ok());
    service.sql().rows("ALTER TABLE otel_traces ADD CONSTRAINT no_poison CHECK SpanName != 'chat poison'", &[]);
    // a file where the folder should be
    let blocked = service.data_dir().join("dead-letter");
    fs::write(&blocked, "").expect("the folder can be written");
    let pair = json!({"request": {"model": "poison", "messages": []}, "response": {"choices": []}});
    assert_eq!(post_json(&service.chat("default"), &pair).status, 201);
    wait_until("it is said", || service.log().contains("failed to write a dead letter").then_some(()));
    assert_eq!(service.metric("millrace_spans_dead_lettered_total"), Some(0.0));
    assert_eq!(service.metric("millrace_spans_pending"), Some(1.0), "it waits");
    fs::remove_file(&blocked).expect("ours");
    wait_until_drained(&service);
    assert_eq!(service.metric("millrace_spans_dead_lettered_total"), Some(1.0));
    assert_eq!(fs::read_dir(&blocked).expect("the folder is there").count(), 2, "the rows, and why");
}
