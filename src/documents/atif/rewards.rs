//! What a verifier found about a trajectory: rewards, each of which is an evaluator result.

use crate::json::document::{Kind, Value};
use crate::scores::DataType;
use std::borrow::Cow;

/// The name of the span that these results are about. Source: NeMo Intake 0.2.0.
pub const VERIFIER: &str = "harbor.verifier";
/// Who makes these results. Source: NeMo Intake 0.2.0.
pub const CREATED_BY: &str = "intake:atif_importer";
/// The name of a reward that has none.
const REWARD: &str = "reward";

/// A reward.
#[derive(Debug, PartialEq)]
pub(super) struct Reward<'d> {
    pub(super) name: Cow<'d, str>,
    pub(super) data_type: DataType,
    pub(super) value: Option<f64>,
    pub(super) text: String,
}

/// The rewards of `extra.verifier_result`; nothing for what is no number, no text and neither yes nor no.
pub(super) fn of(verifier_result: Value<'_>) -> Vec<Reward<'_>> {
    let rewards = verifier_result.get("rewards");
    if let Some(rewards) = rewards.filter(|rewards| rewards.is_object()) {
        return rewards.members().filter_map(|(name, value)| reward(name.text(), value)).collect();
    }
    let bare = rewards.or_else(|| verifier_result.get(REWARD)).or_else(|| verifier_result.get("score"));
    bare.or(Some(verifier_result)).and_then(|value| reward(REWARD.into(), value)).into_iter().collect()
}

/// The main one of them, as JSON.
pub(super) fn score<'d>(verifier_result: Value<'d>) -> Option<&'d str> {
    let rewards = verifier_result.get("rewards");
    let main = rewards.filter(|rewards| rewards.is_object()).and_then(|rewards| rewards.get(REWARD));
    let bare = || rewards.or_else(|| verifier_result.get(REWARD)).or_else(|| verifier_result.get("score"));
    main.or_else(bare).and_then(Value::number)
}

fn reward<'d>(name: Cow<'d, str>, value: Value<'d>) -> Option<Reward<'d>> {
    let (data_type, number, text) = match value.kind() {
        Kind::True => (DataType::Boolean, Some(1.0), String::new()),
        Kind::False => (DataType::Boolean, Some(0.0), String::new()),
        Kind::Number => (DataType::Numeric, Some(value.double()?), String::new()),
        _ => (DataType::Text, None, value.str()?.into_owned()),
    };
    Some(Reward { name, data_type, value: number, text })
}
