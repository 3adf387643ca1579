//! Any sequence of what senders, the disk and the exporter may do: every span is accounted for at all times, and what was
//! acknowledged is handed to the exporter, once.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::pin::Pin;

/// Few, so that there are repeats.
const SPANS: u64 = 12;

#[derive(Debug, Clone)]
enum Action {
    /// Requests that wait together.
    Send(Vec<(Ack, Vec<u64>)>),
    /// The committer takes what waits.
    Commit,
    /// An append finds no room.
    NoRoom,
    /// The open segments are handed over.
    Seal,
    /// The exporter takes a segment, and this becomes of it.
    Export(End),
}

#[derive(Debug, Clone, Copy)]
enum End {
    Stored,
    /// ClickHouse refuses the first row.
    OneDead,
    PutBack,
    /// The file is damaged and the first row of it lost.
    SetAside,
}

fn any_action() -> impl Strategy<Value = Action> {
    let ack = prop_oneof![Just(Ack::Memory), Just(Ack::Durable), Just(Ack::Stored)];
    let request = (ack, vec(0..SPANS, 1..4));
    let end =
        prop_oneof![4 => Just(End::Stored), 1 => Just(End::OneDead), 1 => Just(End::PutBack), 1 => Just(End::SetAside)];
    prop_oneof![
        6 => vec(request, 1..5).prop_map(Action::Send),
        4 => Just(Action::Commit),
        1 => Just(Action::NoRoom),
        2 => Just(Action::Seal),
        3 => end.prop_map(Action::Export),
    ]
}

type Answer = Pin<Box<dyn Future<Output = Result<(), IngestError>>>>;

/// The committer without its thread, and what its senders know.
struct World {
    rig: Rig,
    running: Running,
    /// Requests whose senders wait.
    waiting: Vec<(Vec<u64>, Answer)>,
    acknowledged: Vec<u64>,
    /// How often each was handed to the exporter, and came to its end there.
    ended: BTreeMap<u64, usize>,
    sent: usize,
}

impl World {
    fn new() -> Self {
        let mut rig = Rig::new();
        let running = Running::new(rig.committer.take().unwrap());
        Self { rig, running, waiting: Vec::new(), acknowledged: Vec::new(), ended: BTreeMap::new(), sent: 0 }
    }

    async fn act(&mut self, action: Action) {
        match action {
            Action::Send(requests) => requests.into_iter().for_each(|(ack, numbers)| self.send(ack, numbers)),
            Action::Commit => self.commit(),
            Action::NoRoom => self.rig.disk.fail_next(Op::Append, Fault::NoSpace),
            Action::Seal => self.seal(),
            Action::Export(end) => self.export(end),
        }
        self.hear().await;
        self.rig.law();
    }

    fn send(&mut self, ack: Ack, numbers: Vec<u64>) {
        self.sent += numbers.len();
        if let Err(why) = self.rig.pipeline.probe().check() {
            assert_eq!(why, IngestError::DiskFull);
            self.rig.refuse(numbers.len());
            return;
        }
        let ack = self.rig.send(ack, &numbers);
        self.waiting.push((numbers, Box::pin(async { ack.acked().await.map(|_receipt| ()) })));
    }

    fn commit(&mut self) {
        while let Some(first) = self.running.parts.queue.try_recv() {
            self.running.take(first).unwrap();
        }
        // the disk has room again
        self.running.parts.gate.set(None);
    }

    fn seal(&mut self) {
        for timer in &mut self.running.timers {
            self.running.parts.journal.seal(timer.lane, timer.table);
            *timer = SealTimer::new(timer.lane, timer.table);
        }
    }

    fn export(&mut self, end: End) {
        let Some(Some(mut segment)) = self.rig.backlog.take(Order::Fair).now_or_never() else { return };
        if matches!(end, End::PutBack) {
            segment.put_back(Duration::ZERO, History::default());
            return;
        }
        numbers_in(&mut segment).into_iter().for_each(|number| *self.ended.entry(number).or_default() += 1);
        match end {
            End::OneDead => segment.stored(1),
            End::SetAside => segment.set_aside(RowsLost::exactly(1), 0, "test"),
            End::Stored | End::PutBack => segment.stored(0),
        }
    }

    /// The senders hear what there is to hear.
    async fn hear(&mut self) {
        // tasks that tell them have their turn
        tokio::task::yield_now().await;
        let mut still_waiting = Vec::new();
        for (numbers, mut answer) in std::mem::take(&mut self.waiting) {
            match answer.as_mut().now_or_never() {
                None => still_waiting.push((numbers, answer)),
                Some(Ok(()) | Err(IngestError::DeadLettered)) => self.acknowledged.extend(numbers),
                Some(Err(why)) => {
                    assert!(matches!(why, IngestError::DiskFull), "{why}");
                    self.rig.refuse(numbers.len());
                }
            }
        }
        self.waiting = still_waiting;
    }

    /// Everything comes to its end.
    async fn finish(mut self) {
        for _until_nothing_waits in 0..2 {
            self.rig.disk.heal();
            self.act(Action::Commit).await;
            self.act(Action::Seal).await;
            while self.rig.backlog.view().segments > 0 {
                self.act(Action::Export(End::Stored)).await;
            }
        }
        assert!(self.waiting.is_empty(), "everybody has heard something");
        for number in &self.acknowledged {
            assert_eq!(self.ended.get(number), Some(&1), "span {number} was acknowledged");
        }
        assert!(self.ended.values().all(|count| *count == 1), "{:?}", self.ended);
        let [received, rejected, refused, duplicate, stored, dead, pending] = self.rig.law();
        assert_eq!(received, i64::try_from(self.sent).unwrap());
        assert_eq!(stored + dead, i64::try_from(self.ended.len()).unwrap());
        assert_eq!(duplicate, received - refused - stored - dead);
        assert_eq!((rejected, pending, self.rig.metrics.queue_bytes.get()), (0, 0, 0));
    }
}

#[test]
fn every_span_is_accounted_for_and_what_is_acknowledged_is_stored_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let config = ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(actions in vec(any_action(), 1..40))| {
        runtime.block_on(async {
            let mut world = World::new();
            for action in actions {
                Box::pin(world.act(action)).await;
            }
            Box::pin(world.finish()).await;
        });
    });
}
