//! Import in the page: a browser sends files, which lie below `data_dir` until `millrace import`'s own code has read them.
//!
//! ```text
//! POST   .../imports                     a place for files           GET    .../imports             imports under way, and those that are done
//! POST   .../imports/{id}/files?name=N   a file, as it is            GET    .../imports/{id}        how far it is
//! POST   .../imports/{id}/run            reads them, or sends them   DELETE .../imports/{id}        cancels it, and removes its files
//! GET    .../imported/{id}/rejects       what was rejected           DELETE .../imported/{id}       removes the rows of an import
//! ```
//!
//! No path of the server is read. The rows go to the ingest with the token of whoever sent the files, so its scopes and quotas hold.

mod jobs;
mod spool;
mod turns;
mod work;

use super::read_state;
use super::state::Checkpoint;
use crate::access::routes::{Guard, Routes};
use crate::access::{Gate, Needs, Scope};
use crate::config::Config;
use crate::formats::{Format, named};
use crate::query::answer::{Refusal, json_answer};
use crate::query::parameters::Parameters;
use crate::workspace::Workspace;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use jobs::{Jobs, Phase};
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const INGEST: Needs = Needs::InWorkspace(Scope::Ingest);
/// Imports that a list has, and lines of rejects.
const LISTED_MAX: usize = 200;
const REJECTS_MAX: usize = 1_000;

/// What the handlers share.
struct Imports {
    config: Config,
    gate: Gate,
    jobs: Jobs,
    /// Of checkpoints.
    folder: PathBuf,
    /// How long a body may be silent.
    silent_max: Duration,
}

/// Every path of imports.
#[must_use]
pub fn routes(config: Config, gate: Gate, guard: &Guard) -> Routes {
    let folder = config.data_dir.join("imports");
    let jobs = Jobs::new(folder.join("uploads"), config.page.uploads_max.0);
    let silent_max = config.connections.body_timeout;
    Routes::new(guard)
        .get("/api/v1/workspaces/{workspace}/imports", Needs::InWorkspace(Scope::Read), list)
        .post("/api/v1/workspaces/{workspace}/imports", INGEST, create)
        .get("/api/v1/workspaces/{workspace}/imports/{id}", INGEST, one)
        .delete("/api/v1/workspaces/{workspace}/imports/{id}", INGEST, cancel)
        .post("/api/v1/workspaces/{workspace}/imports/{id}/files", INGEST, file)
        .post("/api/v1/workspaces/{workspace}/imports/{id}/run", INGEST, run)
        .get("/api/v1/workspaces/{workspace}/imported/{id}/rejects", INGEST, rejects)
        .delete("/api/v1/workspaces/{workspace}/imported/{id}", Needs::InWorkspace(Scope::Admin), undo)
        .with_state(Arc::new(Imports { config, gate, jobs, folder, silent_max }))
}

fn workspace(name: &str) -> Result<Workspace, Refusal> {
    Workspace::new(name).map_err(|error| Refusal::bad_request(&error.to_string()))
}

fn failed(error: &anyhow::Error) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}"))
}

/// Imports under way, and what was imported, the latest first; and where senders send.
async fn list(State(imports): State<Arc<Imports>>, Path(name): Path<String>) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let done = read_state(&imports.folder).and_then(|state| state.all()).map_err(|error| failed(&error))?;
    let own = done.iter().filter(|import| import.workspace == workspace.as_str()).take(LISTED_MAX);
    let http = &imports.config.receivers.http;
    let answer = json!({
        "under_way": imports.jobs.list(&workspace), "done": own.map(|import| shown(&imports, import)).collect::<Vec<_>>(),
        "formats": Format::ALL.map(Format::name), "ingest": {"listen": http.listen, "is_tls": http.tls.is_some()},
    });
    Ok(json_answer(StatusCode::OK, &answer))
}

fn shown(imports: &Imports, import: &Checkpoint) -> Value {
    let uploaded = import.path.strip_prefix(imports.jobs.folder()).ok();
    // the folder of its job says nothing to a person
    let name = uploaded.map_or_else(|| import.path.clone(), |path| path.components().skip(1).collect());
    json!({
        "id": import.id, "name": name, "is_uploaded": uploaded.is_some(), "format": import.format, "is_done": import.is_done,
        "accepted": import.accepted, "rejected": import.rejected, "copied": import.copied, "others": import.others,
        "started_ms": import.started / 1_000_000, "bytes": import.size,
    })
}

async fn create(State(imports): State<Arc<Imports>>, Path(name): Path<String>) -> Result<Response, Refusal> {
    let job = imports.jobs.create(workspace(&name)?, false)?;
    Ok(json_answer(StatusCode::CREATED, &job.shown()))
}

async fn one(
    State(imports): State<Arc<Imports>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    Ok(json_answer(StatusCode::OK, &imports.jobs.find(&workspace(&name)?, &id)?.shown()))
}

async fn cancel(
    State(imports): State<Arc<Imports>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let job = imports.jobs.find(&workspace(&name)?, &id)?;
    job.stop();
    imports.jobs.forget(&job);
    Ok(json_answer(StatusCode::OK, &job.shown()))
}

/// Takes a file. Its name may have folders, and says with its end what it holds.
async fn file(
    State(imports): State<Arc<Imports>>,
    Path((name, id)): Path<(String, String)>,
    uri: Uri,
    body: Body,
) -> Result<Response, Refusal> {
    let job = imports.jobs.find(&workspace(&name)?, &id)?;
    let parameters = Parameters::parse(uri.query())?;
    parameters.refuse_others(&["name", "modified"])?;
    let name = parameters.get("name").map_or("", |name| name);
    let modified = parameters.get("modified").and_then(|modified| modified.parse().ok());
    spool::take(&imports.jobs, &job, name, modified, body, imports.silent_max).await?;
    Ok(json_answer(StatusCode::OK, &job.shown()))
}

/// How the files of a job are read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RunOptions {
    /// Count everything, and send nothing.
    dry_run: bool,
    /// What the files hold; absent: what their first line tells.
    format: Option<String>,
    drop_content: bool,
}

async fn run(
    State(imports): State<Arc<Imports>>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
    Json(options): Json<RunOptions>,
) -> Result<Response, Refusal> {
    let job = imports.jobs.find(&workspace(&name)?, &id)?;
    let format = match options.format.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => Some(named(name).ok_or_else(|| Refusal::bad_request("format: there is no such format"))?),
        None => None,
    };
    job.begin()?;
    let order = work::Order {
        config: imports.config.clone(),
        folder: imports.folder.clone(),
        token: imports.gate.secret_of(&headers),
        format,
        is_dry: options.dry_run,
        drops_content: options.drop_content,
    };
    let answer = json_answer(StatusCode::ACCEPTED, &job.shown());
    tokio::spawn(async move {
        Box::pin(work::import(&imports.jobs, &job, order)).await;
        imports.jobs.settle(&job);
    });
    Ok(answer)
}

/// The import of this id, if it is of this workspace.
fn imported(imports: &Imports, workspace: &Workspace, id: &str) -> Result<Checkpoint, Refusal> {
    let is_id = id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    let state = read_state(&imports.folder).map_err(|error| failed(&error))?;
    let found = if is_id { state.checkpoint(id).map_err(|error| failed(&error))? } else { None };
    found
        .filter(|import| import.workspace == workspace.as_str())
        .ok_or_else(|| Refusal::not_found("there is no such import in this workspace"))
}

/// The first lines of what was rejected.
async fn rejects(
    State(imports): State<Arc<Imports>>,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let import = imported(&imports, &workspace(&name)?, &id)?;
    let state = read_state(&imports.folder).map_err(|error| failed(&error))?;
    let lines = match std::fs::File::open(state.rejects(&import.id)) {
        Ok(file) => BufReader::new(file).lines().take(REJECTS_MAX).map_while(Result::ok).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed(&error.into())),
    };
    let rejects: Vec<Value> = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .map(|reject| json!({"line": reject.get("line"), "reason": reject.get("reason")}))
        .collect();
    Ok(json_answer(StatusCode::OK, &json!({"rejects": rejects, "rejected": import.rejected})))
}

/// Removes the rows of an import: a job of its own, since ClickHouse rewrites parts for it.
async fn undo(
    State(imports): State<Arc<Imports>>,
    Path((name, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let workspace = workspace(&name)?;
    let import = imported(&imports, &workspace, &id)?;
    let job = imports.jobs.create(workspace, true)?;
    job.set(Phase::Running);
    let token = imports.gate.secret_of(&headers);
    let (config, folder) = (imports.config.clone(), imports.folder.clone());
    let answer = json_answer(StatusCode::ACCEPTED, &job.shown());
    tokio::spawn(async move { work::undo(&imports.jobs.turns, &job, config, folder, import.id, token).await });
    Ok(answer)
}
