//! One signal that everything listens to: "stop taking new work, finish what you have".

use tokio::sync::watch;

/// The side that says stop. Dropping it says stop too, so that nothing outlives its owner.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// The side that hears it; clone one for each listener.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// Makes a connected pair.
#[must_use]
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Says stop. Saying it twice is the same.
    pub fn fire(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Waits until stop is said. Safe to cancel.
    pub async fn requested(&mut self) {
        // an error means that the trigger is gone, which says stop as well
        let _stopped = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether stop was said already.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}
