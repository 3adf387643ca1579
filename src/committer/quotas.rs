//! Whose bytes wait in the journal: those of this run, and those that a start finds there.

use crate::access::Quotas;
use crate::columns::native::parse::Block;
use crate::ids::SegmentId;
use crate::journal::{Backlog, Journal, Outcome, SettleObserver, Waiter};
use crate::workspace::Workspace;
use std::collections::HashMap;

/// Bytes of workspaces that wait in a segment.
struct Held {
    quotas: Quotas,
    segment: SegmentId,
}

impl SettleObserver for Held {
    fn is_gone(&self) -> bool {
        false
    }

    fn on_settled(self: Box<Self>, _outcome: Outcome) {
        self.quotas.release(self.segment);
    }
}

/// Notes so many bytes of a workspace in a segment, until that is settled.
pub(super) fn hold(quotas: &Quotas, backlog: &Backlog, segment: SegmentId, (workspace, bytes): (&Workspace, usize)) {
    if quotas.hold(segment, workspace, bytes) {
        let waiter = Waiter::new(Held { quotas: quotas.clone(), segment });
        backlog.attach(segment, &waiter);
        waiter.done();
    }
}

/// Notes what an earlier run left in the journal, which is read for that, if anybody has a quota of it. Nothing may be sent meanwhile.
pub fn hold_what_waits(quotas: &Quotas, journal: &Journal) {
    if !quotas.counts_journal() {
        return;
    }
    journal.read_waiting(&mut |segment, block, bytes| {
        for (workspace, bytes) in shares(block, bytes) {
            hold(quotas, journal.backlog(), segment, (&workspace, bytes));
        }
    });
}

/// The bytes of a block by workspace, in proportion to its rows.
fn shares(block: &Block<'_>, bytes: usize) -> Vec<(Workspace, usize)> {
    let mut rows: HashMap<&[u8], usize> = HashMap::new();
    for name in block.strings("Workspace").into_iter().flatten() {
        *rows.entry(name).or_default() += 1;
    }
    let share = |(name, count): (&[u8], usize)| {
        let workspace = Workspace::new(std::str::from_utf8(name).ok()?).ok()?;
        Some((workspace, bytes.saturating_mul(count) / block.rows().max(1)))
    };
    rows.into_iter().filter_map(share).collect()
}
