//! Reads bodies, and stores rows before the answer.

use super::refused::Refused;
use crate::access::Principal;
use crate::columns::Records;
use crate::pipeline::{Ack, Origin, Reservation};
use crate::query::reads::Reads;
use crate::receivers::Ingest;
use crate::receivers::experiments::Experiments;
use crate::receivers::http::body::{BodyReader, pass_over};
use crate::redaction::Tally;
use crate::scores::{Invalid, check};
use crate::telemetry::{Receiver, RowKind};
use crate::workspace::Workspace;
use axum::body::Body;
use axum::http::Request;
use axum::http::request::Parts;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Names who makes a score.
const USER_HEADER: &str = "x-millrace-user";
/// Longest name of that.
const USER_BYTES_MAX: usize = 256;
/// How long an answer waits for ClickHouse once the row is on disk: usually it takes a twentieth of a second.
const STORED_WITHIN: Duration = Duration::from_secs(2);

/// Receives scores, and answers questions about them.
#[derive(Debug)]
pub struct ScoresReceiver {
    /// Where rows go.
    pub ingest: Arc<Ingest>,
    /// Reads requests.
    pub bodies: BodyReader,
    /// Where questions are asked.
    pub reads: Reads,
    /// Experiments and their groups.
    pub experiments: Arc<Experiments>,
    /// Whether what 0.2.0 of the reference does not know is left out: `chat_completions.strict_reference`.
    pub strict_reference: bool,
}

/// A body, with the memory that it holds.
pub(super) struct Sent {
    pub(super) body: Value,
    pub(super) created_by: String,
    pub(super) reservation: Reservation,
}

impl ScoresReceiver {
    /// Reads a body without what the workspace's rules take out, if it has not used too much.
    pub(super) async fn read(&self, workspace: &Workspace, request: Request<Body>) -> Result<Sent, Refused> {
        let (head, body) = request.into_parts();
        if let Err(over) = self.ingest.quotas.admit(workspace) {
            pass_over(body, &head.headers).await;
            return Err(Refused::NotTaken(over.into()));
        }
        let (bytes, mut reservation) = self.bodies.read(body, &head.headers).await?;
        self.ingest.quotas.charge_bytes(workspace, bytes.len());
        // values take more than their text
        reservation.cover(bytes.len().saturating_mul(4))?;
        let created_by = user(&head);
        let redaction = self.ingest.redaction.now();
        // what is not UTF-8 is refused as without rules
        let (Some(rules), Ok(text)) = (redaction.of(workspace), str::from_utf8(&bytes)) else {
            return Ok(Sent { body: check::parse(&bytes)?, created_by, reservation });
        };
        let mut found = Tally::default();
        let (text, created_by) = (rules.text(text, &mut found), rules.text(&created_by, &mut found));
        self.ingest.metrics.count_redacted(found.iter());
        Ok(Sent { body: check::parse(text.as_bytes())?, created_by: created_by.into_owned(), reservation })
    }

    /// Stores a row: it is on disk when this returns, and in ClickHouse if that keeps up.
    pub(super) async fn store(
        &self,
        workspace: &Workspace,
        row: Records,
        reservation: Reservation,
    ) -> Result<(), Refused> {
        let origin = Origin {
            workspace: workspace.clone(),
            receiver: Receiver::Scores,
            ack: Ack::Stored,
            // of several rows the latest counts, so none is a repeat
            dedup_window: Duration::ZERO,
            is_keyed: false,
        };
        let pending = self.ingest.send(Box::new(row), reservation, origin)?;
        let _receipt = pending.stored_or_durable(STORED_WITHIN).await?;
        Ok(())
    }

    /// Counts a request that was not taken.
    pub(super) fn count(&self, refused: &Refused) {
        self.ingest.count_failed((RowKind::Scores, Receiver::Scores), 1, refused.is_retryable());
    }
}

/// The workspace of a path.
pub(super) fn workspace(name: &str) -> Result<Workspace, Refused> {
    Workspace::new(name).map_err(|error| {
        let loc = ["path", "workspace"];
        Invalid::one(check::error("value_error", &loc, &error.to_string(), &json!(name), None)).into()
    })
}

/// Who sends it: whom a header names, which is believed of whoever may send here, else the name of the token; empty without either.
fn user(head: &Parts) -> String {
    let named = head.headers.get(USER_HEADER).and_then(|name| name.to_str().ok()).map(str::trim);
    let named = named.filter(|name| !name.is_empty() && name.len() <= USER_BYTES_MAX);
    named.or_else(|| head.extensions.get::<Principal>()?.name()).map(str::to_owned).unwrap_or_default()
}
