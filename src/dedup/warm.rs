//! Takes in the spans of a journal's block that carries no keys.

use super::{DedupIndex, Seed};
use crate::columns::native::parse::Block;
use crate::time::UnixNanos;
use crate::workspace::{self, Workspace};

impl DedupIndex {
    /// Takes in the spans of a block, which were accepted before; what they said is not known. A block that lacks a column
    /// of the identity brings nothing.
    pub fn remember_block(&mut self, block: &Block<'_>, accepted_at: UnixNanos, now: UnixNanos) {
        let (Some(traces), Some(spans), Some(kinds)) =
            (block.strings("TraceId"), block.strings("SpanId"), block.strings("SpanKind"))
        else {
            return;
        };
        let Some(workspaces) = block.map_values("ResourceAttributes", workspace::ATTRIBUTE.as_bytes()) else { return };
        // rows of one sender follow each other
        let mut last: Option<(&[u8], Seed)> = None;
        for (((trace, span), kind), workspace) in traces.zip(spans).zip(kinds).zip(workspaces) {
            let name = workspace.unwrap_or(Workspace::DEFAULT.as_bytes());
            let seed = match last {
                Some((known, seed)) if known == name => seed,
                _ => self.seed_of(&workspace_named(name)),
            };
            last = Some((name, seed));
            self.remember(Self::key(seed, (trace, span, kind), None), accepted_at, now);
        }
    }
}

/// A row whose workspace is not a name of one counts as the default workspace's.
fn workspace_named(name: &[u8]) -> Workspace {
    match std::str::from_utf8(name).map(Workspace::new) {
        Ok(Ok(workspace)) => workspace,
        _ => Workspace::default(),
    }
}
