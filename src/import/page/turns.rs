//! Whose turn it is: one import is read at a time, and of each workspace one waits for that. So a workspace with many imports
//! holds up another one by the import that is under way, and not by all of its own.

use crate::locks::locked;
use crate::workspace::Workspace;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Gives turns.
#[derive(Debug)]
pub(super) struct Turns {
    all: Arc<Semaphore>,
    /// Of workspaces that wait or have the turn.
    own: Mutex<BTreeMap<String, Weak<Semaphore>>>,
}

/// The turn, until it is dropped.
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
    /// Waits for the turn of a workspace. Who hangs up leaves the queue.
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
