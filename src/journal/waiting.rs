//! The rows that a start found, read whole: for what only they tell, such as whose they are.

use super::format::{self, FileName, FileState};
use super::writer::Journal;
use crate::columns::native::frames::decompress_checked_frame;
use crate::columns::native::parse::Block;
use crate::ids::SegmentId;

impl Journal {
    /// Is given every sound block that waits, with its segment and its bytes, one segment in memory at a time. What cannot be read now is left
    /// out. Blocks the thread.
    pub fn read_waiting(&self, each: &mut dyn FnMut(SegmentId, &Block<'_>, usize)) {
        let listed = self.disk.list(&self.options.dir).unwrap_or_default();
        let waiting = listed.iter().filter(|entry| entry.is_file).filter_map(|entry| {
            let name = FileName::read(&entry.name)?;
            let waits = matches!(name.state, FileState::Waiting { .. } | FileState::Doubt { .. });
            waits.then(|| (name.id, self.options.dir.join(&entry.name)))
        });
        let mut content = Vec::new();
        for (id, path) in waiting {
            let bytes = match self.disk.read(&path) {
                Ok(bytes) => bytes,
                Err(error) => {
                    tracing::debug!(%error, path = %path.display(), "whose rows wait in a segment is not known");
                    continue;
                }
            };
            let Ok(found) = format::scan(&bytes, format::is_of(id)) else { continue };
            for (frame, _) in found.framed(&bytes) {
                content.clear();
                let whole = decompress_checked_frame(frame, &mut content).is_ok();
                if let Some((block, _rest)) = Block::parse(&content).ok().filter(|_| whole) {
                    each(id, &block, content.len());
                }
            }
        }
    }
}
