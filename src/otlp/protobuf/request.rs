//! The request under way: what is counted of it against its limits, and which of its items are rejected.

use super::rejection::{Rejection, short_name};
use super::value::{key_value, text};
use crate::otlp::decoded::Encoding;
use crate::otlp::error::{DecodeError, TypeErrors, WrongType};
use crate::otlp::limits::{DAYS_PER_REQUEST_MAX, Limits};
use crate::otlp::signal::Signal;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use std::borrow::Cow;

/// Reasons kept for the answer; the count goes on.
const REASONS_MAX: usize = 3;

/// The request under way.
pub(super) struct Request<'l> {
    pub(super) signal: Signal,
    pub(super) workspace: Workspace,
    pub(super) limits: &'l Limits,
    /// For texts of values that do not lie in the request as such.
    pub(super) scratch: String,
    /// Items begun.
    pub(super) begun: usize,
    /// How many of them are rejected.
    pub(super) rejected: usize,
    /// The first few reasons, each naming its item.
    pub(super) reasons: Vec<String>,
    encoding: Encoding,
    /// Items that had a value of the wrong type in JSON.
    type_errors: &'l TypeErrors,
    /// Items and all that they consist of.
    counted: usize,
}

impl<'l> Request<'l> {
    pub(super) fn new(
        signal: Signal,
        encoding: Encoding,
        type_errors: &'l TypeErrors,
        workspace: Workspace,
        limits: &'l Limits,
    ) -> Self {
        let (scratch, reasons) = (String::new(), Vec::new());
        let (begun, rejected, counted) = (0, 0, 0);
        Self { signal, workspace, limits, scratch, begun, rejected, reasons, encoding, type_errors, counted }
    }

    /// Counts the item that begins, with the entries that it shares with others; each row has them.
    pub(super) fn begin_item(&mut self, shared_entries: usize) -> Result<(), DecodeError> {
        self.begun += 1;
        if self.begun > self.limits.spans {
            return Err(DecodeError::TooMany { what: self.signal.items(), max: self.limits.spans });
        }
        self.count(1 + shared_entries)
    }

    /// What JSON had wrong in the item under way.
    pub(super) fn type_error(&self) -> Option<WrongType> {
        self.type_errors.get(&(self.begun - 1)).copied()
    }

    pub(super) fn count(&mut self, parts: usize) -> Result<(), DecodeError> {
        self.counted += parts;
        if self.counted > self.limits.items {
            return Err(DecodeError::TooMany { what: self.signal.parts(), max: self.limits.items });
        }
        Ok(())
    }

    /// Holds the bytes of all rows so far to their limit.
    pub(super) fn check_size(&self, column_bytes: usize) -> Result<(), DecodeError> {
        if column_bytes > self.limits.column_bytes {
            return Err(DecodeError::TooLarge { items: self.signal.items(), max: self.limits.column_bytes });
        }
        Ok(())
    }

    /// Whether an item of that time is taken; `days` is how many days the request is of with it, and `field` has the time.
    pub(super) fn check_time(&self, field: &'static str, at: UnixNanos, days: usize) -> Result<(), Rejection> {
        if let Some(cutoff) = self.limits.cutoff
            && cutoff.excludes(at)
        {
            return Err(Rejection::Old(field, at, cutoff));
        }
        if days > DAYS_PER_REQUEST_MAX {
            return Err(Rejection::Days);
        }
        match self.limits.window.map(|window| window.check(at)) {
            Some(Err(outside)) => Err(Rejection::Outside(field, outside)),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// An attribute as the key and the text that a map holds.
    #[inline]
    pub(super) fn attribute<'a>(&'a mut self, message: &'a [u8]) -> Result<(Cow<'a, [u8]>, &'a [u8]), DecodeError> {
        self.count(1)?;
        let (key, value) = key_value(message)?;
        let text = text(value, 1, self.limits.depth, &mut self.scratch)?;
        Ok((key, text))
    }

    /// Notes that the item under way is not among the rows.
    pub(super) fn reject(&mut self, name: &[u8], rejection: Rejection) {
        self.rejected += 1;
        if self.reasons.len() < REASONS_MAX {
            let why = rejection.describe(self.signal, self.encoding, &self.workspace);
            let (item, number, name) = (self.signal.item(), self.begun, short_name(name));
            self.reasons.push(format!("{item} {number} ({name}): {why}"));
        }
    }
}
