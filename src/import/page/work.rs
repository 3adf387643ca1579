//! What an import of the page does, on a thread of its own: it reads files and parses, which other requests need not wait for.

use super::super::file::{RejectsMax, Run};
use super::super::progress::Progress;
use super::super::sender::Sender;
use super::super::state::State;
use super::super::{import_all, parquet_reader, undo, walk};
use super::jobs::{Job, Jobs, Phase};
use super::turns::Turns;
use crate::config::Config;
use crate::connections::trust::Trust;
use crate::formats::Format;
use crate::peer::{self, TlsOptions};
use crate::secret::Secret;
use crate::text::counted;
use anyhow::Context as _;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;

/// How the files of a job are read.
pub(super) struct Order {
    pub(super) config: Config,
    /// Of checkpoints.
    pub(super) folder: PathBuf,
    /// Of whoever asked.
    pub(super) token: Option<Secret>,
    pub(super) format: Option<Format>,
    pub(super) is_dry: bool,
    pub(super) drops_content: bool,
}

/// Reads the files of a job once it is its turn.
pub(super) async fn import(jobs: &Jobs, job: &Arc<Job>, order: Order) {
    let is_dry = order.is_dry;
    let own = Arc::clone(job);
    let done = in_turn(&jobs.turns, job, async move { Box::pin(import_files(&own, order)).await }).await;
    let then = if is_dry { Phase::Checked } else { Phase::Done };
    end(job, done, then);
}

/// Removes the rows of an import once it is its turn.
pub(super) async fn undo(
    turns: &Turns,
    job: &Arc<Job>,
    config: Config,
    folder: PathBuf,
    id: String,
    token: Option<Secret>,
) {
    let told = job.told();
    let workspace = job.workspace.clone();
    let removing = async move {
        let rows = undo::undo_one(&config, &folder, (&id, &workspace), token.as_ref()).await?;
        told.note(&format!("{} removed.", counted(rows, "row")));
        Ok(())
    };
    let done = in_turn(turns, job, removing).await;
    end(job, done, Phase::Done);
}

fn end(job: &Job, done: anyhow::Result<()>, then: Phase) {
    if job.stop.is_cancelled() {
        return job.set(Phase::Cancelled);
    }
    job.set(match done {
        Ok(()) => then,
        Err(error) => Phase::Failed(format!("{error:#}")),
    });
}

/// Waits for its turn, and works on a thread with a runtime of its own.
async fn in_turn(
    turns: &Turns,
    job: &Job,
    work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> anyhow::Result<()> {
    let _turn = tokio::select! {
        turn = turns.next(&job.workspace) => turn.context("Millrace stops")?,
        () = job.stop.cancelled() => return Ok(()),
    };
    let (ended, end) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    std::thread::Builder::new()
        .name("import".to_owned())
        .spawn(move || {
            let _nobody_waits = ended.send(runtime.block_on(work));
        })
        .context("no thread")?;
    end.await.context("the import broke off; the log of Millrace says why")?
}

async fn import_files(job: &Job, order: Order) -> anyhow::Result<()> {
    let Order { config, folder, token, format, is_dry, drops_content } = order;
    let told = job.told();
    let sender = match is_dry {
        true => None,
        false => Some(sender(&config, job, token)?),
    };
    let mut run = Run {
        sender,
        state: State::open(&folder, !is_dry)?,
        progress: Progress::told(told),
        workspace: job.workspace.clone(),
        format,
        drops_content,
        keeps_rejects: false,
        rejects: RejectsMax::Any,
        stop: job.stop.clone(),
        parquet: parquet_reader(&config, job.folder.clone())?,
        room: Arc::clone(&job.room),
    };
    let files = job.files();
    let inode = 0;
    let files = files.into_iter().map(|file| walk::File {
        path: job.folder.join(file.name),
        size: file.bytes,
        inode,
        modified: file.modified,
        // one that cannot be read costs itself
        is_named: false,
        member: None,
    });
    let done = import_all(&mut run, (!is_dry).then_some(&config), files.collect()).await;
    run.progress.tell();
    done
}

/// Sends to the ingest of this Millrace.
fn sender(config: &Config, job: &Job, token: Option<Secret>) -> anyhow::Result<Sender> {
    let (http, trust) = (&config.receivers.http, &config.page.import_tls);
    anyhow::ensure!(
        http.tls.is_none() || *trust != Trust::default(),
        "receivers.http.tls is set, and page.import_tls does not say who is trusted to have its certificate; \
         set it, or use `millrace import --ca-file`"
    );
    let url = peer::url(http.listen, http.tls.is_some());
    Sender::new(&url, job.workspace.as_str(), &TlsOptions::from(trust), token).context("page.import_tls")
}
