//! What happens on one connection: who owes whom something, and since when.

use super::pool::{Id, Pool};
use super::{CLOSING_TIMEOUT, Config};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

/// A body that has been arriving for longer may be cut off for a new connection.
const BODY_PATIENCE: Duration = Duration::from_secs(5);

/// The record of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    evict: Notify,
    id: Id,
    pool: Weak<Pool>,
}

/// Who owes what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owed {
    /// The client its first request.
    FirstRequest,
    /// Nobody anything: it is between two requests.
    Nothing,
    /// The client the rest of a body, for every request under way.
    Body,
    /// We an answer.
    Answer,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// Requests that are not answered.
    under_way: usize,
    /// Those of them whose body has not arrived.
    arriving: usize,
    had_request: bool,
    is_evicted: bool,
    /// When the client last began to owe what it owes.
    owed_since: Instant,
    /// When something last happened: a request, a piece of a body, a piece of an answer that was taken.
    last: Instant,
}

impl State {
    fn owed(&self) -> Owed {
        match (self.under_way, self.had_request) {
            (0, false) => Owed::FirstRequest,
            (0, true) => Owed::Nothing,
            (under_way, _) if under_way == self.arriving => Owed::Body,
            _ => Owed::Answer,
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.owed();
        change(self);
        self.last = Instant::now();
        if self.owed() != before {
            self.owed_since = self.last;
        }
    }
}

impl Activity {
    pub(super) fn new(id: Id, pool: Weak<Pool>) -> Self {
        let now = Instant::now();
        let state =
            State { under_way: 0, arriving: 0, had_request: false, is_evicted: false, owed_since: now, last: now };
        Self { state: Mutex::new(state), evict: Notify::new(), id, pool }
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request's headers are here. It is under way until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        let mut is_first = false;
        self.state().change(|state| {
            is_first = !std::mem::replace(&mut state.had_request, true);
            state.under_way += 1;
        });
        if is_first && let Some(pool) = self.pool.upgrade() {
            pool.has_spoken(self.id);
        }
        UnderWay(Arc::clone(self))
    }

    /// A request has a body, which arrives from now on.
    pub(super) fn body_begins(&self) {
        self.state().change(|state| state.arriving += 1);
    }

    /// A body is here, or nobody wants the rest of it.
    pub(super) fn body_ends(&self) {
        self.state().change(|state| state.arriving = state.arriving.saturating_sub(1));
    }

    /// A piece of a body came, or a piece of an answer was taken.
    pub(super) fn moves(&self) {
        self.state().last = Instant::now();
    }

    /// When the connection is closed unless something happens before.
    pub(super) fn deadline(&self, config: Config, closing: Option<Instant>) -> Instant {
        let state = *self.state();
        match (state.owed(), closing) {
            (Owed::FirstRequest | Owed::Nothing, Some(closing)) => state.last.max(closing) + CLOSING_TIMEOUT,
            (Owed::FirstRequest, None) => state.last + config.headers_timeout,
            _ => state.last + config.idle_timeout,
        }
    }

    /// Whether no request is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        self.state().under_way == 0
    }

    /// Who owes what, and since when.
    pub(super) fn standing(&self) -> (Owed, Instant) {
        let state = self.state();
        (state.owed(), state.owed_since)
    }

    /// Whether a new connection may take this one's place, and it was not told so before.
    pub(super) fn may_be_evicted(&self, now: Instant) -> bool {
        let state = self.state();
        !state.is_evicted && gives_way(&state, now)
    }

    /// Tells the connection that another needs its place.
    pub(super) fn evict(&self) {
        self.state().is_evicted = true;
        self.evict.notify_one();
    }

    /// Waits until another connection needs the place.
    pub(super) async fn evicted(&self) {
        self.evict.notified().await;
    }

    /// Whether the place can be given away now; a request may have come since it was asked for.
    pub(super) fn gives_way(&self) -> bool {
        let mut state = self.state();
        let gives_way = gives_way(&state, Instant::now());
        state.is_evicted &= gives_way;
        gives_way
    }
}

fn gives_way(state: &State, now: Instant) -> bool {
    match state.owed() {
        Owed::FirstRequest | Owed::Nothing => true,
        Owed::Body => state.owed_since + BODY_PATIENCE <= now,
        Owed::Answer => false,
    }
}

/// A request that is not answered.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl UnderWay {
    pub(super) fn moves(&self) {
        self.0.moves();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.state().change(|state| state.under_way = state.under_way.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config { headers_timeout: Duration::from_secs(30), ..Config::default() }
    }

    fn activity() -> Arc<Activity> {
        Arc::new(Activity::new(Id(1), Weak::new()))
    }

    #[test]
    fn a_connection_gives_way_only_while_its_client_owes_something() {
        let activity = activity();
        let later = || Instant::now() + BODY_PATIENCE;
        assert_eq!((activity.standing().0, activity.gives_way()), (Owed::FirstRequest, true));
        let request = activity.begin();
        assert_eq!((activity.standing().0, activity.gives_way()), (Owed::Answer, false));
        activity.body_begins();
        assert_eq!((activity.standing().0, activity.gives_way()), (Owed::Body, false));
        assert!(activity.may_be_evicted(later()));
        // a second request that waits for us keeps the connection, however slow the first one's body
        let second = activity.begin();
        assert_eq!((activity.standing().0, activity.may_be_evicted(later())), (Owed::Answer, false));
        drop(second);
        assert_eq!(activity.standing().0, Owed::Body);
        activity.body_ends();
        assert_eq!((activity.standing().0, activity.may_be_evicted(later())), (Owed::Answer, false));
        drop(request);
        assert_eq!((activity.standing().0, activity.gives_way()), (Owed::Nothing, true));
    }

    #[test]
    fn a_body_that_drips_owes_since_it_began() {
        let activity = activity();
        let _request = activity.begin();
        activity.body_begins();
        let since = activity.standing().1;
        activity.moves();
        assert_eq!(activity.standing(), (Owed::Body, since));
    }

    #[test]
    fn a_request_that_comes_while_the_place_is_asked_for_keeps_it() {
        let activity = activity();
        activity.evict();
        assert!(!activity.may_be_evicted(Instant::now()));
        let request = activity.begin();
        assert!(!activity.gives_way());
        drop(request);
        assert!(activity.may_be_evicted(Instant::now()), "it can be asked again");
    }

    #[test]
    fn each_state_has_its_deadline() {
        let (activity, config) = (activity(), config());
        let last = |activity: &Activity| activity.state().last;
        assert_eq!(activity.deadline(config, None), last(&activity) + config.headers_timeout);
        let request = activity.begin();
        assert_eq!(activity.deadline(config, None), last(&activity) + config.idle_timeout);
        let closing = Some(Instant::now());
        assert_eq!(activity.deadline(config, closing), last(&activity) + config.idle_timeout);
        drop(request);
        assert_eq!(activity.deadline(config, None), last(&activity) + config.idle_timeout);
        assert_eq!(activity.deadline(config, closing), last(&activity) + CLOSING_TIMEOUT);
    }
}
