//! Cost in US dollars, exact, and where it comes from.

use super::keys::Slot;
use super::slots::Slots;
use super::sources;
use crate::genai::cost::{Cost, CostSource, Given, UNREADABLE};
use crate::json::document::Document;

/// The costs. A total that nobody says is the sum of both sides.
pub(crate) fn of(slots: &Slots<'_>) -> Cost {
    let langfuse = Listed::of_langfuse(slots);
    let mlflow = Listed::of(slots, Slot::MlflowCost, ["total_cost", "input_cost", "output_cost"]);
    let first = |sources: &[Slot]| slots.first_cost(sources);
    let side = |openinference, litellm, [of_langfuse, of_mlflow]: [Given; 2], mlflow_slot, rest: [Slot; 2]| {
        first(&[openinference, litellm])
            .or_else(|| of_langfuse)
            .or_else(|| of_mlflow)
            .or_else(|| first(&[mlflow_slot]))
            .or_else(|| first(&rest))
    };
    let input = side(
        Slot::LlmCostPrompt,
        Slot::GenAiInputCost,
        [langfuse.input, mlflow.input],
        Slot::MlflowCostInput,
        [Slot::SentryCostInput, Slot::LitellmCostInput],
    );
    let output = side(
        Slot::LlmCostCompletion,
        Slot::GenAiOutputCost,
        [langfuse.output, mlflow.output],
        Slot::MlflowCostOutput,
        [Slot::SentryCostOutput, Slot::LitellmCostOutput],
    );
    let total = first(&[Slot::UsageCost])
        .or_else(|| in_dollars(slots))
        .or_else(|| first(&[Slot::LlmCostTotal]))
        .or_else(|| langfuse.total)
        .or_else(|| first(sources::COST_TOTAL))
        .or_else(|| mlflow.total)
        .or_else(|| first(sources::COST_TOTAL_LAST));
    let source = match slots.get(Slot::MillraceCostSource) {
        Some("caller") => CostSource::Caller,
        Some("response") => CostSource::Response,
        // a captured call that comes again as a span
        Some(UNREADABLE) => {
            return Cost::of(total.or_else(|| Given::Unreadable), [input, output], CostSource::Attributes);
        }
        _ => CostSource::Attributes,
    };
    Cost::of(total, [input, output], source)
}

/// An amount with its currency: another one than dollars cannot be read.
fn in_dollars(slots: &Slots<'_>) -> Given {
    let is_usd = slots.get(Slot::CostCurrency).is_none_or(|currency| currency.eq_ignore_ascii_case("USD"));
    match slots.first_cost(&[Slot::CostAmount]) {
        Given::Amount(_) if !is_usd => Given::Unreadable,
        given => given,
    }
}

/// Costs by name, in a JSON object.
#[derive(Default)]
struct Listed {
    total: Given,
    input: Given,
    output: Given,
}

impl Listed {
    /// Langfuse's. Each is a part of its own, and what has `input` in its name is of the input; a total that is not given is the
    /// sum of all.
    ///
    /// Source: langfuse.com/docs/observability/features/token-and-cost-tracking.
    fn of_langfuse(slots: &Slots<'_>) -> Self {
        let listed = Self::of(slots, Slot::LangfuseCost, ["total", "input", "output"]);
        let document = slots.json(Slot::LangfuseCost);
        let sum = |is_part: fn(&str) -> bool| {
            let members = document.iter().flat_map(|document| document.root().members());
            let parts = members.filter(|(key, _)| is_part(&key.text()));
            parts.fold(Given::Absent, |sum, (_, value)| sum.plus(Given::of_json(Some(value))))
        };
        let (input, output) = (sum(|key| key.contains("input")), sum(|key| key.contains("output")));
        let has_sides = [input, output].iter().any(|given| *given != Given::Absent);
        match listed.total {
            Given::Amount(_) => Self { input, output, ..listed },
            _ if has_sides => Self { total: sum(|key| key != "total"), input, output },
            _ => listed,
        }
    }

    /// Reads an object with these names of total, input and output. What has something, and none of these, cannot be read.
    fn of(slots: &Slots<'_>, slot: Slot, names: [&str; 3]) -> Self {
        if !slots.has(slot) {
            return Self::default();
        }
        let document = slots.json(slot);
        let root = document.as_ref().map(Document::root);
        let [total, input, output] = names.map(|name| Given::of_json(root.and_then(|root| root.get(name))));
        let is_known = [total, input, output].iter().any(|given| *given != Given::Absent);
        let is_nothing = root.is_some_and(|root| root.members().all(|(_, value)| value.is_empty()) && root.is_object());
        let total = if is_known || is_nothing { total } else { Given::Unreadable };
        Self { total, input, output }
    }
}
