//! Captured chat-completions: the JSON of a request and its response becomes the span of the call.
//!
//! ```text
//! our body                   --parse----------------------------> Capture --convert--> ChatSpan --session_in--> columns
//! a LiteLLM, Helicone record --vendor::litellm, vendor::helicone----^
//! ```
//!
//! Each text is parsed once (`Body`), and what is read from it borrows from it.
//!
//! Pure functions: no clock, no I/O. What is invalid is refused at `parse` with the reference's own answer; whatever
//! passes it converts. Nothing downstream looks at JSON again.
//!
//! Source: the mapping specification (`genai-mapping.md`, sections 2 and 3).

/// The instrumentation scope of the spans made here.
pub const SCOPE_NAME: &str = "millrace.chat_completions";

mod capture;
mod content_members;
mod contexts;
mod convert;
mod cost;
mod experiment;
mod identity;
mod other_apis;
mod parse;
mod raw;
mod request;
mod response;
mod span;
pub(crate) mod timing;
mod trace_ref;
mod validate;
pub mod vendor;

pub use crate::json::document::{DEPTH_MAX, VALUES_MAX};
pub use crate::json::limits::Limits;
pub use capture::{Body, Capture, ParseOptions};
pub use convert::{Context, check_age, convert};
pub use experiment::{may_have_context, named_experiment};
pub use parse::parse;
pub use span::{AttrValue, Attribute, ChatSpan, Raw, Status};
pub use trace_ref::{
    ID_TEXT_BYTES_MAX, SessionRef, TRACE_ID_BYTES_MAX, TraceRef, Traceparent, derived_session, span_of_text,
    trace_of_text,
};
pub(crate) use validate::Found;
pub use validate::{ERRORS_MAX, INPUT_BYTES_MAX, Loc, ValidationError, ValidationErrors};
