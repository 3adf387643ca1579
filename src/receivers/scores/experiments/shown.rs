//! Experiments as they are answered, in the words and with the members of the release that is asked for.

use super::super::time_text;
use super::rollups::{Rollup, Stats};
use crate::clickhouse::experiments::ExperimentRow;
use crate::scores::Naming;
use serde_json::{Map, Value, json};

/// How an answer looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) naming: Naming,
    /// Whether what 0.2.0 does not know is left out of what is called as there.
    pub(super) is_strict: bool,
}

/// An experiment.
pub(super) fn shown(experiment: &ExperimentRow, rollup: &Rollup, style: Style) -> Value {
    let is_later = style.naming == Naming::Evaluations;
    let mut answer = Map::new();
    let mut put = |name: &str, value: Value| drop(answer.insert(name.to_owned(), value));
    put("id", experiment.experiment_id.as_str().into());
    put("name", experiment.name.as_str().into());
    put("workspace", experiment.workspace.as_str().into());
    put("experiment_group_id", experiment.groups().first().map_or("", String::as_str).into());
    put("dataset_name", experiment.dataset_name.as_str().into());
    put("dataset_version", json!(experiment.dataset_version));
    put("source_link", json!(experiment.source_link));
    let metadata = serde_json::from_str(&experiment.metadata).unwrap_or_default();
    put("metadata", Value::Object(if is_later { texts(metadata) } else { metadata }));
    put("description", json!(experiment.description));
    if !is_later {
        put("summary", json!(experiment.summary));
    }
    put("created_at", time_text(experiment.created_at).into());
    put("updated_at", time_text(experiment.updated_at).into());
    put("pinned_at", json!(experiment.pinned_at.map(time_text)));
    put("evaluator_names", rollup.scores.keys().cloned().collect());
    put("model_names", json!(rollup.models));
    put("agent_names", json!(rollup.agents));
    put("agent_versions", json!(rollup.agent_versions));
    put("aggregate_scores", rollup.scores_shown());
    put("run_count", rollup.runs.into());
    put("cost_usd", json!(rollup.cost.as_ref().map(Stats::shown)));
    put("latency_ms", json!(rollup.latency.as_ref().map(Stats::shown)));
    if is_later || !style.is_strict {
        put("experiment_ids", json!(experiment.groups()));
        put("parent_evaluation_id", json!(experiment.parent_id));
        put("parent_experiment_id", json!(experiment.parent_id));
        put("status", json!(experiment.status));
        put("root_cause", json!(experiment.root_cause));
        put("test_case_count", rollup.cases.into());
        put("tokens", json!(rollup.tokens.as_ref().map(Stats::shown)));
    }
    Value::Object(answer)
}

/// An object whose members are texts, as 0.3.0 has it: a member that is not a text becomes its JSON.
pub(super) fn texts(metadata: Map<String, Value>) -> Map<String, Value> {
    let as_text = |value: Value| if value.is_string() { value } else { value.to_string().into() };
    metadata.into_iter().map(|(name, value)| (name, as_text(value))).collect()
}
