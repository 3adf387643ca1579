//! `GET /traces/{trace_id}/conversation`, `/sessions/{session_id}/conversation`: the calls of a trace, or of all traces of a session, as one
//! conversation in which each message is once.
//!
//! ```text
//! spans (light) --agents.rs--> whose calls they are, and which tools ran
//! calls as hashes of their messages --chain.rs--> which messages are new, and what each call goes on from
//! the texts of new messages, and no others --answer.rs--> JSON
//! ```
//!
//! A call repeats its history, so most of what a trace holds is repetition: it is told by hashes that ClickHouse makes, and only what is
//! new is read as text. Span ids are unique within a trace only, so that here a span is known by both ids ([`statements::KEY`]).

mod agents;
mod answer;
mod chain;
mod statements;

pub(super) use statements::{Report, ids_of, reports};

use super::row::Range;
use crate::query::answer::{Refusal, json_answer};
use crate::query::conditions::trace_id;
use crate::query::request::{Api, workspace};
use crate::query::sessions;
use crate::workspace::Workspace;
use agents::Agents;
use answer::Conversation;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use chain::{Chain, Linked, Said};
use serde_json::{Map, Value};
use statements::{CALLS_MAX, Hashed, Light, OfSession, TRACES_MAX, Texts, ToolTexts};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Calls whose texts are asked for at once: their ids are parameters of one statement.
const CALLS_AT_ONCE: usize = 2_000;

/// `GET /traces/{trace_id}/conversation`
pub(in crate::query) async fn conversation(
    State(api): State<Arc<Api>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let ids = [trace_id(&id)];
    let not_found = || Refusal::not_found(&format!("Trace {}/{id} not found", workspace.as_str()));
    let mut answer = told(&api, &workspace, &ids).await?.ok_or_else(not_found)?;
    answer.insert("trace_id".to_owned(), ids.concat().into());
    Ok(json_answer(StatusCode::OK, &answer.into()))
}

/// `GET /sessions/{session_id}/conversation`
pub(in crate::query) async fn of_session(
    State(api): State<Arc<Api>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let not_found = || Refusal::not_found(&format!("Session {}/{id} not found", workspace.as_str()));
    let times = sessions::times(&api, &workspace, &id).await?.ok_or_else(not_found)?;
    let traces: Vec<OfSession> = api.reads.ask(&statements::of_session(&api, &workspace, &id, &times)).await?;
    let is_whole = u64::try_from(traces.len()).is_ok_and(|traces| traces < TRACES_MAX);
    let ids: Vec<String> = traces.into_iter().map(|trace| trace.trace_id).collect();
    let told = if ids.is_empty() { None } else { told(&api, &workspace, &ids).await? };
    let mut answer = told.ok_or_else(not_found)?;
    if !is_whole {
        answer.insert("is_complete".to_owned(), false.into());
    }
    answer.insert("session_id".to_owned(), id.into());
    Ok(json_answer(StatusCode::OK, &answer.into()))
}

/// The conversation of these traces; nothing if they have no spans.
pub(super) async fn told(
    api: &Api,
    workspace: &Workspace,
    ids: &[String],
) -> Result<Option<Map<String, Value>>, Refusal> {
    let range: Option<Range> = super::range(api, ids).await?;
    let range = range.as_ref();
    let spans: Vec<Light> = api.reads.ask(&statements::light(api, workspace, ids, range)).await?;
    if spans.is_empty() {
        return Ok(None);
    }
    let hashed: Vec<Hashed> = api.reads.ask(&statements::hashed(api, workspace, ids, range)).await?;
    let is_complete = u64::try_from(hashed.len()).is_ok_and(|calls| calls < CALLS_MAX);
    let reports: Vec<Report> = api.reads.ask_if_there(&statements::reports(api, workspace, ids, range)).await?;
    let agents = Agents::of(&spans);
    let mut conversation = Conversation::new(&spans, &agents, link(counted(hashed, &reports), &reports, &agents));
    for wanted in conversation.wanted().chunks(CALLS_AT_ONCE) {
        let texts: Vec<Texts> = api.reads.ask(&statements::texts(api, workspace, (ids, range), wanted)).await?;
        conversation.put_texts(texts);
    }
    for tools in conversation.tools_without_result().chunks(CALLS_AT_ONCE) {
        let statement = statements::tools(api, workspace, (ids, range), tools.to_vec());
        let texts: Vec<ToolTexts> = api.reads.ask(&statement).await?;
        conversation.put_tools(texts);
    }
    let mut answer = conversation.to_json();
    answer.insert("is_complete".to_owned(), is_complete.into());
    Ok(Some(answer))
}

/// A call, and where it is in the conversation.
struct Call {
    said: Hashed,
    linked: Linked,
    /// How many messages of the system its input begins with, which are not among its messages.
    skipped: usize,
    agent: usize,
}

/// The calls that are shown: each once, though several spans may report it with the same messages.
fn counted(hashed: Vec<Hashed>, reports: &[Report]) -> Vec<Hashed> {
    let with_content: HashSet<String> = hashed.iter().map(|call| call.span_id.clone()).collect();
    let counted_in: HashMap<&str, &str> =
        reports.iter().map(|report| (report.span_id.as_str(), report.counted_in.as_str())).collect();
    let mut seen = HashSet::new();
    let is_shown = |call: &Hashed| {
        let elsewhere = counted_in.get(call.span_id.as_str()).is_some_and(|call| with_content.contains(*call));
        !elsewhere && seen.insert(call.span_id.clone())
    };
    let mut is_shown = is_shown;
    hashed.into_iter().filter(|call| is_shown(call)).collect()
}

/// Says of each call what is new in it. A report is of the agent whose call it reports.
fn link(calls: Vec<Hashed>, reports: &[Report], agents: &Agents) -> (Chain, Vec<Call>) {
    let counted_in: HashMap<&str, &str> =
        reports.iter().map(|report| (report.span_id.as_str(), report.counted_in.as_str())).collect();
    let mut chain = Chain::default();
    let linked = calls.into_iter().map(|said| {
        // the system prompt is told once, and not as a message
        let skipped = if said.system == 0 { 0 } else { usize::try_from(said.of_system).unwrap_or(usize::MAX) };
        let agent = agents.of_span(counted_in.get(said.span_id.as_str()).copied().unwrap_or(&said.span_id));
        let input: Vec<u64> = said.input.iter().copied().skip(skipped).collect();
        let left_out = usize::try_from(said.left_out).unwrap_or(usize::MAX);
        let linked = chain.add(&Said { agent, input, output: said.output.clone(), left_out });
        Call { said, linked, skipped, agent }
    });
    let linked = linked.collect();
    (chain, linked)
}
