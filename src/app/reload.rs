//! What can change while Millrace runs: tokens, quotas and certificates, read again on SIGHUP as a whole or not at all; certificates also when their
//! files change.

use super::listeners::TlsOfListeners;
use crate::access::{Gate, Quotas, TokenSet};
use crate::audit;
use crate::config::{Config, environment};
use anyhow::Context as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

/// How often the files of certificates are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What is read again, and who gets it.
pub(super) struct Reload {
    /// The configuration's file.
    pub(super) file: Option<PathBuf>,
    /// Who may ask.
    pub(super) gate: Gate,
    /// How much each workspace may send.
    pub(super) quotas: Quotas,
    /// The certificates of the listeners.
    pub(super) tls: TlsOfListeners,
}

impl Reload {
    /// Waits for signals and changes until it is dropped. The handler is in place when this returns.
    ///
    /// # Errors
    /// If signals cannot be waited for.
    pub(super) fn run(self) -> anyhow::Result<impl Future<Output = ()>> {
        let hangups = signal(SignalKind::hangup()).context("failed to wait for SIGHUP")?;
        Ok(Arc::new(self).watch(hangups))
    }

    async fn watch(self: Arc<Self>, mut hangups: Signal) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let has_files = self.tls.all().next().is_some();
        loop {
            let is_hangup = tokio::select! {
                hangup = hangups.recv() => match hangup {
                    Some(()) => true,
                    None => return,
                },
                _tick = looks.tick(), if has_files => false,
            };
            let reload = Arc::clone(&self);
            let done =
                tokio::task::spawn_blocking(move || if is_hangup { reload.all() } else { reload.certificates() });
            if let Err(panic) = done.await {
                tracing::error!(%panic, "reading the configuration again failed");
            }
        }
    }

    fn all(&self) {
        let reloaded = self.reload();
        if let Ok(tokens) = &reloaded {
            tracing::info!(target: audit::TARGET, tokens, "configuration reloaded");
        }
        match reloaded {
            Ok(Some(tokens)) => tracing::info!(tokens, "reloaded tokens, quotas and certificates"),
            Ok(None) => tracing::info!("reloaded quotas and certificates; no tokens are configured"),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::info!(target: audit::TARGET, error, "reload refused");
                tracing::error!(error, "SIGHUP: nothing was reloaded; all stays as it was");
            }
        }
    }

    /// Reads everything, then puts it in place: how many tokens there are.
    fn reload(&self) -> anyhow::Result<Option<usize>> {
        let config = Config::load(self.file.as_deref(), &environment())?;
        let tokens = config.auth.load().map_err(anyhow::Error::msg)?;
        anyhow::ensure!(
            tokens.is_some() != self.gate.is_open(),
            "auth: whether tokens are needed at all is decided at the start"
        );
        for (key, tls) in self.tls.all() {
            tls.check().map_err(|why| anyhow::anyhow!("{key}: {why}"))?;
        }
        for (key, tls) in self.tls.all() {
            tls.reload(true).map_err(|why| anyhow::anyhow!("{key}: {why}"))?;
        }
        let count = tokens.as_ref().map(TokenSet::count);
        if let Some(tokens) = tokens {
            self.gate.replace(tokens);
        }
        self.quotas.replace(config.quotas);
        Ok(count)
    }

    /// Reads certificates whose files have changed.
    fn certificates(&self) {
        for (key, tls) in self.tls.all() {
            match tls.reload(false) {
                Ok(true) => tracing::info!(key, "new connections get the new certificate"),
                Ok(false) => {}
                Err(error) => tracing::error!(key, %error, "the new certificate is not taken; the old one stays"),
            }
        }
    }
}
