//! A file that a browser sends: it goes to disk as it arrives, within its bounds.

use super::super::names::{PARTS_MAX, safe};
use super::super::room::Taken;
use super::jobs::{Job, Jobs, Spooled};
use crate::query::answer::Refusal;
use axum::body::Body;
use axum::http::StatusCode;
use futures_util::StreamExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt as _;

/// Takes a file. What is not whole is removed.
pub(super) async fn take(
    jobs: &Jobs,
    job: &Job,
    name: &str,
    modified: Option<u64>,
    body: Body,
    silent_max: Duration,
) -> Result<(), Refusal> {
    let unusable = |_why| Refusal::bad_request(&format!("name: a file needs a name of at most {PARTS_MAX} parts"));
    let name = safe(name).map_err(unusable)?;
    job.expect(&name)?;
    let mut taken = job.room.hold();
    let path = job.folder.join(&name);
    let done = write((jobs, job), &path, body, silent_max, &mut taken).await;
    let modified = modified.and_then(|millis| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis)));
    let modified = modified.map_or(SystemTime::UNIX_EPOCH, |modified| modified);
    let is_whole = done.is_ok() && !job.stop.is_cancelled();
    let bytes = taken.bytes();
    if !job.arrived(is_whole.then_some((Spooled { name, bytes, modified }, taken))) {
        let _gone_already = fs::remove_file(&path).await;
    }
    done
}

async fn write(
    (jobs, job): (&Jobs, &Job),
    path: &Path,
    body: Body,
    silent_max: Duration,
    taken: &mut Taken,
) -> Result<(), Refusal> {
    let failed = |error: std::io::Error| {
        Refusal::new(
            StatusCode::INSUFFICIENT_STORAGE,
            &format!("the file cannot be kept until it is imported: {error}"),
        )
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).await.map_err(failed)?;
    }
    let mut file = File::options().write(true).create_new(true).open(path).await.map_err(failed)?;
    let mut stream = body.into_data_stream();
    loop {
        let next = tokio::time::timeout(silent_max, stream.next()).await;
        let Some(frame) = next.map_err(|_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "the file did not arrive"))?
        else {
            break;
        };
        let bytes = frame.map_err(|error| Refusal::bad_request(&format!("the file broke off: {error}")))?;
        jobs.grow(job, taken, bytes.len())?;
        file.write_all(&bytes).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)
}
