//! What a call is for: the experiment and test case of `experiment_context`, or of the deprecated `evaluation_context`.
//!
//! ```text
//! experiment_context  {experiment_id, test_case_id}                            names both, when it is there
//! evaluation_context  {evaluation_id | _name, _sha, _run_id, metadata,
//!                      test_case_id | test_case_name}                          names them where there is no other
//! all else            -> millrace.context.extra
//! ```

use std::borrow::Cow;

use super::span::Attributes;
use crate::genai::semconv;
use crate::json::document::Value;

/// What both contexts say together.
pub(super) struct Contexts<'d> {
    experiment: Option<Value<'d>>,
    evaluation: Option<Value<'d>>,
    pub(super) experiment_id: Option<Cow<'d, str>>,
    test_case_id: Option<Cow<'d, str>>,
    evaluation_id: Option<Cow<'d, str>>,
    evaluation_test_case: Option<Cow<'d, str>>,
    evaluation_sha: Option<Cow<'d, str>>,
    evaluation_run_id: Option<Cow<'d, str>>,
}

impl<'d> Contexts<'d> {
    pub(super) fn read(experiment: Option<Value<'d>>, evaluation: Option<Value<'d>>) -> Self {
        let text = |context: Option<Value<'d>>, names: &[&str]| {
            names.iter().find_map(|name| context.and_then(|context| context.get(name)?.filled_str()))
        };
        let evaluation_id = text(evaluation, &["evaluation_id", "evaluation_name"]);
        let evaluation_test_case = text(evaluation, &["test_case_id", "test_case_name"]);
        let (experiment_id, test_case_id) = if experiment.is_some() {
            (text(experiment, &["experiment_id"]), text(experiment, &["test_case_id"]))
        } else {
            (evaluation_id.clone(), evaluation_test_case.clone())
        };
        Self {
            experiment,
            evaluation,
            experiment_id,
            test_case_id,
            evaluation_id,
            evaluation_test_case,
            evaluation_sha: text(evaluation, &["evaluation_sha"]),
            evaluation_run_id: text(evaluation, &["evaluation_run_id"]),
        }
    }

    /// The parts that say which call it is, each with its name.
    pub(super) fn ids(&self) -> [(&'static str, Option<&str>); 6] {
        [
            ("experiment_id", self.experiment_id.as_deref()),
            ("test_case_id", self.test_case_id.as_deref()),
            ("evaluation_id", self.evaluation_id.as_deref()),
            ("evaluation_test_case", self.evaluation_test_case.as_deref()),
            ("evaluation_sha", self.evaluation_sha.as_deref()),
            ("evaluation_run_id", self.evaluation_run_id.as_deref()),
        ]
    }

    pub(super) fn put(self, attributes: &mut Attributes<'d>) {
        let (experiment, evaluation) = (self.experiment, self.evaluation);
        attributes.optional_text(semconv::NEMO_EXPERIMENT_ID, self.experiment_id);
        attributes.optional_text(semconv::NEMO_TEST_CASE_ID, self.test_case_id);
        attributes.optional_text(semconv::NEMO_EVALUATION_ID, self.evaluation_id);
        attributes.optional_text(semconv::NEMO_EVALUATION_SHA, self.evaluation_sha);
        attributes.optional_text(semconv::NEMO_EVALUATION_RUN_ID, self.evaluation_run_id);
        let metadata = evaluation.and_then(|context| context.get("metadata"));
        if let Some(metadata) = metadata.filter(|metadata| !metadata.is_empty()) {
            attributes.json(semconv::NEMO_EVALUATION_METADATA, |json| json.value(metadata));
        }
        put_rest(attributes, experiment, evaluation);
    }
}

/// Members of the contexts that no attribute holds; of the evaluation's also what the experiment's has overruled.
fn put_rest<'d>(attributes: &mut Attributes<'d>, experiment: Option<Value<'d>>, evaluation: Option<Value<'d>>) {
    const EXPERIMENT: [&str; 2] = ["experiment_id", "test_case_id"];
    const EVALUATION: [&str; 4] = ["evaluation_id", "evaluation_sha", "evaluation_run_id", "metadata"];
    // asked once, not for every member of such a name
    let lacks = |name: &str| evaluation.and_then(|context| context.get(name)).is_none();
    let (name_counts, case_name_counts) = (lacks("evaluation_id"), lacks("test_case_id"));
    let is_free = experiment.is_none();
    let held = |name: &str| {
        EVALUATION.contains(&name)
            || (name == "evaluation_name" && name_counts)
            || (is_free && (name == "test_case_id" || name == "test_case_name" && case_name_counts))
    };
    let rest = |context: Option<Value<'d>>, held: &dyn Fn(&str) -> bool| -> Vec<_> {
        let members = context.into_iter().flat_map(Value::members);
        members.filter(|(key, value)| !value.is_null() && !held(&key.text())).collect()
    };
    let rests = [
        ("experiment_context", rest(experiment, &|name| EXPERIMENT.contains(&name))),
        ("evaluation_context", rest(evaluation, &held)),
    ];
    if rests.iter().all(|(_, members)| members.is_empty()) {
        return;
    }
    attributes.json(semconv::MILLRACE_CONTEXT_EXTRA, |json| {
        json.begin_object();
        for (name, members) in rests.iter().filter(|(_, members)| !members.is_empty()) {
            json.key(name);
            json.begin_object();
            members.iter().for_each(|(key, value)| json.copy_member(*key, *value));
            json.end_object();
        }
        json.end_object();
    });
}
