//! Whether ClickHouse takes inserts, since when not, and why; and which segments it does not take although it takes others.
//!
//! ```text
//! endpoint   starting -> storing <-> away       said once per change in the log, always in health
//! segments   in trouble: refused while others are taken; the endpoint is none the worse for it
//! ```
//!
//! Reachable is more than storing: a ClickHouse that refuses inserts with words of its own can still be asked.

use super::errors::Failure;
use crate::ids::SegmentId;
use crate::telemetry::Metrics;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long after the start ClickHouse may be out of reach before that is said.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// Segments in trouble that are kept for health.
const SEGMENTS_MAX: usize = 100;

/// The state; clones share it.
#[derive(Debug, Clone)]
pub struct Availability(Arc<watch::Sender<State>>, Arc<watch::Sender<u64>>);

#[derive(Debug)]
struct State {
    endpoint: Endpoint,
    /// The table was there once.
    is_prepared: bool,
    /// What the last look at a cluster found, and since when no node of a shard could write.
    cluster: ClusterTrouble,
    unable_since: Option<Instant>,
    segments: BTreeMap<SegmentId, Troubled>,
}

#[derive(Debug)]
enum Endpoint {
    /// ClickHouse was not reached yet; for a while that is no news, an engine takes its time to start.
    Starting {
        since: Instant,
    },
    Storing,
    Away {
        since: Instant,
        why: String,
        needs_operator: bool,
        /// It said so itself.
        answers: bool,
    },
}

#[derive(Debug)]
struct Troubled {
    since: Instant,
    rows: usize,
    tries: u32,
    why: String,
}

/// The endpoint as health shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// ClickHouse was not reached yet.
    Starting,
    /// ClickHouse took the last insert, or refuses only some.
    Storing,
    /// ClickHouse did not take the last insert.
    Away {
        /// For how long.
        since: Duration,
        /// The reason that it gave.
        why: String,
    },
}

/// What of a cluster is not as it should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterTrouble {
    /// `host:port` of nodes that do not answer.
    pub absent: Vec<String>,
    /// `host:port` of nodes that cannot write now, as without Keeper.
    pub read_only: Vec<String>,
    /// A shard of which no node can write, so that nothing is stored.
    pub shard: Option<u32>,
}

/// A segment that ClickHouse does not take, as health shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentView {
    /// Which.
    pub segment: SegmentId,
    /// Its rows.
    pub rows: usize,
    /// For how long.
    pub since: Duration,
    /// Attempts that failed.
    pub tries: u32,
    /// The reason that ClickHouse gave.
    pub why: String,
}

impl Default for Availability {
    fn default() -> Self {
        let endpoint = Endpoint::Starting { since: Instant::now() };
        let (cluster, unable_since, segments) = Default::default();
        let state = State { endpoint, is_prepared: false, cluster, unable_since, segments };
        Self(Arc::new(watch::Sender::new(state)), Arc::default())
    }
}

impl Availability {
    /// What is the case now.
    #[must_use]
    pub fn view(&self) -> View {
        let state = self.0.borrow();
        match &state.endpoint {
            Endpoint::Starting { .. } => View::Starting,
            Endpoint::Storing => match (state.unable_since, state.cluster.shard) {
                (Some(since), Some(shard)) => {
                    View::Away { since: since.elapsed(), why: format!("no node of shard {shard} can write now") }
                }
                _ => View::Storing,
            },
            Endpoint::Away { since, why, .. } => View::Away { since: since.elapsed(), why: why.clone() },
        }
    }

    /// How many inserts ClickHouse took, for those who wait for the next one.
    #[must_use]
    pub fn stored(&self) -> watch::Receiver<u64> {
        self.1.subscribe()
    }

    /// What of a cluster is not well.
    #[must_use]
    pub fn cluster_trouble(&self) -> ClusterTrouble {
        self.0.borrow().cluster.clone()
    }

    /// Notes what of a cluster is not well, and says it when it changed.
    pub fn note_cluster(&self, cluster: ClusterTrouble) {
        self.0.send_if_modified(|state| {
            if state.cluster == cluster {
                return false;
            }
            let (absent, read_only) = (cluster.absent.join(", "), cluster.read_only.join(", "));
            if cluster == ClusterTrouble::default() {
                tracing::info!("all nodes of the cluster answer and can write");
            } else {
                tracing::warn!(absent, read_only, "nodes of the cluster do not answer, or cannot write");
            }
            state.unable_since = cluster.shard.and(state.unable_since.or_else(|| Some(Instant::now())));
            state.cluster = cluster;
            false
        });
    }

    /// The segments in trouble, oldest first; not all when there are very many.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentView> {
        let state = self.0.borrow();
        let shown = state.segments.iter().map(|(segment, troubled)| SegmentView {
            segment: *segment,
            rows: troubled.rows,
            since: troubled.since.elapsed(),
            tries: troubled.tries,
            why: troubled.why.clone(),
        });
        shown.collect()
    }

    /// Waits until ClickHouse has the table and can be asked. Safe to cancel.
    pub async fn until_reachable(&self) {
        // an error would mean that the sender is gone, and `self` holds it
        let mut states = self.0.subscribe();
        let _reachable = states.wait_for(State::is_reachable).await;
    }

    /// Notes that ClickHouse took what it was sent.
    pub fn succeeded(&self, metrics: &Metrics) {
        metrics.clickhouse_up.set(1);
        self.1.send_modify(|stored| *stored = stored.wrapping_add(1));
        self.0.send_if_modified(|state| {
            state.is_prepared = true;
            match std::mem::replace(&mut state.endpoint, Endpoint::Storing) {
                Endpoint::Storing => return false,
                Endpoint::Starting { .. } => tracing::info!("ClickHouse is ready"),
                Endpoint::Away { since, .. } => {
                    tracing::info!(away_seconds = since.elapsed().as_secs(), "ClickHouse is accepting inserts again");
                }
            }
            true
        });
    }

    /// Notes that ClickHouse did not take what it was sent, and nothing else since it failed before.
    pub fn failed(&self, failure: &Failure, needs_operator: bool, metrics: &Metrics) {
        metrics.clickhouse_up.set(0);
        let mut is_news = true;
        self.0.send_modify(|state| {
            let since = match &state.endpoint {
                Endpoint::Starting { since } if !needs_operator && since.elapsed() < START_PATIENCE => {
                    is_news = false;
                    return;
                }
                Endpoint::Starting { since } => *since,
                Endpoint::Storing => Instant::now(),
                Endpoint::Away { since, needs_operator: before, .. } => {
                    is_news = *before != needs_operator;
                    *since
                }
            };
            let (why, answers) = (failure.message.clone(), failure.is_answer());
            state.endpoint = Endpoint::Away { since, why, needs_operator, answers };
        });
        if !is_news {
            return;
        }
        let why = &failure.message;
        if needs_operator {
            tracing::error!(why, "ClickHouse refuses what Millrace sends; accepted spans wait in the journal");
        } else {
            tracing::warn!(why, "ClickHouse is away; accepted spans wait in the journal");
        }
    }

    /// Notes that a segment was not taken after so many tries, although ClickHouse takes others, or was not even sent.
    pub fn in_trouble(&self, segment: SegmentId, rows: usize, tries: u32, failure: &Failure) {
        self.0.send_if_modified(|state| {
            let why = failure.message.clone();
            if let Some(troubled) = state.segments.get_mut(&segment) {
                (troubled.tries, troubled.why) = (tries, why);
            } else if state.segments.len() < SEGMENTS_MAX {
                tracing::warn!(%segment, rows, why, "a segment is not taken; it is tried again, and others go on");
                state.segments.insert(segment, Troubled { since: Instant::now(), rows, tries, why });
            }
            // nobody waits for this
            false
        });
    }

    /// Notes that a segment came to its end, whatever that is.
    pub fn resolved(&self, segment: SegmentId) {
        self.0.send_if_modified(|state| {
            if let Some(troubled) = state.segments.remove(&segment) {
                let seconds = troubled.since.elapsed().as_secs();
                tracing::info!(%segment, seconds, "a segment that was in trouble is settled");
            }
            false
        });
    }
}

impl State {
    fn is_reachable(&self) -> bool {
        self.is_prepared && matches!(self.endpoint, Endpoint::Storing | Endpoint::Away { answers: true, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn answered(code: u32) -> Failure {
        Failure::of_response(&format!("Code: {code}. DB::Exception: whatever. (SOME_NAME)"))
    }

    fn is_reachable(availability: &Availability) -> bool {
        availability.until_reachable().now_or_never().is_some()
    }

    #[test]
    fn a_segment_in_trouble_makes_the_endpoint_none_the_worse() {
        let (availability, metrics) = (Availability::default(), Metrics::new().unwrap());
        assert_eq!((availability.view(), is_reachable(&availability)), (View::Starting, false));
        availability.succeeded(&metrics);
        for tries in 1..4 {
            availability.in_trouble(SegmentId::new(1, 2), 7, tries, &answered(271));
            assert_eq!((availability.view(), metrics.clickhouse_up.get()), (View::Storing, 1));
            assert!(is_reachable(&availability));
        }
        let [segment] = &availability.segments()[..] else { panic!("one segment") };
        assert_eq!((segment.rows, segment.tries, segment.why.as_str()), (7, 3, "Code: 271 SOME_NAME"));
        availability.resolved(SegmentId::new(1, 2));
        assert_eq!(availability.segments(), []);
    }

    #[test]
    fn what_refuses_with_words_of_its_own_can_be_asked_and_what_is_silent_cannot() {
        let (availability, metrics) = (Availability::default(), Metrics::new().unwrap());
        availability.failed(&answered(516), true, &metrics);
        assert!(!is_reachable(&availability), "there was no table yet");
        availability.succeeded(&metrics);
        for (failure, want) in [(answered(252), true), (Failure::of_timeout(), false), (answered(9_999), true)] {
            availability.failed(&failure, false, &metrics);
            assert!(matches!(availability.view(), View::Away { .. }));
            assert_eq!((is_reachable(&availability), metrics.clickhouse_up.get()), (want, 0), "{failure:?}");
        }
        availability.succeeded(&metrics);
        assert_eq!((availability.view(), metrics.clickhouse_up.get()), (View::Storing, 1));
    }

    #[test]
    fn segments_in_trouble_are_bounded() {
        let availability = Availability::default();
        for number in 0..3 * u64::try_from(SEGMENTS_MAX).unwrap() {
            availability.in_trouble(SegmentId::new(1, number), 1, 1, &answered(271));
        }
        assert_eq!(availability.segments().len(), SEGMENTS_MAX);
    }
}
