//! `millrace import`: what people have in files goes to a running Millrace, through its ingest like anything else.
//!
//! ```text
//! walk.rs      paths -> files                    archive.rs   a zip archive -> files
//! source.rs    a file -> its bytes, unpacked      pieces.rs    its bytes -> lines, elements, rows, messages
//! file.rs      one file: pieces -> records -> requests, and its checkpoint
//! sender.rs    requests, answers, patience       state.rs     checkpoints, rejects, what other files told first
//! progress.rs  bar, JSON, summary                follow.rs    files that grow
//! left_out.rs  what is not read, and why         undo.rs      `import undo`, `import list`
//! room.rs      bytes on disk that are shared     bounded.rs   what a packed file may unpack to
//! page/        the same for files that a browser sends
//! ```

mod archive;
mod bounded;
mod file;
mod follow;
mod left_out;
mod names;
pub mod page;
mod pieces;
mod progress;
mod room;
mod sender;
mod source;
mod state;
mod undo;
mod walk;

use crate::app;
use crate::clickhouse::imports;
use crate::config::Config;
use crate::embedded::parquet;
use crate::formats::{Format, named};
use crate::numbers::to_u64;
use crate::peer::{self, TlsOptions};
use crate::secret::Secret;
use crate::workspace::Workspace;
use anyhow::Context as _;
use clap::{Args, Subcommand};
use file::{FileImport, Look, Opened, RejectsMax, Run};
use left_out::{LeftOut, Why};
use progress::{Form, Progress};
use room::Room;
use sender::Sender;
use state::State;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// What a command copies of Parquet that does not lie in a file of its own: its end has to be read first.
const COPIED_MAX: u64 = 2 << 30;

/// What to import, and how.
#[derive(Debug, Args)]
pub struct Options {
    /// YAML file of the Millrace that runs: it says where it listens, where its ClickHouse is, and where checkpoints are
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Folder of checkpoints and rejects, instead of `data_dir`/imports
    #[arg(long, value_name = "DIR", global = true)]
    state: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsOptions,
    #[command(subcommand)]
    action: Option<Action>,
    /// Files and folders; `-` is standard input
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// What the files hold, if their first line does not tell
    #[arg(long, value_name = "FORMAT", value_parser = format_named)]
    format: Option<Format>,
    /// Where the rows go; for `undo`, where the rows of an import without a checkpoint are
    #[arg(long, value_name = "NAME", default_value = Workspace::DEFAULT, global = true)]
    workspace: String,
    /// Address of the ingest over HTTP, instead of that of the configuration
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Read and count everything, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Go on until interrupted: new lines and new files are sent as they come
    #[arg(long)]
    follow: bool,
    /// Leave out prompts, answers, and what tools got and gave (session files, conversations, Langfuse, LangSmith)
    #[arg(long)]
    drop_content: bool,
    /// Keep the rejected lines themselves beside the reasons
    #[arg(long)]
    keep: bool,
    /// Stop when more lines are rejected: a number, or a part such as 1%
    #[arg(long, value_name = "MAX", value_parser = file::rejects_max)]
    max_rejects: Option<RejectsMax>,
    /// Send files of which ClickHouse has rows although no checkpoint knows them
    #[arg(long)]
    again: bool,
    /// How progress is shown
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Bar)]
    progress: Form,
}

/// What to do with imports that are done.
#[derive(Debug, Subcommand)]
enum Action {
    /// List what was imported
    List,
    /// Remove the rows of imports: by id, by file, or of all files in a folder
    Undo {
        /// Ids, files or folders
        #[arg(value_name = "ID|PATH", required = true)]
        which: Vec<String>,
        /// Say what would be removed, and remove nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// How an import ended that ran to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything was accepted.
    Whole,
    /// Some of it was rejected.
    WithRejects,
}

fn format_named(name: &str) -> Result<Format, String> {
    named(name).ok_or_else(|| format!("must be one of {}", file::names()))
}

/// Imports, lists or undoes.
///
/// # Errors
/// When a file cannot be read, nobody takes what is sent, or ClickHouse refuses.
pub async fn run(config: &Config, options: Options, token: Option<Secret>) -> anyhow::Result<Ended> {
    let folder = options.state.clone().unwrap_or_else(|| config.data_dir.join("imports"));
    let workspace = Workspace::new(&options.workspace).map_err(|error| anyhow::anyhow!("--workspace: {error}"))?;
    match &options.action {
        Some(Action::List) => return undo::list(&folder).map(|()| Ended::Whole),
        Some(Action::Undo { which, dry_run }) => {
            let is_real = !(*dry_run || options.dry_run);
            return undo::undo(config, &folder, (which, &workspace), is_real, (&options.tls, token.as_ref()))
                .await
                .map(|()| Ended::Whole);
        }
        None => {}
    }
    anyhow::ensure!(
        !options.paths.is_empty(),
        "name a file or a folder, such as ~/.claude/projects (docs/import.md lists what is read)"
    );
    anyhow::ensure!(!(options.follow && options.dry_run), "--follow and --dry-run contradict each other");
    let http = &config.receivers.http;
    let url = options.url.clone().unwrap_or_else(|| peer::url(http.listen, http.tls.is_some()));
    let sender = || Sender::new(&url, workspace.as_str(), &options.tls, token);
    let sender = (!options.dry_run).then(sender).transpose()?;
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    let watch = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let mut run = Run {
        sender,
        state: State::open(&folder, !options.dry_run)?,
        progress: Progress::new(options.progress),
        workspace,
        format: options.format,
        drops_content: options.drop_content,
        keeps_rejects: options.keep,
        rejects: options.max_rejects.map_or(RejectsMax::Any, |max| max),
        stop,
        parquet: parquet_reader(config, std::env::temp_dir())?,
        room: Room::new(COPIED_MAX, None),
    };
    let done = if options.follow {
        follow::follow(&mut run, &options.paths).await
    } else {
        import_paths(&mut run, config, &options).await
    };
    watch.abort();
    run.progress.finish(options.dry_run);
    done?;
    let rejected = run.progress.counts.rejected;
    if rejected > 0 && !options.dry_run {
        run.progress.say_where_rejects_are();
    }
    if run.stop.is_cancelled() && !options.follow {
        anyhow::bail!("interrupted; the same command goes on from there");
    }
    Ok(if rejected > 0 { Ended::WithRejects } else { Ended::Whole })
}

async fn import_paths(run: &mut Run, config: &Config, options: &Options) -> anyhow::Result<()> {
    let mut left_out = LeftOut::default();
    let files = walk::files(&options.paths, &mut left_out)?;
    run.progress.leave_out(&left_out);
    anyhow::ensure!(!files.is_empty(), "there is no file in {}", shown_paths(&options.paths));
    let asks = !options.again && !options.dry_run;
    import_all(run, asks.then_some(config), files).await
}

/// A file, and what a look at it told: nothing of standard input, of one that is empty, and of one that cannot be read or told.
struct Looked {
    file: walk::File,
    look: Option<Look>,
}

/// Imports every file, one after the other, the earliest first. With a configuration, its ClickHouse is asked which of them it has rows of.
async fn import_all(run: &mut Run, config: Option<&Config>, files: Vec<walk::File>) -> anyhow::Result<()> {
    let files = unpacked(run, files)?;
    run.progress.counts.files_all = to_u64(files.len());
    run.progress.counts.bytes_all = files.iter().map(|file| file.size).sum();
    let mut looked = Vec::with_capacity(files.len());
    for file in files {
        if run.stop.is_cancelled() {
            break;
        }
        let is_input = file.path == Path::new("-");
        let look = if is_input { None } else { file::look(run, &file).await.ok().flatten() };
        looked.push(Looked { file, look });
    }
    let imported_before = match config {
        Some(config) => imported_before(run, config, &looked).await?,
        None => BTreeSet::new(),
    };
    let (mut batches, mut left_out) = (None, LeftOut::default());
    for Looked { file, look } in batch_inputs_first(looked) {
        if run.stop.is_cancelled() {
            break;
        }
        if let Some(look) = look.as_ref().filter(|look| imported_before.contains(&look.id)) {
            run.progress.say(&format!(
                "{}: line 1: ClickHouse has rows of it that no checkpoint in this folder knows; remove them with \
                 `millrace import undo {} --workspace {}`, or send it --again",
                file.path.display(),
                look.id,
                run.workspace.as_str()
            ));
            run.progress.counts.unchanged += 1;
            continue;
        }
        let known = look.map(|look| run.state.checkpoint(&look.id)).transpose()?.flatten();
        if known.is_some_and(|known| known.has_all_of(file.size)) {
            run.progress.counts.unchanged += 1;
            run.progress.counts.bytes += file.size;
            continue;
        }
        let Some(opened) = open(run, &file, &mut left_out).await? else { continue };
        let is_batch = opened.format == Format::OpenAiBatch;
        let Some(import) = FileImport::begin(run, opened, file.size)? else {
            run.progress.counts.unchanged += 1;
            run.progress.counts.bytes += file.size;
            continue;
        };
        let mut import = import.with_reader(batches.take().filter(|_| is_batch));
        import.pump(run, true, !is_batch).await?;
        run.progress.counts.files += 1;
        batches = is_batch.then(|| import.into_reader());
    }
    run.progress.leave_out(&left_out);
    Ok(())
}

/// The files, those in archives among them; an archive that cannot be read costs itself alone if there are others.
fn unpacked(run: &mut Run, files: Vec<walk::File>) -> anyhow::Result<Vec<walk::File>> {
    let is_only_one = files.len() == 1;
    let mut found = Vec::new();
    let mut left_out = LeftOut::default();
    let all = walk::unpacked(files, &mut left_out);
    run.progress.leave_out(&left_out);
    for file in all {
        match file {
            Ok(file) => found.push(file),
            Err(error) if is_only_one => return Err(error),
            Err(error) => passed_over(run, &error),
        }
    }
    Ok(found)
}

/// Notes a file that cannot be read.
fn passed_over(run: &mut Run, error: &anyhow::Error) {
    run.progress.say(&format!("{error:#}"));
    let kind = "(files of no known format)".to_owned();
    *run.progress.counts.others.entry(kind).or_default() += 1;
}

/// What reads Parquet, with a folder for it below this one.
fn parquet_reader(config: &Config, scratch: PathBuf) -> anyhow::Result<parquet::Reader> {
    let executable = std::env::current_exe().context("failed to find the path of this program")?;
    Ok(parquet::Reader { executable, library: config.embedded.library.clone(), scratch })
}

/// Opens a file; one that cannot be read or told is noted, and costs itself alone if there are others.
async fn open(run: &mut Run, file: &walk::File, left_out: &mut LeftOut) -> anyhow::Result<Option<Opened>> {
    match file::open(run, file, true).await {
        Ok(Some(opened)) => Ok(Some(opened)),
        Ok(None) => {
            let folder = file.path.parent().map_or(Path::new(""), |folder| folder);
            let name = file.path.file_name().map_or(file.path.as_os_str(), |name| name);
            left_out.add(folder, Why::Empty, name.display());
            Ok(None)
        }
        Err(error) if file.is_named || run.progress.counts.files_all == 1 => Err(error),
        Err(error) => {
            passed_over(run, &error);
            Ok(None)
        }
    }
}

/// The requests of a batch come before what they came to; standard input stays where it is.
fn batch_inputs_first(mut looked: Vec<Looked>) -> Vec<Looked> {
    let is_input = |of: &Looked| of.look.as_ref().is_some_and(|look| look.is_batch_input);
    if !looked.iter().any(|of| of.file.path == Path::new("-")) {
        looked.sort_by_key(|of| !is_input(of));
    }
    looked
}

/// Those of the files that no checkpoint knows and ClickHouse has rows of.
async fn imported_before(run: &Run, config: &Config, looked: &[Looked]) -> anyhow::Result<BTreeSet<String>> {
    let mut unknown = Vec::new();
    for look in looked.iter().filter_map(|of| of.look.as_ref()) {
        if run.state.checkpoint(&look.id)?.is_none() {
            unknown.push(look.id.clone());
        }
    }
    let client = app::client(config);
    match imports::stored(&client, &run.workspace, &unknown).await {
        Ok(stored) => Ok(stored.into_iter().collect()),
        Err(error) => {
            run.progress.say(&format!(
                "ClickHouse does not say whether these files were imported before ({error}); a repeat within dedup.window is recognised"
            ));
            Ok(BTreeSet::new())
        }
    }
}

fn shown_paths(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The folder of a configuration's imports must be there for those that ask for one.
fn read_state(folder: &Path) -> anyhow::Result<State> {
    State::open(folder, false).with_context(|| folder.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn each_parquet_file_is_read_by_the_engine_once_and_not_at_all_when_nothing_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("files")).unwrap();
        for name in ["one.parquet", "other.parquet"] {
            fs::write(at("files").join(name), format!("PAR1{name}")).unwrap();
        }
        // in place of the engine: counts how often it is started, and has one row
        let row = r#"{"id":"o","trace_id":"t","type":"SPAN","start_time":"2026-06-01 01:00:00","data_type":""}"#;
        let script = format!("echo >> '{}'\necho '{row}'", at("starts").display());
        parquet::testing::write_script(&at("engine"), &script);
        let run = || Run {
            sender: None,
            state: State::open(&at("state"), true).unwrap(),
            progress: Progress::new(Form::None),
            workspace: Workspace::new("default").unwrap(),
            format: Some(Format::Langfuse),
            drops_content: false,
            keeps_rejects: false,
            rejects: RejectsMax::Any,
            stop: CancellationToken::new(),
            parquet: parquet::Reader { executable: at("engine"), library: None, scratch: folder.path().to_owned() },
            room: Room::new(COPIED_MAX, None),
        };
        for unchanged in [0, 2] {
            let mut run = run();
            let files = walk::files(&[at("files")], &mut LeftOut::default()).unwrap();
            import_all(&mut run, None, files).await.unwrap();
            assert_eq!((run.progress.counts.accepted, run.progress.counts.unchanged), (2 - unchanged, unchanged));
            assert_eq!(fs::read_to_string(at("starts")).unwrap().lines().count(), 2);
        }
    }
}
