//! What exactly-once rests on (T16): how the pinned engine treats an insert's token. Should a later one differ, these fail.

use std::time::Duration;

use millrace::clickhouse::schema::{self, Home};
use millrace::clickhouse::{Client, Config, Target};
use millrace::columns::native::encode::encode_block;
use millrace::columns::native::frames::compress_pieces;
use millrace::columns::{MapRow, RowGroup, SpanKind, SpanScalars, StatusCode, Table};
use millrace::ids::{SegmentId, SpanId, TraceId};
use millrace::time::UnixNanos;
use serde_json::json;

use support::Engine;

/// Where the blocks go.
const SPANS: Target<'_> = Target { table: Table::Traces, columns: None };

const DAY: u64 = 86_400_000_000_000;

/// A block of these spans in a frame, each on the day of its number.
fn frame(numbers: &[u64]) -> Vec<u8> {
    let mut rows = RowGroup::default();
    for number in numbers {
        let span = SpanScalars {
            duration_nanos: 1,
            name: b"span",
            kind: SpanKind::Client,
            service_name: b"tokens",
            status: StatusCode::Ok,
            ..SpanScalars::new(
                UnixNanos::new(1_790_000_000_000_000_000 + number * DAY).expect("a time"),
                TraceId::new([7; 16]).expect("an id"),
                SpanId::new((number + 1).to_be_bytes()).expect("an id"),
            )
        };
        let mark = rows.begin();
        rows.finish(mark, &span, &MapRow::default(), None).expect("it fits");
    }
    let (mut block, mut frame) = (Vec::new(), Vec::new());
    encode_block(&[&rows], SegmentId::new(1, 2), &mut block);
    compress_pieces(&block, &mut frame);
    frame
}

struct Scene {
    engine: Engine,
    runtime: tokio::runtime::Runtime,
}

impl Scene {
    /// The table, and one that a view derives from it.
    fn new() -> Self {
        let engine = Engine::start();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let scene = Self { engine, runtime };
        scene.runtime.block_on(schema::apply(&scene.client(), Home::Embedded)).expect("the table is made");
        for statement in [
            "CREATE TABLE spans_of_day (day Date, n UInt64) ENGINE = MergeTree ORDER BY day \
             SETTINGS non_replicated_deduplication_window = 1000",
            "CREATE MATERIALIZED VIEW count_spans TO spans_of_day AS \
             SELECT toDate(Timestamp) AS day, count() AS n FROM otel_traces GROUP BY day",
        ] {
            scene.engine.sql("otel").rows(statement, &[]);
        }
        scene
    }

    fn client(&self) -> Client {
        Client::new(&self.engine.url(), &Config::default())
    }

    fn insert(&self, frames: &[Vec<u8>], token: &str) {
        let client = self.client();
        let inserted = client.insert_frames(frames.concat().into(), SPANS, token, Duration::from_secs(60));
        self.runtime.block_on(inserted).expect("ClickHouse takes it");
    }

    /// Rows in the table, and in what is derived from it.
    #[track_caller]
    fn assert_rows(&self, rows: u64, why: &str) {
        let query = "SELECT (SELECT count() FROM otel_traces) AS spans, (SELECT sum(n) FROM spans_of_day) AS derived";
        let want = json!({"spans": rows, "derived": rows});
        assert_eq!(self.engine.sql("otel").rows(query, &[]), [want], "{why}");
    }
}

#[test]
fn a_token_is_one_insert_and_another_token_is_another() {
    let mut scene = Scene::new();
    // several blocks, several days in each
    let frames = [frame(&[0, 1, 2, 0]), frame(&[1, 2, 3]), frame(&[0])];
    scene.insert(&frames, "one");
    scene.assert_rows(8, "all blocks of an insert are stored");
    let parts = "SELECT count() AS n FROM system.parts WHERE database = 'otel' AND table = 'otel_traces' AND level = 0 \
                 AND rows > 0";
    assert_eq!(scene.engine.sql("otel").number(parts, &[]), 4, "one part for each day, whatever the blocks");
    scene.insert(&frames, "one");
    scene.assert_rows(8, "the same token, the same bytes");
    scene.insert(&frames, "two");
    scene.assert_rows(16, "the same bytes, another token");
    scene.engine.restart();
    scene.insert(&frames, "one");
    scene.insert(&frames, "two");
    scene.assert_rows(16, "over a restart of ClickHouse");
    scene.engine.sql("otel").rows("OPTIMIZE TABLE otel_traces FINAL", &[]);
    scene.insert(&frames, "one");
    scene.assert_rows(16, "when the parts that it made were merged");
}

/// Whoever sends other bytes with a token that was used must know these.
#[test]
fn a_token_counts_for_each_day_and_number_of_blocks_whatever_their_bytes() {
    let scene = Scene::new();
    let mut stored = 0;
    for (token, first, then, added) in [
        ("fewer rows", &[&[0, 0][..]][..], &[&[0][..]][..], 0),
        ("more rows", &[&[0]], &[&[0, 0]], 0),
        ("one day of two", &[&[0, 1]], &[&[1]], 0),
        ("a day more", &[&[1]], &[&[0, 1]], 1),
        ("other blocks", &[&[0, 1], &[1]], &[&[1], &[0]], 0),
        ("as one block", &[&[0], &[0]], &[&[0, 0]], 2),
        ("as two blocks", &[&[0, 0]], &[&[0], &[0]], 2),
        ("a block less", &[&[0], &[1]], &[&[1]], 1),
    ] {
        let frames = |blocks: &[&[u64]]| blocks.iter().map(|numbers| frame(numbers)).collect::<Vec<_>>();
        scene.insert(&frames(first), token);
        stored += first.iter().map(|numbers| numbers.len()).sum::<usize>();
        scene.insert(&frames(then), token);
        stored += added;
        // a view's table has partitions of its own, so its rows follow these rules for those: it may now be behind
        let rows = scene.engine.sql("otel").number("SELECT count() AS n FROM otel_traces", &[]);
        assert_eq!(rows, u64::try_from(stored).expect("few"), "{token}");
    }
}

#[test]
fn a_view_that_fails_is_caught_up_by_the_repeat() {
    let scene = Scene::new();
    let sql = scene.engine.sql("otel");
    sql.rows("ALTER TABLE spans_of_day ADD CONSTRAINT never CHECK n > 1000", &[]);
    let frames = frame(&[0, 1]);
    let client = scene.client();
    let refused = client.insert_frames(frames.clone().into(), SPANS, "one", Duration::from_secs(60));
    assert!(scene.runtime.block_on(refused).is_err());
    sql.rows("ALTER TABLE spans_of_day DROP CONSTRAINT never", &[]);
    scene.insert(&[frames], "one");
    scene.assert_rows(2, "what the first attempt left out is there, and nothing twice");
}
