//! What happens on one connection: which side the other waits for, and since when.

use super::{CLOSING_TIMEOUT, Timeouts};
use crate::locks::locked;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

/// A connection whose body has been arriving for longer may be closed for a new one.
const BODY_ARRIVAL_MAX: Duration = Duration::from_secs(5);
/// How long the answer to a question is worked on after the client has closed its side, or after it last took a part of the answer, if
/// that was later: it may be gone, or wait for the answer and say nothing more.
const LEFT_AFTER: Duration = Duration::from_secs(5);

/// A connection's number: later ones have larger numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(pub(super) u64);

/// The record of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    evict: Notify,
    asked: Notify,
    id: Id,
}

/// What a connection is doing, in the order in which connections are closed for new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// The client has not sent a request yet.
    New,
    /// It is between two requests.
    Idle,
    /// Every request under way still waits for the rest of its body.
    ReceivingBody,
    /// We owe an answer.
    Answering,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// Requests that are not answered.
    under_way: usize,
    /// Those of them that only ask: nobody needs their answers once the client is gone.
    questions: usize,
    /// Since when the client has closed its side, as far as it was looked at.
    closed_since: Option<Instant>,
    /// Bodies that have not arrived: theirs, or left over from a request that was answered before.
    arriving: usize,
    had_request: bool,
    is_evicted: bool,
    phase_since: Instant,
    /// When something last happened: a request, a frame of a body, a frame of an answer.
    last: Instant,
}

impl State {
    fn phase(&self) -> Phase {
        match (self.under_way, self.had_request) {
            (0, false) => Phase::New,
            (0, true) => Phase::Idle,
            (under_way, _) if under_way == self.arriving => Phase::ReceivingBody,
            _ => Phase::Answering,
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.phase();
        change(self);
        self.last = Instant::now();
        if self.phase() != before {
            self.phase_since = self.last;
        }
    }

    fn is_only_asked(&self) -> bool {
        self.under_way > 0 && self.questions >= self.under_way
    }

    fn is_evictable(&self, now: Instant) -> bool {
        match self.phase() {
            Phase::New | Phase::Idle => true,
            Phase::ReceivingBody => self.phase_since + BODY_ARRIVAL_MAX <= now,
            Phase::Answering => false,
        }
    }
}

impl Activity {
    pub(super) fn new(id: Id) -> Self {
        let now = Instant::now();
        let state = State {
            under_way: 0,
            questions: 0,
            closed_since: None,
            arriving: 0,
            had_request: false,
            is_evicted: false,
            phase_since: now,
            last: now,
        };
        Self { state: Mutex::new(state), evict: Notify::new(), asked: Notify::new(), id }
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// A request's headers have arrived. It is under way until the guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> RequestGuard {
        self.state().change(|state| {
            state.had_request = true;
            state.under_way += 1;
        });
        RequestGuard(Arc::clone(self))
    }

    /// A request under way only asks, as long as this is kept.
    pub(super) fn begin_question(self: &Arc<Self>) -> Question {
        self.state().questions += 1;
        self.asked.notify_one();
        Question(Arc::clone(self))
    }

    /// Waits until a question is under way: from then on it is looked whether the client has closed its side.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Whether there are requests under way and all of them only ask.
    pub(super) fn is_only_asked(&self) -> bool {
        self.state().is_only_asked()
    }

    /// The client has closed its side.
    pub(super) fn note_closed(&self) {
        self.state().closed_since.get_or_insert_with(Instant::now);
    }

    /// Whether nobody needs what is under way.
    pub(super) fn is_left(&self, now: Instant) -> bool {
        let state = self.state();
        state.is_only_asked() && state.closed_since.is_some_and(|since| since.max(state.last) + LEFT_AFTER <= now)
    }

    /// A request under way has a body, which arrives until the guard is dropped.
    pub(super) fn begin_body(self: &Arc<Self>) -> BodyGuard {
        self.state().change(|state| state.arriving += 1);
        BodyGuard(Arc::clone(self))
    }

    /// When the connection is closed unless something happens before.
    pub(super) fn deadline(&self, timeouts: Timeouts, closing: Option<Instant>) -> Instant {
        let state = *self.state();
        match (state.phase(), closing) {
            (Phase::New | Phase::Idle, Some(closing)) => state.last.max(closing) + CLOSING_TIMEOUT,
            (Phase::New, None) => state.last + timeouts.headers_timeout,
            _ => state.last + timeouts.idle_timeout,
        }
    }

    /// Whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.state().under_way == 0
    }

    /// What the connection is doing, and since when.
    pub(super) fn phase(&self) -> (Phase, Instant) {
        let state = self.state();
        (state.phase(), state.phase_since)
    }

    /// Whether a new connection may take this one's place, which was not requested before.
    pub(super) fn may_be_evicted(&self, now: Instant) -> bool {
        let state = self.state();
        !state.is_evicted && state.is_evictable(now)
    }

    /// Requests the connection's place for another one.
    pub(super) fn evict(&self) {
        self.state().is_evicted = true;
        self.evict.notify_one();
    }

    /// Waits until another connection needs the place.
    pub(super) async fn evicted(&self) {
        self.evict.notified().await;
    }

    /// Whether the place can be given away now; a request may have arrived since it was requested.
    pub(super) fn confirm_eviction(&self) -> bool {
        let mut state = self.state();
        let is_evictable = state.is_evictable(Instant::now());
        state.is_evicted &= is_evictable;
        is_evictable
    }

    fn touch(&self) {
        self.state().last = Instant::now();
    }
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(super) struct RequestGuard(Arc<Activity>);

impl RequestGuard {
    /// A frame of the answer was written.
    pub(super) fn touch(&self) {
        self.0.touch();
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.state().change(|state| {
            debug_assert!(state.under_way > 0, "the guard counted its request");
            state.under_way = state.under_way.saturating_sub(1);
        });
    }
}

/// A request that only asks. Kept while it is answered, so that the answer is given up when the client is gone.
#[derive(Debug)]
pub struct Question(Arc<Activity>);

impl Drop for Question {
    fn drop(&mut self) {
        let mut state = self.0.state();
        debug_assert!(state.questions > 0, "the guard counted its question");
        state.questions = state.questions.saturating_sub(1);
    }
}

/// A body that is not complete yet.
#[derive(Debug)]
pub(super) struct BodyGuard(Arc<Activity>);

impl BodyGuard {
    /// A frame of the body arrived.
    pub(super) fn touch(&self) {
        self.0.touch();
    }
}

impl Drop for BodyGuard {
    fn drop(&mut self) {
        self.0.state().change(|state| {
            debug_assert!(state.arriving > 0, "the guard counted its body");
            state.arriving = state.arriving.saturating_sub(1);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeouts() -> Timeouts {
        Timeouts { headers_timeout: Duration::from_secs(30), idle_timeout: Duration::from_secs(330) }
    }

    fn activity() -> Arc<Activity> {
        Arc::new(Activity::new(Id(1)))
    }

    #[test]
    fn a_connection_is_evictable_only_while_it_waits_for_its_client() {
        let activity = activity();
        let later = || Instant::now() + BODY_ARRIVAL_MAX;
        assert_eq!((activity.phase().0, activity.confirm_eviction()), (Phase::New, true));
        let request = activity.begin_request();
        assert_eq!((activity.phase().0, activity.confirm_eviction()), (Phase::Answering, false));
        let body = activity.begin_body();
        assert_eq!((activity.phase().0, activity.confirm_eviction()), (Phase::ReceivingBody, false));
        assert!(activity.may_be_evicted(later()));
        // a second request that waits for us keeps the connection, however slow the first one's body
        let second = activity.begin_request();
        assert_eq!((activity.phase().0, activity.may_be_evicted(later())), (Phase::Answering, false));
        drop(second);
        assert_eq!(activity.phase().0, Phase::ReceivingBody);
        drop(body);
        assert_eq!((activity.phase().0, activity.may_be_evicted(later())), (Phase::Answering, false));
        drop(request);
        assert_eq!((activity.phase().0, activity.confirm_eviction()), (Phase::Idle, true));
    }

    #[test]
    fn questions_are_left_some_time_after_their_client_has_closed_its_side_and_nothing_else_is() {
        let activity = activity();
        let later = || Instant::now() + LEFT_AFTER;
        activity.note_closed();
        assert!(!activity.is_left(later()), "nothing is under way");
        let request = activity.begin_request();
        assert!(!activity.is_left(later()), "what is sent is taken");
        let question = activity.begin_question();
        assert!(activity.is_left(later()) && !activity.is_left(Instant::now()));
        let _sent = activity.begin_request();
        assert!(!activity.is_left(later()), "another request is no question");
        drop((question, request));
        assert!(!activity.is_only_asked());
    }

    #[test]
    fn a_body_that_drips_is_arriving_since_it_began() {
        let activity = activity();
        let _request = activity.begin_request();
        let body = activity.begin_body();
        let since = activity.phase().1;
        body.touch();
        assert_eq!(activity.phase(), (Phase::ReceivingBody, since));
    }

    #[test]
    fn a_request_that_arrives_during_an_eviction_prevents_it() {
        let activity = activity();
        activity.evict();
        assert!(!activity.may_be_evicted(Instant::now()));
        let request = activity.begin_request();
        assert!(!activity.confirm_eviction());
        drop(request);
        assert!(activity.may_be_evicted(Instant::now()), "its place can be requested again");
    }

    #[test]
    fn each_state_has_its_deadline() {
        let (activity, timeouts) = (activity(), timeouts());
        let last = |activity: &Activity| activity.state().last;
        assert_eq!(activity.deadline(timeouts, None), last(&activity) + timeouts.headers_timeout);
        let request = activity.begin_request();
        assert_eq!(activity.deadline(timeouts, None), last(&activity) + timeouts.idle_timeout);
        let closing = Some(Instant::now());
        assert_eq!(activity.deadline(timeouts, closing), last(&activity) + timeouts.idle_timeout);
        drop(request);
        assert_eq!(activity.deadline(timeouts, None), last(&activity) + timeouts.idle_timeout);
        assert_eq!(activity.deadline(timeouts, closing), last(&activity) + CLOSING_TIMEOUT);
    }
}
