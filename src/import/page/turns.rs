//! The order in which imports are read: one at a time, and the workspaces by turns.
//!
//! An import first takes the place of its workspace, then the only place there is. So of each workspace one import is read or waits
//! to be read, and a workspace with many imports delays another workspace by one import, not by all of them.

use crate::locks::locked;
use crate::workspace::Workspace;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The places that imports take.
#[derive(Debug)]
pub(super) struct Turns {
    /// The only place in which an import is read.
    all: Arc<Semaphore>,
    /// The place of each workspace whose import is read or waits.
    own: Mutex<BTreeMap<String, Weak<Semaphore>>>,
}

/// Permission to read an import, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _of_all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(1)), own: Mutex::default() }
    }
}

impl Turns {
    /// Waits until an import of the workspace may be read. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// Never: nobody closes the semaphores.
    pub(super) async fn next(&self, workspace: &Workspace) -> Result<Turn, AcquireError> {
        let own = self.own(workspace.as_str()).acquire_owned().await?;
        let of_all = Arc::clone(&self.all).acquire_owned().await?;
        Ok(Turn { _of_all: of_all, _own: own })
    }

    fn own(&self, workspace: &str) -> Arc<Semaphore> {
        let mut all = locked(&self.own);
        all.retain(|_, waits| waits.strong_count() > 0);
        let known = all.get(workspace).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let own = Arc::new(Semaphore::new(1));
            all.insert(workspace.to_owned(), Arc::downgrade(&own));
            own
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Poll;

    #[tokio::test]
    async fn workspaces_take_turns_whatever_one_of_them_has_waiting() {
        let turns = Turns::default();
        let (many, few) = (Workspace::new("many").unwrap(), Workspace::new("few").unwrap());
        let first = turns.next(&many).await.unwrap();
        let mut second = std::pin::pin!(turns.next(&many));
        let mut third = std::pin::pin!(turns.next(&many));
        let mut other = std::pin::pin!(turns.next(&few));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut third).is_pending());
        assert!(futures_util::poll!(&mut other).is_pending());
        drop(first);
        assert!(
            futures_util::poll!(&mut second).is_pending(),
            "it was there first, and is not the only one of its workspace"
        );
        let Poll::Ready(Ok(turn)) = futures_util::poll!(&mut other) else { panic!("it is not its turn") };
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(turn);
        let Poll::Ready(Ok(turn)) = futures_util::poll!(&mut second) else { panic!("it is not its turn") };
        assert!(futures_util::poll!(&mut third).is_pending());
        drop(turn);
        assert!(matches!(futures_util::poll!(&mut third), Poll::Ready(Ok(_))));
    }
}
