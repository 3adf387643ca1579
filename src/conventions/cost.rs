//! Cost in US dollars, exact, and where it comes from.

use super::keys::Slot;
use super::slots::Slots;
use super::sources;
use crate::genai::cost::{Cost, CostSource, Usd};
use crate::json::document::{Document, Value};

/// The costs. A total that nobody says is the sum of both sides.
pub(crate) fn of(slots: &Slots<'_>) -> Cost {
    let (langfuse, mlflow) = (slots.json(Slot::LangfuseCost), slots.json(Slot::MlflowCost));
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
    let is_usd = slots.get(Slot::CostCurrency).is_none_or(|currency| currency.eq_ignore_ascii_case("USD"));
    let total = first(&[Slot::UsageCost])
        .or_else(|| first(&[Slot::CostAmount]).filter(|_| is_usd))
        .or_else(|| first(&[Slot::LlmCostTotal]))
        .or_else(|| within(&langfuse, "total"))
        .or_else(|| first(sources::COST_TOTAL))
        .or_else(|| within(&mlflow, "total_cost"))
        .or_else(|| first(sources::COST_TOTAL_LAST))
        .or_else(|| Cost::sum_of(input, output));
    let source = total.map(|_| match slots.get(Slot::MillraceCostSource) {
        Some("caller") => CostSource::Caller,
        Some("response") => CostSource::Response,
        _ => CostSource::Attributes,
    });
    Cost { total, input, output, source }
}

fn amount(value: Value<'_>) -> Option<Usd> {
    Usd::parse(&value.number().map(Into::into).or_else(|| value.str())?).ok()
}
