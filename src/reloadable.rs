//! A value that can be replaced while it is in use: a request that has read it goes on with what it read.

use arc_swap::{ArcSwap, Guard};
use std::sync::Arc;

/// A value that a reload of the configuration replaces. Clones share it.
#[derive(Debug, Default)]
pub struct Reloadable<T>(Arc<ArcSwap<T>>);

impl<T> Reloadable<T> {
    /// Begins with this value.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(value)))
    }

    /// What holds now. Cheap: no lock, and no count is changed. For a moment only, and not over an `await`.
    #[must_use]
    pub fn now(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    /// What holds now, to be kept.
    #[must_use]
    pub fn kept(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// From now on this holds.
    pub fn replace(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

impl<T> Clone for Reloadable<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_clones_have_the_new_value_and_who_has_read_the_old_one_keeps_it() {
        let value = Reloadable::new(1);
        let (clone, read) = (value.clone(), value.kept());
        value.replace(2);
        assert_eq!((*read, **clone.now(), *clone.kept()), (1, 2, 2));
    }
}
