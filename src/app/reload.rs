//! SIGHUP: what can change while Millrace runs is read again, as a whole or not at all.

use crate::access::{Gate, TokenSet};
use crate::config::{Config, environment};
use anyhow::Context as _;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// What is read again, and who gets it.
pub(super) struct Reload {
    /// The configuration's file.
    pub(super) file: Option<PathBuf>,
    /// Who may ask.
    pub(super) gate: Gate,
}

impl Reload {
    /// Waits for signals until it is dropped. The handler is in place when this returns.
    ///
    /// # Errors
    /// If signals cannot be waited for.
    pub(super) fn run(self) -> anyhow::Result<impl Future<Output = ()>> {
        let mut hangups = signal(SignalKind::hangup()).context("failed to wait for SIGHUP")?;
        Ok(async move {
            while hangups.recv().await.is_some() {
                match self.reload() {
                    Ok(Some(tokens)) => tracing::info!(tokens, "reloaded the tokens"),
                    Ok(None) => tracing::info!("reloaded: no tokens are configured"),
                    Err(error) => {
                        tracing::error!(error = %format!("{error:#}"), "SIGHUP: nothing was reloaded; all stays as it was");
                    }
                }
            }
        })
    }

    /// Reads everything, then puts it in place: how many tokens there are.
    fn reload(&self) -> anyhow::Result<Option<usize>> {
        let config = Config::load(self.file.as_deref(), &environment())?;
        let tokens = config.auth.load().map_err(anyhow::Error::msg)?;
        anyhow::ensure!(
            tokens.is_some() != self.gate.is_open(),
            "auth: whether tokens are needed at all is decided at the start"
        );
        let count = tokens.as_ref().map(TokenSet::count);
        if let Some(tokens) = tokens {
            self.gate.replace(tokens);
        }
        Ok(count)
    }
}
