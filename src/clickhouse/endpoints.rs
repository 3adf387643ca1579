//! The addresses of one ClickHouse: which of them are used now, and which one is next.
//!
//! ```text
//! untried ──answers──▶ up ──refused, reset, an error of a proxy, silent──▶ down ──answers a check──▶ up
//! ```
//!
//! A request goes to the endpoint with the fewest requests under way, and in turn where several have as few; to one that is down only
//! while all are. An exception is an answer: the endpoint that gives it is up.

use super::errors::{Failure, Fault};
use futures_util::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// Pause between two checks of an endpoint.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How long an endpoint may take to answer a check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// Checks in a row without an answer after which an endpoint is down: a busy one may miss one.
const SILENCES_MAX: u32 = 2;
/// Asks for nothing, and leaves no line in `system.query_log`.
const CHECK: &str = "SELECT 1 SETTINGS log_queries = 0";

/// The endpoints; clones share them.
#[derive(Debug, Clone)]
pub struct Endpoints(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    list: Vec<Endpoint>,
    /// Where the next search for an endpoint begins.
    turn: AtomicUsize,
    /// One for each endpoint.
    states: watch::Sender<Vec<State>>,
}

#[derive(Debug)]
struct Endpoint {
    url: String,
    http: ::clickhouse::Client,
    under_way: AtomicUsize,
    /// Asks for a check at once.
    doubted: Notify,
}

#[derive(Debug, Clone)]
struct State {
    since: Instant,
    condition: Condition,
}

/// Whether an endpoint answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It was not asked yet.
    Untried,
    /// It answered last time.
    Up,
    /// It did not.
    Down {
        /// What happened instead.
        why: String,
        /// It takes requests and does not answer them: those under way will not be answered either.
        is_silent: bool,
    },
}

/// An endpoint as health shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointView {
    /// Its address.
    pub url: String,
    /// Whether it answers.
    pub condition: Condition,
    /// For how long that has been so.
    pub since: Duration,
}

/// An endpoint in use by one request.
pub(super) struct InUse<'e> {
    endpoints: &'e Endpoints,
    endpoint: &'e Endpoint,
    number: usize,
}

impl Endpoints {
    /// Endpoints that were not asked yet, each with the client that sends to it.
    pub(super) fn new(clients: impl IntoIterator<Item = (String, ::clickhouse::Client)>) -> Self {
        let endpoint = |(url, http)| Endpoint { url, http, under_way: AtomicUsize::new(0), doubted: Notify::new() };
        let list: Vec<_> = clients.into_iter().map(endpoint).collect();
        assert!(!list.is_empty(), "a client has an address");
        let state = State { since: Instant::now(), condition: Condition::Untried };
        let states = watch::Sender::new(vec![state; list.len()]);
        Self(Arc::new(Shared { list, turn: AtomicUsize::new(0), states }))
    }

    /// New ones like these, with another client each.
    pub(super) fn map(&self, change: impl Fn(::clickhouse::Client) -> ::clickhouse::Client) -> Self {
        Self::new(self.0.list.iter().map(|endpoint| (endpoint.url.clone(), change(endpoint.http.clone()))))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.list.len()
    }

    /// Each, in the order of the configuration.
    #[must_use]
    pub fn view(&self) -> Vec<EndpointView> {
        let states = self.0.states.borrow();
        let view = |(endpoint, state): (&Endpoint, &State)| EndpointView {
            url: endpoint.url.clone(),
            condition: state.condition.clone(),
            since: state.since.elapsed(),
        };
        self.0.list.iter().zip(&*states).map(view).collect()
    }

    /// The endpoint for a request that was at those in `tried` before, which are not all: `preferred` if it is up.
    pub(super) fn choose(&self, preferred: Option<usize>, tried: &[usize]) -> InUse<'_> {
        let states = self.0.states.borrow();
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..self.count()).map(|place| turn.wrapping_add(place) % self.count());
        let load = |(number, endpoint): &(usize, &Endpoint)| {
            let is_down = states.get(*number).is_some_and(|state| matches!(state.condition, Condition::Down { .. }));
            (is_down, Some(*number) != preferred, endpoint.under_way.load(Ordering::Relaxed))
        };
        let untried = in_turn.filter(|number| !tried.contains(number));
        let endpoints = untried.filter_map(|number| Some((number, self.0.list.get(number)?)));
        let (number, endpoint) = endpoints.min_by_key(load).expect("one was not tried yet");
        endpoint.under_way.fetch_add(1, Ordering::Relaxed);
        InUse { endpoints: self, endpoint, number }
    }

    /// Notes whether an endpoint answers, and says it when that changed and there are others.
    fn note(&self, number: usize, condition: Condition) {
        let Some(endpoint) = self.0.list.get(number) else { return };
        let (url, are_several) = (&endpoint.url, self.count() > 1);
        self.0.states.send_if_modified(|states| {
            let Some(state) = states.get_mut(number) else { return false };
            let seconds = state.since.elapsed().as_secs();
            match (&state.condition, &condition) {
                (before, now) if before == now => return false,
                // still down, for another reason: since when stays
                (Condition::Down { .. }, Condition::Down { .. }) => {
                    state.condition = condition;
                    return true;
                }
                (Condition::Down { .. }, Condition::Up) if are_several => {
                    tracing::info!(
                        url,
                        down_seconds = seconds,
                        "an endpoint of ClickHouse answers again, and is used again"
                    );
                }
                (_, Condition::Down { why, .. }) if are_several => {
                    tracing::warn!(url, why, "an endpoint of ClickHouse does not answer; requests go to the others");
                }
                _ => {}
            }
            *state = State { since: Instant::now(), condition };
            true
        });
    }

    /// Checks each endpoint until it is cancelled; a single one needs no check. Safe to cancel.
    pub async fn watch(self) {
        if self.count() > 1 {
            join_all((0..self.count()).map(|number| self.check_one(number))).await;
        }
    }

    async fn check_one(&self, number: usize) {
        let Some(endpoint) = self.0.list.get(number) else { return };
        let mut silences = 0;
        loop {
            let asked = tokio::time::timeout(CHECK_TIMEOUT, endpoint.http.query(CHECK).fetch_one::<u8>()).await;
            silences = if asked.is_ok() { 0 } else { silences + 1 };
            match asked.map(|answer| answer.map_err(|error| Failure::of(&error))) {
                Ok(Err(Failure { fault: Some(_), message, .. })) => {
                    self.note(number, Condition::Down { why: message, is_silent: false });
                }
                Ok(_) => self.note(number, Condition::Up),
                Err(_) if silences < SILENCES_MAX => continue,
                Err(_) => {
                    let why = "it takes requests and does not answer them".to_owned();
                    self.note(number, Condition::Down { why, is_silent: true });
                }
            }
            tokio::select! {
                () = tokio::time::sleep(CHECK_EVERY) => {}
                () = endpoint.doubted.notified() => {}
            }
        }
    }
}

impl<'e> InUse<'e> {
    pub(super) fn number(&self) -> usize {
        self.number
    }

    pub(super) fn http(&self) -> &'e ::clickhouse::Client {
        &self.endpoint.http
    }

    /// Notes what became of a request, or of a part of its answer.
    pub(super) fn heard<T>(&self, done: Result<T, Failure>) -> Result<T, Failure> {
        match &done {
            Ok(_) => self.endpoints.note(self.number, Condition::Up),
            Err(failure) if failure.fault.is_some() => {
                let why = failure.message.clone();
                self.endpoints.note(self.number, Condition::Down { why, is_silent: false });
            }
            // it may be busy with just this request: a check says
            Err(failure) if failure.timed_out => self.endpoint.doubted.notify_one(),
            Err(_) => {}
        }
        done
    }

    /// Waits until this endpoint is silent while another is up: what was asked here is better asked there.
    pub(super) async fn is_lost(&self) {
        let mut states = self.endpoints.0.states.subscribe();
        let is_lost = |states: &Vec<State>| {
            let is_silent = |state: &State| matches!(state.condition, Condition::Down { is_silent: true, .. });
            states.get(self.number).is_some_and(is_silent)
                && states.iter().any(|state| state.condition == Condition::Up)
        };
        // an error would mean that the sender is gone, and `self` holds it
        let _lost = states.wait_for(is_lost).await;
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.endpoint.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// When a request may be sent again to another endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Whatever became of it: it is a question, or an insert with a token.
    Always,
    /// If it did not reach the first one.
    Unsent,
}

impl Repeat {
    pub(super) fn allows(self, failure: &Failure) -> bool {
        match self {
            Self::Always => failure.fault.is_some(),
            Self::Unsent => failure.fault == Some(Fault::Unreachable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn three() -> Endpoints {
        Endpoints::new(["a", "b", "c"].map(|name| (name.to_owned(), ::clickhouse::Client::default())))
    }

    fn down(is_silent: bool) -> Condition {
        Condition::Down { why: "gone".to_owned(), is_silent }
    }

    /// The endpoints of so many requests, each over before the next.
    fn chosen(endpoints: &Endpoints, preferred: Option<usize>, tried: &[usize], requests: usize) -> Vec<usize> {
        (0..requests).map(|_| endpoints.choose(preferred, tried).number()).collect()
    }

    fn failed(fault: Option<Fault>) -> Result<(), Failure> {
        Err(Failure { fault, ..Failure::local("no") })
    }

    #[test]
    fn requests_go_to_each_endpoint_in_turn_and_past_those_that_are_busy() {
        let endpoints = three();
        assert_eq!(chosen(&endpoints, None, &[], 6), [0, 1, 2, 0, 1, 2]);
        let busy = [endpoints.choose(None, &[]), endpoints.choose(None, &[])];
        assert_eq!(busy.each_ref().map(InUse::number), [0, 1]);
        assert_eq!(chosen(&endpoints, None, &[], 4), [2, 2, 2, 2]);
        drop(busy);
        assert_eq!(chosen(&endpoints, None, &[], 3), [0, 1, 2]);
    }

    #[test]
    fn an_endpoint_that_is_down_is_left_out_while_another_is_not() {
        let endpoints = three();
        endpoints.note(1, down(false));
        assert_eq!(chosen(&endpoints, None, &[], 4), [0, 2, 2, 0]);
        let busy = [endpoints.choose(None, &[1]), endpoints.choose(None, &[1])];
        assert!(!chosen(&endpoints, None, &[], 6).contains(&1), "however busy the others are");
        drop(busy);
        assert_eq!(chosen(&endpoints, None, &[0, 2], 2), [1, 1], "the others were tried");
        endpoints.note(0, down(false));
        endpoints.note(2, down(true));
        let mut all = chosen(&endpoints, None, &[], 3);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2], "all are down");
        endpoints.note(1, Condition::Up);
        assert_eq!(chosen(&endpoints, None, &[], 3), [1, 1, 1]);
    }

    #[test]
    fn a_preferred_endpoint_is_used_while_it_is_up_and_was_not_tried() {
        let endpoints = three();
        let busy = endpoints.choose(Some(2), &[]);
        assert_eq!(chosen(&endpoints, Some(2), &[], 3), [2, 2, 2]);
        drop(busy);
        assert!(!chosen(&endpoints, Some(2), &[2], 3).contains(&2));
        endpoints.note(2, down(false));
        assert!(!chosen(&endpoints, Some(2), &[], 3).contains(&2));
    }

    #[test]
    fn what_clickhouse_says_leaves_an_endpoint_up_and_what_keeps_it_from_saying_anything_does_not() {
        let endpoints = three();
        let condition = |number: usize| endpoints.view().swap_remove(number).condition;
        let first = endpoints.choose(Some(0), &[]);
        let _noted = first.heard(failed(None));
        assert_eq!(condition(0), Condition::Untried);
        first.heard(Ok(())).unwrap();
        assert_eq!(condition(0), Condition::Up);
        for fault in [Fault::Unreachable, Fault::Broken] {
            let _noted = first.heard(failed(Some(fault)));
            assert_eq!(condition(0), Condition::Down { why: "no".to_owned(), is_silent: false });
            first.heard(Ok(())).unwrap();
        }
        let _noted = first.heard::<()>(Err(Failure::of_timeout()));
        assert_eq!(condition(0), Condition::Up, "a check will say");
        assert!(first.endpoint.doubted.notified().now_or_never().is_some());
    }

    #[test]
    fn a_request_at_a_silent_endpoint_is_given_up_only_when_another_is_up() {
        let endpoints = three();
        let request = endpoints.choose(Some(0), &[]);
        let is_lost = || request.is_lost().now_or_never().is_some();
        endpoints.note(0, down(false));
        endpoints.note(1, Condition::Up);
        assert!(!is_lost(), "it may answer what it has taken");
        endpoints.note(0, down(true));
        assert!(is_lost());
        endpoints.note(1, down(true));
        assert!(!is_lost(), "nobody else would answer");
    }

    #[test]
    fn only_what_did_not_arrive_is_repeated_when_it_could_do_harm_twice() {
        let allowed = |repeat: Repeat| {
            [None, Some(Fault::Broken), Some(Fault::Unreachable)]
                .map(|fault| repeat.allows(&Failure { fault, ..Failure::local("no") }))
        };
        assert_eq!(allowed(Repeat::Always), [false, true, true]);
        assert_eq!(allowed(Repeat::Unsent), [false, false, true]);
    }
}
