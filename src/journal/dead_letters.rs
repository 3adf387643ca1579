//! Dead letters: rows that ClickHouse refuses for good, kept with its words until a person decides.
//!
//! ```text
//! dead-letter/{segment}-{first row}.segment   the rows, in the format of the journal
//! dead-letter/{segment}-{first row}.json      why, as a `DeadLetterReason`
//! ```

use super::disk::{Disk, replace};
use super::format::{self, Header, columns_hash};
use crate::columns::Table;
use crate::columns::native::frames::{Content, compress_frame, compress_pieces, decompress_frames};
use crate::columns::native::parse::Block;
use crate::ids::SegmentId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why rows were refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterReason {
    /// The segment that they came with.
    pub segment: String,
    /// The table that they are for; absent: that of spans.
    #[serde(default = "table_of_spans")]
    pub table: String,
    /// How many.
    pub rows: usize,
    /// ClickHouse's error code.
    pub code: Option<u32>,
    /// Its words, which may quote what a sender sent.
    pub error: String,
    /// When, in nanoseconds since 1970.
    pub at_nanos: i64,
}

impl DeadLetterReason {
    /// The table that the rows are for.
    #[must_use]
    pub fn table(&self) -> Table {
        Table::named(&self.table).unwrap_or_default()
    }

    fn unreadable(name: &str, why: &io::Error) -> Self {
        let error = format!("why it is here cannot be read: {name}.json: {why}");
        Self { segment: name.to_owned(), table: table_of_spans(), rows: 0, code: None, error, at_nanos: 0 }
    }
}

fn table_of_spans() -> String {
    Table::Traces.name().to_owned()
}

/// One dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// What it is called, which is also the token of a new attempt.
    pub name: String,
    /// Why it is here.
    pub verdict: DeadLetterReason,
    /// Bytes on disk.
    pub bytes: u64,
}

/// The folder.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
}

impl DeadLetters {
    /// The dead letters in a folder; it is made when the first comes.
    #[must_use]
    pub fn new(dir: PathBuf, disk: Arc<dyn Disk>) -> Self {
        Self { dir, disk }
    }

    /// Keeps a block of rows. Blocks the thread.
    ///
    /// # Errors
    /// On an I/O error: the rows must stay where they were.
    pub fn put(&self, id: SegmentId, first_row: usize, block: &[u8], verdict: &DeadLetterReason) -> io::Result<()> {
        self.disk.create_dir(&self.dir)?;
        let (columns, table) = (columns_hash(verdict.table()), verdict.table.clone());
        let header = Header { id, created_nanos: verdict.at_nanos, columns, table };
        let mut bytes = header.encode();
        match Content::new(block) {
            Some(content) => compress_frame(content, &mut bytes),
            // rows that an earlier Millrace accepted
            None => compress_pieces(block, &mut bytes),
        }
        let name = format!("{id}-{first_row}");
        replace(&*self.disk, &self.dir, &format!("{name}.segment"), &bytes)?;
        replace(&*self.disk, &self.dir, &format!("{name}.json"), &serde_json::to_vec_pretty(verdict)?)
    }

    /// All of them, oldest first. Blocks the thread.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<DeadLetter>> {
        let entries = match self.disk.list(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut letters = Vec::new();
        for entry in &entries {
            let Some(name) = entry.name.strip_suffix(".json") else { continue };
            let read = self.disk.read(&self.dir.join(&entry.name));
            let verdict = read.and_then(|text| Ok(serde_json::from_slice(&text)?));
            // one bad file must not hide the others
            let verdict = verdict.unwrap_or_else(|error| DeadLetterReason::unreadable(name, &error));
            let rows = entries.iter().find(|other| other.name.strip_suffix(".segment") == Some(name));
            let bytes = rows.map_or(0, |rows| rows.bytes);
            letters.push(DeadLetter { name: name.to_owned(), verdict, bytes });
        }
        letters.sort_by(|a, b| (a.verdict.at_nanos, &a.name).cmp(&(b.verdict.at_nanos, &b.name)));
        Ok(letters)
    }

    /// The rows of one: what ClickHouse gets, and the names of their columns. Blocks the thread.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn frames(&self, name: &str) -> io::Result<(Bytes, Vec<String>)> {
        let (bytes, start) = self.read(name)?;
        let frames = bytes.slice(start..);
        let content = content(&frames)?;
        let (mut names, mut rest) = (Vec::new(), content.as_slice());
        while !rest.is_empty() {
            let (block, next) = Block::parse(rest).map_err(io::Error::other)?;
            block.add_column_names(&mut names);
            rest = next;
        }
        Ok((frames, names))
    }

    /// The rows of one as JSON. Blocks the thread.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn rows(&self, name: &str, most: usize) -> io::Result<Vec<serde_json::Value>> {
        let (bytes, start) = self.read(name)?;
        let content = content(&bytes.slice(start..))?;
        let (block, _rest) = Block::parse(&content).map_err(io::Error::other)?;
        Ok((0..block.rows().min(most)).filter_map(|row| block.row_json(row)).collect())
    }

    fn read(&self, name: &str) -> io::Result<(Bytes, usize)> {
        let bytes = Bytes::from(self.disk.read(&self.dir.join(format!("{name}.segment")))?);
        let found = format::scan(&bytes, |_| false).map_err(io::Error::other)?;
        let first = found.frames.first().ok_or_else(|| io::Error::other("nothing in it can be read"))?;
        Ok((bytes.slice(..), first.start))
    }

    /// Takes rows out of one, and removes it when none is left; returns how many rows `goes` is true for. Blocks the thread.
    ///
    /// # Errors
    /// If they cannot be read or written.
    pub fn leave_out(
        &self,
        letter: &DeadLetter,
        goes: impl Fn(&serde_json::Value) -> bool,
        is_real: bool,
    ) -> io::Result<usize> {
        let (bytes, start) = self.read(&letter.name)?;
        let content = content(&bytes.slice(start..))?;
        let (mut kept, mut rest, mut removed) = (Vec::new(), content.as_slice(), 0);
        while !rest.is_empty() {
            let (block, next) = Block::parse(rest).map_err(io::Error::other)?;
            let gone: Vec<bool> =
                (0..block.rows()).map(|row| block.row_json(row).is_some_and(|row| goes(&row))).collect();
            removed += gone.iter().filter(|gone| **gone).count();
            block.select(|row| gone.get(row) == Some(&false), &mut kept);
            rest = next;
        }
        if removed == 0 || !is_real {
            return Ok(removed);
        }
        if kept.is_empty() {
            self.remove(&letter.name)?;
            return Ok(removed);
        }
        let mut file = bytes.slice(..start).to_vec();
        compress_pieces(&kept, &mut file);
        let verdict = DeadLetterReason { rows: letter.verdict.rows.saturating_sub(removed), ..letter.verdict.clone() };
        replace(&*self.disk, &self.dir, &format!("{}.segment", letter.name), &file)?;
        replace(&*self.disk, &self.dir, &format!("{}.json", letter.name), &serde_json::to_vec_pretty(&verdict)?)?;
        Ok(removed)
    }

    /// Removes one. Blocks the thread.
    ///
    /// # Errors
    /// On an I/O error.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match self.disk.remove(&self.dir.join(format!("{name}.segment"))) {
            // somebody was interrupted between the two
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
        self.disk.remove(&self.dir.join(format!("{name}.json")))?;
        self.disk.sync_dir(&self.dir)
    }
}

fn content(frames: &[u8]) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    decompress_frames(frames, &mut content).map_err(io::Error::other)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::MachineDisk;

    #[test]
    fn a_letter_that_cannot_be_read_is_listed_and_can_be_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(folder.path().to_owned(), Arc::new(MachineDisk));
        let verdict = DeadLetterReason {
            segment: "s".to_owned(),
            table: table_of_spans(),
            rows: 1,
            code: Some(53),
            error: "no".to_owned(),
            at_nanos: 7,
        };
        letters.put(SegmentId::new(1, 2), 3, b"", &verdict).unwrap();
        std::fs::write(folder.path().join("broken.json"), "{").unwrap();
        let [broken, whole] = letters.list().unwrap().try_into().unwrap();
        assert_eq!((broken.name.as_str(), broken.verdict.rows), ("broken", 0));
        assert_eq!(whole.verdict, verdict);
        letters.remove("broken").unwrap();
        letters.remove(&whole.name).unwrap();
        assert_eq!(letters.list().unwrap(), []);
    }
}
