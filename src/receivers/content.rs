//! Whether prompts and answers are kept at all: what is dropped is dropped here, on the way of all rows, before anything is on disk.
//!
//! ```text
//! genai:
//!   content: keep              drop: no prompt, answer, argument or result of a tool is written anywhere
//!   workspaces:
//!     audit: { content: drop }
//! ```

use crate::columns::{Group as _, Rows, Table, logs};
use crate::conventions::events;
use crate::workspace::Workspace;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
}

impl ContentPolicy {
    /// What is wrong with it, naming the key.
    ///
    /// # Errors
    /// When a workspace's name is none.
    pub fn check(&self) -> Result<(), String> {
        self.workspaces.keys().try_for_each(|name| {
            Workspace::new(name).map(drop).map_err(|error| format!("genai.workspaces.{name}: {error}"))
        })
    }

    /// Takes content out of rows of the workspace, if it is not to be kept.
    pub(super) fn apply(&self, rows: &mut Rows, workspace: &Workspace) {
        let own = self.workspaces.get(workspace.as_str()).and_then(|own| own.content);
        if own.unwrap_or(self.content) == Content::Keep {
            return;
        }
        match rows {
            Rows::Spans(spans) => spans.drop_content(events::is_content_of_span_event),
            Rows::Records(records) if records.table() == Table::Logs => records.forget(logs::CONTENT_ATTRIBUTES),
            Rows::Records(_) => {}
        }
    }
}
