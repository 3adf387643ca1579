//! How long spans, and the texts in them, are kept: what the configuration says, and which spans are too old to be taken.
//!
//! ```text
//! retention:
//!   spans: 30d                  rows go             (absent: never)
//!   content: 7d                 prompts, completions and other texts go, the row stays
//!   workspaces:
//!     audit: { spans: forever }
//!     tests: { spans: 3d, content: 1d }
//! ```

use crate::telemetry::{RowKind, Signal};
use crate::text::counted;
use crate::time::{UnixNanos, spelt};
use crate::workspace::Workspace;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Longest time that can be configured, 35 years: ClickHouse's `DateTime` ends in 2106.
pub const KEEP_MAX: Duration = Duration::from_secs(35 * 365 * 24 * 60 * 60);
/// Shortest: what is deleted within the hour is better not sent.
pub const KEEP_MIN: Duration = Duration::from_secs(60 * 60);

/// How long rows and texts are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    /// Spans older than this are deleted, and refused when they arrive.
    pub spans: Option<Keep>,
    /// The same for log records.
    pub logs: Option<Keep>,
    /// And for data points of metrics.
    pub metrics: Option<Keep>,
    /// And for annotations and evaluator results.
    pub scores: Option<Keep>,
    /// The texts of spans and events older than this are deleted; the rows stay.
    pub content: Option<Keep>,
    /// Other times for single workspaces.
    pub workspaces: BTreeMap<String, WorkspaceRetention>,
}

/// What differs for one workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkspaceRetention {
    /// As in [`Retention`]; absent: what holds for all.
    pub spans: Option<Keep>,
    /// As in [`Retention`]; absent: what holds for all.
    pub logs: Option<Keep>,
    /// As in [`Retention`]; absent: what holds for all.
    pub metrics: Option<Keep>,
    /// As in [`Retention`]; absent: what holds for all.
    pub scores: Option<Keep>,
    /// As in [`Retention`]; absent: what holds for all.
    pub content: Option<Keep>,
}

impl WorkspaceRetention {
    /// How long rows of a kind are kept; absent: what holds for all.
    #[must_use]
    pub fn rows_of(&self, kind: RowKind) -> Option<Keep> {
        match kind {
            RowKind::Of(Signal::Traces) => self.spans,
            RowKind::Of(Signal::Logs) => self.logs,
            RowKind::Of(Signal::Metrics) => self.metrics,
            RowKind::Scores => self.scores,
        }
    }
}

/// What the rows of a signal are called in the configuration.
fn key_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "spans",
        Signal::Logs => "logs",
        Signal::Metrics => "metrics",
    }
}

/// For how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// So long after the span began.
    For(Duration),
    /// Never deleted.
    Forever,
}

impl Keep {
    /// The time, unless it is for ever.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::For(duration) => Some(duration),
            Self::Forever => None,
        }
    }
}

const FOREVER: &str = "forever";

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == FOREVER {
            return Ok(Self::Forever);
        }
        let time = humantime_serde::re::humantime::parse_duration(&text);
        let wrong = |_| de::Error::custom(format_args!("{text:?} is not a duration (examples: 30d, 1y, {FOREVER})"));
        time.map(Self::For).map_err(wrong)
    }
}

impl Serialize for Keep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::For(duration) => spelt::serialize(duration, serializer),
            Self::Forever => serializer.serialize_str(FOREVER),
        }
    }
}

impl Retention {
    /// What is wrong with it, naming the key.
    ///
    /// # Errors
    /// When a time is too short or too long, or a workspace's name is none.
    pub fn check(&self) -> Result<(), String> {
        let check = |key: &str, keep: Option<Keep>| match keep.and_then(Keep::duration) {
            Some(time) if !(KEEP_MIN..=KEEP_MAX).contains(&time) => {
                Err(format!("{key}: must be from 1h to 35y, or {FOREVER}"))
            }
            _ => Ok(()),
        };
        check("retention.spans", self.spans)?;
        check("retention.logs", self.logs)?;
        check("retention.metrics", self.metrics)?;
        check("retention.scores", self.scores)?;
        check("retention.content", self.content)?;
        for (name, own) in &self.workspaces {
            Workspace::new(name).map_err(|error| format!("retention.workspaces.{name}: {error}"))?;
            check(&format!("retention.workspaces.{name}.spans"), own.spans)?;
            check(&format!("retention.workspaces.{name}.logs"), own.logs)?;
            check(&format!("retention.workspaces.{name}.metrics"), own.metrics)?;
            check(&format!("retention.workspaces.{name}.scores"), own.scores)?;
            check(&format!("retention.workspaces.{name}.content"), own.content)?;
        }
        Ok(())
    }

    /// Which spans of a workspace are too old at this time; `None` when none ever is.
    #[must_use]
    pub fn cutoff(&self, workspace: &Workspace, now: UnixNanos) -> Option<Cutoff> {
        self.cutoff_of(Signal::Traces, workspace, now)
    }

    /// The same for rows of any signal.
    #[must_use]
    pub fn cutoff_of(&self, signal: Signal, workspace: &Workspace, now: UnixNanos) -> Option<Cutoff> {
        let own = self.workspaces.get(workspace.as_str()).and_then(|own| own.rows_of(signal.into()));
        let keep = own.or(self.rows_of(signal.into()))?.duration()?;
        Some(Cutoff { signal, now, keep, is_of_workspace: own.is_some() })
    }

    /// How long rows of a kind are kept.
    #[must_use]
    pub fn rows_of(&self, kind: RowKind) -> Option<Keep> {
        match kind {
            RowKind::Of(Signal::Traces) => self.spans,
            RowKind::Of(Signal::Logs) => self.logs,
            RowKind::Of(Signal::Metrics) => self.metrics,
            RowKind::Scores => self.scores,
        }
    }
}

/// Spans that began before it, or rows of another signal of an earlier time, are not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoff {
    signal: Signal,
    now: UnixNanos,
    keep: Duration,
    is_of_workspace: bool,
}

impl Cutoff {
    /// Whether a span that began then is too old.
    #[must_use]
    pub fn excludes(&self, start: UnixNanos) -> bool {
        u128::from(self.now.nanos_since(start)) > self.keep.as_nanos()
    }

    /// Why a span of the workspace that began then is refused: what a message says after the name of the field.
    #[must_use]
    pub fn describe(&self, start: UnixNanos, workspace: &Workspace) -> String {
        let age = Age(Duration::from_nanos(self.now.nanos_since(start)));
        let keep = Age(self.keep);
        let key = match self.is_of_workspace {
            true => format!("retention.workspaces.{}.{}", workspace.as_str(), key_of(self.signal)),
            false => format!("retention.{}", key_of(self.signal)),
        };
        format!("is {age} ago, and {} are kept for {keep} ({key})", self.signal.rows_words())
    }
}

/// A time in its largest unit.
struct Age(Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.0.as_secs() / 3_600;
        match hours {
            0..48 => f.write_str(&counted(hours, "hour")),
            _ => f.write_str(&counted(hours / 24, "day")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn at(seconds: u64) -> UnixNanos {
        UnixNanos::new(seconds * 1_000_000_000).unwrap()
    }

    fn keep(days: u64) -> Option<Keep> {
        Some(Keep::For(Duration::from_secs(days * DAY)))
    }

    #[test]
    fn a_span_is_too_old_by_its_workspaces_time_or_by_everybodys() {
        let own = |spans| WorkspaceRetention { spans, ..WorkspaceRetention::default() };
        let workspaces =
            BTreeMap::from([("audit".to_owned(), own(Some(Keep::Forever))), ("tests".to_owned(), own(keep(2)))]);
        let retention = Retention { spans: keep(30), workspaces, ..Retention::default() };
        let now = at(1_000 * DAY);
        let cutoff = |name: &str| retention.cutoff(&Workspace::new(name).unwrap(), now);
        assert_eq!(cutoff("audit"), None);
        let (all, tests) = (cutoff("default").unwrap(), cutoff("tests").unwrap());
        assert!(!all.excludes(at(970 * DAY)), "30 days to the nanosecond");
        assert!(all.excludes(at(970 * DAY - 1)));
        assert!(tests.excludes(at(970 * DAY)) && !tests.excludes(at(1_001 * DAY)));
        assert_eq!(
            all.describe(at(960 * DAY), &Workspace::default()),
            "is 40 days ago, and spans are kept for 30 days (retention.spans)"
        );
        assert_eq!(
            tests.describe(at(997 * DAY), &Workspace::new("tests").unwrap()),
            "is 3 days ago, and spans are kept for 48 hours (retention.workspaces.tests.spans)"
                .replace("48 hours", "2 days")
        );
        assert_eq!(Retention::default().cutoff(&Workspace::default(), now), None);
        assert_eq!(
            retention.cutoff_of(Signal::Logs, &Workspace::default(), now),
            None,
            "spans and logs have times of their own"
        );
        let logs = Retention { logs: keep(5), ..Retention::default() };
        assert_eq!(
            logs.cutoff_of(Signal::Logs, &Workspace::default(), now)
                .unwrap()
                .describe(at(990 * DAY), &Workspace::default()),
            "is 10 days ago, and log records are kept for 5 days (retention.logs)"
        );
    }

    #[test]
    fn a_time_that_cannot_be_kept_is_named_by_its_key() {
        let short = Some(Keep::For(Duration::from_secs(59 * 60)));
        let of = |spans, content| Retention { spans, content, ..Retention::default() };
        assert!(of(keep(30), keep(7)).check().is_ok());
        assert!(of(short, None).check().unwrap_err().starts_with("retention.spans: must be from 1h"));
        assert!(of(None, keep(40 * 365)).check().unwrap_err().starts_with("retention.content: "));
        let own = WorkspaceRetention { content: short, ..WorkspaceRetention::default() };
        let of = |name: &str| Retention { workspaces: [(name.to_owned(), own.clone())].into(), ..Retention::default() };
        assert!(of("a").check().unwrap_err().starts_with("retention.workspaces.a.content: "));
        assert!(of("a b").check().unwrap_err().starts_with("retention.workspaces.a b: workspace must be"));
    }
}
