//! Cost in US dollars, exact, and who said it.

use super::keys::Slot;
use super::slots::Slots;
use super::sources;
use crate::columns::typed::{Costs, Texts, Typed};
use crate::conventions::read_json;
use crate::genai::cost::Usd;
use crate::json::document::{Document, Value};

/// `CostSource` of a span that brings its cost as an attribute.
const ATTRIBUTES: &[u8] = b"attributes";

/// Fills the costs. A total that nobody says is the sum of both sides.
pub(crate) fn put(typed: &mut Typed<'_>, slots: &Slots<'_>) {
    let details = |slot: Slot| slots.text(slot).and_then(|text| read_json(text).ok());
    let (langfuse, mlflow) = (details(Slot::LangfuseCost), details(Slot::MlflowCost));
    let within = |document: &Option<Document<'_>>, name: &str| amount(document.as_ref()?.root().get(name)?);
    let first = |sources: &[Slot]| slots.first_cost(sources);
    let side = |openinference, litellm, name, mlflow_name, mlflow_slot, rest: [Slot; 2]| {
        first(&[openinference, litellm])
            .or_else(|| within(&langfuse, name))
            .or_else(|| within(&mlflow, mlflow_name))
            .or_else(|| first(&[mlflow_slot]))
            .or_else(|| first(&rest))
    };
    let input = side(
        Slot::LlmCostPrompt,
        Slot::GenAiInputCost,
        "input",
        "input_cost",
        Slot::MlflowCostInput,
        [Slot::SentryCostInput, Slot::LitellmCostInput],
    );
    let output = side(
        Slot::LlmCostCompletion,
        Slot::GenAiOutputCost,
        "output",
        "output_cost",
        Slot::MlflowCostOutput,
        [Slot::SentryCostOutput, Slot::LitellmCostOutput],
    );
    let is_usd = slots.text(Slot::CostCurrency).is_none_or(|currency| currency.eq_ignore_ascii_case("USD"));
    let total = first(&[Slot::UsageCost])
        .or_else(|| first(&[Slot::CostAmount]).filter(|_| is_usd))
        .or_else(|| first(&[Slot::LlmCostTotal]))
        .or_else(|| within(&langfuse, "total"))
        .or_else(|| first(sources::COST_TOTAL))
        .or_else(|| within(&mlflow, "total_cost"))
        .or_else(|| first(sources::COST_TOTAL_LAST))
        .or_else(|| match (input, output) {
            // both together may be more than there can be: unknown, and not one of them
            (Some(input), Some(output)) => input.checked_add(output),
            (one, other) => one.or(other),
        });
    for (column, cost) in [(Costs::Total, total), (Costs::Input, input), (Costs::Output, output)] {
        typed.set_cost(column, cost);
    }
    if total.is_some() {
        let source = slots.get(Slot::MillraceCostSource).filter(|source| matches!(*source, b"caller" | b"response"));
        typed.set_text(Texts::CostSource, source.unwrap_or(ATTRIBUTES).to_vec());
    }
}

fn amount(value: Value<'_>) -> Option<Usd> {
    Usd::parse(&value.number().map(Into::into).or_else(|| value.str())?).ok()
}
