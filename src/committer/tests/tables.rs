//! Rows of several tables that wait together: a segment for each, and counters for each signal.

use super::*;
use crate::columns::Records;
use crate::time::UnixNanos;

fn logs(contents: &[u128]) -> Records {
    let mut records = Records::new(Table::Logs, Workspace::default());
    for content in contents {
        records.finish(UnixNanos::new(1).unwrap(), *content).unwrap();
    }
    records
}

fn send_logs(rig: &Rig, ack: Ack, contents: &[u128]) -> PendingAck {
    let room = rig.pipeline.reserve(1).unwrap();
    rig.pipeline.send(Box::new(logs(contents)), room, origin(ack)).unwrap()
}

/// `received`, `duplicate`, `stored` and `pending` of the log records.
fn of_logs(rig: &Rig) -> [i64; 4] {
    let text = String::from_utf8(rig.metrics.text().unwrap()).unwrap();
    ["received_total", "duplicate_total", "stored_total", "pending"].map(|term| {
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("millrace_log_records_{term} ")));
        value.unwrap().parse().unwrap()
    })
}

#[tokio::test]
async fn rows_of_each_table_have_a_segment_of_their_own_in_each_lane_and_are_counted_by_signal() {
    let mut rig = Rig::new();
    let pending = vec![
        rig.send(Ack::Durable, &[1, 2]),
        send_logs(&rig, Ack::Durable, &[7, 7, 8]),
        rig.send(Ack::Memory, &[3]),
        send_logs(&rig, Ack::Memory, &[9]),
        rig.send(Ack::Durable, &[4]),
        // a request that is sent again
        send_logs(&rig, Ack::Durable, &[7, 7, 8]),
    ];
    rig.run();
    for ack in pending {
        drop(patiently(async { ack.acked().await }).await);
    }
    rig.stop().unwrap();
    let mut ended = Vec::new();
    while let Some(mut segment) = patiently(rig.backlog.take(Order::OldestFirst)).await {
        let Loaded::Whole(whole) = segment.load().unwrap() else { panic!("nothing puts it in doubt") };
        assert_eq!((whole.table(), whole.columns()), (segment.table(), None));
        ended.push((segment.table(), segment.rows()));
        segment.stored(0);
    }
    ended.sort_unstable();
    assert_eq!(ended, [(Table::Traces, 1), (Table::Traces, 3), (Table::Logs, 1), (Table::Logs, 3)]);
    assert_eq!(rig.law(), [4, 0, 0, 0, 4, 0, 0]);
    assert_eq!(of_logs(&rig), [7, 3, 4, 0]);
}

#[tokio::test]
async fn a_segment_of_logs_is_found_by_the_next_start_and_its_records_are_known() {
    let mut rig = Rig::new();
    let ack = send_logs(&rig, Ack::Durable, &[7, 7, 8]);
    rig.run();
    assert_eq!(kept(ack).await, Ok(()));
    rig.stop().unwrap();
    drop(rig.backlog.take(Order::OldestFirst).await.expect("a segment"));
    let (metrics, mut keys) = (Metrics::new().unwrap(), Vec::new());
    let mut replay = |replay: &crate::journal::Replay<'_>| {
        let crate::journal::ReplayedRows::Keys(found) = &replay.rows else { panic!("their keys are beside them") };
        keys.extend(found.clone());
        true
    };
    let (journal, recovered) = Journal::open(options(), rig.disk.shared(), metrics.clone(), &mut replay).unwrap();
    assert_eq!((recovered.rows, metrics.of(Signal::Logs).pending(), metrics.of(Signal::Traces).pending()), (3, 3, 0));
    let mut segment = patiently(journal.backlog().take(Order::OldestFirst)).await.expect("a segment");
    let Loaded::Whole(_) = segment.load().unwrap() else { panic!("nothing puts it in doubt") };
    assert_eq!(segment.table(), Table::Logs);
    let mut index = DedupIndex::new(7, 10_000, WINDOW);
    index.remember_all(&keys, now(), now());
    let seed = index.seed_of(&Workspace::default());
    let checked = index.insert_records(seed, &logs(&[7, 7, 8, 9]), now(), WINDOW, &mut Vec::new());
    assert_eq!(checked.repeated, [0, 1, 2]);
}
