//! How much each workspace may send, so that one that sends too much costs nobody else anything.
//!
//! ```text
//! request --> admit: is it in debt? --> read --> charge its bytes --> decode --> charge its rows --> journal: hold its bytes until stored
//!                '-- yes: "try again", before anything is read
//! ```
//!
//! What a request costs is known only after it was read, so it is taken and paid for afterwards: a workspace that has used more than a
//! second's worth waits until less than that is left to pay. So a second may have twice its worth, a minute hardly more than its own, and
//! nothing is read or decoded only to be thrown away.

use crate::ids::SegmentId;
use crate::locks::locked;
use crate::numbers::{saturating_i64, to_u64};
use crate::sizes::ByteSize;
use crate::telemetry::AccessMetrics;
use crate::workspace::Workspace;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How far a workspace may be ahead of its quota.
const AHEAD_MAX: Duration = Duration::from_secs(1);
/// How long a sender is told to wait at most: one that is told to wait for longer gives up.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Workspaces of which something is known; those beyond share one account.
const ACCOUNTS_MAX: usize = 10_000;
/// How often idle accounts are looked for while all are taken.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What a workspace may use; absent: as much as there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a second.
    pub requests_per_second: Option<u64>,
    /// Bytes of requests a second, decompressed.
    pub bytes_per_second: Option<ByteSize>,
    /// Spans, log records, data points and captured calls a second, together.
    pub rows_per_second: Option<u64>,
    /// Bytes of rows in the journal that ClickHouse does not have yet.
    pub journal_bytes: Option<ByteSize>,
}

/// What workspaces may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// As in [`Limits`], of each workspace.
    pub requests_per_second: Option<u64>,
    /// As in [`Limits`], of each workspace.
    pub bytes_per_second: Option<ByteSize>,
    /// As in [`Limits`], of each workspace.
    pub rows_per_second: Option<u64>,
    /// As in [`Limits`], of each workspace.
    pub journal_bytes: Option<ByteSize>,
    /// What differs for single workspaces.
    pub workspaces: BTreeMap<String, Limits>,
}

impl Config {
    /// Quotas that are 0, and names that are not those of workspaces, each by its key.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let all = [("quotas".to_owned(), self.of_all())];
        let single = self.workspaces.iter().map(|(name, limits)| (format!("quotas.workspaces.{name}"), *limits));
        for (place, limits) in all.into_iter().chain(single) {
            let Limits { requests_per_second, bytes_per_second, rows_per_second, journal_bytes } = limits;
            for (key, is_zero) in [
                ("requests_per_second", requests_per_second == Some(0)),
                ("bytes_per_second", bytes_per_second == Some(ByteSize(0))),
                ("rows_per_second", rows_per_second == Some(0)),
                ("journal_bytes", journal_bytes == Some(ByteSize(0))),
            ] {
                if is_zero {
                    problems.push(format!("{place}.{key}: must be at least 1"));
                }
            }
        }
        let wrong = self.workspaces.keys().filter(|name| Workspace::new(name).is_err());
        problems.extend(wrong.map(|name| format!("quotas.workspaces: {name:?} is not the name of a workspace")));
        problems
    }

    fn of_all(&self) -> Limits {
        let Self { requests_per_second, bytes_per_second, rows_per_second, journal_bytes, .. } = *self;
        Limits { requests_per_second, bytes_per_second, rows_per_second, journal_bytes }
    }

    fn of(&self, workspace: &Workspace) -> Limits {
        let all = self.of_all();
        let Some(own) = self.workspaces.get(workspace.as_str()) else { return all };
        Limits {
            requests_per_second: own.requests_per_second.or(all.requests_per_second),
            bytes_per_second: own.bytes_per_second.or(all.bytes_per_second),
            rows_per_second: own.rows_per_second.or(all.rows_per_second),
            journal_bytes: own.journal_bytes.or(all.journal_bytes),
        }
    }

    fn limits_anything(&self) -> bool {
        let is_set = |limits: Limits| limits != Limits::default();
        is_set(self.of_all()) || self.workspaces.values().copied().any(is_set)
    }
}

/// Which quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Requests a second.
    Requests,
    /// Bytes a second.
    Bytes,
    /// Rows a second.
    Rows,
    /// Bytes in the journal.
    Journal,
}

impl Quota {
    /// Its name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Bytes => "bytes",
            Self::Rows => "rows",
            Self::Journal => "journal",
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requests => "quota of requests a second",
            Self::Bytes => "quota of bytes a second",
            Self::Rows => "quota of rows a second",
            Self::Journal => "quota of bytes that wait for ClickHouse",
        })
    }
}

/// A workspace has used more than it may; its sender tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this workspace has used up its {quota}; try again in {} s", self.retry_after().as_secs())]
pub struct OverQuota {
    /// Which one.
    pub quota: Quota,
    wait: Duration,
}

impl OverQuota {
    /// When to try again: whole seconds, at least one.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        let whole = self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0);
        Duration::from_secs(whole).clamp(Duration::from_secs(1), WAIT_MAX)
    }
}

/// When all that was used is paid for, as time since the start.
#[derive(Debug, Clone, Copy, Default)]
struct Paid(Duration);

impl Paid {
    /// How long to wait, if it is too far ahead.
    fn wait(self, now: Duration) -> Option<Duration> {
        let wait = self.0.saturating_sub(now).checked_sub(AHEAD_MAX)?;
        // less than a nanosecond is not nothing
        Some(wait.max(Duration::from_nanos(1)))
    }

    fn pay(&mut self, now: Duration, count: u64, per_second: u64) {
        let nanos = u128::from(count) * 1_000_000_000 / u128::from(per_second.max(1));
        let cost = Duration::from_nanos(saturating_i64(nanos).cast_unsigned());
        self.0 = self.0.max(now).saturating_add(cost);
    }
}

/// What a workspace has used.
#[derive(Debug)]
struct Account {
    limits: Limits,
    requests: Paid,
    bytes: Paid,
    rows: Paid,
    /// Bytes in the journal.
    held: u64,
}

impl Account {
    fn new(limits: Limits) -> Self {
        Self { limits, requests: Paid::default(), bytes: Paid::default(), rows: Paid::default(), held: 0 }
    }

    fn over(&self, now: Duration, with_requests: bool) -> Option<OverQuota> {
        let over = |quota, wait: Option<Duration>| wait.map(|wait| OverQuota { quota, wait });
        let requests = if with_requests { self.requests.wait(now) } else { None };
        let is_held = self.limits.journal_bytes.is_some_and(|max| self.held >= to_u64(max.0));
        over(Quota::Requests, requests)
            .or_else(|| over(Quota::Bytes, self.bytes.wait(now)))
            .or_else(|| over(Quota::Rows, self.rows.wait(now)))
            .or_else(|| over(Quota::Journal, is_held.then_some(AHEAD_MAX)))
    }

    /// Whether forgetting it changes nothing.
    fn is_idle(&self, now: Duration) -> bool {
        self.held == 0 && [self.requests, self.bytes, self.rows].iter().all(|paid| paid.0 <= now)
    }
}

/// Whose account it is.
type Holder = Option<Workspace>;

#[derive(Debug, Default)]
struct Books {
    config: Config,
    /// Those beyond the bound share the one of nobody.
    accounts: HashMap<Holder, Account>,
    /// When idle accounts were last looked for, which costs a look at each.
    swept: Option<Duration>,
    /// What waits in the journal, by segment.
    held: HashMap<SegmentId, HashMap<Holder, u64>>,
}

impl Books {
    fn holder(&mut self, workspace: &Workspace, now: Duration) -> Holder {
        let holder = Some(workspace.clone());
        if self.accounts.len() < ACCOUNTS_MAX || self.accounts.contains_key(&holder) {
            return holder;
        }
        if self.swept.is_none_or(|swept| swept + SWEEP_EVERY <= now) {
            self.swept = Some(now);
            self.accounts.retain(|_, account| !account.is_idle(now));
        }
        if self.accounts.len() < ACCOUNTS_MAX { holder } else { None }
    }

    fn account(&mut self, workspace: &Workspace, now: Duration) -> &mut Account {
        let holder = self.holder(workspace, now);
        self.account_of(holder)
    }

    fn account_of(&mut self, holder: Holder) -> &mut Account {
        let limits = holder.as_ref().map_or_else(|| self.config.of_all(), |workspace| self.config.of(workspace));
        self.accounts.entry(holder).or_insert_with(|| Account::new(limits))
    }
}

/// The quotas of all workspaces; clones share them.
#[derive(Debug, Clone)]
pub struct Quotas(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    is_on: AtomicBool,
    counts_journal: AtomicBool,
    books: Mutex<Books>,
    metrics: AccessMetrics,
    start: Instant,
}

impl Quotas {
    /// Quotas as configured.
    #[must_use]
    pub fn new(config: Config, metrics: AccessMetrics) -> Self {
        let quotas = Self(Arc::new(Shared {
            is_on: AtomicBool::new(false),
            counts_journal: AtomicBool::new(false),
            books: Mutex::default(),
            metrics,
            start: Instant::now(),
        }));
        quotas.replace(config);
        quotas
    }

    /// From now on these hold. What was used stays used.
    pub fn replace(&self, config: Config) {
        let mut books = self.books();
        self.0.is_on.store(config.limits_anything(), Ordering::Relaxed);
        let mut all = config.workspaces.values().map(|limits| limits.journal_bytes).chain([config.journal_bytes]);
        self.0.counts_journal.store(all.any(|bytes| bytes.is_some()), Ordering::Relaxed);
        for (holder, account) in &mut books.accounts {
            account.limits = holder.as_ref().map_or_else(|| config.of_all(), |workspace| config.of(workspace));
        }
        books.config = config;
    }

    /// Takes a request of a workspace.
    ///
    /// # Errors
    /// If the workspace has used too much.
    pub fn admit(&self, workspace: &Workspace) -> Result<(), OverQuota> {
        self.decide(workspace, true)
    }

    /// The same for one of many records of a request that was taken.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn admit_record(&self, workspace: &Workspace) -> Result<(), OverQuota> {
        self.decide(workspace, false)
    }

    fn decide(&self, workspace: &Workspace, is_request: bool) -> Result<(), OverQuota> {
        if !self.is_on() {
            return Ok(());
        }
        let now = self.now();
        let mut books = self.books();
        let account = books.account(workspace, now);
        let over = account.over(now, is_request);
        if let (None, true, Some(max)) = (over, is_request, account.limits.requests_per_second) {
            account.requests.pay(now, 1, max);
        }
        drop(books);
        over.map_or(Ok(()), |over| {
            self.0.metrics.count_over_quota(workspace.as_str(), over.quota.as_str());
            Err(over)
        })
    }

    /// So many bytes of requests were read.
    pub fn charge_bytes(&self, workspace: &Workspace, bytes: usize) {
        self.charge(workspace, |account, now| {
            if let Some(max) = account.limits.bytes_per_second {
                account.bytes.pay(now, to_u64(bytes), to_u64(max.0));
            }
        });
    }

    /// So many rows were taken.
    pub fn charge_rows(&self, workspace: &Workspace, rows: usize) {
        self.charge(workspace, |account, now| {
            if let Some(max) = account.limits.rows_per_second {
                account.rows.pay(now, to_u64(rows), max);
            }
        });
    }

    fn charge(&self, workspace: &Workspace, change: impl FnOnce(&mut Account, Duration)) {
        if self.is_on() {
            let now = self.now();
            change(self.books().account(workspace, now), now);
        }
    }

    /// Whether anybody has a quota of bytes in the journal.
    #[must_use]
    pub fn counts_journal(&self) -> bool {
        self.0.counts_journal.load(Ordering::Relaxed)
    }

    /// Bytes of a workspace are in a segment of the journal until [`release`](Self::release). Whether they are the first of the segment, so
    /// that somebody must wait for its end.
    #[must_use]
    pub fn hold(&self, segment: SegmentId, workspace: &Workspace, bytes: usize) -> bool {
        if !self.counts_journal() || bytes == 0 {
            return false;
        }
        let (now, bytes) = (self.now(), to_u64(bytes));
        let mut books = self.books();
        let holder = books.holder(workspace, now);
        let account = books.account_of(holder.clone());
        account.held = account.held.saturating_add(bytes);
        let is_first = !books.held.contains_key(&segment);
        *books.held.entry(segment).or_default().entry(holder).or_default() += bytes;
        is_first
    }

    /// ClickHouse has a segment.
    pub fn release(&self, segment: SegmentId) {
        let mut books = self.books();
        for (holder, bytes) in books.held.remove(&segment).into_iter().flatten() {
            let account = books.accounts.get_mut(&holder).expect("an account that holds something is not forgotten");
            account.held = account.held.saturating_sub(bytes);
        }
    }

    fn is_on(&self) -> bool {
        self.0.is_on.load(Ordering::Relaxed)
    }

    fn now(&self) -> Duration {
        self.0.start.elapsed()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        locked(&self.0.books)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    fn workspace(name: &str) -> Workspace {
        Workspace::new(name).unwrap()
    }

    fn quotas(yaml: &str) -> Quotas {
        let config: Config = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!(config.problems(), [""; 0]);
        Quotas::new(config, Metrics::new().unwrap().access)
    }

    #[test]
    fn what_is_used_is_paid_for_at_the_configured_rate() {
        let mut paid = Paid::default();
        let at = Duration::from_millis;
        assert_eq!(paid.wait(at(0)), None);
        paid.pay(at(0), 300, 100);
        assert_eq!(paid.wait(at(0)), Some(at(2_000)), "three seconds' worth, of which one may be ahead");
        assert_eq!((paid.wait(at(1_999)), paid.wait(at(2_001))), (Some(at(1)), None));
        paid.pay(at(10_000), 50, 100);
        assert_eq!(paid.wait(at(10_000)), None, "what was not used before is not saved up");
        paid.pay(at(10_000), 50, 100);
        assert!(paid.wait(at(10_000)).is_some() && paid.wait(at(10_001)).is_none());
        paid.pay(at(10_000), u64::MAX, 1);
        assert!(paid.wait(at(20_000)).is_some());
    }

    #[test]
    fn each_quota_refuses_its_own_workspace_alone() {
        let quotas =
            quotas("{ rows_per_second: 10, workspaces: { b: { rows_per_second: 1000, requests_per_second: 2 } } }");
        let (a, b) = (workspace("a"), workspace("b"));
        quotas.charge_rows(&a, 100);
        quotas.charge_rows(&b, 100);
        let over = quotas.admit(&a).unwrap_err();
        assert_eq!((over.quota, over.retry_after()), (Quota::Rows, WAIT_MAX));
        assert_eq!(quotas.admit(&b), Ok(()));
        let over = (0..100).find_map(|_| quotas.admit(&b).err()).unwrap();
        assert_eq!(over.quota, Quota::Requests);
        assert_eq!(quotas.admit_record(&b), Ok(()), "a record is no request");
        quotas.replace(Config::default());
        assert_eq!((quotas.admit(&a), quotas.admit(&b)), (Ok(()), Ok(())));
    }

    #[test]
    fn bytes_in_the_journal_are_held_until_their_segment_is_stored() {
        let quotas = quotas("{ journal_bytes: 1KiB }");
        let (a, b) = (workspace("a"), workspace("b"));
        let (one, other) = (SegmentId::new(1, 1), SegmentId::new(1, 2));
        assert!(quotas.hold(one, &a, 600) && !quotas.hold(one, &b, 1) && quotas.hold(other, &a, 600));
        assert_eq!(quotas.admit(&a).unwrap_err().quota, Quota::Journal);
        assert_eq!(quotas.admit(&b), Ok(()));
        quotas.release(one);
        assert_eq!(quotas.admit(&a), Ok(()));
        quotas.release(other);
        quotas.release(other);
        assert!(quotas.books().held.is_empty());
    }

    #[test]
    fn accounts_are_bounded_and_idle_ones_are_forgotten() {
        let quotas = quotas("{ rows_per_second: 10 }");
        for number in 0..ACCOUNTS_MAX {
            quotas.charge_rows(&workspace(&format!("w{number}")), 0);
        }
        quotas.charge_rows(&workspace("new"), 100);
        assert_eq!(quotas.books().accounts.len(), 1);
        for number in 0..ACCOUNTS_MAX * 2 {
            quotas.charge_rows(&workspace(&format!("w{number}")), 100_000);
        }
        let books = quotas.books();
        assert!(
            books.accounts.len() <= ACCOUNTS_MAX + 1 && books.accounts.contains_key(&None),
            "those beyond share one"
        );
        drop(books);
        assert!(quotas.admit(&workspace("unheard-of")).is_err());
    }

    #[test]
    fn without_quotas_everything_is_admitted() {
        let quotas = quotas("{}");
        quotas.charge_rows(&workspace("a"), usize::MAX);
        assert_eq!(quotas.admit(&workspace("a")), Ok(()));
        assert!(!quotas.hold(SegmentId::new(1, 1), &workspace("a"), 1));
        let zero: Config = serde_saphyr::from_str("{ workspaces: { a: { rows_per_second: 0 } } }").unwrap();
        assert_eq!(zero.problems(), ["quotas.workspaces.a.rows_per_second: must be at least 1"]);
    }
}
