//! `millrace import --follow`: files that grow, and files that come.
//!
//! Every two seconds the paths are walked again. A file that changed is read on from where it was; a line that has no end yet
//! waits. One that became shorter, begins otherwise or is another file now is read from its beginning, and its rows are known by
//! their ids. One that was renamed goes on under its new name.

use super::file::{self, FileImport, Run};
use super::left_out::LeftOut;
use super::walk;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(2);
/// A file that does not change for so long is closed.
const CLOSED_AFTER: Duration = Duration::from_secs(600);
/// Bytes of its beginning by which a file that was cut and has grown again is told.
const HEAD_BYTES: u64 = 4 << 10;

/// A file that is followed.
struct Followed {
    size: u64,
    inode: u64,
    import: Option<FileImport>,
    /// How it began when it was looked at last.
    head: Vec<u8>,
    changed: Instant,
}

/// Follows until interrupted.
pub(super) async fn follow(run: &mut Run, paths: &[PathBuf]) -> anyhow::Result<()> {
    let mut followed: HashMap<PathBuf, Followed> = HashMap::new();
    let mut said = LeftOut::default();
    run.progress.say("Following; interrupt it to end.");
    while !run.stop.is_cancelled() {
        let mut left_out = LeftOut::default();
        let files = walk::files(paths, &mut left_out)?;
        run.progress.leave_out_now(&left_out, &said);
        said = left_out;
        run.progress.counts.files_all = crate::numbers::to_u64(files.len());
        let there: HashSet<&PathBuf> = files.iter().map(|file| &file.path).collect();
        followed.retain(|path, _| there.contains(path));
        for file in files {
            if run.stop.is_cancelled() {
                break;
            }
            let known = followed.entry(file.path.clone()).or_insert_with(|| Followed {
                size: 0,
                inode: file.inode,
                import: None,
                head: Vec::new(),
                changed: Instant::now(),
            });
            if known.size != file.size || known.inode != file.inode {
                read_on(run, known, &file).await?;
            }
        }
        for known in followed.values_mut().filter(|known| known.changed.elapsed() > CLOSED_AFTER) {
            known.import = None;
        }
        run.progress.show();
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = run.stop.cancelled() => {}
        }
    }
    Ok(())
}

/// Reads what is new of a file.
async fn read_on(run: &mut Run, known: &mut Followed, file: &walk::File) -> anyhow::Result<()> {
    let head = head(&file.path);
    if file.size < known.size || file.inode != known.inode || !head.starts_with(&known.head) {
        known.import = None;
    }
    known.head = head;
    let is_first = known.size == 0;
    (known.size, known.inode, known.changed) = (file.size, file.inode, Instant::now());
    if known.import.is_none() {
        let opened = match file::open(run, file, false).await {
            Ok(Some(opened)) => opened,
            // its first line has no end yet
            Ok(None) => return Ok(()),
            Err(error) => {
                if is_first {
                    run.progress.say(&format!("{error:#}"));
                }
                return Ok(());
            }
        };
        known.import = FileImport::begin(run, opened, file.size)?;
    }
    let Some(import) = &mut known.import else { return Ok(()) };
    import.checkpoint.size = file.size;
    import.pump(run, false, true).await?;
    run.progress.counts.files += u64::from(is_first);
    Ok(())
}

/// How a file begins; nothing of one that is gone.
fn head(path: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    read.map_or_else(|_gone| Vec::new(), |_bytes| head)
}
