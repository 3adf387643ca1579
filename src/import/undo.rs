//! `millrace import list` and `millrace import undo`.

use super::read_state;
use super::state::{Checkpoint, State};
use crate::app;
use crate::audit;
use crate::clickhouse::imports::Import;
use crate::config::Config;
use crate::deletion::waiting_rows;
use crate::peer::TlsOptions;
use crate::reconciler::counting::rebuild::rebuild;
use crate::reconciler::sums::sum_all;
use crate::secret::Secret;
use crate::text::counted;
use crate::time::{Clock, UnixNanos};
use crate::workspace::Workspace;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// How long rows on their way are waited for.
const ARRIVE_WITHIN: u32 = 120;

/// Lists what was imported, the latest first.
pub(super) fn list(folder: &Path) -> anyhow::Result<()> {
    let mut text = String::new();
    for import in read_state(folder)?.all()? {
        let state = if import.is_done { "whole" } else { "so far" };
        let began =
            jiff::Timestamp::from_nanosecond(import.started.into()).map_or(String::new(), |at| format!("{at:.0}"));
        text.push_str(&format!(
            "{}  {began}  {:<14} {:<10} {:>9} accepted {:>6} rejected  {state}  {}\n",
            import.id,
            import.format,
            import.workspace,
            import.accepted,
            import.rejected,
            import.path.display()
        ));
    }
    if text.is_empty() {
        text = format!("Nothing was imported from here ({} has no checkpoints).\n", folder.display());
    }
    let _reader_gone = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

/// Removes the rows of imports, and forgets them.
pub(super) async fn undo(
    config: &Config,
    folder: &Path,
    (which, workspace): (&[String], &Workspace),
    is_real: bool,
    (tls, token): (&TlsOptions, Option<&Secret>),
) -> anyhow::Result<()> {
    let mut state = State::open(folder, is_real)?;
    let known = state.all()?;
    let mut imports = BTreeMap::new();
    for name in which {
        let found = meant(&known, name, workspace)?;
        anyhow::ensure!(
            !found.is_empty(),
            "{name:?} is neither the id of an import nor a file that was imported (`millrace import list`)"
        );
        imports.extend(found);
    }
    if is_real {
        wait_for_rows(config, tls, token).await?;
    }
    let rows = removed(config, &mut state, &imports, is_real).await?;
    let done = if is_real { "removed" } else { "to be removed" };
    let _reader_gone =
        writeln!(std::io::stdout(), "{}, {} {done}.", counted(imports.len(), "import"), counted(rows, "row"));
    Ok(())
}

/// Removes one import of a workspace, as the page asks for it; how many rows that were.
pub(super) async fn undo_one(
    config: &Config,
    folder: &Path,
    (id, workspace): (&str, &Workspace),
    token: Option<&Secret>,
) -> anyhow::Result<u64> {
    let mut state = State::open(folder, true)?;
    wait_for_rows(config, &TlsOptions::from(&config.page.import_tls), token).await?;
    let import = BTreeMap::from([(id.to_owned(), workspace.clone())]);
    removed(config, &mut state, &import, true).await
}

/// Removes the rows of imports and forgets them, or counts what would be removed.
async fn removed(
    config: &Config,
    state: &mut State,
    imports: &BTreeMap<String, Workspace>,
    is_real: bool,
) -> anyhow::Result<u64> {
    let client = app::client(config);
    let (mut rows, mut between) = (0_u64, None::<(i64, i64)>);
    for (id, workspace) in imports {
        let import = Import { id, workspace };
        let stored = import.extent(&client).await.context("failed to ask ClickHouse")?;
        for of in &stored {
            rows += of.rows;
            let (first, last) = of.between;
            between = Some(between.map_or((first, last), |(from, to)| (from.min(first), to.max(last))));
        }
        if is_real {
            tracing::info!(target: audit::TARGET, import = id, workspace = workspace.as_str(), "undo of an import");
            import.remove(&client, &stored).await.context("the removal was broken off; the command can be repeated")?;
            state.forget(id)?;
        }
    }
    if let Some((from, to)) = between.filter(|_| is_real) {
        count_anew(config, &client, from, to).await?;
    }
    Ok(rows)
}

/// The imports that a person means, each with the workspace of its rows. Its checkpoint says which that is; for an import without one,
/// the person does.
fn meant(known: &[Checkpoint], name: &str, workspace: &Workspace) -> anyhow::Result<Vec<(String, Workspace)>> {
    let is_id = name.len() == 32 && name.bytes().all(|letter| letter.is_ascii_hexdigit());
    let path = std::path::absolute(name).with_context(|| name.to_owned())?;
    let is_meant = |import: &&Checkpoint| if is_id { import.id == name } else { import.path.starts_with(&path) };
    let found = known.iter().filter(is_meant).map(|import| {
        let workspace = Workspace::new(&import.workspace);
        Ok((import.id.clone(), workspace.with_context(|| format!("the checkpoint of {}", import.id))?))
    });
    let found = found.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(if is_id && found.is_empty() { vec![(name.to_owned(), workspace.clone())] } else { found })
}

/// What is accepted may not be stored yet, and would come after the removal.
async fn wait_for_rows(config: &Config, tls: &TlsOptions, token: Option<&Secret>) -> anyhow::Result<()> {
    for _ in 0..ARRIVE_WITHIN {
        match waiting_rows(&config.admin.metrics, tls, token).await? {
            None | Some(0) => return Ok(()),
            Some(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
    anyhow::bail!("rows still wait for ClickHouse, and some may be of these imports; run it again when they are stored")
}

async fn count_anew(config: &Config, client: &crate::clickhouse::Client, from: i64, to: i64) -> anyhow::Result<()> {
    const WHY: &str = "the rows are removed, but calls are not counted anew; `millrace rollup rebuild` does it";
    let now: UnixNanos = Clock::System.now();
    rebuild(client, &config.retention, now, &(from..=to), |_| {}).await.context(WHY)?;
    sum_all(client, now).await.context(WHY)?;
    Ok(())
}
