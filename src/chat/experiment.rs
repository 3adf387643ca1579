//! Which experiment a call is for, told before the call is read: whoever takes it may have to ask whether there is such an experiment.

use super::capture::Body;
use super::contexts::Contexts;
use std::borrow::Cow;

/// Whether the body of a call may have a context: nearly none has, and those are not read for it.
#[must_use]
pub fn may_have_context(call: &[u8]) -> bool {
    memchr::memmem::find(call, b"_context\"").is_some()
}

/// The experiment that the body of a call names.
#[must_use]
pub fn named_experiment(call: &[u8]) -> Option<String> {
    let body = Body::of_call(call).ok()?;
    let context = |name: &str| body.root().get(name).filter(|context| !context.is_null());
    let contexts = Contexts::read(context("experiment_context"), context("evaluation_context"));
    contexts.experiment_id.map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_experiment_of_a_body_is_that_of_its_context() {
        let cases = [
            (r#"{"experiment_context":{"experiment_id":"e1"},"evaluation_context":{"evaluation_id":"v"}}"#, Some("e1")),
            (r#"{"evaluation_context":{"evaluation_id":"v1"}}"#, Some("v1")),
            (r#"{"experiment_context":null,"evaluation_context":{"evaluation_name":"v2"}}"#, Some("v2")),
            (r#"{"experiment_context":{}}"#, None),
            (r#"{"request":{"model":"m"}}"#, None),
            (r#"{"experiment_context":"#, None),
        ];
        for (body, want) in cases {
            assert_eq!(named_experiment(body.as_bytes()).as_deref(), want, "{body}");
            assert!(may_have_context(body.as_bytes()) || want.is_none(), "{body}");
        }
    }
}
