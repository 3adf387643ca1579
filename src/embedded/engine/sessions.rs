//! Sessions that clients name: a connection each, kept between requests until it has been idle for its time-out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::libchdb::Connection;
use crate::embedded::wire::errors::QueryError;
use crate::locks::locked;
use crate::sql::code;

/// More sessions than this at once are refused.
const SESSIONS_MAX: usize = 1024;
/// Source: ClickHouse `default_session_timeout`.
pub(crate) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// Source: ClickHouse `max_session_timeout`.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// All sessions. An entry without a connection is in use.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Option<Idle>>>);

struct Idle {
    connection: Connection,
    until: Instant,
}

impl Sessions {
    /// Takes the session's connection, or reserves its name and returns `None`. Either way the session is locked until
    /// [`give_back`](Self::give_back) or [`forget`](Self::forget).
    pub(crate) fn take(&self, id: &str, must_exist: bool) -> Result<Option<Connection>, QueryError> {
        self.expire(Instant::now());
        let mut sessions = self.lock();
        let full = sessions.len() >= SESSIONS_MAX;
        match sessions.get_mut(id) {
            Some(entry @ Some(_)) => Ok(entry.take().map(|idle| idle.connection)),
            Some(None) => {
                Err(QueryError::new(code::SESSION_IS_LOCKED, &format!("Session {id} is locked by a concurrent client")))
            }
            None if must_exist => Err(QueryError::new(code::SESSION_NOT_FOUND, &format!("Session {id} not found"))),
            None if full => Err(QueryError::new(
                code::TOO_MANY_SIMULTANEOUS_QUERIES,
                &format!("Too many sessions. Maximum: {SESSIONS_MAX}"),
            )),
            None => {
                sessions.insert(id.to_owned(), None);
                Ok(None)
            }
        }
    }

    /// Ends a use of the session.
    pub(crate) fn give_back(&self, id: &str, connection: Connection, timeout: Duration) {
        let idle = Idle { connection, until: Instant::now() + timeout };
        self.lock().insert(id.to_owned(), Some(idle));
    }

    /// Ends the session itself.
    pub(crate) fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    /// Closes what has been idle for too long.
    pub(crate) fn expire(&self, now: Instant) {
        self.lock().retain(|_id, entry| entry.as_ref().is_none_or(|idle| idle.until > now));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Option<Idle>>> {
        locked(&self.0)
    }
}
