//! Experiments and their groups, as they are sent.

use super::check::{Invalid, Members};
use crate::random;
use serde_json::{Map, Value};

/// Names can be written in a path as they are.
const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9@.+_:-]{0,127}$";
const NAME_BYTES_MAX: usize = 128;

/// The body of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupBody {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
}

/// The body of an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExperimentBody {
    /// Its name.
    pub name: String,
    /// The id of its group.
    pub group_id: String,
    /// What it was run on.
    pub dataset_name: String,
    /// Which version of that.
    pub dataset_version: Option<String>,
    /// Where it comes from.
    pub source_link: Option<String>,
    /// Whatever else its producer says.
    pub metadata: Map<String, Value>,
    /// What it is.
    pub description: Option<String>,
    /// What came out.
    pub summary: Option<String>,
}

/// Reads the body of a group.
///
/// # Errors
/// If it is none: everything that is wrong with it.
pub fn read_group(body: &Value) -> Result<GroupBody, Invalid> {
    let mut members = Members::of(body, &["body"])?;
    let name = members.text_like("name", NAME_PATTERN, is_name);
    let description = members.optional_text("description");
    members.finish()?;
    Ok(GroupBody { name, description })
}

/// Reads the body of an experiment.
///
/// # Errors
/// If it is none: everything that is wrong with it.
pub fn read(body: &Value) -> Result<ExperimentBody, Invalid> {
    let mut members = Members::of(body, &["body"])?;
    let name = members.text_like("name", NAME_PATTERN, is_name);
    let group_id = members.text("experiment_group_id");
    let dataset_name = members.text("dataset_name");
    let dataset_version = members.optional_text("dataset_version");
    let source_link = members.optional_url("source_link");
    let metadata = members.optional_object("metadata");
    let description = members.optional_text("description");
    let summary = members.optional_text("summary");
    members.finish()?;
    Ok(ExperimentBody { name, group_id, dataset_name, dataset_version, source_link, metadata, description, summary })
}

fn is_name(name: &str) -> bool {
    let starts = name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    let is_allowed = |letter: u8| letter.is_ascii_alphanumeric() || b"@.+_:-".contains(&letter);
    starts && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_allowed)
}

/// What something is called once it is deleted: its name is free then.
#[must_use]
pub fn deleted_name(name: &str) -> String {
    const HEAD_LETTERS_MAX: usize = 96;
    let head: String = name.chars().take(HEAD_LETTERS_MAX).collect();
    format!("{head}-deleted-{}", random::letters())
}
