//! One statement on its connection, from setting it up to leaving no trace; everything here blocks.
//!
//! A request without a session has a connection of its own, which is closed with its settings. A request in a session
//! shares the session's connection with later ones, so what the URL set for this request alone is put back.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::libchdb::{Connection, Outcome};
use super::sessions::Sessions;
use crate::embedded::engine::capacity::Reservation;
use crate::embedded::engine::instance::{Engine, marked_comment};
use crate::embedded::wire::claim::Claim;
use crate::embedded::wire::errors::QueryError;
use crate::sql::code;
use crate::sql::{quoted, quoted_name};

/// What a request asks for besides its statement.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) query_id: String,
    /// Millrace itself asks.
    pub(crate) own: bool,
    /// In the query's `log_comment`, to find it among the running ones.
    pub(crate) marker: String,
    pub(crate) database: Option<String>,
    /// Without `readonly`.
    pub(crate) settings: Vec<(String, String)>,
    /// The statement runs under this `readonly`, whatever it or its session sets.
    pub(crate) readonly: Option<u8>,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) session: Option<SessionRequest>,
    /// The session ends with this request.
    pub(crate) close_session: bool,
    /// The statement is SET or USE: its effect on the session stays.
    pub(crate) changes_session: bool,
    /// What was read of the statement.
    pub(crate) claim: Claim,
    /// Room for its text, and for the copies of it that are made on its way.
    pub(crate) _reservation: Reservation,
}

/// The session a request wants to run in.
#[derive(Debug, Clone)]
pub(crate) struct SessionRequest {
    pub(crate) id: String,
    pub(crate) timeout: Duration,
    pub(crate) must_exist: bool,
}

impl Setup {
    /// What the statement itself must say to be read-only. A session's connection could not be put back, so it is
    /// never made so; any other is, in [`Job::begin`].
    pub(crate) fn readonly_in_statement(&self) -> Option<u8> {
        self.readonly.filter(|_level| self.session.is_some())
    }
}

/// A connection set up for one statement. Dropping it puts everything back and lets the next query in.
pub(crate) struct Job {
    engine: Arc<Engine>,
    sessions: Arc<Sessions>,
    setup: Setup,
    /// `None` only while dropping.
    connection: Option<Connection>,
    put_back: Vec<String>,
    finished: Arc<AtomicBool>,
    /// The session takes no further setting.
    stuck: Cell<bool>,
    _permit: OwnedSemaphorePermit,
}

impl Job {
    /// Opens or takes the connection, sets it up, and finds out whether the engine reads the statement as it was read here,
    /// and whether what it reads is allowed.
    pub(crate) fn begin(
        engine: Arc<Engine>,
        sessions: Arc<Sessions>,
        setup: Setup,
        finished: Arc<AtomicBool>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, QueryError> {
        if !engine.note_running(&setup.query_id, &setup.marker) {
            let message = format!("Query with id = {} is already running", setup.query_id);
            return Err(QueryError::new(code::QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING, &message));
        }
        let connection = open(&engine, &sessions, setup.session.as_ref()).inspect_err(|_refused| {
            engine.note_finished(&setup.query_id);
        })?;
        let connection = Some(connection);
        let (put_back, stuck) = (Vec::new(), Cell::new(false));
        let mut job = Self { engine, sessions, setup, connection, put_back, finished, stuck, _permit: permit };
        job.set_up()?;
        job.check_claim()?;
        Ok(job)
    }

    /// Runs one statement.
    pub(crate) fn query(&self, sql: &str, format: &str) -> Result<Outcome, QueryError> {
        let Some(connection) = &self.connection else { return Err(gone()) };
        let outcome = checked(connection.query(sql.as_bytes(), format, &self.setup.parameters))?;
        if self.setup.changes_session
            && self.setup.session.is_some()
            && self.text_of("SELECT toString(getSetting('readonly'))")? == "1"
        {
            self.stuck.set(true);
            let message = "SET readonly = 1 cannot be kept in a session, which has ended: add readonly=1 to the URL of \
                           each request that is to be read-only";
            return Err(QueryError::new(code::READONLY, message));
        }
        Ok(outcome)
    }

    fn check_claim(&self) -> Result<(), QueryError> {
        let Some(connection) = &self.connection else { return Err(gone()) };
        let claim = &self.setup.claim;
        claim.check(&connection.classify(&claim.text)).map_err(QueryError::from)?;
        if self.setup.own { Ok(()) } else { self.engine.look_at(&String::from_utf8_lossy(&claim.text)) }
    }

    /// Runs one INSERT; `next` gives its data, `None` at its end, or says why it will not come to one.
    pub(crate) fn insert(
        &mut self,
        sql: &str,
        format: &str,
        mut next: impl FnMut() -> Result<Option<bytes::Bytes>, QueryError>,
    ) -> Result<Outcome, QueryError> {
        // the parameters of an insert stream are gone when its VALUES are read, those of the session are not
        for (name, value) in self.setup.parameters.clone() {
            self.run(&format!("SET param_{name} = {}", quoted(&value)))?;
        }
        let Some(connection) = &mut self.connection else { return Err(gone()) };
        let mut stream = connection.insert(sql.as_bytes(), format).map_err(|text| QueryError::from_engine(&text))?;
        while let Some(piece) = next()? {
            if !stream.append(&piece) {
                break;
            }
        }
        checked(stream.finish())
    }

    fn set_up(&mut self) -> Result<(), QueryError> {
        if self.setup.changes_session && self.setup.session.is_some() {
            return Ok(());
        }
        if self.setup.session.is_some() {
            self.put_back = self.remember()?;
        }
        if let Some(database) = &self.setup.database {
            self.run(&format!("USE {}", quoted_name(database)))?;
        }
        let mut settings = self.setup.settings.clone();
        let comment =
            settings.iter().rfind(|(name, _value)| name == "log_comment").map_or("", |(_name, value)| value.as_str());
        let marked = marked_comment(comment, &self.setup.marker);
        settings.push(("log_comment".to_owned(), marked));
        // once it is set, nothing else can be
        if let Some(level) = self.setup.readonly.filter(|_level| self.setup.session.is_none()) {
            settings.push(("readonly".to_owned(), level.to_string()));
        }
        let pairs: Vec<String> = settings.iter().map(|(name, value)| format!("{name} = {}", quoted(value))).collect();
        self.run(&format!("SET {}", pairs.join(", ")))
    }

    /// The statements that undo what `set_up` is about to do.
    fn remember(&self) -> Result<Vec<String>, QueryError> {
        let mut undo = Vec::new();
        if self.setup.database.is_some() {
            let current = self.text_of("SELECT currentDatabase()")?;
            undo.push(format!("USE {}", quoted_name(&current)));
        }
        let names: Vec<String> =
            self.setup.settings.iter().map(|(name, _value)| format!(", {}", quoted(name))).collect();
        let ask = format!(
            "SELECT arrayStringConcat(groupArray(concat(name, '\\0', toString(changed), '\\0', value)), '\\0') \
             FROM system.settings WHERE name IN ('log_comment'{})",
            names.concat()
        );
        let answer = self.text_of(&ask)?;
        let fields: Vec<&str> = answer.split('\0').collect();
        undo.extend(fields.chunks_exact(3).filter_map(|field| match field {
            [name, "1", value] => Some(format!("SET {name} = {}", quoted(value))),
            [name, _unchanged, _default] => Some(format!("SET {name} = DEFAULT")),
            _ => None,
        }));
        Ok(undo)
    }

    fn text_of(&self, sql: &str) -> Result<String, QueryError> {
        let Some(connection) = &self.connection else { return Err(gone()) };
        let outcome = checked(connection.query(sql.as_bytes(), "RawBLOB", &[]))?;
        Ok(String::from_utf8_lossy(&outcome.bytes).into_owned())
    }

    fn run(&self, sql: &str) -> Result<(), QueryError> {
        self.text_of(sql).map(|_nothing| ())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.finished.store(true, Ordering::Release);
        self.engine.note_finished(&self.setup.query_id);
        let undone = self.put_back.iter().all(|sql| self.run(sql).is_ok());
        let (Some(connection), Some(session)) = (self.connection.take(), &self.setup.session) else { return };
        if undone && !self.setup.close_session && !self.stuck.get() {
            self.sessions.give_back(&session.id, connection, session.timeout);
        } else {
            // better no session than one that carries another request's settings
            self.sessions.forget(&session.id);
        }
    }
}

fn open(engine: &Engine, sessions: &Sessions, session: Option<&SessionRequest>) -> Result<Connection, QueryError> {
    let Some(session) = session else { return engine.connect() };
    match sessions.take(&session.id, session.must_exist)? {
        Some(connection) => Ok(connection),
        None => engine.connect().inspect_err(|_refused| sessions.forget(&session.id)),
    }
}

fn checked(outcome: Outcome) -> Result<Outcome, QueryError> {
    match &outcome.error {
        Some(text) => Err(QueryError::from_engine(text)),
        None => Ok(outcome),
    }
}

fn gone() -> QueryError {
    QueryError::new(code::ABORTED, "The connection is closed")
}
