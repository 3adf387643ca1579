//! The log on standard error: lines of text or of JSON, and panics in it.

use crate::audit;
use crate::config::{Level, Log, LogFormat};
use crate::telemetry;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

/// What the targets of this crate begin with.
const OWN: &str = "millrace";
/// How the level is changed once the log has started.
static TARGETS: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Starts the log of this process; from now on panics are in it too, and counted.
pub fn start(config: &Log) {
    let (targets, handle) = reload::Layer::new(targets_of(config.level));
    TARGETS.set(handle).expect("the log of a process starts once");
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = match config.format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    let of_audit = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).json().flatten_event(true);
    let of_audit = of_audit.with_current_span(false).with_span_list(false);
    let only_audit = Targets::new().with_target(audit::TARGET, LevelFilter::INFO);
    tracing_subscriber::registry().with(lines.with_filter(targets)).with(of_audit.with_filter(only_audit)).init();
    std::panic::set_hook(Box::new(log_panic));
}

/// From now on lines of this level are logged.
pub fn set_level(level: Level) {
    let changed = TARGETS.get().map(|handle| handle.reload(targets_of(level)));
    if let Some(Err(error)) = changed {
        tracing::error!(%error, "the level of the log stays as it was");
    }
}

fn targets_of(level: Level) -> Targets {
    let level = level_of(level);
    // other crates log what passes through them: headers with tokens (h2), statements and answers (clickhouse)
    let of_others = tracing::Level::WARN.min(level);
    Targets::new().with_default(of_others).with_target(OWN, level).with_target(audit::TARGET, LevelFilter::OFF)
}

fn level_of(level: Level) -> tracing::Level {
    match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
        Level::Trace => tracing::Level::TRACE,
    }
}

fn log_panic(info: &PanicHookInfo<'_>) {
    telemetry::note_panic();
    let place = info.location().map_or_else(String::new, ToString::to_string);
    let message = info.payload_as_str().map_or("", without_data);
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => tracing::error!(%place, message, %backtrace, "panic"),
        _ => tracing::error!(%place, message, "panic"),
    }
}

/// What a panic says without what it quotes, which may be what senders sent: that is after a colon, or in quotes.
fn without_data(message: &str) -> &str {
    message.split([':', '`', '"', '\'']).next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_quotes_nothing() {
        for (message, said) in [
            ("a digest is longer than an id", "a digest is longer than an id"),
            ("it parses: Error(\"a secret\")", "it parses"),
            (
                "byte index 1 is not a char boundary; it is inside 'é' (bytes 0..2) of `é secret`",
                "byte index 1 is not a char boundary; it is inside",
            ),
        ] {
            assert_eq!(without_data(message), said);
        }
    }
}
