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

mod contexts;
mod convert;
mod cost;

mod identity;
mod parse;
mod raw;
mod request;
mod response;
mod span;
pub(crate) mod timing;
mod trace_ref;
mod validate;
pub mod vendor;

pub use crate::chat::vendor::foreign::Foreign;
pub use crate::json::document::{DEPTH_MAX, VALUES_MAX};
pub use crate::json::limits::Limits;
pub use convert::{Context, check_age, convert};
pub use identity::RecordIdentity;
pub use parse::{Capture, ParseOptions, parse};
pub use span::{AttrValue, Attribute, ChatSpan, Raw, Status};
pub use trace_ref::{SessionRef, TRACE_ID_BYTES_MAX, TraceRef, Traceparent, derived_session};
pub use validate::{ERRORS_MAX, INPUT_BYTES_MAX, Loc, ValidationError, ValidationErrors};
