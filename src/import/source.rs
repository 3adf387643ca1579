//! Opens a file, and gives its bytes as they are to be read: unpacked, and rows of Parquet as lines of JSON.
//!
//! ```text
//! 1f 8b, 28 b5 2f fd    gzip, zstd     decompressed, up to RATIO_MAX times its bytes
//! PK                    zip            its files are listed by `archive`; one within another is not read
//! PAR1                  Parquet        read by the engine, in a process of its own (`embedded::parquet`)
//! ```

use super::bounded::{Bounded, unpacked_max};
use super::walk;
use crate::codings::Coding;
use crate::embedded::parquet;
use bytes::Bytes;
use futures_util::stream;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::pin::Pin;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;
/// The largest window of a zstd frame: 2^27 bytes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Parquet that does not lie in a file of its own is copied, up to so many bytes: its end has to be read first.
const COPIED_MAX: u64 = 2 << 30;

/// What is read of a file.
pub(super) type Stream = Pin<Box<dyn AsyncRead + Send>>;

/// Opens a file; `-` is standard input.
pub(super) async fn open(file: &walk::File, reader: &parquet::Reader) -> io::Result<Stream> {
    let is_input = file.path == Path::new("-");
    let path = if is_input { Path::new("/dev/stdin") } else { &file.path };
    let mut source: Pin<Box<dyn AsyncBufRead + Send>> = match &file.member {
        Some(member) => Box::pin(stream_of(member.read())),
        None => Box::pin(BufReader::with_capacity(READ_BYTES, tokio::fs::File::open(path).await?)),
    };
    let on_disk = file.member.as_ref().map_or(file.size, |member| member.packed);
    let unpacked = if is_input { u64::MAX } else { unpacked_max(on_disk) };
    let coding = match source.fill_buf().await? {
        [0x1f, 0x8b, ..] => Coding::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Coding::Zstd,
        [b'P', b'K', 3, 4, ..] => {
            let why =
                "it is a zip archive within another, on standard input, or followed; unpack it, or name it as a file";
            return Err(io::Error::other(why));
        }
        [b'P', b'A', b'R', b'1', ..] => {
            let of_its_own = !is_input && file.member.is_none();
            let file = if of_its_own { File::open(path)? } else { copied(source, &reader.scratch).await? };
            return Ok(Box::pin(stream_of(reader.rows(file)?)));
        }
        _ => return Ok(source),
    };
    Ok(Box::pin(Bounded::new(coding.decoder(source, ZSTD_WINDOW_LOG_MAX), unpacked)))
}

fn stream_of(mut pieces: mpsc::Receiver<io::Result<Bytes>>) -> impl AsyncBufRead + Send {
    StreamReader::new(stream::poll_fn(move |cx| pieces.poll_recv(cx)))
}

/// A copy in a file without a name.
async fn copied(source: Pin<Box<dyn AsyncBufRead + Send>>, scratch: &Path) -> io::Result<File> {
    let path = scratch.join(format!("millrace-parquet-{}", crate::random::letters()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    let mut copy = tokio::fs::File::from_std(file);
    let copied = tokio::io::copy(&mut source.take(COPIED_MAX.saturating_add(1)), &mut copy).await?;
    if copied > COPIED_MAX {
        let why = format!(
            "Parquet in an archive or on standard input may have {} GiB; name the file itself",
            COPIED_MAX >> 30
        );
        return Err(io::Error::other(why));
    }
    tokio::io::AsyncWriteExt::flush(&mut copy).await?;
    Ok(copy.into_std().await)
}
