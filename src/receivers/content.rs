//! Whether prompts and answers are kept at all: what is dropped is dropped here, on the way of all rows, before anything is on disk.
//!
//! ```text
//! genai:
//!   content_keys: [app.prompt]      attributes that are content too, for applications with keys of their own
//!   content: keep              drop: no prompt, answer, argument or result of a tool is written anywhere
//!   workspaces:
//!     audit: { content: drop }
//! ```

use crate::columns::{Group as _, Rows, Table, logs};
use crate::conventions::events;
use crate::text::is_like;
use crate::workspace::Workspace;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest pattern of a key.
const KEY_BYTES_MAX: usize = 256;

/// Whether prompts and answers are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// They are, in columns of their own.
    #[default]
    Keep,
    /// They are written nowhere.
    Drop,
}

/// What differs for one workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkspaceContent {
    /// Absent: what holds for all.
    pub content: Option<Content>,
}

/// What is configured for all workspaces, and for single ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContentPolicy {
    /// For all.
    pub content: Content,
    /// For single workspaces.
    pub workspaces: BTreeMap<String, WorkspaceContent>,
    /// Keys of attributes that are content too; `*` stands for any text.
    pub keys: Vec<String>,
}

impl ContentPolicy {
    /// What is wrong with it, naming the key.
    ///
    /// # Errors
    /// When a key is empty or too long, or the name of a workspace is not valid.
    pub fn check(&self) -> Result<(), String> {
        if let Some(long) = self.keys.iter().find(|key| key.is_empty() || key.len() > KEY_BYTES_MAX) {
            return Err(format!("genai.content_keys: {long:?} must have 1 to {KEY_BYTES_MAX} letters"));
        }
        self.workspaces.keys().try_for_each(|name| {
            Workspace::new(name).map(drop).map_err(|error| format!("genai.workspaces.{name}: {error}"))
        })
    }

    /// Moves attributes of the configured keys to those that are content.
    fn part(&self, rows: &mut Rows) {
        if self.keys.is_empty() {
            return;
        }
        let is_content = |key: &[u8]| self.keys.iter().any(|pattern| is_like(pattern.as_bytes(), key));
        match rows {
            Rows::Spans(spans) => spans.move_to_content(is_content),
            Rows::Records(records) if records.table() == Table::Logs => {
                records.move_entries(logs::LOG_ATTRIBUTES, logs::CONTENT_ATTRIBUTES, is_content);
            }
            Rows::Records(_) => {}
        }
    }

    /// Takes content out of rows of the workspace, if it is not to be kept.
    pub(crate) fn apply(&self, rows: &mut Rows, workspace: &Workspace) {
        self.part(rows);
        let own = self.workspaces.get(workspace.as_str()).and_then(|own| own.content);
        if own.unwrap_or(self.content) == Content::Keep {
            return;
        }
        match rows {
            Rows::Spans(spans) => {
                // what no column has may be anything
                spans.move_to_content(|key| key.starts_with(b"millrace.") && key.ends_with(b".extra"));
                spans.drop_content(events::may_be_content_of_span_event);
            }
            Rows::Records(records) if records.table() == Table::Logs => records.forget(logs::CONTENT_ATTRIBUTES),
            Rows::Records(_) => {}
        }
    }
}
