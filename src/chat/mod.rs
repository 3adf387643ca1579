//! Captured chat-completions: the JSON of a request and its response becomes the span of the call.
//!
//! ```text
//! body --parse--> Capture --convert--> ChatSpan --session_in--> columns
//!        |                    |
//!        json  validate       identity  timing  request  response (messages, parts, media, tools, usage)  error  cost
//!        stream  merge        span  raw  writer  limits
//!
//! LiteLLM's or Helicone's record --litellm | helicone--> Foreign (a body, which call it is, and what the body cannot say)
//! ```
//!
//! Pure functions: no clock, no I/O. What is invalid is refused at `parse` with the reference's own answer; whatever
//! passes it converts. Nothing downstream looks at JSON again.
//!
//! Source: the mapping specification (`genai-mapping.md`, sections 2 and 3) and DESIGN section 4 on identity.

/// The instrumentation scope of the spans made here.
pub const SCOPE_NAME: &str = "millrace.chat_completions";

mod canonical;
mod contexts;
mod convert;
mod cost;
mod error;
mod foreign;
pub mod helicone;
mod identity;
pub(crate) mod json;
pub(crate) mod json_text;
mod limits;
pub mod litellm;
pub(crate) mod media;
mod merge;
mod merge_delta;
pub(crate) mod messages;
mod parse;
pub(crate) mod parts;
mod raw;
pub mod records;
mod request;
mod response;
mod span;
pub(crate) mod stream;
pub(crate) mod timing;
pub(crate) mod tools;
mod trace_ref;
pub(crate) mod usage;
mod validate;
pub(crate) mod writer;

pub use convert::{Context, check_age, convert};
pub use foreign::Foreign;
pub use identity::RecordIdentity;
pub use json::{DEPTH_MAX, VALUES_MAX};
pub use limits::Limits;
pub use parse::{Capture, ParseOptions, parse};
pub use span::{AttrValue, ChatSpan, Raw, Status};
pub use trace_ref::{SessionRef, TRACE_ID_BYTES_MAX, TraceRef, Traceparent, derived_session};
pub use validate::{ERRORS_MAX, INPUT_BYTES_MAX, Loc, ValidationError, ValidationErrors};
