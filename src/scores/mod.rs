//! What people and evaluators say of spans and sessions, and the experiments that they compare: bodies of requests to typed values, and
//! those to rows.
//!
//! ```text
//! check.rs       the members of a body, and what is wrong with them in FastAPI's words
//! annotation.rs  feedback, notes, metadata, labels
//! result.rs      evaluator results
//! experiment.rs  experiments and their groups
//! ids.rs         ids that are made here
//! rows.rs        annotations and results as rows
//! ```
//!
//! Source: the OpenAPI documents of `nemo-platform` 0.2.0 and 0.3.0 and their recorded answers (NeMo Platform API, Intake).

pub mod annotation;
pub mod check;
pub mod experiment;
pub mod ids;
pub mod result;
pub mod rows;

pub use annotation::{Annotation, Said};
pub use check::Invalid;
pub use experiment::{Changes, ExperimentBody, GroupBody, Naming};
pub use result::{DataType, EvaluatorResult};

#[cfg(test)]
mod tests;
