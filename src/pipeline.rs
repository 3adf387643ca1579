//! The bounded queue between all receivers and the committer.
//!
//! ```text
//! receiver:  reserve(bytes) -> Reservation -> decode -> send(rows, reservation) -> PendingAck -- acked() -> Receipt -> OK
//!                                                             |                                 ^
//! committer:                      recv() -> Entry { rows, reservation, .. } -> commit -> answer()
//! ```
//!
//! The bound is in bytes and covers everything from a request's first byte to its rows being on disk (or, for those
//! acknowledged from memory, in ClickHouse). The reservation travels with the data, so a caller that hangs up frees nothing early.

mod error;
mod pending;

pub use error::IngestError;
pub use pending::{PendingAck, Receipt};

use crate::columns::{RowGroup, Rows, SpareGroups};
use crate::numbers::to_i64;
use crate::telemetry::latency::Timer;
use crate::telemetry::{Metrics, Receiver};
use crate::workspace::Workspace;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Requests that may wait, whatever their size: bounds what the queue itself takes.
const ENTRIES_MAX: usize = 65_536;

/// Bytes that every entry takes in addition to its rows.
const ENTRY_OVERHEAD_BYTES: usize = 2_048;

/// Health is red when less than this part of the bytes is free: ordinary requests are refused by then.
const FREE_SHARE: usize = 16;

/// While more than this part of the bytes is in use, an acknowledgement from memory waits for the commit: senders are slowed down before
/// they are refused.
const AT_ONCE_SHARE: usize = 16;

/// While more than this part of the bytes is in use, or so many bytes wait for ClickHouse, requests that can wait are put off.
const BACKGROUND_SHARE: usize = 4;
const BACKGROUND_BACKLOG_BYTES: usize = 64 << 20;

/// Longest wait for an acknowledgement: senders give up soon after.
const ACKED_WITHIN: Duration = Duration::from_secs(8);

/// What an acknowledgement rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ack {
    /// The spans are in memory: a crash loses them.
    Memory,
    /// The spans are on disk: they survive a crash, a power cut, and ClickHouse being away.
    #[default]
    Durable,
    /// The spans are in ClickHouse.
    Stored,
}

impl Ack {
    /// What a request asks for in its header: `memory`, `durable` or `stored`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "memory" => Some(Self::Memory),
            "durable" => Some(Self::Durable),
            "stored" => Some(Self::Stored),
            _ => None,
        }
    }
}

/// The receivers' end.
#[derive(Debug, Clone)]
pub struct Pipeline {
    entries: mpsc::Sender<Entry>,
    budget: Arc<Budget>,
    spare: SpareGroups,
}

/// Tells whether there is capacity, without keeping the queue open.
#[derive(Debug, Clone)]
pub struct CapacityProbe {
    entries: mpsc::WeakSender<Entry>,
    budget: Arc<Budget>,
}

/// The committer's end.
#[derive(Debug)]
pub struct QueueReceiver {
    entries: mpsc::Receiver<Entry>,
    spare: SpareGroups,
}

/// Closes admission while nothing can be stored, so that no request is read only to be refused.
#[derive(Debug, Clone)]
pub struct AdmissionGate(Arc<Budget>);

/// Where rows come from, and what their acknowledgement waits for.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Whose they are.
    pub workspace: Workspace,
    /// The receiver they came through.
    pub receiver: Receiver,
    /// What the answer waits for.
    pub ack: Ack,
    /// A span accepted before within this time is a repeat.
    pub dedup_window: Duration,
    /// Its sender named the one span with an `Idempotency-Key`: what says something else of it is not taken.
    pub is_keyed: bool,
}

/// Rows on their way, with the memory reserved for them.
#[derive(Debug)]
pub struct Entry {
    /// The rows.
    pub rows: Rows,
    /// The memory reserved for them; released on drop.
    pub reservation: Reservation,
    /// Where they come from.
    pub origin: Origin,
    answer: Option<oneshot::Sender<Result<(), IngestError>>>,
    committed: Option<Arc<AtomicBool>>,
}

/// Reserved bytes; released on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

#[derive(Debug)]
struct Budget {
    used: AtomicUsize,
    max: usize,
    /// 0, or one more than the place in [`IngestError::CLOSABLE`].
    shut: AtomicU8,
    metrics: Metrics,
}

/// Makes a connected pair that holds at most `max_bytes` of requests and rows.
#[must_use]
pub fn channel(max_bytes: usize, metrics: &Metrics) -> (Pipeline, QueueReceiver) {
    let (sender, receiver) = mpsc::channel(ENTRIES_MAX);
    metrics.queue_bytes_capacity.set(to_i64(max_bytes));
    let (used, shut) = (AtomicUsize::new(0), AtomicU8::new(0));
    let budget = Budget { used, max: max_bytes, shut, metrics: metrics.clone() };
    let spare = SpareGroups::default();
    let pipeline = Pipeline { entries: sender, budget: Arc::new(budget), spare: spare.clone() };
    (pipeline, QueueReceiver { entries: receiver, spare })
}

impl Pipeline {
    /// Reserves memory before a request is read.
    ///
    /// # Errors
    /// If there is not enough now, or never will be.
    pub fn reserve(&self, bytes: usize) -> Result<Reservation, IngestError> {
        self.budget.open()?;
        let mut reservation = Reservation { budget: Arc::clone(&self.budget), bytes: 0 };
        reservation.resize(bytes.saturating_add(ENTRY_OVERHEAD_BYTES))?;
        Ok(reservation)
    }

    /// Checks whether a request that can wait is taken now: not while others need the memory, or before what was accepted is stored.
    ///
    /// # Errors
    /// If it should be sent again later.
    pub fn admit_background(&self) -> Result<(), IngestError> {
        let waiting = self.budget.metrics.journal.bytes.get();
        let is_busy =
            self.budget.used() > self.budget.max / BACKGROUND_SHARE || waiting > to_i64(BACKGROUND_BACKLOG_BYTES);
        if is_busy {
            self.budget.metrics.put_off.inc();
            return Err(IngestError::Yields);
        }
        Ok(())
    }

    /// An empty group for a request of so many bytes: one that was committed, if there is one.
    #[must_use]
    pub fn rows_for(&self, request_bytes: usize, workspace: &Workspace) -> Box<RowGroup> {
        self.spare.for_request_of(request_bytes, workspace.clone())
    }

    /// Queues rows, with their reservation resized to what they take.
    ///
    /// # Errors
    /// If they do not fit, or the committer is gone. Nothing of them is stored then.
    pub fn send(
        &self,
        rows: impl Into<Rows>,
        mut reservation: Reservation,
        origin: Origin,
    ) -> Result<PendingAck, IngestError> {
        let rows = rows.into();
        let bytes = rows.counted_bytes();
        reservation.resize(bytes.saturating_add(ENTRY_OVERHEAD_BYTES))?;
        let ack = origin.ack;
        let is_at_once = ack == Ack::Memory && self.budget.used() <= self.budget.max / AT_ONCE_SHARE;
        let (answer, awaited) = if is_at_once { (None, None) } else { Some(oneshot::channel()).unzip() };
        let committed = (ack == Ack::Stored).then(Arc::default);
        let count = rows.rows();
        let metrics = self.budget.metrics.of(rows.table().row_kind());
        metrics.take(count);
        let entry = Entry { rows, reservation, origin, answer, committed: committed.clone() };
        match self.entries.try_send(entry) {
            Ok(()) => {
                let timer = Some(self.budget.timer(ack));
                Ok(PendingAck { answer: awaited, committed, ack, until: Instant::now() + ACKED_WITHIN, timer })
            }
            Err(refused) => {
                metrics.untake(count);
                Err(match refused {
                    mpsc::error::TrySendError::Full(_) => IngestError::Full,
                    mpsc::error::TrySendError::Closed(_) => IngestError::Stopping,
                })
            }
        }
    }

    /// Capacity in bytes.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.budget.max
    }

    /// Returns the gate that closes admission.
    #[must_use]
    pub fn gate(&self) -> AdmissionGate {
        AdmissionGate(Arc::clone(&self.budget))
    }

    /// Returns a probe that does not keep the queue open.
    #[must_use]
    pub fn probe(&self) -> CapacityProbe {
        CapacityProbe { entries: self.entries.downgrade(), budget: Arc::clone(&self.budget) }
    }
}

impl CapacityProbe {
    /// Checks whether requests of ordinary size would be accepted now.
    ///
    /// # Errors
    /// Returns why they would not be.
    pub fn check(&self) -> Result<(), IngestError> {
        let entries = self.entries.upgrade().filter(|entries| !entries.is_closed()).ok_or(IngestError::Stopping)?;
        self.budget.open()?;
        let free = self.budget.max.saturating_sub(self.budget.used());
        if entries.capacity() > 0 && free >= self.budget.max / FREE_SHARE { Ok(()) } else { Err(IngestError::Full) }
    }
}

impl AdmissionGate {
    /// Refuses everything for this reason, or opens admission. Returns whether that is a change.
    ///
    /// # Panics
    /// If `why` is not a reason to close for: a mistake of the caller that would leave admission open.
    pub fn set(&self, why: Option<IngestError>) -> bool {
        let shut = why.map_or(0, |why| {
            let codes = (1..).zip(IngestError::CLOSABLE);
            codes
                .into_iter()
                .find(|(_, reason)| *reason == why)
                .expect("only what the journal can recover from closes admission")
                .0
        });
        self.0.shut.swap(shut, Ordering::Relaxed) != shut
    }
}

impl Entry {
    /// Acknowledges the rows, or says why not.
    pub fn answer(&mut self, kept: Result<(), IngestError>) {
        if let Some(answer) = self.answer.take() {
            // an error means that the sender has hung up
            let _sender_gone = answer.send(kept);
        }
    }

    /// Notes that the rows are on disk, for a sender that waits for more.
    pub fn committed(&self) {
        if let Some(committed) = &self.committed {
            committed.store(true, Ordering::Release);
        }
    }

    /// Whether its sender has its OK: what becomes of the rows is not told to anybody.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.answer.is_none()
    }

    /// Takes the acknowledgement out, to be sent later.
    pub fn take_answer(&mut self) -> AckSender {
        AckSender(self.answer.take())
    }
}

/// The other end of a [`PendingAck`].
#[derive(Debug)]
pub struct AckSender(Option<oneshot::Sender<Result<(), IngestError>>>);

impl AckSender {
    /// Acknowledges the rows, or says why not.
    pub fn send(self, kept: Result<(), IngestError>) {
        if let Some(answer) = self.0 {
            // an error means that the sender has hung up
            let _sender_gone = answer.send(kept);
        }
    }

    /// Whether the sender has hung up.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

impl Reservation {
    /// Changes the reservation to `bytes`. Shrinking always works.
    ///
    /// # Errors
    /// If there is not enough memory to grow; the reservation stays as it was.
    pub fn resize(&mut self, bytes: usize) -> Result<(), IngestError> {
        if bytes > self.budget.max {
            return Err(IngestError::NeverFits { bytes, max: self.budget.max });
        }
        if bytes > self.bytes {
            self.budget.take(bytes - self.bytes)?;
        } else {
            self.budget.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Adds `bytes` to the reservation, but no more than the whole capacity less what the request holds already: the largest
    /// accepted request needs everything.
    ///
    /// # Errors
    /// If other requests hold it.
    pub fn grow_within_all(&mut self, bytes: usize, held_already: usize) -> Result<(), IngestError> {
        let held = held_already.saturating_add(ENTRY_OVERHEAD_BYTES);
        let all = if held_already == 0 { self.budget.max } else { self.budget.max.saturating_sub(held) };
        self.resize(self.bytes.saturating_add(bytes).min(all).max(self.bytes))
    }

    /// Makes the reservation at least `bytes`.
    ///
    /// # Errors
    /// As [`resize`](Self::resize).
    pub fn cover(&mut self, bytes: usize) -> Result<(), IngestError> {
        self.resize(self.bytes.max(bytes.saturating_add(ENTRY_OVERHEAD_BYTES)))
    }

    /// Makes the reservation what entries of so many bytes each take together. A request that holds all there is for what it might have
    /// become gives the rest back: each entry takes a little more than its rows.
    ///
    /// # Errors
    /// As [`resize`](Self::resize).
    pub fn fit(&mut self, entries: impl Iterator<Item = usize>) -> Result<(), IngestError> {
        self.resize(entries.fold(0, |all, bytes| all.saturating_add(bytes.saturating_add(ENTRY_OVERHEAD_BYTES))))
    }

    /// Cuts off what an entry of so many bytes takes, as a reservation of its own; all there is when there is less.
    #[must_use]
    pub fn split_entry(&mut self, bytes: usize) -> Self {
        let bytes = bytes.saturating_add(ENTRY_OVERHEAD_BYTES).min(self.bytes);
        self.bytes -= bytes;
        Self { budget: Arc::clone(&self.budget), bytes }
    }

    /// Moves the reservation out, which leaves an empty one.
    #[must_use]
    pub fn take(&mut self) -> Self {
        Self { budget: Arc::clone(&self.budget), bytes: std::mem::take(&mut self.bytes) }
    }

    /// Adds the bytes of another reservation of the same queue.
    pub fn join(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.budget, &other.budget), "bytes of another queue");
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Adds `bytes` to the reservation.
    ///
    /// # Errors
    /// As [`resize`](Self::resize).
    pub fn grow(&mut self, bytes: usize) -> Result<(), IngestError> {
        self.resize(self.bytes.saturating_add(bytes))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

impl Budget {
    /// Begins the time of an acknowledgement.
    fn timer(&self, ack: Ack) -> Timer {
        let latency = &self.metrics.latency;
        Timer::start(match ack {
            Ack::Memory => &latency.acknowledged_memory,
            Ack::Durable => &latency.acknowledged_durable,
            Ack::Stored => &latency.acknowledged_stored,
        })
    }

    fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn open(&self) -> Result<(), IngestError> {
        let shut = usize::from(self.shut.load(Ordering::Relaxed));
        shut.checked_sub(1).and_then(|place| IngestError::CLOSABLE.get(place)).map_or(Ok(()), |why| Err(*why))
    }

    fn take(&self, bytes: usize) -> Result<(), IngestError> {
        let grown = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.max);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown) {
            Ok(_) => {
                self.metrics.queue_bytes.add(to_i64(bytes));
                Ok(())
            }
            Err(_) => Err(IngestError::Full),
        }
    }

    fn give_back(&self, bytes: usize) {
        let used = self.used.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(used >= bytes, "{bytes} bytes are given back, of {used} that were taken");
        self.metrics.queue_bytes.sub(to_i64(bytes));
    }
}

impl QueueReceiver {
    /// Accepts nothing more; queued rows still come out. Receivers answer that the service is stopping.
    pub fn close(&mut self) {
        self.entries.close();
    }

    /// Takes back rows that are committed: the buffers of spans serve requests to come.
    pub fn reuse(&self, rows: impl Iterator<Item = Rows>) {
        self.spare.keep(rows.filter_map(Rows::into_spans));
    }

    /// Number of requests that wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.entries.len()
    }

    /// Returns the next rows if there are any now.
    pub fn try_recv(&mut self) -> Option<Entry> {
        self.entries.try_recv().ok()
    }

    /// Waits for the next rows; `None` when every receiver is gone and the queue is empty. Safe to cancel.
    pub async fn recv(&mut self) -> Option<Entry> {
        self.entries.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> (Pipeline, QueueReceiver) {
        channel(10_000, &Metrics::new().unwrap())
    }

    fn origin(ack: Ack) -> Origin {
        let receiver = Receiver::OtlpGrpc;
        Origin { workspace: Workspace::default(), receiver, ack, dedup_window: Duration::ZERO, is_keyed: false }
    }

    #[test]
    fn what_can_wait_is_put_off_while_memory_is_short_or_much_waits_for_clickhouse() {
        let metrics = Metrics::new().unwrap();
        let (pipeline, _queue) = channel(10_000, &metrics);
        assert_eq!(pipeline.admit_background(), Ok(()));
        let reservation = pipeline.reserve(3_000).unwrap();
        assert_eq!(pipeline.admit_background(), Err(IngestError::Yields));
        assert!(pipeline.reserve(100).is_ok(), "others are taken meanwhile");
        drop(reservation);
        metrics.journal.bytes.set(to_i64(BACKGROUND_BACKLOG_BYTES) + 1);
        assert_eq!(pipeline.admit_background(), Err(IngestError::Yields));
        metrics.journal.bytes.set(0);
        assert_eq!(pipeline.admit_background(), Ok(()));
        assert!(IngestError::Yields.is_retryable());
        assert_eq!(metrics.put_off.get(), 2);
    }

    #[test]
    fn memory_is_released_only_when_the_entry_is_dropped() {
        let (pipeline, mut queue) = small();
        assert_eq!(pipeline.probe().check(), Ok(()));
        let reservation = pipeline.reserve(6_000).unwrap();
        assert_eq!(pipeline.reserve(6_000).unwrap_err(), IngestError::Full);
        drop(pipeline.send(Box::<RowGroup>::default(), reservation, origin(Ack::Durable)).unwrap());
        // the entry shrank to what its rows take, and still holds that, although its sender is gone
        assert_eq!(pipeline.reserve(10_000 - 2 * ENTRY_OVERHEAD_BYTES + 1).unwrap_err(), IngestError::Full);
        drop(queue.try_recv().unwrap());
        assert!(pipeline.reserve(10_000 - ENTRY_OVERHEAD_BYTES).is_ok());
    }

    /// A request that may become anything has reserved all there is: what it did become, of several tables, fits all the same.
    #[test]
    fn several_entries_of_a_request_that_holds_everything_are_taken() {
        let (pipeline, mut queue) = small();
        let mut reservation = pipeline.reserve(0).unwrap();
        reservation.grow_within_all(usize::MAX / 2, 0).unwrap();
        assert_eq!(pipeline.budget.used(), 10_000);
        let entries = [0, 0];
        reservation.fit(entries.into_iter()).unwrap();
        for bytes in entries {
            let reserved = reservation.split_entry(bytes);
            assert!(pipeline.send(Box::<RowGroup>::default(), reserved, origin(Ack::Durable)).is_ok());
        }
        assert_eq!(pipeline.budget.used(), 2 * ENTRY_OVERHEAD_BYTES);
        (0..2).for_each(|_| drop(queue.try_recv().unwrap()));
        assert_eq!(pipeline.budget.used(), 0);
    }

    #[test]
    fn a_request_that_never_fits_differs_from_one_that_must_wait() {
        let (pipeline, _queue) = small();
        assert!(matches!(pipeline.reserve(20_000), Err(IngestError::NeverFits { max: 10_000, .. })));
        let mut reservation = pipeline.reserve(1).unwrap();
        assert!(reservation.grow(20_000).is_err());
        drop(reservation);
        assert_eq!(pipeline.budget.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn without_a_committer_nothing_is_taken() {
        let (pipeline, queue) = small();
        let reservation = pipeline.reserve(1).unwrap();
        drop(queue);
        assert_eq!(
            pipeline.send(Box::<RowGroup>::default(), reservation, origin(Ack::Memory)).unwrap_err(),
            IngestError::Stopping
        );
        assert_eq!(pipeline.probe().check(), Err(IngestError::Stopping));
    }

    #[test]
    fn a_closed_gate_gives_its_reason_and_opens_again() {
        let (pipeline, _queue) = small();
        for why in IngestError::CLOSABLE {
            assert!(pipeline.gate().set(Some(why)));
            assert!(!pipeline.gate().set(Some(why)));
            assert_eq!(pipeline.reserve(1).unwrap_err(), why);
            assert_eq!(pipeline.probe().check(), Err(why));
        }
        assert!(pipeline.gate().set(None));
        assert!(pipeline.reserve(1).is_ok());
    }

    #[tokio::test]
    async fn rows_are_acknowledged_when_the_committer_answers() {
        let (pipeline, mut queue) = small();
        let send = |ack| {
            let reservation = pipeline.reserve(1).unwrap();
            pipeline.send(Box::<RowGroup>::default(), reservation, origin(ack)).unwrap()
        };
        assert!(send(Ack::Memory).acked().await.is_ok());
        drop(queue.try_recv());
        for answer in [Ok(()), Err(IngestError::DiskFull)] {
            let pending = send(Ack::Durable);
            queue.try_recv().unwrap().answer(answer);
            assert_eq!(pending.acked().await.map(|_receipt| ()), answer);
        }
        let pending = send(Ack::Durable);
        drop(queue.try_recv());
        assert_eq!(pending.acked().await.unwrap_err(), IngestError::JournalFailed);
        for (ack, late) in [(Ack::Stored, IngestError::NotStoredYet), (Ack::Durable, IngestError::NotDurableYet)] {
            let pending = PendingAck { until: Instant::now(), ..send(ack) };
            let _unanswered = queue.try_recv().unwrap();
            assert_eq!(pending.acked().await.unwrap_err(), late);
        }
    }

    #[tokio::test]
    async fn rows_that_are_on_disk_are_waited_for_no_longer_than_patience_lasts() {
        let (pipeline, mut queue) = small();
        let send = || {
            let reservation = pipeline.reserve(1).unwrap();
            pipeline.send(Box::<RowGroup>::default(), reservation, origin(Ack::Stored)).unwrap()
        };
        let pending = send();
        let on_disk = queue.try_recv().unwrap();
        on_disk.committed();
        assert!(pending.stored_or_durable(Duration::ZERO).await.is_ok());
        drop(on_disk);
        let pending = PendingAck { until: Instant::now(), ..send() };
        let _in_memory = queue.try_recv().unwrap();
        assert_eq!(pending.stored_or_durable(Duration::ZERO).await.unwrap_err(), IngestError::NotDurableYet);
        let pending = send();
        queue.try_recv().unwrap().answer(Err(IngestError::DiskFull));
        assert_eq!(pending.stored_or_durable(Duration::from_secs(5)).await.unwrap_err(), IngestError::DiskFull);
    }

    #[tokio::test]
    async fn an_acknowledgement_from_memory_waits_for_the_commit_while_much_is_in_use() {
        let (pipeline, mut queue) = small();
        let send = || {
            let reservation = pipeline.reserve(1).unwrap();
            pipeline.send(Box::<RowGroup>::default(), reservation, origin(Ack::Memory)).unwrap()
        };
        // the overhead of one entry is more than a sixteenth of so little
        let pending = send();
        let mut entry = queue.try_recv().unwrap();
        assert!(!entry.is_answered());
        entry.answer(Ok(()));
        assert!(pending.acked().await.is_ok());
        let late = PendingAck { until: Instant::now(), ..send() };
        let _unanswered = queue.try_recv().unwrap();
        assert!(late.acked().await.is_ok(), "they are in memory, which is what was asked for");
    }
}
