//! Both lanes in one group, when the disk refuses or fails; and what goes into which segment.

use super::*;
use crate::bounds;

/// Entries that wait together are one group.
fn together(sends: &[(Ack, &[u64])]) -> (Rig, Vec<PendingAck>) {
    let mut rig = Rig::new();
    let pending = sends.iter().map(|(ack, numbers)| rig.send(*ack, numbers)).collect();
    rig.disk.fail_next(Op::Append, Fault::NoSpace);
    rig.run();
    (rig, pending)
}

#[tokio::test]
async fn what_is_acknowledged_from_memory_is_kept_when_the_durable_entry_it_repeats_is_refused() {
    let (mut rig, mut pending) = together(&[(Ack::Durable, &[1, 2]), (Ack::Memory, &[1])]);
    let (memory, durable) = (pending.pop().unwrap(), pending.pop().unwrap());
    assert_eq!(kept(memory).await, Ok(()));
    assert_eq!(kept(durable).await, Err(IngestError::DiskFull));
    rig.refuse(2);
    rig.disk.heal();
    rig.stop().unwrap();
    assert_eq!(rig.rest().await, [1], "its sender has its ok");
    assert_eq!(rig.law(), [3, 0, 2, 0, 1, 0, 0]);
}

#[tokio::test]
async fn a_journal_that_fails_says_how_many_spans_were_in_memory_alone_and_loses_no_count() {
    let mut rig = Rig::new();
    let gate = Gate::before(&rig.disk);
    let failing = [rig.send(Ack::Durable, &[1]), rig.send(Ack::Memory, &[2, 3])];
    rig.run();
    gate.wait(); // the file's header
    gate.open();
    gate.wait(); // the commit
    // what comes now waits in the channel
    let waiting = [rig.send(Ack::Memory, &[4, 5, 6]), rig.send(Ack::Durable, &[7, 8]), rig.send(Ack::Stored, &[9])];
    rig.disk.fail_next(Op::Sync, Fault::Io);
    gate.open();
    let failed = rig.running.take().unwrap().join().unwrap().unwrap_err();
    assert_eq!((failed.rows, failed.rows_in_memory), (0, 5), "two of the group, three of the channel");
    let mut refused = 0;
    for (ack, spans) in failing.into_iter().chain(waiting).zip([1, 2, 3, 2, 1]) {
        if let Err(why) = kept(ack).await {
            assert_eq!(why, IngestError::JournalFailed);
            rig.refuse(spans);
            refused += spans;
        }
    }
    assert_eq!(refused, 4, "those whose senders wait for the disk");
    assert_eq!(rig.law(), [9, 0, 4, 0, 0, 0, 5]);
}

#[tokio::test]
async fn a_full_disk_is_looked_at_again_however_long_a_segment_may_wait() {
    let mut rig = Rig::new();
    if let Some(committer) = &mut rig.committer {
        committer.limits.age = 100 * PATIENCE;
    }
    rig.run();
    assert_eq!(kept(rig.send(Ack::Durable, &[1])).await, Ok(()));
    rig.disk.set_free(Some(0));
    until("the door is shut", || rig.pipeline.probe().check() == Err(IngestError::DiskFull)).await;
    rig.disk.set_free(None);
    until("the door is open", || rig.pipeline.probe().check().is_ok()).await;
    rig.stop().unwrap();
}

#[tokio::test]
async fn a_commit_that_would_make_a_segment_too_large_goes_into_the_next() {
    let mut block = Vec::new();
    crate::columns::native::encode::encode_block(&[&group(&[1, 2])], SegmentId::new(1, 1), &mut block);
    let limit = block.len() + bounds::commit_bytes(group(&[1, 2]).counted_bytes());
    for ack in [Ack::Durable, Ack::Memory] {
        let mut rig = Rig::new();
        if let Some(committer) = &mut rig.committer {
            committer.limits = Limits { rows: 1_000, bytes: limit, age: 100 * PATIENCE, memory_bytes: u64::MAX };
        }
        rig.run();
        for at in 0..5 {
            assert_eq!(kept(rig.send(ack, &[2 * at, 2 * at + 1])).await, Ok(()));
            until("it is committed", || rig.backlog.view().rows == usize::try_from(2 * at + 2).unwrap()).await;
        }
        rig.stop().unwrap();
        let mut sizes = Vec::new();
        while let Some(segment) = patiently(rig.backlog.take(Order::OldestFirst)).await {
            sizes.push(segment.rows());
            segment.stored(0);
        }
        assert_eq!(sizes, [4, 4, 2]);
    }
}

#[tokio::test]
async fn rows_acknowledged_from_memory_go_to_disk_while_much_is_in_memory_unless_the_disk_is_full() {
    let mut rig = Rig::new();
    if let Some(committer) = &mut rig.committer {
        (committer.limits.memory_bytes, committer.limits.age) = (0, 100 * PATIENCE);
    }
    rig.run();
    for (number, is_full, in_memory) in [(1, false, 1), (2, false, 1), (3, true, 2), (4, false, 2)] {
        if is_full {
            rig.disk.fail_next(Op::Append, Fault::NoSpace);
        }
        assert_eq!(kept(rig.send(Ack::Memory, &[number])).await, Ok(()));
        until("it is committed", || rig.backlog.view().rows == usize::try_from(number).unwrap()).await;
        assert_eq!(rig.backlog.view().rows_in_memory, in_memory, "after {number}");
    }
    rig.stop().unwrap();
    let mut rest = rig.rest().await;
    rest.sort_unstable();
    assert_eq!(rest, [1, 2, 3, 4]);
    assert_eq!(rig.law(), [4, 0, 0, 0, 4, 0, 0]);
}

#[tokio::test]
async fn a_disk_that_fails_loses_what_is_in_memory_alone_and_counts_it() {
    let mut rig = Rig::new();
    if let Some(committer) = &mut rig.committer {
        (committer.limits.memory_bytes, committer.limits.age) = (0, 100 * PATIENCE);
    }
    rig.run();
    assert_eq!(kept(rig.send(Ack::Memory, &[1])).await, Ok(()));
    until("it is committed", || rig.backlog.view().rows == 1).await;
    rig.disk.fail_next(Op::Sync, Fault::Io);
    assert_eq!(kept(rig.send(Ack::Memory, &[2, 3])).await, Ok(()));
    let failed = rig.running.take().unwrap().join().unwrap().unwrap_err();
    assert_eq!((failed.rows, failed.rows_in_memory), (0, 3));
    assert_eq!(rig.law(), [3, 0, 0, 0, 0, 0, 3]);
}
