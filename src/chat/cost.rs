//! What a captured call cost in US dollars, and where that comes from: table 3.8.

use super::capture::CallerCost;
use super::span::{AttrValue, Attributes};
use crate::genai::cost::{self, CostSource, Usd};
use crate::genai::semconv;
use crate::json::document::Value;

/// The cost of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    total: Usd,
    source: CostSource,
    /// The member of the usage that `total` is all of.
    pub(super) member: Option<&'static str>,
}

impl Cost {
    /// The first of the places a cost can be in.
    pub(super) fn find(caller: &CallerCost, response: Value<'_>) -> Option<Self> {
        let by_caller = caller.total.or_else(|| caller.input?.checked_add(caller.output?));
        if let Some(total) = by_caller {
            return Some(Self { total, source: CostSource::Caller, member: None });
        }
        let (total, member) = cost::of_response(response)?;
        Some(Self { total, source: CostSource::Response, member })
    }
}

/// Writes the attributes of the cost and of the caller's breakdown.
pub(super) fn put(attributes: &mut Attributes<'_>, found: Option<Cost>, caller: &CallerCost) {
    let (mut total, mut input, mut output) = (found.map(|cost| cost.total), caller.input, caller.output);
    if let Some(cost) = found {
        attributes.put(semconv::USAGE_COST, AttrValue::Decimal(cost.total));
        attributes.put(semconv::LLM_COST_TOTAL, AttrValue::Decimal(cost.total));
        attributes.text(semconv::MILLRACE_COST_SOURCE, cost.source.literal());
    }
    for (key, side) in [(semconv::LLM_COST_PROMPT, caller.input), (semconv::LLM_COST_COMPLETION, caller.output)] {
        if let Some(usd) = side {
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
            semconv::LLM_COST_TOTAL => total = Some(*usd),
            semconv::LLM_COST_PROMPT => input = Some(*usd),
            semconv::LLM_COST_COMPLETION => output = Some(*usd),
            _ => {}
        }
        attributes.put(key, AttrValue::Decimal(*usd));
    }
    let total = total.or_else(|| cost::Cost::sum_of(input, output));
    let source = total.map(|_| found.map_or(CostSource::Attributes, |cost| cost.source));
    attributes.call.cost = cost::Cost { total, input, output, source };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::document::Document;

    fn found(response: &str, caller: &CallerCost) -> Option<(String, &'static str)> {
        let document = Document::parse(response.to_owned()).unwrap();
        Cost::find(caller, document.root()).map(|cost| (cost.total.to_string(), cost.source.literal()))
    }

    #[test]
    fn the_first_source_counts() {
        let usd = |text| Usd::parse(text).ok();
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
        ];
        for (response, want) in table {
            assert_eq!(found(response, &CallerCost::default()), Some((want.into(), "response")), "{response}");
        }
        assert_eq!(found(r#"{"usage":{"cost":"free"}}"#, &CallerCost::default()), None);
    }
}
