//! The rules of all workspaces.

use super::config::{Config, RuleSet};
use super::rules::Rules;
use crate::workspace::Workspace;
use std::collections::BTreeMap;

/// The rules of all workspaces.
#[derive(Debug, Default)]
pub struct Redaction {
    all: Option<Rules>,
    own: BTreeMap<String, Option<Rules>>,
}

impl Redaction {
    /// Compiles what is configured.
    ///
    /// # Errors
    /// The first of [`Config::problems`].
    pub fn new(config: &Config) -> Result<Self, String> {
        if let Some(problem) = config.problems().into_iter().next() {
            return Err(problem);
        }
        let compiled = |set: &RuleSet| Rules::compile(set, config.hash_key.as_ref());
        let own = config.workspaces.iter().map(|(name, set)| (name.clone(), compiled(set))).collect();
        Ok(Self { all: compiled(&config.rules_of_all()), own })
    }

    /// The rules of a workspace; nothing when nothing is taken out.
    #[must_use]
    pub fn of(&self, workspace: &Workspace) -> Option<&Rules> {
        if self.own.is_empty() {
            return self.all.as_ref();
        }
        self.own.get(workspace.as_str()).map_or(self.all.as_ref(), Option::as_ref)
    }
}
