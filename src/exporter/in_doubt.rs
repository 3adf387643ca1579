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
//! Before rows are sent with another token than before, every earlier insert of them is over and it is known what of it is committed: so
//! an interruption anywhere stores nothing twice. `NoneUnderWay` is what says so, and each insert spends it.

use super::rows::{Insert, Missing, Rows};
use super::{CONFIRM_TIMEOUT_MAX, Delivered, Exporter, blocking, confirm_within, note_under_way, pause};
use crate::bounds::BLOCK_BYTES;
use crate::clickhouse::committed;
use crate::clickhouse::{Class, Failure, NoneUnderWay, OVERTIME, Target, Unconfirmed};
use crate::columns::Table;
use crate::journal::{DeadLetterReason, History, InDoubt, Part, Segment};
use std::ops::RangeInclusive;
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
    table: Table,
    history: &'e mut History,
    /// How many rows of the segment are in the parts before.
    first_row: usize,
    rows_dead: usize,
}

/// The search for rows at fault in a part.
struct Search {
    missing: Missing,
    /// When the first and the last of its rows began.
    began: Option<RangeInclusive<i64>>,
    token: String,
    none_under_way: Option<NoneUnderWay>,
    attempts: usize,
    /// How many inserts ClickHouse had taken when the first of the refusals came.
    taken_before: u64,
    refusals_untaken: usize,
}

/// What became of rows.
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
        let mut delivery =
            Delivery { exporter: self, segment, table: rows.table(), history, first_row: 0, rows_dead: 0 };
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
        let table = self.table;
        let (part, read) = blocking(part, move |part| {
            let rows = Rows::read(table, &part.frames)?;
            Some((Missing::all(&rows)?, rows))
        })
        .await;
        let (missing, rows) = read.ok_or_else(|| Failure::local("rows of a segment cannot be read back"))?;
        let all = rows.range.clone();
        let mut search = Search {
            missing,
            began: rows.span_of_time(),
            token: part.token,
            none_under_way: None,
            attempts: 0,
            taken_before: if self.history.refusals > 0 { self.history.taken_before } else { self.exporter.taken() },
            refusals_untaken: 0,
        };
        search.none_under_way = Some(self.ask(&mut search).await?);
        let missing = search.missing.count_in(&all);
        tracing::debug!(segment = %self.segment.id(), rows = all.len(), missing, "asked ClickHouse which rows of a segment it has");
        let undecided = self.search(&mut search, rows).await?;
        self.decide(&mut search, undecided).await?;
        self.first_row += all.len();
        Ok(())
    }

    /// Tries all rows, and halves of what is refused. Returns what is left and was refused for an unknown reason.
    async fn search(&mut self, search: &mut Search, all: Rows) -> Result<Vec<Rows>, Failure> {
        let (mut pieces, mut undecided) = (vec![all], Vec::new());
        while let Some(rows) = pieces.pop() {
            let (rows, failure) = match self.attempt(search, rows).await? {
                (_, Answer::Stored) => continue,
                (rows, Answer::Refused(failure)) => (rows, failure),
            };
            let is_known = failure.class == Class::Permanent;
            if !is_known && !self.exporter.may_search(self.segment.id(), self.history) {
                return Err(failure);
            }
            if !is_known && search.refusals_untaken >= REFUSALS_UNTAKEN_MAX {
                return Err(failure);
            }
            if rows.range.len() > 1 && search.attempts < ATTEMPTS_MAX {
                let (_whole, halves) = blocking(rows, |rows| rows.halves()).await;
                let [first, second] = halves.ok_or_else(|| Failure::local("rows of a segment cannot be divided"))?;
                pieces.extend([second, first]);
            } else if is_known {
                self.dead_letter(search, rows, &failure).await?;
            } else if failure.class == Class::Unknown {
                undecided.push(rows);
            } else {
                // a single row that there is no memory for now
                return Err(failure);
            }
        }
        Ok(undecided)
    }

    /// What was refused for an unknown reason is tried again, now that the rest of it was. It is at fault if ClickHouse still refuses
    /// it, and took something else since it first did.
    async fn decide(&mut self, search: &mut Search, undecided: Vec<Rows>) -> Result<(), Failure> {
        for mut rows in undecided {
            let mut tries = 0;
            let failure = loop {
                let answer;
                (rows, answer) = self.attempt(search, rows).await?;
                match answer {
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
                    self.dead_letter(search, rows, &failure).await?
                }
                Some(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Sends those of the rows that are missing. What fails for a passing reason is tried again a few times.
    async fn attempt(&mut self, search: &mut Search, mut rows: Rows) -> Result<(Rows, Answer), Failure> {
        let mut tries = 0;
        loop {
            let none_under_way = match search.none_under_way.take() {
                Some(none_under_way) => none_under_way,
                None => self.ask(search).await?,
            };
            let inserted;
            (rows, inserted) = self.insert(search, rows, none_under_way).await;
            let Unconfirmed { failure, over } = match inserted {
                Ok(none_under_way) => {
                    search.none_under_way = Some(none_under_way);
                    return Ok((rows, Answer::Stored));
                }
                Err(unconfirmed) => unconfirmed,
            };
            // it is not kept: after a refusal too some of the rows may be in, so that is asked before others are sent
            let is_refused = over.is_some() && failure.may_be_of_rows();
            search.refusals_untaken += usize::from(is_refused);
            if is_refused && (failure.class != Class::Retry || rows.range.len() > 1) {
                return Ok((rows, Answer::Refused(failure)));
            }
            if failure.class != Class::Retry || tries >= TRIES {
                return Err(failure);
            }
            tokio::time::sleep(pause(tries)).await;
            tries += 1;
        }
    }

    /// One insert of those of the rows that are missing.
    async fn insert(
        &mut self,
        search: &mut Search,
        rows: Rows,
        none_under_way: NoneUnderWay,
    ) -> (Rows, Result<NoneUnderWay, Unconfirmed>) {
        let (rows, insert) = search.of_missing(rows, |rows, missing| rows.insert_of(missing)).await;
        let Some(Insert { frames, columns }) = insert else { return (rows, Ok(none_under_way)) };
        search.attempts += 1;
        let token = format!("{}-{}-{}", search.token, rows.range.start, rows.range.end);
        let (bytes, within) = (frames.len(), confirm_within(self.history));
        let client = &self.exporter.client;
        let target = Target { table: self.table, columns: Some(&columns) };
        let began = Instant::now();
        let inserted = client.insert_part(frames, target, &token, within, none_under_way).await;
        let failure = inserted.as_ref().err().map(|unconfirmed| &unconfirmed.failure);
        self.exporter.count(self.table, began.elapsed(), failure.map_or(Ok(bytes), Err));
        match failure {
            None => search.refusals_untaken = 0,
            Some(failure) => note_under_way(self.history, client, failure, within),
        }
        (rows, inserted)
    }

    /// Makes sure that nothing of the segment is under way, and asks which of the rows are committed.
    async fn ask(&self, search: &mut Search) -> Result<NoneUnderWay, Failure> {
        let (client, id) = (&self.exporter.client, self.segment.id());
        let asked = committed::ask(client, (self.table, id), search.began.clone(), self.over_by());
        let (none_under_way, committed) = asked.await?;
        search.missing.note(committed);
        Ok(none_under_way)
    }

    /// When every insert of the segment has run out of its time.
    fn over_by(&self) -> Instant {
        let began = self.exporter.state.began;
        let by_an_earlier_run = self.segment.is_recovered().then(|| began + CONFIRM_TIMEOUT_MAX + OVERTIME);
        self.history.under_way_until.max(by_an_earlier_run).unwrap_or(began)
    }

    /// Keeps those of the rows that are missing as a dead letter.
    async fn dead_letter(&mut self, search: &mut Search, rows: Rows, failure: &Failure) -> Result<(), Failure> {
        // a refused insert too may have left rows: a view can refuse what the table has taken
        search.none_under_way = Some(self.ask(search).await?);
        let id = self.segment.id();
        let verdict = DeadLetterReason {
            segment: id.to_string(),
            table: self.table.name().to_owned(),
            rows: search.missing.count_in(&rows.range),
            code: failure.code,
            error: failure.detail.clone(),
            at_nanos: self.exporter.clock.now().nanos(),
        };
        if verdict.rows == 0 {
            return Ok(());
        }
        tracing::error!(
            segment = %id, rows = verdict.rows, why = failure.message,
            "ClickHouse refuses rows for good; they are kept as dead letters (`millrace dead-letter list`)"
        );
        let (letters, first_row) = (self.exporter.dead_letters.clone(), self.first_row + rows.range.start);
        let (_rows, block) = search.of_missing(rows, |rows, missing| rows.block_of(missing)).await;
        let ((_block, verdict), put) =
            blocking((block, verdict), move |(block, verdict)| letters.put(id, first_row, block, verdict)).await;
        put.map_err(|error| Failure::local(&format!("failed to write a dead letter: {error}")))?;
        self.rows_dead += verdict.rows;
        Ok(())
    }
}

impl Search {
    /// Does with rows, on a thread for it, what needs to know which are missing.
    async fn of_missing<R: Send + 'static>(
        &mut self,
        rows: Rows,
        work: impl FnOnce(&Rows, &Missing) -> R + Send + 'static,
    ) -> (Rows, R) {
        let missing = std::mem::take(&mut self.missing);
        let ((rows, missing), done) = blocking((rows, missing), |(rows, missing)| work(rows, missing)).await;
        self.missing = missing;
        (rows, done)
    }
}
