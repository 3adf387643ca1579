//! What the sessions of experiments come to. A session belongs to the experiment that a span of it names (`nemo.experiment.id`), and counts
//! once; what it costs is what its calls cost, each counted once, and its score is the mean of its spans' scores.
//!
//! Release 0.2.0 has figures over sessions. 0.3.0 has them over test cases, of which each has the mean of its sessions: so one that was run
//! more often does not weigh more. A session without a score counts as 0 there, and sessions without a test case do not count.

use super::super::of_micros;
use crate::clickhouse::experiments::ExperimentRow;
use crate::clickhouse::{Client, Statement};
use crate::columns::Table;
use crate::query::answer::Refusal;
use crate::query::expressions::{EXPERIMENT, SESSION, TEST_CASE};
use crate::query::reads::Reads;
use crate::scores::Naming;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use ::clickhouse::Row;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Sessions that began earlier than so long before their experiment was made are not looked for: nothing reads all days.
const LOGGED_WITHIN_MICROS: i64 = 30 * 24 * 60 * 60 * 1_000_000;

/// What the sessions of one experiment come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rollup {
    pub(super) runs: u64,
    pub(super) cases: u64,
    pub(super) models: Vec<String>,
    pub(super) agents: Vec<String>,
    pub(super) agent_versions: Vec<String>,
    pub(super) cost: Option<Stats>,
    pub(super) latency: Option<Stats>,
    pub(super) tokens: Option<Stats>,
    pub(super) scores: BTreeMap<String, Stats>,
}

/// Figures of several values; there is at least one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stats {
    pub(super) sum: f64,
    pub(super) mean: f64,
    pub(super) median: f64,
    pub(super) p90: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) count: u64,
}

impl Stats {
    /// As it is answered.
    pub(super) fn shown(&self) -> Value {
        json!({
            "sum": self.sum, "mean": self.mean, "median": self.median,
            "p90": self.p90, "p95": self.p95, "p99": self.p99, "count": self.count,
        })
    }
}

/// Sum, mean, median, p90, p95, p99 and number, as SQL has them: no number if there is no value.
type Figures = (Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>, u64);

fn stats((sum, mean, median, p90, p95, p99, count): Figures) -> Option<Stats> {
    Some(Stats { sum: sum?, mean: mean?, median: median?, p90: p90?, p95: p95?, p99: p99?, count })
}

/// The figures of a value in SQL.
fn figures(value: &str) -> String {
    let quantile = |level: &str| format!("toFloat64(quantileExactOrNull({level})({value}))");
    let quantiles = ["0.5", "0.9", "0.95", "0.99"].map(quantile).join(", ");
    format!(
        "tuple(toFloat64(sumOrNull({value})), toFloat64(sumOrNull({value})) / count({value}), {quantiles}, count({value}))"
    )
}

#[derive(Debug, Row, Deserialize)]
struct Measured {
    experiment: String,
    runs: u64,
    cases: u64,
    models: Vec<String>,
    agents: Vec<String>,
    agent_versions: Vec<String>,
    cost: Figures,
    latency: Figures,
    tokens: Figures,
}

#[derive(Debug, Row, Deserialize)]
struct Scored {
    experiment: String,
    name: String,
    score: Figures,
}

/// When the sessions of an experiment may have begun.
pub(super) fn since(created_at: i64) -> UnixNanos {
    of_micros(created_at.saturating_sub(LOGGED_WITHIN_MICROS).max(0))
}

/// How long a span took, in whole milliseconds, if anybody said.
pub(super) const LATENCY: &str =
    "if(TimingQuality IN ('ingest', 'unknown'), NULL, toNullable(toFloat64(intDiv(Duration, 1000000))))";

/// The tokens of a call, if anybody said.
pub(super) const TOKENS: &str =
    "if(InputTokens IS NULL AND OutputTokens IS NULL, NULL, ifNull(InputTokens, 0) + ifNull(OutputTokens, 0))";

/// The attributes that name an experiment: there is an index of them, and none of what they say together.
const KEYS: &str = "['nemo.experiment.id', 'nemo.evaluation.id', 'nemo.evaluation.name']";

/// What comes behind `FROM` for spans that name one of some experiments.
pub(super) fn logged(client: &Client, [workspace, since, names]: [&str; 3]) -> String {
    format!(
        "{spans} WHERE Workspace = {workspace} AND Timestamp >= {since} \
         AND hasAny(mapKeys(SpanAttributes), {KEYS}) AND {EXPERIMENT} IN {names}",
        spans = client.full_name(Table::Traces.name())
    )
}

/// On a cluster the inner question is asked once, not by every shard.
pub(super) fn global(client: &Client) -> &'static str {
    if client.is_of_cluster() { "GLOBAL " } else { "" }
}

/// The places of the values that all questions have, and `WITH sessions AS ...`.
fn begin(client: &Client, statement: &mut Statement, workspace: &Workspace, of: &[&ExperimentRow]) -> (String, String) {
    let first = of.iter().map(|experiment| experiment.created_at).min().unwrap_or(0);
    let names: Vec<String> = of.iter().map(|experiment| experiment.name.clone()).collect();
    let workspace = statement.place(workspace.as_str());
    let since = statement.place(since(first));
    let names = statement.place(names);
    let logged = logged(client, [&workspace, &since, &names]);
    statement.push(&format!(
        "WITH sessions AS (SELECT {EXPERIMENT} AS experiment, {SESSION} AS session, anyIf(TraceId, SessionId = '') AS trace, \
         argMin(tuple({LATENCY}, {TEST_CASE}), tuple(Timestamp, SpanId)) AS first, \
         tupleElement(first, 1) AS latency, tupleElement(first, 2) AS test_case, \
         groupUniqArrayIf(toString(AgentName), AgentName != '') AS agents, \
         groupUniqArrayIf(SpanAttributes['gen_ai.agent.version'], SpanAttributes['gen_ai.agent.version'] != '') AS versions \
         FROM {logged} GROUP BY experiment, session) "
    ));
    (workspace, since)
}

fn measuring(client: &Client, workspace: &Workspace, of: &[&ExperimentRow], naming: Naming) -> Statement {
    let mut statement = Statement::default();
    let (workspace, since) = begin(client, &mut statement, workspace, of);
    let (calls, global) = (client.full_name("genai_calls"), global(client));
    let (unit, counts) = match naming {
        Naming::Experiments => ("s.session", "1"),
        Naming::Evaluations => ("s.test_case", "unit != ''"),
    };
    // decimals stay exact where a unit is one session
    let mean = |value: &str| format!("if({counts}, sumOrNull({value}) / greatest(count({value}), 1), NULL)");
    statement.push(&format!(
        "SELECT experiment, toUInt64(sum(sessions)) AS runs, \
         toUInt64(length(arrayFilter(one -> one != '', groupUniqArrayArray(test_cases)))) AS cases, \
         arraySort(groupUniqArrayArray(of_models)) AS models, arraySort(groupUniqArrayArray(of_agents)) AS agents, \
         arraySort(groupUniqArrayArray(of_versions)) AS agent_versions, \
         {cost} AS cost, {latency} AS latency, {tokens} AS tokens \
         FROM (SELECT s.experiment AS experiment, {unit} AS unit, count() AS sessions, \
         groupUniqArray(s.test_case) AS test_cases, groupUniqArrayArray(c.models) AS of_models, \
         groupUniqArrayArray(arrayConcat(c.agents, s.agents)) AS of_agents, groupUniqArrayArray(s.versions) AS of_versions, \
         {mean_cost} AS mean_cost, {mean_latency} AS mean_latency, {mean_tokens} AS mean_tokens \
         FROM sessions AS s LEFT JOIN (SELECT {SESSION} AS session, sumOrNull(CostTotal) AS cost, \
         sumOrNull({TOKENS}) AS tokens, \
         groupUniqArrayIf(toString(Model), Model != '') AS models, \
         groupUniqArrayIf(toString(AgentName), AgentName != '') AS agents FROM {calls} \
         WHERE Workspace = {workspace} AND Timestamp >= {since} \
         AND (SessionId {global}IN (SELECT session FROM sessions) \
         OR SessionId = '' AND TraceId {global}IN (SELECT trace FROM sessions)) GROUP BY session) AS c \
         ON s.session = c.session GROUP BY experiment, unit) GROUP BY experiment",
        cost = figures("mean_cost"),
        latency = figures("mean_latency"),
        tokens = figures("mean_tokens"),
        mean_cost = mean("c.cost"),
        mean_latency = mean("s.latency"),
        mean_tokens = mean("c.tokens"),
    ));
    statement
}

fn scoring(client: &Client, workspace: &Workspace, of: &[&ExperimentRow], naming: Naming) -> Statement {
    let mut statement = Statement::default();
    let (workspace, _since) = begin(client, &mut statement, workspace, of);
    let scores = scores_of_sessions(client, &workspace, "(SELECT session FROM sessions)");
    statement.push(&match naming {
        Naming::Experiments => format!(
            "SELECT s.experiment AS experiment, r.name AS name, {score} AS score FROM sessions AS s \
             INNER JOIN ({scores}) AS r ON s.session = r.session GROUP BY experiment, name",
            score = figures("r.value"),
        ),
        Naming::Evaluations => format!(
            "SELECT experiment, name, {score} AS score FROM (SELECT experiment, name, \
             arrayAvg(of_session -> of_session[name], arrayJoin(cases)) AS value FROM (SELECT experiment, \
             arrayDistinct(arrayFlatten(groupArray(arrayMap(of_session -> mapKeys(of_session), sessions)))) AS names, \
             groupArray(sessions) AS cases FROM (SELECT s.experiment AS experiment, groupArray(r.scores) AS sessions \
             FROM sessions AS s LEFT JOIN (SELECT session, mapFromArrays(groupArray(name), groupArray(value)) AS scores \
             FROM ({scores}) GROUP BY session) AS r ON s.session = r.session WHERE s.test_case != '' \
             GROUP BY s.experiment, s.test_case) GROUP BY experiment) ARRAY JOIN names AS name) GROUP BY experiment, name",
            score = figures("value"),
        ),
    });
    statement
}

/// The mean of each evaluator's numbers in some sessions, by session and name.
pub(super) fn scores_of_sessions(client: &Client, workspace: &str, sessions: &str) -> String {
    let (results, global) = (client.full_name(Table::EvaluatorResults.name()), global(client));
    format!(
        "SELECT e.SessionId AS session, toString(e.Name) AS name, assumeNotNull(avg(e.Value)) AS value FROM {results} AS e FINAL \
         WHERE e.Workspace = {workspace} AND e.IsDeleted = 0 AND e.DataType IN ('NUMERIC', 'BOOLEAN') AND e.Value IS NOT NULL \
         AND e.SessionId {global}IN {sessions} GROUP BY session, name"
    )
}

/// What the sessions of these experiments come to, in their order.
pub(super) async fn ask(
    reads: &Reads,
    workspace: &Workspace,
    of: &[&ExperimentRow],
    naming: Naming,
) -> Result<Vec<Rollup>, Refusal> {
    let mut rollups: BTreeMap<String, Rollup> = BTreeMap::new();
    if of.is_empty() {
        return Ok(Vec::new());
    }
    let client = reads.client();
    for measured in reads.ask::<Measured>(&measuring(client, workspace, of, naming)).await? {
        let Measured { experiment, runs, cases, models, agents, agent_versions, cost, latency, tokens } = measured;
        let (cost, latency, tokens) = (stats(cost), stats(latency), stats(tokens));
        let rollup = Rollup { runs, cases, models, agents, agent_versions, cost, latency, tokens, ..Rollup::default() };
        rollups.insert(experiment, rollup);
    }
    for Scored { experiment, name, score } in reads.ask::<Scored>(&scoring(client, workspace, of, naming)).await? {
        if let Some(stats) = stats(score) {
            rollups.entry(experiment).or_default().scores.insert(name, stats);
        }
    }
    Ok(of.iter().map(|experiment| rollups.remove(&experiment.name).unwrap_or_default()).collect())
}

impl Rollup {
    /// The scores as they are answered: null if there are none.
    pub(super) fn scores_shown(&self) -> Value {
        if self.scores.is_empty() {
            return Value::Null;
        }
        let shown = self.scores.iter().map(|(name, stats)| (name.clone(), stats.shown()));
        Value::Object(shown.collect::<Map<_, _>>())
    }
}
