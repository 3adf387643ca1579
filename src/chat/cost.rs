//! What a captured call cost in US dollars, and where that comes from: table 3.8.

use super::capture::CallerCost;
use super::span::{AttrValue, Attributes};
use crate::genai::cost::{self, CostSource, Given};
use crate::genai::semconv;
use crate::json::document::Value;

/// The total that was given of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    total: Given,
    source: CostSource,
    /// The member of the usage that `total` is all of.
    pub(super) member: Option<&'static str>,
}

impl Cost {
    /// The first of the places a cost can be in; without one, whether there was something in any of them.
    pub(super) fn find(caller: &CallerCost, response: Value<'_>) -> Self {
        let by_caller = caller.total.or_else(|| caller.input.and(caller.output));
        if by_caller.usd().is_some() {
            return Self { total: by_caller, source: CostSource::Caller, member: None };
        }
        let (of_response, member) = cost::of_response(response);
        let total = by_caller.or_else(|| of_response);
        Self { total, source: CostSource::Response, member }
    }
}

/// Writes the attributes of the cost and of the caller's breakdown.
pub(super) fn put(attributes: &mut Attributes<'_>, found: Cost, caller: &CallerCost) {
    let Cost { mut total, source, .. } = found;
    let (mut input, mut output) = (caller.input, caller.output);
    if let Some(usd) = total.usd() {
        attributes.put(semconv::USAGE_COST, AttrValue::Decimal(usd));
        attributes.put(semconv::LLM_COST_TOTAL, AttrValue::Decimal(usd));
        attributes.text(semconv::MILLRACE_COST_SOURCE, source.literal());
    }
    for (key, side) in [(semconv::LLM_COST_PROMPT, input), (semconv::LLM_COST_COMPLETION, output)] {
        if let Some(usd) = side.usd() {
            attributes.put(key, AttrValue::Decimal(usd));
        }
    }
    for (name, usd) in &caller.details {
        let key = match name.as_str() {
            "cache_read" => semconv::LLM_COST_CACHE_READ.to_owned(),
            "cache_write" => semconv::LLM_COST_CACHE_WRITE.to_owned(),
            "reasoning" => semconv::LLM_COST_REASONING.to_owned(),
            other => format!("{}{other}", semconv::LLM_COST_PREFIX),
        };
        // a detail named like a total must not be taken for it
        let key = if attributes.has(&key) { format!("{}details.{name}", semconv::LLM_COST_PREFIX) } else { key };
        if attributes.has(&key) {
            continue;
        }
        match key.as_str() {
            semconv::LLM_COST_TOTAL => total = Given::Amount(*usd),
            semconv::LLM_COST_PROMPT => input = Given::Amount(*usd),
            semconv::LLM_COST_COMPLETION => output = Given::Amount(*usd),
            _ => {}
        }
        attributes.put(key, AttrValue::Decimal(*usd));
    }
    let source = if found.total.usd().is_some() { source } else { CostSource::Attributes };
    attributes.call.cost = cost::Cost::of(total, [input, output], source);
    if attributes.call.cost.is_unreadable() {
        attributes.text(semconv::MILLRACE_COST_SOURCE, cost::UNREADABLE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::document::Document;

    fn found(response: &str, caller: &CallerCost) -> Option<(String, &'static str)> {
        let document = Document::parse(response.to_owned()).unwrap();
        let found = Cost::find(caller, document.root());
        found.total.usd().map(|total| (total.to_string(), found.source.literal()))
    }

    #[test]
    fn the_first_source_counts() {
        let usd = Given::of_text;
        let response = r#"{"usage":{"cost":0.5}}"#;
        let total = CallerCost { total: usd("0.1"), input: usd("3"), ..CallerCost::default() };
        assert_eq!(found(response, &total), Some(("0.1".into(), "caller")));
        let sides = CallerCost { input: usd("0.1"), output: usd("0.2"), ..CallerCost::default() };
        assert_eq!(found(response, &sides), Some(("0.3".into(), "caller")));
        let one_side = CallerCost { input: usd("0.1"), ..CallerCost::default() };
        assert_eq!(found(response, &one_side), Some(("0.5".into(), "response")));
    }

    #[test]
    fn every_provider_has_its_place_for_it() {
        let table = [
            (
                r#"{"usage":{"cost":0.00061475,"is_byok":false,"cost_details":{"upstream_inference_cost":1}}}"#,
                "0.00061475",
            ),
            (r#"{"usage":{"cost":0.01,"is_byok":true,"cost_details":{"upstream_inference_cost":0.2}}}"#, "0.21"),
            (r#"{"usage":{"cost":0.01,"is_byok":true,"cost_details":{"upstream_inference_cost":null}}}"#, "0.01"),
            (r#"{"usage":{"cost":{"total_cost":0.006,"request_cost":0.005}}}"#, "0.006"),
            (r#"{"usage":{"cost_in_usd_ticks":37756000}}"#, "0.0037756"),
            (r#"{"usage":{"estimated_cost":1.2e-7}}"#, "0.00000012"),
            (r#"{"_hidden_params":{"response_cost":0.25}}"#, "0.25"),
            (r#"{"usage":{"cost":"0.00012"}}"#, "0.00012"),
            (r#"{"usage":{"cost":{"total_cost":"0.006"}}}"#, "0.006"),
            (r#"{"usage":{"cost":"n/a","estimated_cost":"0.5"}}"#, "0.5"),
            (r#"{"usage":{"cost":"n/a"},"_hidden_params":{"response_cost":0.25}}"#, "0.25"),
        ];
        for (response, want) in table {
            assert_eq!(found(response, &CallerCost::default()), Some((want.into(), "response")), "{response}");
        }
    }

    #[test]
    fn a_cost_that_cannot_be_read_is_not_absent() {
        let total = |response: &str, caller: &CallerCost| {
            let document = Document::parse(response.to_owned()).unwrap();
            Cost::find(caller, document.root()).total
        };
        let nothing = CallerCost::default();
        for response in [
            r#"{"usage":{"cost":"free"}}"#,
            r#"{"usage":{"cost":-0.1}}"#,
            r#"{"usage":{"cost":{"eur":1}}}"#,
            r#"{"usage":{"cost":{"total_cost":"None"}}}"#,
            r#"{"usage":{"cost":0.01,"is_byok":true,"cost_details":{"upstream_inference_cost":"?"}}}"#,
            r#"{"usage":{"cost_in_usd_ticks":"many"}}"#,
            r#"{"usage":{"estimated_cost":true}}"#,
            r#"{"_hidden_params":{"response_cost":"None"}}"#,
        ] {
            assert_eq!(total(response, &nothing), Given::Unreadable, "{response}");
        }
        for response in [r#"{"usage":{"cost":null}}"#, r#"{"usage":{"cost":""}}"#, r#"{"usage":{"cost":{}}}"#, "{}"] {
            assert_eq!(total(response, &nothing), Given::Absent, "{response}");
        }
        let caller = CallerCost { total: Given::Unreadable, ..CallerCost::default() };
        assert_eq!(total("{}", &caller), Given::Unreadable);
        assert_eq!(total(r#"{"usage":{"cost":0.5}}"#, &caller), Given::of_text("0.5"));
    }
}
