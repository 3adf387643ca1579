//! ATIF, the format of trajectories of agents: a document of steps becomes the spans of one trace.
//!
//! ```text
//! trajectory       AGENT  named after the agent; input: the first message of the user, output: the last of the agent
//! agent's step     LLM    `agent-3`; input: the messages before it, output: its own
//! tool call        TOOL   below its step, until the next step begins (TimingQuality `inferred`)
//! subagent         AGENT  below the tool call that it answers, with spans of its own
//! verifier_result  EVALUATOR, and an evaluator result for each of its rewards
//! user's, system's step    no span: a message of the step after it
//! copied context           no span and no tokens: messages of the steps after it
//! ```
//!
//! trajectory.rs, parts.rs  the document as types, or everything that is wrong with it
//! messages.rs              steps as messages of the conventions
//! spans.rs, step.rs        the spans; writer.rs, attributes.rs: what they share
//! rewards.rs               what a verifier found
//!
//! Ids follow from the session, the trajectory, the number of a step and the id of a tool call, never from content: a document that is sent
//! again with more steps adds those.
//!
//! Sources: the models of PyPI `nvidia-nat-atif` 1.9.0 and `atif` 1.8.0; NeMo Intake 0.2.0's answers.

mod attributes;
mod messages;
mod parts;
pub mod rewards;
mod spans;
mod step;
mod trajectory;
mod writer;

pub(crate) use trajectory::Trajectory;

use super::{DocumentContext, DocumentError, DocumentRows};
use crate::chat::ValidationErrors;
use crate::json::document::Document;
use crate::json::limits::Limits;

/// The instrumentation scope of spans of trajectories.
pub const SCOPE_NAME: &str = "millrace.atif";

/// Bytes that the conversation before steps may take in all rows of a document. Later steps have only what is new since the step before.
pub const HISTORY_BYTES_MAX: usize = 16 << 20;

/// Reads a document and adds its rows.
///
/// # Errors
/// If it is wrong, or becomes too much. Rows may have been added then, and are to be thrown away.
pub fn read(
    text: &str,
    context: &DocumentContext<'_>,
    limits: Limits,
    rows: &mut DocumentRows<'_>,
) -> Result<(), DocumentError> {
    let document = Document::parse(text).map_err(ValidationErrors::not_json)?;
    let trajectory = Trajectory::read(document.root())?;
    spans::check_times(&trajectory, context)?;
    spans::put(&trajectory, context, limits, rows)?;
    Ok(())
}
