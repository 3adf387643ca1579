//! What the house knows about GenAI telemetry, whoever sent it: attribute keys, providers, finish reasons, money.
//!
//! ```text
//! semconv        every attribute key, with stability and source
//! provider       names of providers: aliases to the conventions' names, and guesses when none was given
//! finish_reason  why a model stopped, in the conventions' words
//! decimal        exact decimal numbers from their text
//! cost           US dollars, exact to 1e-12
//! ```

pub mod cost;
pub mod decimal;
pub mod finish_reason;
pub(crate) mod messages;
pub mod provider;
pub(crate) mod response_error;
pub mod semconv;
pub(crate) mod stream;
