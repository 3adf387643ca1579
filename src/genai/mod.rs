//! The model of a call: what the typed columns hold, and how providers and APIs spell it.
//!
//! ```text
//! call           one call, typed: what chat and conventions make and columns hold
//! usage  cost    tokens made comparable; US dollars, exact to 1e-12 (decimal)
//! plausible      values that cannot be: corrected or dropped
//! prices         what a call costs when its sender does not say
//! apis           requests and responses of other APIs in the form of chat-completions
//! messages       messages, parts, media and tools of the APIs as the conventions' JSON
//! stream         the chunks of a stream as one response
//! provider       names of providers: aliases to the conventions' names, and guesses when none was given
//! operation  finish_reason   what was done, and why a model stopped, in the conventions' words
//! counting       which spans of a trace are calls, each once
//! semconv        every attribute key, with stability and source
//! ```

pub(crate) mod apis;
pub mod call;
pub mod cost;
pub mod counting;
pub mod decimal;
pub mod finish_reason;
pub(crate) mod messages;
pub(crate) mod operation;
pub mod plausible;
pub mod prices;
pub mod provider;
pub(crate) mod response_error;
pub mod semconv;
pub(crate) mod stream;
pub mod usage;
