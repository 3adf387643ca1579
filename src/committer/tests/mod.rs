//! The committer on a disk in memory, with the test in the places of receivers and exporter.

mod lanes;
mod law;
mod tables;

use super::*;
use crate::access::quotas;
use crate::ids::SpanId;
use crate::journal::RowsLost;
use crate::journal::testing::{Fault, Op, SimDisk, group, ids, number_of};
use crate::journal::{Config, History, Loaded, Options, Order, Segment};
use crate::pipeline::{self, Origin, PendingAck, Pipeline};
use crate::telemetry::{Receiver, Signal};
use crate::time::UnixNanos;
use futures_util::FutureExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver as SyncReceiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use tokio_util::sync::CancellationToken;

const DIR: &str = "/data/journal";
const WINDOW: Duration = Duration::from_secs(3_600);
/// A stuck test fails instead of hanging; nothing is asserted about how long anything takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A committer and both its neighbours.
struct Rig {
    disk: SimDisk,
    pipeline: Pipeline,
    metrics: Metrics,
    backlog: Backlog,
    learn: mpsc::Sender<Vec<recent::Stored>>,
    drain: CancellationToken,
    draining: CancellationToken,
    committer: Option<Committer>,
    running: Option<JoinHandle<Result<(), JournalFailed>>>,
}

fn options() -> Options {
    Options {
        dir: DIR.into(),
        config: Config::default(),
        database: "otel".to_owned(),
        origin: 1,
        secret: 7,
        keys_max: 1_000,
        now: now(),
        boot: Some("boot".to_owned()),
        prepare_ahead: false,
        clickhouse_is_here: false,
    }
}

fn now() -> UnixNanos {
    UnixNanos::new(1_790_000_000_000_000_000).unwrap()
}

fn origin(ack: Ack) -> Origin {
    let (workspace, receiver) = (Workspace::default(), Receiver::OtlpHttp);
    Origin { workspace, receiver, ack, dedup_window: WINDOW, is_keyed: false }
}

impl Rig {
    /// All is there, and nothing is taken from the channel yet.
    fn new() -> Self {
        let (disk, metrics) = (SimDisk::default(), Metrics::new().unwrap());
        let (pipeline, queue) = pipeline::channel(64 << 20, &metrics);
        let (journal, _) = Journal::open(options(), disk.shared(), metrics.clone(), &mut |_| true).unwrap();
        let (learn, learned) = mpsc::channel(4);
        let draining = CancellationToken::new();
        let drain = draining.clone();
        let backlog = journal.backlog().clone();
        let committer = Committer {
            queue,
            journal,
            dedup: DedupIndex::new(7, 10_000, WINDOW),
            learned,
            gate: pipeline.gate(),
            metrics: metrics.clone(),
            clock: Clock::Fixed(now()),
            limits: Limits { rows: 1_000_000, bytes: 1 << 30, age: Duration::ZERO, memory_bytes: u64::MAX },
            days: Arc::new(Budget::new(&Default::default(), std::time::Instant::now())),
            notes: Notes::default(),
            quotas: Quotas::new(quotas::Config::default(), metrics.access.clone()),
            watches_disk: true,
        };
        Self { disk, pipeline, metrics, backlog, learn, drain, draining, committer: Some(committer), running: None }
    }

    fn run(&mut self) {
        let (committer, draining) = (self.committer.take().unwrap(), self.draining.clone());
        self.running = Some(std::thread::spawn(move || committer.run(draining)));
    }

    fn running() -> Self {
        let mut rig = Self::new();
        rig.run();
        rig
    }

    fn send(&self, ack: Ack, numbers: &[u64]) -> PendingAck {
        let origin = origin(ack);
        let room = self.pipeline.reserve(1).unwrap();
        let ack = self.pipeline.send(Box::new(group(numbers)), room, origin).unwrap();
        self.law();
        ack
    }

    /// As a receiver does when it is told no.
    fn refuse(&self, spans: usize) {
        self.metrics.of(Signal::Traces).refuse(Receiver::OtlpHttp, spans);
        self.law();
    }

    /// What the page of the metrics says of the spans; the law holds in it.
    fn law(&self) -> [i64; 7] {
        let text = String::from_utf8(self.metrics.text().unwrap()).unwrap();
        let line = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(&format!("millrace_spans_{name} ")));
            value.unwrap().parse::<i64>().unwrap()
        };
        let [received, rejected, refused, duplicate, stored, dead_lettered] =
            ["received", "rejected", "refused", "duplicate", "stored", "dead_lettered"]
                .map(|name| line(&format!("{name}_total")));
        let all = [received, rejected, refused, duplicate, stored, dead_lettered, line("pending")];
        assert_eq!(all[0], all[1..].iter().sum::<i64>(), "{text}");
        assert!(all.iter().all(|count| *count >= 0), "{all:?}");
        all
    }

    /// The next segment, as the exporter takes it.
    async fn next(&self) -> Segment {
        patiently(self.backlog.take(Order::OldestFirst)).await.expect("a segment")
    }

    /// Says stop, and how it ended.
    fn stop(&mut self) -> Result<(), JournalFailed> {
        self.drain.cancel();
        self.running.take().unwrap().join().unwrap()
    }

    /// Everything that is left to send, and the spans in it.
    async fn rest(&self) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Some(mut segment) = patiently(self.backlog.take(Order::OldestFirst)).await {
            numbers.extend(numbers_in(&mut segment));
            segment.stored(0);
            self.law();
        }
        numbers
    }
}

async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it comes to an end")
}

async fn kept(ack: PendingAck) -> Result<(), IngestError> {
    patiently(ack.acked()).await.map(|_receipt| ())
}

/// Lets everything else go on until that is so.
async fn until(what: &str, so: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        tokio::task::yield_now().await;
    }
}

fn numbers_in(segment: &mut Segment) -> Vec<u64> {
    let Loaded::Whole(whole) = segment.load().unwrap() else { panic!("nothing puts it in doubt") };
    let mut content = Vec::new();
    crate::columns::native::frames::decompress_frames(&whole.frames().all().unwrap(), &mut content).unwrap();
    let (mut rest, mut numbers) = (&content[..], Vec::new());
    while !rest.is_empty() {
        let (block, behind) = crate::columns::native::parse::Block::parse(rest).unwrap();
        numbers.extend(block.strings("SpanId").unwrap().map(number_of));
        rest = behind;
    }
    numbers
}

/// Syncs that wait for the test: it hears of each, and lets it go on.
struct Gate {
    entered: SyncReceiver<()>,
    go: SyncSender<()>,
}

impl Gate {
    fn before(disk: &SimDisk) -> Self {
        let (enter, entered) = sync_channel(100);
        let (go, gone) = sync_channel(100);
        let gone = std::sync::Mutex::new(gone);
        disk.before_sync(move || {
            // once the test is over nothing waits
            let _test_over = enter.send(());
            let _test_over = gone.lock().unwrap().recv_timeout(PATIENCE);
        });
        Self { entered, go }
    }

    fn wait(&self) {
        self.entered.recv_timeout(PATIENCE).expect("a sync begins");
    }

    fn open(&self) {
        self.go.send(()).unwrap();
    }
}

#[tokio::test]
async fn everything_that_waits_shares_one_fsync() {
    let mut rig = Rig::new();
    let syncs = |rig: &Rig| rig.disk.calls().into_iter().filter(|op| *op == Op::Sync).count();
    let before = syncs(&rig);
    let pending: Vec<PendingAck> = (0..200).map(|at| rig.send(Ack::Durable, &[2 * at + 1, 2 * at + 2])).collect();
    rig.run();
    for ack in pending {
        assert_eq!(kept(ack).await, Ok(()));
    }
    let journal = &rig.metrics.journal;
    assert_eq!((journal.commits.get(), journal.fsyncs.get()), (1, 3), "the new file, its name, and one for all");
    assert_eq!(syncs(&rig) - before, 2, "that of the new file's header, and one for all");
    assert_eq!(rig.law(), [400, 0, 0, 0, 0, 0, 400]);
    rig.stop().unwrap();
    assert_eq!(rig.rest().await, (1..=400).collect::<Vec<_>>());
    assert_eq!(rig.law(), [400, 0, 0, 0, 400, 0, 0]);
}

#[tokio::test]
async fn nobody_hears_ok_before_the_sync_and_what_came_meanwhile_shares_the_next() {
    let mut rig = Rig::new();
    let gate = Gate::before(&rig.disk);
    let mut first = Box::pin(rig.send(Ack::Durable, &[1]).acked());
    rig.run();
    gate.wait(); // the file's header
    gate.open();
    gate.wait(); // the commit
    assert!(first.as_mut().now_or_never().is_none(), "it is not on disk yet");
    let behind: Vec<PendingAck> = (2..=50).map(|number| rig.send(Ack::Durable, &[number])).collect();
    gate.open();
    assert!(patiently(first).await.is_ok());
    gate.wait();
    let mut behind: Vec<_> = behind.into_iter().map(|ack| Box::pin(ack.acked())).collect();
    assert!(behind.iter_mut().all(|ack| ack.as_mut().now_or_never().is_none()));
    gate.open();
    for ack in behind {
        assert!(patiently(ack).await.is_ok());
    }
    assert_eq!(rig.metrics.journal.commits.get(), 2);
    assert_eq!(rig.metrics.journal.fsyncs.get(), 4, "the new file, its name, and one for each commit");
    rig.stop().unwrap();
}

#[tokio::test]
async fn a_sender_that_hangs_up_frees_nothing_early_and_its_spans_are_kept() {
    let mut rig = Rig::new();
    let gate = Gate::before(&rig.disk);
    drop(rig.send(Ack::Durable, &[1]));
    drop(rig.send(Ack::Stored, &[2]));
    let held = rig.metrics.queue_bytes.get();
    assert!(held > 0);
    rig.run();
    gate.wait();
    assert_eq!(rig.metrics.queue_bytes.get(), held);
    gate.open();
    gate.wait();
    assert_eq!(rig.metrics.queue_bytes.get(), held);
    gate.open();
    until("the room is free", || rig.metrics.queue_bytes.get() == 0).await;
    rig.stop().unwrap();
    assert_eq!(rig.rest().await, [1, 2]);
}

#[tokio::test]
async fn what_is_in_memory_alone_holds_its_room_until_it_is_stored() {
    let mut rig = Rig::running();
    assert_eq!(kept(rig.send(Ack::Memory, &[1, 2, 3])).await, Ok(()));
    let segment = rig.next().await;
    assert_eq!(rig.backlog.view().rows_in_memory, 3);
    until("the room is as large as the frame", || {
        u64::try_from(rig.metrics.queue_bytes.get()).unwrap() == rig.backlog.view().bytes
    })
    .await;
    segment.stored(0);
    assert_eq!((rig.metrics.queue_bytes.get(), rig.backlog.view().rows), (0, 0));
    assert_eq!(rig.law(), [3, 0, 0, 0, 3, 0, 0]);
    assert!(
        rig.disk
            .names_in(Path::new(DIR))
            .iter()
            .all(|name| { ["boot", "ledger", "0000000000000001.accepted"].contains(&name.as_str()) }),
        "no row was written"
    );
    rig.stop().unwrap();
}

#[tokio::test]
async fn who_waits_for_clickhouse_hears_how_it_ended() {
    let mut rig = Rig::running();
    for (dead, want) in [(0, Ok(())), (1, Err(IngestError::DeadLettered))] {
        let mut ack = Box::pin(rig.send(Ack::Stored, &[10 + dead, 20 + dead]).acked());
        let segment = rig.next().await;
        assert!(ack.as_mut().now_or_never().is_none());
        segment.put_back(Duration::ZERO, History { failures: 1, timeouts: 1, ..History::default() });
        assert!(ack.as_mut().now_or_never().is_none());
        let segment = rig.next().await;
        assert_eq!((segment.history().failures, segment.history().timeouts), (1, 1));
        segment.stored(usize::try_from(dead).unwrap());
        assert_eq!(patiently(ack).await.map(|_receipt| ()), want);
        rig.law();
    }
    assert_eq!(rig.law(), [4, 0, 0, 0, 3, 1, 0]);
    // a damaged one, of which nothing was lost, and then something
    for (lost, want) in [(0, Ok(())), (1, Err(IngestError::DeadLettered))] {
        let ack = rig.send(Ack::Stored, &[30 + lost]);
        rig.next().await.set_aside(RowsLost::exactly(usize::try_from(lost).unwrap()), 0, "test");
        assert_eq!(kept(ack).await, want);
    }
    assert_eq!(rig.law(), [6, 0, 0, 0, 4, 2, 0]);
    rig.stop().unwrap();
}

#[tokio::test]
async fn a_span_sent_again_is_acknowledged_again_and_stored_once() {
    let mut rig = Rig::new();
    // in one request, in one group, and later
    let together = [rig.send(Ack::Durable, &[1, 2, 1]), rig.send(Ack::Durable, &[2, 3])];
    rig.run();
    for ack in together {
        assert_eq!(kept(ack).await, Ok(()));
    }
    assert_eq!(rig.law(), [5, 0, 0, 2, 0, 0, 3]);
    assert_eq!(kept(rig.send(Ack::Durable, &[3, 4, 1])).await, Ok(()));
    let commits = rig.metrics.journal.commits.get();
    assert_eq!(kept(rig.send(Ack::Durable, &[1, 2, 3, 4])).await, Ok(()));
    assert_eq!(rig.metrics.journal.commits.get(), commits, "there is nothing to write");
    assert_eq!(rig.law(), [12, 0, 0, 8, 0, 0, 4]);
    rig.stop().unwrap();
    assert_eq!(rig.rest().await, [1, 2, 3, 4]);
    assert_eq!(rig.law(), [12, 0, 0, 8, 4, 0, 0]);
}

#[tokio::test]
async fn a_repeat_that_waits_for_clickhouse_waits_for_what_it_repeats() {
    let mut rig = Rig::running();
    assert_eq!(kept(rig.send(Ack::Durable, &[1])).await, Ok(()));
    let first = rig.next().await;
    let mut repeat = Box::pin(rig.send(Ack::Stored, &[1]).acked());
    until("it is recognised", || rig.law()[3] == 1).await;
    assert!(repeat.as_mut().now_or_never().is_none(), "what it repeats is not stored");
    first.stored(0);
    assert!(patiently(repeat).await.is_ok());
    assert_eq!(kept(rig.send(Ack::Stored, &[1])).await, Ok(()), "and now it is at once");
    rig.stop().unwrap();
}

#[tokio::test]
async fn a_durable_repeat_of_what_is_in_memory_alone_waits_until_it_is_stored() {
    for is_taken in [true, false] {
        let mut rig = Rig::running();
        assert_eq!(kept(rig.send(Ack::Memory, &[1])).await, Ok(()));
        let taken = if is_taken { Some(rig.next().await) } else { None };
        let mut repeat = Box::pin(rig.send(Ack::Durable, &[1, 2]).acked());
        until("it is recognised", || rig.law()[3] == 1).await;
        assert!(repeat.as_mut().now_or_never().is_none(), "a crash would lose it");
        if let Some(taken) = taken {
            taken.stored(0);
        }
        for _lane in 0..1 + usize::from(!is_taken) {
            rig.next().await.stored(0);
        }
        assert!(patiently(repeat).await.is_ok());
        assert_eq!(rig.law(), [3, 0, 0, 1, 2, 0, 0]);
        rig.stop().unwrap();
    }
}

#[tokio::test]
async fn a_durable_repeat_of_what_came_from_memory_at_the_same_time_waits_too() {
    let mut rig = Rig::new();
    let _in_memory = rig.send(Ack::Memory, &[1]);
    let mut repeat = Box::pin(rig.send(Ack::Durable, &[1, 2]).acked());
    rig.run();
    until("both are accepted", || rig.backlog.view().rows == 2 && rig.law()[3] == 1).await;
    let first = rig.next().await;
    assert!(repeat.as_mut().now_or_never().is_none(), "a crash would lose it");
    first.stored(0);
    rig.next().await.stored(0);
    assert!(patiently(repeat).await.is_ok());
    rig.stop().unwrap();
}

#[tokio::test]
async fn without_room_nothing_is_kept_and_a_repeat_is_new() {
    let mut rig = Rig::running();
    assert_eq!(kept(rig.send(Ack::Durable, &[1])).await, Ok(()));
    rig.disk.fail_next(Op::Append, Fault::Short(7));
    assert_eq!(kept(rig.send(Ack::Durable, &[2, 3, 1])).await, Err(IngestError::DiskFull));
    rig.refuse(3);
    assert_eq!(rig.law(), [4, 0, 3, 0, 0, 0, 1]);
    // the door is shut until the disk is asked again
    until("there is room", || rig.pipeline.reserve(1).is_ok()).await;
    assert_eq!(kept(rig.send(Ack::Durable, &[2, 3, 1])).await, Ok(()));
    assert_eq!(rig.law(), [7, 0, 3, 1, 0, 0, 3]);
    rig.stop().unwrap();
    assert_eq!(rig.rest().await, [1, 2, 3]);
}

#[tokio::test]
async fn a_full_disk_shuts_the_door_and_room_opens_it() {
    let mut rig = Rig::running();
    rig.disk.set_free(Some(0));
    until("the door is shut", || rig.pipeline.probe().check() == Err(IngestError::DiskFull)).await;
    rig.disk.set_free(None);
    until("the door is open", || rig.pipeline.probe().check().is_ok()).await;
    assert_eq!(kept(rig.send(Ack::Durable, &[1])).await, Ok(()));
    rig.stop().unwrap();
}

#[tokio::test]
async fn a_disk_that_fails_ends_it_and_nobody_hears_ok() {
    for (op, fault) in [(Op::Sync, Fault::Io), (Op::Append, Fault::ShortIo(9)), (Op::Sync, Fault::NoSpace)] {
        let mut rig = Rig::running();
        assert_eq!(kept(rig.send(Ack::Durable, &[1, 2])).await, Ok(()));
        let gate = Gate::before(&rig.disk);
        if op == Op::Append {
            gate.open();
        }
        rig.disk.fail_next(op, fault);
        let failing = rig.send(Ack::Durable, &[3]);
        if op == Op::Sync {
            gate.wait();
        }
        gate.open();
        assert_eq!(kept(failing).await, Err(IngestError::JournalFailed));
        let failed = rig.running.take().unwrap().join().unwrap().unwrap_err();
        assert_eq!(failed.rows, 2, "what was acknowledged before is safe");
        assert_eq!(rig.pipeline.reserve(1).map(drop), Err(IngestError::JournalFailed));
        rig.law();
        drop(gate);
        rig.disk.kill();
        let mut heard = Vec::new();
        let mut replay = |replay: &crate::journal::Replay<'_>| {
            let crate::journal::ReplayedRows::Keys(keys) = &replay.rows else { panic!("their keys are beside them") };
            heard.extend(keys.clone());
            true
        };
        Journal::open(options(), rig.disk.shared(), rig.metrics.clone(), &mut replay).unwrap();
        let mut known = DedupIndex::new(7, 10, WINDOW);
        known.remember_all(&heard, now(), now());
        let (seed, mut keys) = (known.seed_of(&Workspace::default()), Vec::new());
        let checked = known.insert_all(seed, &group(&[1, 2, 3]), now(), WINDOW, &mut keys);
        assert_eq!((heard.len(), checked.repeated), (2, vec![0, 1]), "the next run knows what this one acknowledged");
    }
}

#[tokio::test]
async fn who_waits_behind_a_failure_is_told_of_it() {
    let mut rig = Rig::new();
    let gate = Gate::before(&rig.disk);
    let first = rig.send(Ack::Durable, &[1]);
    rig.run();
    gate.wait();
    gate.open();
    gate.wait();
    let behind: Vec<PendingAck> = (2..10).map(|number| rig.send(Ack::Durable, &[number])).collect();
    rig.disk.fail_next(Op::Sync, Fault::Io);
    gate.open();
    for ack in std::iter::once(first).chain(behind) {
        assert_eq!(kept(ack).await, Err(IngestError::JournalFailed));
    }
    assert_eq!(rig.running.take().unwrap().join().unwrap().unwrap_err().rows, 0);
}

#[tokio::test]
async fn a_stop_takes_nothing_new_and_keeps_all_that_was_handed_over() {
    let mut rig = Rig::new();
    let pending: Vec<PendingAck> = [Ack::Durable, Ack::Memory]
        .into_iter()
        .flat_map(|ack| (1..=100).map(move |number| (ack, number + 1_000 * u64::from(ack == Ack::Memory))))
        .map(|(ack, number)| rig.send(ack, &[number]))
        .collect();
    rig.drain.cancel();
    rig.run();
    for ack in pending {
        assert_eq!(kept(ack).await, Ok(()));
    }
    rig.stop().unwrap();
    let origin = origin(Ack::Durable);
    let room = rig.pipeline.reserve(1).unwrap();
    assert_eq!(rig.pipeline.send(Box::new(group(&[7])), room, origin).unwrap_err(), IngestError::Stopping);
    let mut stored = rig.rest().await;
    stored.sort_unstable();
    assert_eq!(stored, (1..=100).chain(1_001..=1_100).collect::<Vec<_>>());
    assert_eq!(rig.law(), [200, 0, 0, 0, 200, 0, 0]);
    assert_eq!(rig.metrics.queue_bytes.get(), 0);
}

#[tokio::test]
async fn what_the_table_tells_is_known_by_its_ids_and_its_report_is_not_until_it_comes() {
    let mut rig = Rig::running();
    let (trace, span) = ids(5);
    let (workspace, kind) = (None, "Client".to_owned());
    let stored = recent::Stored { workspace, trace: trace.hex(), span: SpanId::hex(&span), kind, accepted_by: now() };
    rig.learn.send(vec![stored]).await.unwrap();
    until("it is learned", || rig.metrics.dedup_spans.get() == 1).await;
    assert_eq!(kept(rig.send(Ack::Durable, &[5, 6])).await, Ok(()));
    assert_eq!(rig.law(), [2, 0, 0, 0, 0, 0, 2], "it may be another report");
    assert_eq!(kept(rig.send(Ack::Durable, &[5])).await, Ok(()));
    assert_eq!(rig.law(), [3, 0, 0, 1, 0, 0, 2], "this one is known");
    rig.stop().unwrap();
    assert_eq!(rig.rest().await, [5, 6]);
}
