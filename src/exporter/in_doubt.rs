//! A segment of which ClickHouse may have rows: the others are sent part by part, and those at fault are told apart from those
//! around them.
//!
//! ```text
//! each part    no insert of the segment is under way -> which rows does the table have? -> INSERT of the others
//! refused      halves of halves, until a row is left alone
//! left alone   refused for a known reason: a dead letter
//!              for an unknown one: tried again at the end; a dead letter if ClickHouse took something else meanwhile
//! ```
//!
//! Before rows are sent with another token than before, every earlier insert of them is over and the table was asked again: so
//! an interruption anywhere stores nothing twice. `NoneUnderWay` is what says so, and each insert spends it.

use super::rows::{Insert, Rows};
use super::{CONFIRM_TIMEOUT_MAX, Delivered, Exporter, blocking, confirm_within, note_unanswered, pause};
use crate::bounds::BLOCK_BYTES;
use crate::clickhouse::recent;
use crate::clickhouse::{Class, Failure, NoneUnderWay, OVERTIME, Unconfirmed};
use crate::journal::{DeadLetterReason, History, InDoubt, Part, Segment};
use std::collections::HashSet;
use std::ops::Range;
use std::time::Instant;

/// Parts that are tried one by one before what is still refused is given up together: a segment that is wrong throughout
/// must not cost an insert a row.
const ATTEMPTS_MAX: usize = 2_000;
/// Refusals in a row, without anything taken, before it is left at that: to half a segment of 100,000 rows down to one takes 17.
const REFUSALS_UNTAKEN_MAX: usize = 40;
/// How often a part that failed for a passing reason is tried in place, as its place in the search would be lost otherwise; and how
/// often what is left alone is tried at the end.
const TRIES: u32 = 4;

/// The delivery of one segment.
struct Delivery<'e> {
    exporter: &'e Exporter,
    segment: &'e Segment,
    history: &'e mut History,
    /// How many rows of the segment are in the parts before.
    first_row: usize,
    rows_dead: usize,
}

/// The search for rows at fault in a part.
struct Search {
    rows: Rows,
    token: String,
    none_under_way: Option<NoneUnderWay>,
    attempts: usize,
    /// How many inserts ClickHouse had taken when the first of the refusals came.
    taken_before: u64,
    refusals_untaken: usize,
}

/// What became of the rows of a range.
enum Answer {
    /// ClickHouse has them.
    Stored,
    /// It refuses them, for what may lie in them.
    Refused(Failure),
}

impl Exporter {
    /// Stores all rows but those at fault, which go to the dead letters.
    ///
    /// # Errors
    /// When ClickHouse did not take a part, or the dead letters cannot be written. All can be repeated.
    pub(super) async fn deliver_in_doubt(
        &self,
        segment: &Segment,
        rows: &InDoubt,
        history: &mut History,
    ) -> Result<Delivered, Failure> {
        let mut delivery = Delivery { exporter: self, segment, history, first_row: 0, rows_dead: 0 };
        for part in rows.parts() {
            delivery.part(part).await?;
        }
        Ok(Delivered { rows_dead: delivery.rows_dead, damage: rows.damage() })
    }
}

impl Delivery<'_> {
    async fn part(&mut self, part: Part) -> Result<(), Failure> {
        let is_large = part.content_bytes > BLOCK_BYTES;
        let _alone = if is_large { Some(self.exporter.state.large.lock().await) } else { None };
        let (part, rows) = blocking(part, |part| Rows::read(&part.frames)).await;
        let rows = rows.ok_or_else(|| Failure::local("rows of a segment cannot be read back"))?;
        let count = rows.count();
        let mut search = Search {
            rows,
            token: part.token,
            none_under_way: None,
            attempts: 0,
            taken_before: if self.history.refusals > 0 { self.history.taken_before } else { self.exporter.taken() },
            refusals_untaken: 0,
        };
        search.none_under_way = Some(self.ask(&mut search).await?);
        let missing = search.rows.missing_in(&(0..count));
        tracing::debug!(segment = %self.segment.id(), rows = count, missing, "asked ClickHouse which rows of a segment it has");
        let undecided = self.search(&mut search).await?;
        self.decide(&mut search, undecided).await?;
        self.first_row += count;
        Ok(())
    }

    /// Tries all rows, and halves of what is refused. Returns what is left and was refused for an unknown reason.
    async fn search(&mut self, search: &mut Search) -> Result<Vec<Range<usize>>, Failure> {
        let all = 0..search.rows.count();
        let (mut ranges, mut undecided) = (vec![all], Vec::new());
        while let Some(range) = ranges.pop() {
            let failure = match self.attempt(search, &range).await? {
                Answer::Stored => continue,
                Answer::Refused(failure) => failure,
            };
            let is_known = failure.class == Class::Permanent;
            if !is_known && !self.exporter.may_search(self.segment.id(), self.history) {
                return Err(failure);
            }
            if !is_known && search.refusals_untaken >= REFUSALS_UNTAKEN_MAX {
                return Err(failure);
            }
            if range.len() > 1 && search.attempts < ATTEMPTS_MAX {
                let middle = range.start + range.len() / 2;
                ranges.extend([middle..range.end, range.start..middle]);
            } else if is_known {
                self.dead_letter(search, range, &failure).await?;
            } else if failure.class == Class::Unknown {
                undecided.push(range);
            } else {
                // a single row that there is no memory for now
                return Err(failure);
            }
        }
        Ok(undecided)
    }

    /// What was refused for an unknown reason is tried again, now that the rest of it was. It is at fault if ClickHouse still refuses
    /// it, and took something else since it first did.
    async fn decide(&mut self, search: &mut Search, undecided: Vec<Range<usize>>) -> Result<(), Failure> {
        for range in undecided {
            let mut tries = 0;
            let failure = loop {
                match self.attempt(search, &range).await? {
                    Answer::Stored => break None,
                    Answer::Refused(failure) if tries >= TRIES => break Some(failure),
                    Answer::Refused(_) => {
                        tokio::time::sleep(pause(tries)).await;
                        tries += 1;
                    }
                }
            };
            match failure {
                None => {}
                Some(failure) if self.exporter.taken() > search.taken_before => {
                    self.dead_letter(search, range, &failure).await?
                }
                Some(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Sends the rows of a range that are missing. What fails for a passing reason is tried again a few times.
    async fn attempt(&mut self, search: &mut Search, range: &Range<usize>) -> Result<Answer, Failure> {
        let mut tries = 0;
        loop {
            let none_under_way = match search.none_under_way.take() {
                Some(none_under_way) => none_under_way,
                None => self.ask(search).await?,
            };
            let Unconfirmed { failure, over } = match self.insert(search, range, none_under_way).await {
                Ok(none_under_way) => {
                    search.none_under_way = Some(none_under_way);
                    return Ok(Answer::Stored);
                }
                Err(unconfirmed) => unconfirmed,
            };
            // it is not kept: after a refusal too some of the rows may be in, so that is asked before others are sent
            let is_refused = over.is_some() && failure.may_be_of_rows();
            search.refusals_untaken += usize::from(is_refused);
            if is_refused && (failure.class != Class::Retry || range.len() > 1) {
                return Ok(Answer::Refused(failure));
            }
            if failure.class != Class::Retry || tries >= TRIES {
                return Err(failure);
            }
            tokio::time::sleep(pause(tries)).await;
            tries += 1;
        }
    }

    /// One insert of what is missing in a range.
    async fn insert(
        &mut self,
        search: &mut Search,
        range: &Range<usize>,
        none_under_way: NoneUnderWay,
    ) -> Result<NoneUnderWay, Unconfirmed> {
        let work = (std::mem::take(&mut search.rows), range.clone());
        let ((rows, _), insert) = blocking(work, |(rows, range)| rows.insert_of(range)).await;
        search.rows = rows;
        let Some(Insert { frames, columns }) = insert else { return Ok(none_under_way) };
        search.attempts += 1;
        let token = format!("{}-{}-{}", search.token, range.start, range.end);
        let (bytes, within) = (frames.len(), confirm_within(self.history));
        let client = &self.exporter.client;
        let inserted = client.insert_part(frames, &columns, &token, within, none_under_way).await;
        let failure = inserted.as_ref().err().map(|unconfirmed| &unconfirmed.failure);
        self.exporter.count(bytes, failure);
        match failure {
            None => search.refusals_untaken = 0,
            Some(failure) => note_unanswered(self.history, failure, within),
        }
        inserted
    }

    /// Makes sure that nothing of the segment is under way, and asks which of the rows the table has.
    async fn ask(&self, search: &mut Search) -> Result<NoneUnderWay, Failure> {
        let (client, id) = (&self.exporter.client, self.segment.id());
        let none_under_way = client.end_inserts(id, self.over_by()).await?;
        let present = match search.rows.span_of_time() {
            Some((from, to)) => recent::rows_of(client, id, from..=to).await?,
            None => HashSet::new(),
        };
        let (rows, noted) = blocking(std::mem::take(&mut search.rows), move |rows| rows.note_present(&present)).await;
        search.rows = rows;
        noted.ok_or_else(|| Failure::local("rows of a segment lack the columns that tell them apart"))?;
        Ok(none_under_way)
    }

    /// When every insert of the segment has run out of its time.
    fn over_by(&self) -> Instant {
        let began = self.exporter.state.began;
        let by_an_earlier_run = self.segment.is_recovered().then(|| began + CONFIRM_TIMEOUT_MAX + OVERTIME);
        self.history.under_way_until.max(by_an_earlier_run).unwrap_or(began)
    }

    async fn dead_letter(
        &mut self,
        search: &mut Search,
        range: Range<usize>,
        failure: &Failure,
    ) -> Result<(), Failure> {
        let id = self.segment.id();
        let verdict = DeadLetterReason {
            segment: id.to_string(),
            rows: search.rows.missing_in(&range),
            code: failure.code,
            error: failure.detail.clone(),
            at_nanos: self.exporter.clock.now().nanos(),
        };
        tracing::error!(
            segment = %id, rows = verdict.rows, why = failure.message,
            "ClickHouse refuses rows for good; they are kept as dead letters (`millrace dead-letter list`)"
        );
        let (letters, first_row) = (self.exporter.dead_letters.clone(), self.first_row + range.start);
        let work = (std::mem::take(&mut search.rows), range, verdict);
        let ((rows, _, verdict), put) =
            blocking(work, move |(rows, range, verdict)| letters.put(id, first_row, &rows.block_of(range), verdict))
                .await;
        search.rows = rows;
        put.map_err(|error| Failure::local(&format!("failed to write a dead letter: {error}")))?;
        self.rows_dead += verdict.rows;
        Ok(())
    }
}
