//! Rows that ClickHouse refuses for good, told apart from those around them: halves of halves, until what is left alone
//! is at fault. Each part has a token of its own that is the same in every attempt, and what ClickHouse has already is
//! asked first, so that an interruption anywhere stores nothing twice.

use super::{Exporter, blocking, pause};
use crate::clickhouse::recent::{self, RowKey};
use crate::clickhouse::{Class, Failure};
use crate::columns::blocks::Block;
use crate::columns::frames::{compress_pieces, decompress_frames};
use crate::journal::{Loaded, Segment, Verdict};
use crate::workspace;
use bytes::Bytes;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// Parts that are tried one by one before what is still refused is given up together: a segment that is wrong
/// throughout must not cost an insert a row.
const ATTEMPTS_MAX: usize = 2_000;

/// A segment's rows, decompressed.
struct Rows {
    content: Vec<u8>,
    count: usize,
    /// The rows of each block. A part never spans two: ClickHouse's tokens count the blocks of an insert.
    blocks: Vec<Range<usize>>,
    columns: Vec<String>,
    /// Not in ClickHouse yet.
    is_missing: Vec<bool>,
}

impl Exporter {
    /// Stores all rows but those at fault, which go to the dead letters; says how many those are.
    ///
    /// # Errors
    /// When ClickHouse went away meanwhile, or the dead letters cannot be written. All can be repeated.
    pub(super) async fn isolate(&self, segment: &Segment, loaded: &Loaded) -> Result<usize, Failure> {
        // it takes several times a segment's memory
        let _one_at_a_time = self.isolating.lock().await;
        let rows = Arc::new(self.rows(segment, loaded).await?);
        let (mut dead, mut attempts) = (0, 0);
        let mut parts: Vec<_> = rows.blocks.iter().rev().cloned().collect();
        while let Some(part) = parts.pop() {
            let token = token_of(segment, &part);
            let ((_, part), frames) = blocking((Arc::clone(&rows), part), |(rows, part)| rows.frames(part)).await;
            let Some(frames) = frames else { continue };
            let only = Loaded { frames, columns: Some(rows.columns.clone()), is_damaged: false, rows_damaged: 0 };
            attempts += 1;
            match self.insert_patiently(&only, &token, segment).await {
                Ok(()) => {}
                Err(failure) if failure.class != Class::Permanent => return Err(failure),
                Err(_) if part.len() > 1 && attempts < ATTEMPTS_MAX => {
                    let middle = part.start + part.len() / 2;
                    parts.extend([middle..part.end, part.start..middle]);
                }
                Err(failure) => dead += self.bury(segment, &rows, part, &failure).await?,
            }
        }
        Ok(dead)
    }

    /// Inserts the rows of a segment that are not in ClickHouse.
    ///
    /// # Errors
    /// When ClickHouse says no.
    pub(super) async fn insert_what_is_missing(&self, segment: &Segment, loaded: &Loaded) -> Result<(), Failure> {
        let rows = self.rows(segment, loaded).await?;
        let missing = rows.is_missing.iter().filter(|missing| **missing).count();
        tracing::info!(segment = %segment.id(), rows = rows.count, missing, "asked ClickHouse which rows of a segment it has");
        // a part of it may be under way in ClickHouse, which the whole would double
        let had_parts = segment.history().failures > 0;
        if missing == rows.count && !loaded.is_damaged && !had_parts {
            return self.insert(loaded, &segment.id().to_string(), segment).await;
        }
        let rows = Arc::new(rows);
        for part in rows.blocks.clone() {
            let token = token_of(segment, &part);
            let (_, frames) = blocking((Arc::clone(&rows), part), |(rows, part)| rows.frames(part)).await;
            if let Some(frames) = frames {
                let columns = Some(rows.columns.clone());
                let rest = Loaded { frames, columns, is_damaged: false, rows_damaged: 0 };
                self.insert(&rest, &token, segment).await?;
            }
        }
        Ok(())
    }

    async fn rows(&self, segment: &Segment, loaded: &Loaded) -> Result<Rows, Failure> {
        let (_frames, read) = blocking(loaded.frames.clone(), |frames| Rows::read(frames)).await;
        let mut rows = read.ok_or_else(|| Failure::of_our_own("a segment's rows cannot be read back"))?;
        let Some((from, to)) = rows.span_of_time() else { return Ok(rows) };
        let present = recent::rows_of(&self.client, segment.id(), from..=to).await?;
        rows.forget(&present);
        Ok(rows)
    }

    /// A part is tried again a few times in place: its place in the search would be lost otherwise.
    async fn insert_patiently(&self, only: &Loaded, token: &str, segment: &Segment) -> Result<(), Failure> {
        const TRIES: u32 = 5;
        let mut tries = 0;
        loop {
            match self.insert(only, token, segment).await {
                Err(failure) if failure.class == Class::Retry && tries < TRIES => {
                    tokio::time::sleep(pause(tries)).await;
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    async fn bury(
        &self,
        segment: &Segment,
        rows: &Arc<Rows>,
        part: Range<usize>,
        failure: &Failure,
    ) -> Result<usize, Failure> {
        let verdict = Verdict {
            segment: segment.id().to_string(),
            rows: part.clone().filter(|row| rows.is_missing.get(*row) == Some(&true)).count(),
            code: failure.code,
            error: failure.detail.clone(),
            at_nanos: self.clock.now().nanos(),
        };
        let (id, letters, rows) = (segment.id(), self.dead_letters.clone(), Arc::clone(rows));
        tracing::error!(
            segment = %id, rows = verdict.rows, why = failure.message,
            "ClickHouse refuses rows for good; they are kept as dead letters (`millrace dead-letter list`)"
        );
        let ((_, _, verdict), put) = blocking((rows, part, verdict), move |(rows, part, verdict)| {
            let mut block = Vec::new();
            rows.select(part, &mut block);
            letters.put(id, part.start, &block, verdict)
        })
        .await;
        put.map_err(|error| Failure::of_our_own(&format!("failed to write a dead letter: {error}")))?;
        Ok(verdict.rows)
    }
}

/// The same in every attempt.
fn token_of(segment: &Segment, part: &Range<usize>) -> String {
    format!("{}-{}-{}", segment.id(), part.start, part.end)
}

impl Rows {
    fn read(frames: &Bytes) -> Option<Self> {
        let mut content = Vec::new();
        decompress_frames(frames, &mut content).ok()?;
        let (mut count, mut columns, mut ranges) = (0, Vec::new(), Vec::new());
        for block in blocks(&content) {
            ranges.push(count..count + block.rows());
            count += block.rows();
            block.add_column_names(&mut columns);
        }
        Some(Self { content, count, blocks: ranges, columns, is_missing: vec![true; count] })
    }

    /// When its first and its last span began.
    fn span_of_time(&self) -> Option<(i64, i64)> {
        let mut times: Vec<i64> = Vec::with_capacity(self.count);
        for block in blocks(&self.content) {
            times.extend(block.i64s("Timestamp")?);
        }
        Some((*times.iter().min()?, *times.iter().max()?))
    }

    /// Marks rows that are in ClickHouse.
    fn forget(&mut self, present: &HashSet<RowKey>) {
        if present.is_empty() {
            return;
        }
        let attribute = workspace::ATTRIBUTE.as_bytes();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut is_missing = Vec::with_capacity(self.count);
        for block in blocks(&self.content) {
            let ids = block.strings("TraceId").zip(block.strings("SpanId"));
            let others = block.i64s("Timestamp").zip(block.map_values("ResourceAttributes", attribute));
            let Some(((traces, spans), (times, workspaces))) = ids.zip(others) else { return };
            is_missing.extend(traces.zip(spans).zip(times.zip(workspaces)).map(
                |((trace, span), (time, workspace))| {
                    !present.contains(&(text(trace), text(span), time, text(workspace.unwrap_or_default())))
                },
            ));
        }
        self.is_missing = is_missing;
    }

    /// One block with the rows of `part` that are missing.
    fn select(&self, part: &Range<usize>, out: &mut Vec<u8>) {
        let mut first = 0;
        for block in blocks(&self.content) {
            let keep = |row: usize| part.contains(&(first + row)) && self.is_missing.get(first + row) == Some(&true);
            if (0..block.rows()).any(keep) {
                block.select(keep, out);
            }
            first += block.rows();
        }
    }

    /// What ClickHouse gets for `part`; `None` when it has all of it.
    fn frames(&self, part: &Range<usize>) -> Option<Bytes> {
        let mut block = Vec::new();
        self.select(part, &mut block);
        if block.is_empty() {
            return None;
        }
        let mut frames = Vec::new();
        compress_pieces(&block, &mut frames);
        Some(frames.into())
    }
}

/// The blocks one behind the other; ends at what cannot be read, which the frames' checksums rule out.
fn blocks(content: &[u8]) -> impl Iterator<Item = Block<'_>> {
    let mut rest = content;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (block, behind) = Block::parse(rest).ok()?;
        rest = behind;
        Some(block)
    })
}
