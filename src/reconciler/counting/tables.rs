//! The tables as counting uses them: ClickHouse, or in tests something that fails when it is told to.

use crate::clickhouse::rollups::rows::{ReportRow, SpanRow, Stored, TraceRow};
use crate::clickhouse::rollups::{self, Began, Day, Hour, Slice, Sum, Times};
use crate::clickhouse::{Client, Failure};
use crate::traces::TraceKey;
use std::collections::BTreeSet;

/// What is asked of the tables and written into them; `clickhouse/rollups` says what each is.
pub trait Tables: Send + Sync {
    /// When the spans of these traces began.
    fn times(&self, traces: &[TraceKey]) -> impl Future<Output = Result<Vec<Times>, Failure>> + Send;
    /// All rows of these traces that began in that time.
    fn spans(&self, traces: &[TraceKey], began: &Began) -> impl Future<Output = Result<Vec<SpanRow>, Failure>> + Send;
    /// Of spans with several rows the one that stays.
    fn standing(
        &self,
        traces: &[TraceKey],
        spans: &BTreeSet<String>,
        began: &Began,
    ) -> impl Future<Output = Result<Vec<SpanRow>, Failure>> + Send;
    /// What the roll-up tables have of these traces.
    fn stored(&self, traces: &[TraceKey], began: &Began) -> impl Future<Output = Result<Vec<Stored>, Failure>> + Send;
    /// Writes rows of reports.
    fn write_reports(&self, rows: &[ReportRow]) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Writes rows of traces.
    fn write_traces(&self, rows: &[TraceRow]) -> impl Future<Output = Result<(), Failure>> + Send;
    /// The days that there are rows of.
    fn days(&self) -> impl Future<Output = Result<Vec<Day>, Failure>> + Send;
    /// When the first and the last row began.
    fn ends(&self) -> impl Future<Output = Result<Began, Failure>> + Send;
    /// What each hour has.
    fn hours(&self, began: &Began) -> impl Future<Output = Result<Vec<Hour>, Failure>> + Send;
    /// The sums of the rows of an hour's GenAI traces.
    fn sums(
        &self,
        hour: &Began,
        slice: Slice,
        of_rows: &Began,
    ) -> impl Future<Output = Result<Vec<Sum>, Failure>> + Send;
    /// The same as they were counted.
    fn counted(&self, began: &Began, slice: Slice) -> impl Future<Output = Result<Vec<Sum>, Failure>> + Send;
}

impl Tables for Client {
    async fn times(&self, traces: &[TraceKey]) -> Result<Vec<Times>, Failure> {
        rollups::times(self, traces).await
    }

    async fn spans(&self, traces: &[TraceKey], began: &Began) -> Result<Vec<SpanRow>, Failure> {
        rollups::spans(self, traces, began).await
    }

    async fn standing(
        &self,
        traces: &[TraceKey],
        spans: &BTreeSet<String>,
        began: &Began,
    ) -> Result<Vec<SpanRow>, Failure> {
        rollups::standing(self, traces, spans, began).await
    }

    async fn stored(&self, traces: &[TraceKey], began: &Began) -> Result<Vec<Stored>, Failure> {
        rollups::stored(self, traces, began).await
    }

    async fn write_reports(&self, rows: &[ReportRow]) -> Result<(), Failure> {
        rollups::write_reports(self, rows).await
    }

    async fn write_traces(&self, rows: &[TraceRow]) -> Result<(), Failure> {
        rollups::write_traces(self, rows).await
    }

    async fn days(&self) -> Result<Vec<Day>, Failure> {
        rollups::days(self).await
    }

    async fn ends(&self) -> Result<Began, Failure> {
        rollups::ends(self).await
    }

    async fn hours(&self, began: &Began) -> Result<Vec<Hour>, Failure> {
        rollups::hours(self, began).await
    }

    async fn sums(&self, hour: &Began, slice: Slice, of_rows: &Began) -> Result<Vec<Sum>, Failure> {
        rollups::sums(self, hour, slice, of_rows).await
    }

    async fn counted(&self, began: &Began, slice: Slice) -> Result<Vec<Sum>, Failure> {
        rollups::counted(self, began, slice).await
    }
}
