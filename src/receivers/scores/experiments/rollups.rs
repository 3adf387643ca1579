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
use crate::query::expressions::{EXPERIMENT, SESSION, SESSION_OF_TRACE, TEST_CASE};
use crate::query::reads::Reads;
use crate::scores::Naming;
use crate::time::UnixNanos;
use crate::workspace::Workspace;
use ::clickhouse::Row;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Spans and calls from longer than this before their experiment was made are not looked for: no question reads all days.
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

/// When the first spans and calls of an experiment may have begun.
pub(super) fn since(created_at: i64) -> UnixNanos {
    of_micros(created_at.saturating_sub(LOGGED_WITHIN_MICROS).max(0))
}

/// How long a span took, in whole milliseconds, if anybody said.
pub(super) const LATENCY: &str =
    "if(TimingQuality IN ('ingest', 'unknown'), NULL, toNullable(toFloat64(intDiv(Duration, 1000000))))";

/// The tokens of a call, if anybody said.
pub(super) const TOKENS: &str =
    "if(InputTokens IS NULL AND OutputTokens IS NULL, NULL, ifNull(InputTokens, 0) + ifNull(OutputTokens, 0))";

/// The attributes that name an experiment. There is an index of the keys of attributes; there is none of `EXPERIMENT`, which takes the first
/// of these that has a value.
const KEYS: &str = "['nemo.experiment.id', 'nemo.evaluation.id', 'nemo.evaluation.name']";

/// The table and the condition, after `FROM`, for the spans since a time that name one of some experiments.
pub(super) fn logged(client: &Client, [workspace, since, names]: [&str; 3]) -> String {
    format!(
        "{spans} WHERE Workspace = {workspace} AND Timestamp >= {since} \
         AND hasAny(mapKeys(SpanAttributes), {KEYS}) AND {EXPERIMENT} IN {names}",
        spans = client.full_name(Table::Traces.name())
    )
}

/// The session that a call is of, where `sessions` are those asked for: its own, or else the one made of its trace. A span that names an
/// experiment and no session is of the latter, and the calls below it may have a session from elsewhere in the trace.
pub(super) fn session_of_call(client: &Client, sessions: &str) -> String {
    let global = client.global();
    format!("if(SessionId {global}IN {sessions}, SessionId, concat('{SESSION_OF_TRACE}', TraceId))")
}

/// Begins a statement with `WITH sessions AS ...`: the sessions of these experiments, each by its first span that names the experiment.
/// Returns the places of the workspace and of the earliest time. An experiment has the same sessions in whatever company it is asked for:
/// each is held to its own time, in `since`.
fn begin(client: &Client, statement: &mut Statement, workspace: &Workspace, of: &[&ExperimentRow]) -> (String, String) {
    let first = of.iter().map(|experiment| experiment.created_at).min().unwrap_or(0);
    let names: Vec<String> = of.iter().map(|experiment| experiment.name.clone()).collect();
    let micros = |experiment: &&ExperimentRow| (since(experiment.created_at).nanos() / 1_000).to_string();
    let all_since = of.iter().map(micros).collect::<Vec<_>>().join(",");
    let workspace = statement.place(workspace.as_str());
    let since = statement.place(since(first));
    let names = statement.place(names);
    let logged = logged(client, [&workspace, &since, &names]);
    let own_since = format!("toInt64(arrayElement([{all_since}], indexOf({names}, {EXPERIMENT})))");
    statement.push(&format!(
        "WITH sessions AS (SELECT {EXPERIMENT} AS experiment, {SESSION} AS session, any({own_since}) AS since, \
         anyIf(TraceId, SessionId = '') AS trace, \
         argMin(tuple({LATENCY}, {TEST_CASE}), tuple(Timestamp, SpanId)) AS first, \
         tupleElement(first, 1) AS latency, tupleElement(first, 2) AS test_case, \
         groupUniqArrayIf(toString(AgentName), AgentName != '') AS agents, \
         groupUniqArrayIf(SpanAttributes['gen_ai.agent.version'], SpanAttributes['gen_ai.agent.version'] != '') AS versions \
         FROM {logged} AND toUnixTimestamp64Micro(Timestamp) >= {own_since} GROUP BY experiment, session) "
    ));
    (workspace, since)
}

const SESSIONS: &str = "(SELECT session FROM sessions)";

/// A query for a row a session of `sessions`, with what its calls come to. Of a join the right side is kept in memory, and calls are many.
fn with_calls(client: &Client, workspace: &str, since: &str) -> String {
    let (calls, global) = (client.full_name("genai_calls"), client.global());
    format!(
        "SELECT s.experiment AS experiment, s.session AS session, any(s.test_case) AS test_case, any(s.latency) AS latency, \
         any(s.versions) AS versions, sumOrNullIf(c.cost, c.at >= s.since) AS cost, \
         sumOrNullIf(c.tokens, c.at >= s.since) AS tokens, \
         groupUniqArrayIf(c.model, c.model != '' AND c.at >= s.since) AS models, \
         arrayConcat(any(s.agents), groupUniqArrayIf(c.agent, c.agent != '' AND c.at >= s.since)) AS agents \
         FROM (SELECT {session} AS session, toUnixTimestamp64Micro(Timestamp) AS at, CostTotal AS cost, \
         {TOKENS} AS tokens, toString(Model) AS model, toString(AgentName) AS agent FROM {calls} \
         WHERE Workspace = {workspace} AND Timestamp >= {since} \
         AND (SessionId {global}IN {SESSIONS} OR TraceId {global}IN (SELECT trace FROM sessions))) AS c \
         RIGHT JOIN sessions AS s ON s.session = c.session GROUP BY experiment, session",
        session = session_of_call(client, SESSIONS),
    )
}

fn measuring(client: &Client, workspace: &Workspace, of: &[&ExperimentRow], naming: Naming) -> Statement {
    let mut statement = Statement::default();
    let (workspace, since) = begin(client, &mut statement, workspace, of);
    let (unit, counts) = match naming {
        Naming::Experiments => ("session", "1"),
        Naming::Evaluations => ("test_case", "unit != ''"),
    };
    // decimals stay exact where a unit is one session
    let mean = |value: &str| format!("if({counts}, sumOrNull({value}) / greatest(count({value}), 1), NULL)");
    statement.push(&format!(
        "SELECT experiment, toUInt64(sum(of_unit)) AS runs, \
         toUInt64(length(arrayFilter(one -> one != '', groupUniqArrayArray(test_cases)))) AS cases, \
         arraySort(groupUniqArrayArray(of_models)) AS models, arraySort(groupUniqArrayArray(of_agents)) AS agents, \
         arraySort(groupUniqArrayArray(of_versions)) AS agent_versions, \
         {cost} AS cost, {latency} AS latency, {tokens} AS tokens \
         FROM (SELECT experiment, {unit} AS unit, count() AS of_unit, \
         groupUniqArray(test_case) AS test_cases, groupUniqArrayArray(models) AS of_models, \
         groupUniqArrayArray(agents) AS of_agents, groupUniqArrayArray(versions) AS of_versions, \
         {mean_cost} AS mean_cost, {mean_latency} AS mean_latency, {mean_tokens} AS mean_tokens \
         FROM ({with_calls}) GROUP BY experiment, unit) GROUP BY experiment",
        cost = figures("mean_cost"),
        latency = figures("mean_latency"),
        tokens = figures("mean_tokens"),
        mean_cost = mean("cost"),
        mean_latency = mean("latency"),
        mean_tokens = mean("tokens"),
        with_calls = with_calls(client, &workspace, &since),
    ));
    statement
}

/// A query for the values of each score in the sessions of each test case. A session without a score that another session of its
/// experiment has counts as 0.
fn scores_by_case(scores: &str) -> String {
    format!(
        "SELECT experiment, name, arrayJoin(cases) AS of_case, tupleElement(of_case, 1) AS test_case, \
         arrayMap(of_session -> of_session[name], tupleElement(of_case, 2)) AS values FROM (SELECT experiment, \
         arrayDistinct(arrayFlatten(groupArray(arrayMap(of_session -> mapKeys(of_session), of_sessions)))) AS names, \
         groupArray(tuple(test_case, of_sessions)) AS cases FROM (SELECT s.experiment AS experiment, s.test_case AS test_case, \
         groupArray(r.scores) AS of_sessions \
         FROM sessions AS s LEFT JOIN (SELECT session, mapFromArrays(groupArray(name), groupArray(value)) AS scores \
         FROM ({scores}) GROUP BY session) AS r ON s.session = r.session WHERE s.test_case != '' \
         GROUP BY s.experiment, s.test_case) GROUP BY experiment) ARRAY JOIN names AS name"
    )
}

fn scoring(client: &Client, workspace: &Workspace, of: &[&ExperimentRow], naming: Naming) -> Statement {
    let mut statement = Statement::default();
    let (workspace, _since) = begin(client, &mut statement, workspace, of);
    let scores = scores_of_sessions(client, &workspace, SESSIONS);
    statement.push(&match naming {
        Naming::Experiments => format!(
            "SELECT s.experiment AS experiment, r.name AS name, {score} AS score FROM sessions AS s \
             INNER JOIN ({scores}) AS r ON s.session = r.session GROUP BY experiment, name",
            score = figures("r.value"),
        ),
        Naming::Evaluations => format!(
            "SELECT experiment, name, {score} AS score FROM (SELECT experiment, name, arrayAvg(values) AS value \
             FROM ({by_case})) GROUP BY experiment, name",
            score = figures("value"),
            by_case = scores_by_case(&scores),
        ),
    });
    statement
}

/// The mean of each evaluator's numbers in some sessions, by session and name.
pub(super) fn scores_of_sessions(client: &Client, workspace: &str, sessions: &str) -> String {
    let (results, global) = (client.full_name(Table::EvaluatorResults.name()), client.global());
    format!(
        "SELECT e.SessionId AS session, toString(e.Name) AS name, assumeNotNull(avg(e.Value)) AS value FROM {results} AS e FINAL \
         WHERE e.Workspace = {workspace} AND e.IsDeleted = 0 AND e.DataType IN ('NUMERIC', 'BOOLEAN') AND e.Value IS NOT NULL \
         AND e.SessionId {global}IN {sessions} GROUP BY session, name"
    )
}

/// What the sessions of one test case of an experiment come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Case {
    pub(super) runs: u64,
    pub(super) cost: Option<Stats>,
    pub(super) latency: Option<Stats>,
    pub(super) tokens: Option<Stats>,
    pub(super) scores: BTreeMap<String, Stats>,
}

/// The test cases of an experiment by their names.
pub(super) type Cases = BTreeMap<String, Case>;

#[derive(Debug, Row, Deserialize)]
struct MeasuredCase {
    experiment: String,
    test_case: String,
    runs: u64,
    cost: Figures,
    latency: Figures,
    tokens: Figures,
}

#[derive(Debug, Row, Deserialize)]
struct ScoredCase {
    experiment: String,
    test_case: String,
    name: String,
    score: Figures,
}

/// Test cases of a page, by their names.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageOfCases<'a> {
    /// The last of the page before; empty for the first page.
    pub(super) after: &'a str,
    pub(super) size: u64,
}

impl PageOfCases<'_> {
    /// The condition for the test cases that any of the experiments has, after [`begin`].
    fn condition(self, statement: &mut Statement) -> String {
        // a test case has a name, so none comes before the first page
        let (after, size) = (statement.place(self.after), statement.place(self.size));
        format!(
            "test_case IN (SELECT DISTINCT test_case FROM sessions WHERE test_case > {after} ORDER BY test_case LIMIT {size})"
        )
    }
}

fn measuring_cases(client: &Client, workspace: &Workspace, of: &[&ExperimentRow], page: PageOfCases<'_>) -> Statement {
    let mut statement = Statement::default();
    let (workspace, since) = begin(client, &mut statement, workspace, of);
    let of_page = page.condition(&mut statement);
    statement.push(&format!(
        "SELECT experiment, test_case, count() AS runs, {cost} AS cost, {latency} AS latency, {tokens} AS tokens \
         FROM (SELECT experiment, test_case, cost AS of_cost, latency AS of_latency, tokens AS of_tokens FROM ({with_calls}) \
         WHERE {of_page}) GROUP BY experiment, test_case",
        cost = figures("of_cost"),
        latency = figures("of_latency"),
        tokens = figures("of_tokens"),
        with_calls = with_calls(client, &workspace, &since),
    ));
    statement
}

fn scoring_cases(client: &Client, workspace: &Workspace, of: &[&ExperimentRow], page: PageOfCases<'_>) -> Statement {
    let mut statement = Statement::default();
    let (workspace, _since) = begin(client, &mut statement, workspace, of);
    let scores = scores_of_sessions(client, &workspace, SESSIONS);
    let of_page = page.condition(&mut statement);
    statement.push(&format!(
        "SELECT experiment, test_case, name, {score} AS score FROM (SELECT experiment, test_case, name, arrayJoin(values) AS value \
         FROM ({by_case}) WHERE {of_page}) GROUP BY experiment, test_case, name",
        score = figures("value"),
        by_case = scores_by_case(&scores),
    ));
    statement
}

/// What the sessions of these experiments come to by test case, in their order: of one page of the test cases that any of them has.
pub(super) async fn cases<const N: usize>(
    reads: &Reads,
    workspace: &Workspace,
    of: [&ExperimentRow; N],
    page: PageOfCases<'_>,
) -> Result<[Cases; N], Refusal> {
    let mut all: BTreeMap<String, Cases> = BTreeMap::new();
    let client = reads.client();
    for measured in reads.ask::<MeasuredCase>(&measuring_cases(client, workspace, &of, page)).await? {
        let MeasuredCase { experiment, test_case, runs, cost, latency, tokens } = measured;
        let (cost, latency, tokens, scores) = (stats(cost), stats(latency), stats(tokens), BTreeMap::new());
        all.entry(experiment).or_default().insert(test_case, Case { runs, cost, latency, tokens, scores });
    }
    for scored in reads.ask::<ScoredCase>(&scoring_cases(client, workspace, &of, page)).await? {
        let ScoredCase { experiment, test_case, name, score } = scored;
        if let Some(stats) = stats(score) {
            all.entry(experiment).or_default().entry(test_case).or_default().scores.insert(name, stats);
        }
    }
    Ok(of.map(|experiment| all.remove(&experiment.name).into_iter().flatten().collect()))
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
