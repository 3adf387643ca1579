//! What can change while Millrace runs, read again on SIGHUP as a whole or not at all: tokens, quotas, redaction, prices, retention, what becomes of
//! content, the level of the log, and certificates, which are also read when their files change.

use super::listeners::TlsOfListeners;
use super::store::schema;
use crate::access::{Gate, Quotas, TokenSet};
use crate::audit;
use crate::clickhouse::schema::Schema;
use crate::config::{Config, environment};
use crate::genai::prices::Prices;
use crate::log;
use crate::receivers::content::ContentPolicy;
use crate::redaction::Redaction;
use crate::reloadable::Reloadable;
use crate::retention::Retention;
use anyhow::Context as _;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// How often the files of certificates are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The keys of the configuration that a reload changes; others need a restart.
const RELOADED: &[&str] = &[
    "auth",
    "genai.content",
    "genai.content_keys",
    "genai.workspaces",
    "log.level",
    "prices",
    "quotas",
    "redaction",
    "retention",
];

/// What the configuration says about rows, and what a reload may change while they come in.
#[derive(Debug, Clone)]
pub(super) struct Policies {
    pub(super) redaction: Reloadable<Redaction>,
    pub(super) prices: Reloadable<Option<Prices>>,
    pub(super) content: Reloadable<ContentPolicy>,
    pub(super) retention: Reloadable<Retention>,
    /// The tables, which keep rows as long as `retention` says.
    pub(super) schema: watch::Sender<Arc<Schema>>,
}

impl Policies {
    /// # Errors
    /// If prices cannot be read, or a rule of redaction is wrong.
    pub(super) fn new(config: &Config) -> anyhow::Result<Self> {
        let New { redaction, prices } = New::read(config)?;
        Ok(Self {
            redaction: Reloadable::new(redaction),
            prices: Reloadable::new(prices),
            content: Reloadable::new(config.genai.content_policy()),
            retention: Reloadable::new(config.retention.clone()),
            schema: watch::Sender::new(Arc::new(schema(config))),
        })
    }

    fn replace(&self, new: New, config: &Config) {
        self.redaction.replace(new.redaction);
        self.prices.replace(new.prices);
        self.content.replace(config.genai.content_policy());
        if config.retention != **self.retention.now() {
            self.retention.replace(config.retention.clone());
            self.schema.send_replace(Arc::new(schema(config)));
        }
    }
}

/// What a configuration says that may be wrong beyond its form.
struct New {
    redaction: Redaction,
    prices: Option<Prices>,
}

impl New {
    fn read(config: &Config) -> anyhow::Result<Self> {
        let redaction = Redaction::new(&config.redaction).map_err(anyhow::Error::msg)?;
        Ok(Self { redaction, prices: config.prices.load()? })
    }
}

/// What is read again, and who gets it.
pub(super) struct Reload {
    /// The configuration's file.
    pub(super) file: Option<PathBuf>,
    /// What this process was started with.
    pub(super) started_with: Config,
    /// Who may ask.
    pub(super) gate: Gate,
    /// How much each workspace may send.
    pub(super) quotas: Quotas,
    /// What becomes of rows.
    pub(super) policies: Policies,
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
            Ok(Some(tokens)) => tracing::info!(tokens, "reloaded the configuration and the certificates"),
            Ok(None) => tracing::info!("reloaded the configuration and the certificates; no tokens are configured"),
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
        let new = New::read(&config)?;
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
        self.quotas.replace(config.quotas.clone());
        self.policies.replace(new, &config);
        log::set_level(config.log.level);
        self.tell_what_stays(&config);
        Ok(count)
    }

    /// Warns of what the file says and only a start changes.
    fn tell_what_stays(&self, config: &Config) {
        match differences(&self.started_with, config) {
            Ok(keys) if keys.is_empty() => {}
            Ok(keys) => tracing::warn!(keys = keys.join(", "), "changes of these keys take effect after a restart"),
            Err(error) => tracing::warn!(%error, "cannot tell what takes effect only after a restart"),
        }
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

/// The keys that differ and are not reloaded, without those below them.
fn differences(running: &Config, new: &Config) -> Result<Vec<String>, serde_json::Error> {
    let mut keys = Vec::new();
    walk("", &serde_json::to_value(running)?, &serde_json::to_value(new)?, &mut keys);
    Ok(keys)
}

fn walk(key: &str, old: &Value, new: &Value, keys: &mut Vec<String>) {
    let (Value::Object(old_members), Value::Object(new_members)) = (old, new) else {
        if old != new {
            keys.push(key.to_owned());
        }
        return;
    };
    let added = new_members.keys().filter(|name| !old_members.contains_key(*name));
    for name in old_members.keys().chain(added) {
        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        if !RELOADED.contains(&key.as_str()) {
            let of = |members: &serde_json::Map<String, Value>| members.get(name).cloned().unwrap_or_default();
            walk(&key, &of(old_members), &of(new_members), keys);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_need_a_restart_are_named_and_no_others() {
        let old = Config::default();
        let mut new = old.clone();
        new.memory.limit.0 += 1;
        new.log.level = crate::config::Level::Debug;
        new.genai.content_keys = vec!["a".to_owned()];
        new.genai.keep_raw = !old.genai.keep_raw;
        new.schema.manage = !old.schema.manage;
        assert_eq!(differences(&old, &new).unwrap(), ["memory.limit", "genai.keep_raw", "schema.manage"]);
        assert!(differences(&old, &old).unwrap().is_empty());
    }
}
