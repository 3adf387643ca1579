//! The import of one file: its pieces become records, records become batches, and a checkpoint follows what is accepted.
//!
//! ```text
//! pieces -> reader -> records -> batch -> up to two requests under way -> checkpoint
//! ```

use super::pieces::{Next, Piece, Pieces, object};
use super::progress::Progress;
use super::room::Room;
use super::sender::{Outcome, Sender};
use super::source::{self, Content};
use super::state::{Checkpoint, State};
use super::walk;
use crate::embedded::parquet::{self, Notes};
use crate::formats::{Format, Known, Reader, Record, Sink, Source, detect};
use crate::numbers::to_u64;
use crate::text::counted;
use crate::time::Clock;
use crate::workspace::Workspace;
use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use twox_hash::XxHash3_64;

/// A request has at most so many bytes and rows.
const BATCH_BYTES_MAX: usize = 4 << 20;
const BATCH_ROWS_MAX: usize = 5_000;
/// Requests under way.
const UNDER_WAY_MAX: usize = 2;
/// How often a checkpoint is written.
const KEPT_EVERY: Duration = Duration::from_secs(1);
/// Bytes of the beginning of a file that tell it from others.
const HEAD_BYTES: usize = 64 << 10;

/// What holds for a whole run.
pub(super) struct Run {
    pub(super) sender: Option<Sender>,
    pub(super) state: State,
    pub(super) progress: Progress,
    pub(super) workspace: Workspace,
    pub(super) format: Option<Format>,
    pub(super) drops_content: bool,
    pub(super) keeps_rejects: bool,
    pub(super) rejects: RejectsMax,
    pub(super) stop: CancellationToken,
    /// What reads Parquet.
    pub(super) parquet: parquet::Reader,
    /// For copies of Parquet.
    pub(super) room: Arc<Room>,
}

/// How much may be rejected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum RejectsMax {
    Any,
    Pieces(u64),
    /// Of a hundred, once a thousand are read.
    Percent(f64),
}

/// A file that is open.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) format: Format,
    pub(super) id: String,
    /// Whether its pieces are requests of a batch.
    is_batch_input: bool,
    /// Whether what is read of it is not what lies on disk.
    is_packed: bool,
    pieces: Pieces,
    first: Option<Next>,
    /// What the engine says about it.
    notes: Notes,
}

/// What is known of a file before its import.
pub(super) struct Look {
    /// Names its import.
    pub(super) id: String,
    /// Whether its pieces are requests of a batch.
    pub(super) is_batch_input: bool,
}

/// Looks at the beginning of a file; nothing for one that is empty. No engine is started for that: Parquet is known by its bytes.
pub(super) async fn look(run: &Run, file: &walk::File) -> anyhow::Result<Option<Look>> {
    let content = source::open(file).await.with_context(|| file.path.display().to_string())?;
    Ok(match content {
        Content::Parquet(parquet) => {
            Some(Look { id: parquet_id(run, file.size, &parquet.head), is_batch_input: false })
        }
        bytes @ Content::Bytes { .. } => open_content(run, file, bytes, true)
            .await?
            .map(|Opened { id, is_batch_input, .. }| Look { id, is_batch_input }),
    })
}

/// Opens a file and finds out what it holds; nothing for one that is empty.
/// Unless the file `is_whole`, a first line without an end is none yet.
pub(super) async fn open(run: &Run, file: &walk::File, is_whole: bool) -> anyhow::Result<Option<Opened>> {
    let content = source::open(file).await.with_context(|| file.path.display().to_string())?;
    open_content(run, file, content, is_whole).await
}

async fn open_content(
    run: &Run,
    file: &walk::File,
    content: Content,
    is_whole: bool,
) -> anyhow::Result<Option<Opened>> {
    let path = &file.path;
    let (stream, is_packed, id, notes) = match content {
        Content::Bytes { stream, is_packed } => (stream, is_packed, None, Notes::default()),
        Content::Parquet(parquet) => {
            let id = parquet_id(run, file.size, &parquet.head);
            let rows = parquet.rows(&run.parquet, &run.room).await;
            let (stream, notes) = rows.with_context(|| path.display().to_string())?;
            (stream, true, Some(id), notes)
        }
    };
    let mut pieces = Pieces::of(stream).await.with_context(|| path.display().to_string())?;
    let head = pieces.head().get(..HEAD_BYTES).map_or_else(|| pieces.head().to_vec(), <[u8]>::to_vec);
    let first = pieces.next(is_whole).await.with_context(|| path.display().to_string())?;
    let value = match &first {
        Next::End => return Ok(None),
        Next::Piece(piece) => object(&piece.bytes),
        Next::Unreadable(..) => None,
    };
    let format = match run.format.or_else(|| detect(&head, value.as_ref())) {
        Some(format) => format,
        None => anyhow::bail!(
            "{}: line 1: its format is not known; name it with --format (one of {})",
            path.display(),
            names()
        ),
    };
    let id = id.unwrap_or_else(|| match format {
        // whoever downloads again gets all of it, and more: another file, of which repeats are known
        Format::ChatGpt | Format::ClaudeAi => download_id(&head, file.size, format, &run.workspace),
        _ => import_id(&head, &first, format, &run.workspace, pieces.is_of_rows()),
    });
    let is_batch_input = value.as_ref().is_some_and(crate::formats::is_batch_input);
    Ok(Some(Opened { path: path.clone(), format, id, is_batch_input, is_packed, pieces, first: Some(first), notes }))
}

/// The names of all formats.
pub(super) fn names() -> String {
    Format::ALL.map(Format::name).join(", ")
}

/// The import of a Parquet file is known by its size and its first bytes: it does not grow.
fn parquet_id(run: &Run, size: u64, head: &[u8]) -> String {
    let format = run.format.map_or("", Format::name);
    hashed(&[b"parquet", format.as_bytes(), run.workspace.as_str().as_bytes(), &size.to_le_bytes(), head])
}

/// The import of a download is known by its size and how it begins: it does not grow.
fn download_id(head: &[u8], size: u64, format: Format, workspace: &Workspace) -> String {
    hashed(&[format.name().as_bytes(), workspace.as_str().as_bytes(), &size.to_le_bytes(), head])
}

/// The import of a file is known by how it begins: a session by its first line, which stays when it grows.
fn import_id(head: &[u8], first: &Next, format: Format, workspace: &Workspace, has_rows: bool) -> String {
    let head = match first {
        Next::Piece(piece) if format.is_session() => &piece.bytes,
        Next::Piece(piece) if !has_rows && format != Format::OtlpProtobuf => {
            let length = usize::try_from(piece.end).map_or(head.len(), |end| end.min(head.len()));
            // and the next line, since the first one may be the same everywhere
            let more = head.get(length..).map_or(&[] as &[u8], |more| more);
            let next = memchr::memchr(b'\n', more).map_or(length, |at| length + at);
            head.get(..next).map_or(head, |head| head)
        }
        _ => head,
    };
    hashed(&[format.name().as_bytes(), workspace.as_str().as_bytes(), head])
}

/// What is known by one identity is known once in each workspace.
fn in_workspace(known: Known, workspace: &Workspace) -> Known {
    match workspace.as_str() {
        Workspace::DEFAULT => known,
        other => Known { identity: XxHash3_64::oneshot_with_seed(known.identity, other.as_bytes()), ..known },
    }
}

fn hashed(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(to_u64(part.len()).to_le_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Where a record comes from.
#[derive(Debug, Clone, Copy)]
struct Place {
    number: u64,
    end: u64,
}

/// Requests that are not answered yet, and what they hold.
type UnderWay = VecDeque<(JoinHandle<anyhow::Result<Outcome>>, Vec<Place>)>;

/// A file while it is imported.
pub(super) struct FileImport {
    pub(super) checkpoint: Checkpoint,
    pieces: Pieces,
    first: Option<Next>,
    reader: Box<dyn Reader>,
    batch: Vec<(Record, Place)>,
    under_way: UnderWay,
    /// What ends up to there was sent before.
    skip: u64,
    read: Place,
    kept: Instant,
    flushed: Vec<u64>,
    format: Format,
    notes: Notes,
}

impl FileImport {
    /// Begins, or goes on from the checkpoint; nothing if there is nothing new.
    pub(super) fn begin(run: &mut Run, opened: Opened, size: u64) -> anyhow::Result<Option<Self>> {
        let Opened { path, format, id, pieces, first, is_packed, notes, .. } = opened;
        anyhow::ensure!(
            !run.drops_content || format.can_drop_content(),
            "{}: --drop-content leaves nothing out of {format}; set `genai.content: drop` for the workspace and import it without",
            path.display()
        );
        let known = run.state.checkpoint(&id)?;
        if known.as_ref().is_some_and(|known| known.has_all_of(size)) {
            return Ok(None);
        }
        // one that became shorter was written anew; of a packed file the offset is one in what is unpacked
        let has_become_shorter = |known: &Checkpoint| size < if is_packed { known.size } else { known.offset };
        let known = known.filter(|known| size == 0 || !has_become_shorter(known));
        let fresh = || Checkpoint { started: Clock::System.now().nanos(), ..Checkpoint::default() };
        let (format_name, workspace) = (format.name().to_owned(), run.workspace.as_str().to_owned());
        let file_name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let known = known.unwrap_or_else(fresh);
        // a file that comes by standard input once more stays the file
        let (path, size) = match path.as_os_str() == "-" {
            true if !known.path.as_os_str().is_empty() => (known.path.clone(), known.size),
            true => (path, size),
            false => (std::path::absolute(&path).map_or(path, |path| path), size),
        };
        let checkpoint =
            Checkpoint { id: id.clone(), path, format: format_name, workspace, is_done: false, size, ..known };
        let source =
            Source { workspace: run.workspace.clone(), import_id: id, file_name, drops_content: run.drops_content };
        Ok(Some(Self {
            skip: checkpoint.offset,
            flushed: checkpoint.open.clone(),
            checkpoint,
            pieces,
            first,
            reader: format.reader(&source),
            batch: Vec::new(),
            under_way: VecDeque::new(),
            read: Place { number: 0, end: 0 },
            kept: Instant::now(),
            format,
            notes,
        }))
    }

    /// Hands over what reads the next file of the same batch.
    pub(super) fn into_reader(self) -> Box<dyn Reader> {
        self.reader
    }

    /// Goes on with what another file left.
    pub(super) fn with_reader(mut self, reader: Option<Box<dyn Reader>>) -> Self {
        if let Some(reader) = reader {
            self.reader = reader;
        }
        self
    }

    /// Reads to the end, for now or for good, and sends everything. With `is_last` what is still open is sent too.
    pub(super) async fn pump(&mut self, run: &mut Run, is_whole: bool, is_last: bool) -> anyhow::Result<()> {
        let before = self.read.end;
        let mut is_broken = false;
        loop {
            if run.stop.is_cancelled() {
                break;
            }
            let next = match self.first.take() {
                Some(next) => Ok(next),
                None => self.pieces.next(is_whole).await,
            };
            let next = match next {
                Ok(next) => next,
                // what came before it is whole, and other files are
                Err(error) => {
                    is_broken = true;
                    self.reject(run, self.read.number + 1, &format!("the file cannot be read on: {error}"), None)?;
                    break;
                }
            };
            match next {
                Next::Piece(piece) => self.take(run, piece).await?,
                Next::Unreadable(number, end, why) => {
                    self.read = Place { number, end };
                    if end > self.skip {
                        self.reject(run, number, &why, None)?;
                    }
                }
                Next::End => break,
            }
            run.progress.show();
        }
        let is_stopped = run.stop.is_cancelled();
        if !is_stopped && is_last && (self.read.end > before || before == 0) {
            self.end_of_file(run).await?;
        }
        self.send(run).await?;
        while !self.under_way.is_empty() {
            self.settle(run).await?;
        }
        if !is_stopped {
            self.checkpoint.offset = self.checkpoint.offset.max(self.read.end);
            self.checkpoint.is_done = is_whole && !is_broken;
        }
        for note in self.notes.take() {
            run.progress.say(&format!("{}: {note}", self.checkpoint.path.display()));
        }
        run.state.keep(&self.checkpoint)
    }

    async fn take(&mut self, run: &mut Run, piece: Piece) -> anyhow::Result<()> {
        self.read = Place { number: piece.number, end: piece.end };
        run.progress.counts.bytes += piece.end - piece.begin;
        let is_new = piece.end > self.skip;
        if !is_new && !self.format.has_memory() {
            return Ok(());
        }
        let mut sink = Sink::default();
        self.reader.piece(&piece.bytes, &mut sink);
        if !is_new {
            return Ok(());
        }
        run.progress.counts.pieces += 1;
        self.hand_over(run, sink, Some(&piece.bytes)).await
    }

    async fn hand_over(&mut self, run: &mut Run, sink: Sink, piece: Option<&[u8]>) -> anyhow::Result<()> {
        for why in sink.rejects {
            self.reject(run, self.read.number, &why, piece)?;
        }
        for (kind, count) in sink.others {
            *self.checkpoint.others.entry(kind.clone()).or_default() += count;
            *run.progress.counts.others.entry(kind).or_default() += count;
        }
        for record in sink.records {
            self.add(run, record).await?;
        }
        Ok(())
    }

    async fn end_of_file(&mut self, run: &mut Run) -> anyhow::Result<()> {
        let mut sink = Sink::default();
        self.reader.end(&mut sink);
        let open = sink.records.iter().map(hash_of).collect();
        self.hand_over(run, sink, None).await?;
        self.checkpoint.open = open;
        self.flushed.clone_from(&self.checkpoint.open);
        Ok(())
    }

    async fn add(&mut self, run: &mut Run, record: Record) -> anyhow::Result<()> {
        if let Record::Otlp { known: Some(known), .. } = &record
            && run.state.is_of_another(in_workspace(*known, &run.workspace), &self.checkpoint.id)
        {
            self.checkpoint.copied += 1;
            run.progress.counts.copied += 1;
            return Ok(());
        }
        // what was sent when the file ended there, and is the same still
        if self.flushed.contains(&hash_of(&record)) {
            return Ok(());
        }
        let rows = self.batch.iter().map(|(record, _)| record.items()).sum::<usize>();
        let bytes = self.batch.iter().map(|(record, _)| record.len()).sum::<usize>();
        let goes_on = self.batch.last().is_none_or(|(last, _)| last.goes_with(&record));
        if !goes_on || rows + record.items() > BATCH_ROWS_MAX || bytes + record.len() > BATCH_BYTES_MAX {
            self.send(run).await?;
        }
        self.batch.push((record, self.read));
        Ok(())
    }

    /// Sends the batch, once there is a place for it.
    async fn send(&mut self, run: &mut Run) -> anyhow::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let (records, places): (Vec<Record>, Vec<Place>) = std::mem::take(&mut self.batch).into_iter().unzip();
        let Some(sender) = run.sender.clone() else {
            let rows = to_u64(records.iter().map(Record::items).sum());
            run.progress.counts.accepted += rows;
            return Ok(());
        };
        while self.under_way.len() >= UNDER_WAY_MAX {
            self.settle(run).await?;
        }
        let import = self.checkpoint.id.clone();
        let task = tokio::spawn(async move { sender.send(&import, records).await });
        self.under_way.push_back((task, places));
        Ok(())
    }

    /// Waits for the first request under way, and notes what became of it.
    async fn settle(&mut self, run: &mut Run) -> anyhow::Result<()> {
        let Some((task, places)) = self.under_way.pop_front() else { return Ok(()) };
        let outcome = task.await.context("a request was broken off")??;
        self.checkpoint.accepted += outcome.accepted;
        run.progress.counts.accepted += outcome.accepted;
        for (record, why) in outcome.rejected {
            let number = places.get(record).map_or(0, |place| place.number);
            self.reject(run, number, &why, None)?;
        }
        // a record of the same piece may be in the next batch
        let end = places.last().map_or(0, |place| place.end);
        let before_it = places.iter().rev().find(|place| place.end < end).map_or(0, |place| place.end);
        self.checkpoint.offset = self.checkpoint.offset.max(before_it);
        if self.kept.elapsed() >= KEPT_EVERY {
            self.kept = Instant::now();
            run.state.keep(&self.checkpoint)?;
        }
        run.progress.show();
        Ok(())
    }

    fn reject(&mut self, run: &mut Run, number: u64, why: &str, piece: Option<&[u8]>) -> anyhow::Result<()> {
        if self.checkpoint.rejected == 0 {
            run.progress.say(&format!("{}: line {number}: {why}", self.checkpoint.path.display()));
        }
        self.checkpoint.rejected += 1;
        run.progress.rejected(&self.checkpoint.path.to_string_lossy(), number, why);
        run.state.reject(&self.checkpoint, number, why, piece.filter(|_| run.keeps_rejects))?;
        run.progress.rejects.insert(run.state.rejects(&self.checkpoint.id));
        let counts = &run.progress.counts;
        if run.rejects.is_exceeded(counts.rejected, counts.pieces) {
            anyhow::bail!(
                "{} of {} rejected, more than --max-rejects allows; see {}",
                counts.rejected,
                counted(counts.pieces, "line"),
                run.state.rejects(&self.checkpoint.id).display()
            );
        }
        Ok(())
    }
}

fn hash_of(record: &Record) -> u64 {
    match record {
        Record::Otlp { request: bytes, .. } | Record::Body { json: bytes, .. } => XxHash3_64::oneshot(bytes),
    }
}

impl RejectsMax {
    fn is_exceeded(self, rejected: u64, pieces: u64) -> bool {
        const PIECES_MIN: u64 = 1_000;
        match self {
            Self::Any => false,
            Self::Pieces(max) => rejected > max,
            Self::Percent(max) => {
                let part = f64::from(u32::try_from(rejected).map_or(u32::MAX, |count| count));
                let all = f64::from(u32::try_from(pieces).map_or(u32::MAX, |count| count));
                pieces >= PIECES_MIN && part * 100.0 > max * all
            }
        }
    }
}

/// `12` or `1%`.
pub(super) fn rejects_max(text: &str) -> Result<RejectsMax, String> {
    let wrong = || "must be a number of lines, or a part of them such as 1%".to_owned();
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent = percent.trim().parse::<f64>().map_err(|_| wrong())?;
            (0.0..=100.0).contains(&percent).then_some(RejectsMax::Percent(percent)).ok_or_else(wrong)
        }
        None => text.parse().map(RejectsMax::Pieces).map_err(|_| wrong()),
    }
}
