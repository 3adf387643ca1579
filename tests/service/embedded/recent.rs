//! The spans that were stored lately, as the service asks for them at its start.

#![expect(clippy::disallowed_methods, reason = "the file of a part is given a time of its own")]

use std::time::Duration;

use millrace::clickhouse::Target;
use millrace::columns::Table;
use millrace::columns::native::frames::compress_pieces;
use support::DEADLINE;
use support::engine_child::EngineChild;

/// Where the blocks go.
const SPANS: Target<'_> = Target { table: Table::Traces, columns: None };

/// Rows of the table with these ids, of workspace `w`.
fn group_of(span_ids: std::ops::Range<u64>) -> millrace::columns::RowGroup {
    use millrace::columns::{MapRow, RowGroup, SpanKind, SpanScalars};
    use millrace::ids::{SpanId, TraceId};
    let mut resource = MapRow::default();
    resource.push(b"millrace.workspace", b"w");
    let mut rows = RowGroup::default();
    for id in span_ids {
        let span = SpanScalars {
            duration_nanos: 1,
            kind: SpanKind::Client,
            ..SpanScalars::new(
                millrace::time::UnixNanos::new(1).unwrap(), // long ago: it is the part's time that counts
                TraceId::new([0xab; 16]).unwrap(),
                SpanId::new(id.to_be_bytes()).unwrap(),
            )
        };
        let mark = rows.begin();
        rows.finish(mark, &span, &resource, None).unwrap();
    }
    rows
}

/// The span ids found, in order; every other thing about them is checked.
async fn recent_spans(client: &millrace::clickhouse::Client, window: Duration, spans_max: usize) -> Vec<u64> {
    let now = millrace::time::Clock::System.now();
    let (send, mut receive) = tokio::sync::mpsc::channel(1_000);
    millrace::clickhouse::recent::spans(client, window, spans_max, &send).await.unwrap();
    drop(send);
    let mut ids = Vec::new();
    while let Some(batch) = receive.recv().await {
        for span in batch {
            assert_eq!((span.workspace.unwrap().as_str(), &span.trace[..]), ("w", "ab".repeat(16).as_bytes()));
            assert!(now.nanos_since(span.accepted_by) < 3_600_000_000_000, "{:?}", span.accepted_by);
            ids.push(u64::from_str_radix(std::str::from_utf8(&span.span).unwrap(), 16).unwrap());
        }
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spans_stored_lately_are_found_newest_parts_first() {
    use millrace::clickhouse::schema::{Home, apply};
    let server = tokio::task::spawn_blocking(|| EngineChild::start(&[])).await.unwrap();
    let client = millrace::clickhouse::Client::new(
        &format!("http://{}", server.address),
        &millrace::clickhouse::Config::default(),
    );
    apply(&client, Home::Embedded).await.unwrap();
    client.execute("SYSTEM STOP MERGES otel.otel_traces").await.unwrap();
    let day = Duration::from_secs(86_400);
    assert_eq!(recent_spans(&client, day, 10).await, [0; 0]);
    for (token, ids) in [("a", 1..4), ("b", 4..6), ("c", 6..9)] {
        let (mut block, mut frames) = (Vec::new(), Vec::new());
        millrace::columns::native::encode::encode_block(
            &[&group_of(ids)],
            millrace::ids::SegmentId::new(1, 1),
            &mut block,
        );
        compress_pieces(&block, &mut frames);
        client.insert_frames(frames.into(), SPANS, token, DEADLINE).await.unwrap();
    }
    client.execute("INSERT INTO otel.otel_traces (TraceId, SpanId) VALUES ('somebody', 'elses')").await.unwrap();

    let sorted = |mut ids: Vec<u64>| {
        ids.sort_unstable();
        ids
    };
    // the parts newest first, the rows of an hour in any order
    let all = recent_spans(&client, day, 1_000).await;
    let parts = [3, 2, 3].iter().scan(&*all, |rest, rows| {
        let (part, others) = rest.split_at(*rows);
        *rest = others;
        Some(sorted(part.to_vec()))
    });
    assert_eq!(parts.collect::<Vec<_>>(), [vec![6, 7, 8], vec![4, 5], vec![1, 2, 3]]);
    // somebody else's row counts as one of them
    assert_eq!(sorted(recent_spans(&client, day, 6).await), [4, 5, 6, 7, 8]);
    assert_eq!(recent_spans(&client, day, 5).await.len(), 4);

    // a part that was written three days ago
    let path = "SELECT path FROM system.parts WHERE table = 'otel_traces' AND active ORDER BY max_block_number LIMIT 1";
    let path = server.text(path);
    client.execute("DETACH TABLE otel.otel_traces").await.unwrap();
    let then = std::time::SystemTime::now() - 3 * day;
    std::fs::File::open(path.trim()).unwrap().set_modified(then).unwrap();
    client.execute("ATTACH TABLE otel.otel_traces").await.unwrap();
    assert_eq!(sorted(recent_spans(&client, day, 1_000).await), [4, 5, 6, 7, 8]);

    client.execute("SYSTEM START MERGES otel.otel_traces").await.unwrap();
    client.execute("OPTIMIZE TABLE otel.otel_traces FINAL").await.unwrap();
    assert_eq!(
        sorted(recent_spans(&client, day, 1_000).await),
        (1..9).collect::<Vec<_>>(),
        "merged: as new as its merge"
    );
    tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
}
