//! Sessions or users of a page, by little of what they are made of: the rest is read of those only, and between the times of theirs.

use super::answer::Refusal;
use super::cursor::After;
use super::reads::Reads;
use crate::clickhouse::{Parameter, Statement};
use ::clickhouse::{Row, RowOwned, RowRead};
use serde::Deserialize;
use std::collections::HashMap;

/// One of them. Times are nanoseconds since 1970.
#[derive(Debug, Row, Deserialize)]
pub(super) struct Key {
    pub(super) id: String,
    /// When the first of its rows began, by which they are sorted.
    first: i64,
    /// When the last one began.
    last: i64,
    /// How many the list has; 0 if that was not counted.
    total: u64,
}

impl Key {
    /// Where the page after it begins.
    pub(super) fn after(&self) -> After {
        After { at: self.first, keys: vec![self.id.clone()] }
    }
}

/// Those of a page, in its order.
#[derive(Debug)]
pub(super) struct Found(Vec<Key>);

impl Found {
    pub(super) fn of(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    pub(super) fn keys(&self) -> &[Key] {
        &self.0
    }

    /// How many the list has, if that was counted.
    pub(super) fn total(&self) -> Option<u64> {
        self.0.first().map(|key| key.total)
    }

    /// What a statement says of them, in their order. One that has gone meanwhile is left out.
    ///
    /// # Errors
    /// If ClickHouse cannot be asked.
    pub(super) async fn rows<R: RowOwned + RowRead>(
        &self,
        reads: &Reads,
        statement: impl FnOnce() -> Statement + Send,
        id: impl Fn(&R) -> &String + Send,
    ) -> Result<Vec<R>, Refusal> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<R> = reads.ask(&statement()).await?;
        let mut by_id: HashMap<String, R> = rows.into_iter().map(|row| (id(&row).clone(), row)).collect();
        Ok(self.0.iter().filter_map(|key| by_id.remove(&key.id)).collect())
    }

    /// Adds that a row is of one of them, and lies between their times.
    pub(super) fn push_within(&self, statement: &mut Statement, time: &str, id: &str) {
        let first = self.0.iter().map(|key| key.first).min().unwrap_or(i64::MIN);
        let last = self.0.iter().map(|key| key.last).max().unwrap_or(i64::MAX);
        statement.push(&format!("{time} >= ")).bind(Parameter::Time(first));
        statement.push(&format!(" AND {time} <= ")).bind(Parameter::Time(last));
        let ids: Vec<String> = self.0.iter().map(|key| key.id.clone()).collect();
        statement.push(&format!(" AND {id} IN ")).bind(ids);
    }
}
