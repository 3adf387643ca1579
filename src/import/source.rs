//! Opens a file, and gives its bytes as they are to be read: unpacked, and rows of Parquet as lines of JSON.
//!
//! ```text
//! 1f 8b, 28 b5 2f fd    gzip, zstd     decompressed
//! PK                    zip            its files are listed by `archive`; one within another is not read
//! PAR1                  Parquet        read by the engine, in a process of its own (`embedded::parquet`)
//! ```
//!
//! What comes out of a packed file, Parquet among them, is bounded (`bounded`).

use super::bounded::{Bounded, Counted, Packed};
use super::room::{Room, Taken};
use super::walk;
use crate::codings::Coding;
use crate::embedded::parquet::{self, Notes};
use crate::numbers::to_u64;
use bytes::Bytes;
use futures_util::stream;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;
/// The largest window of a zstd frame: 2^27 bytes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Bytes of the beginning of a Parquet file that tell it from others.
const HEAD_BYTES: u64 = 64 << 10;

/// What is read of a file.
pub(super) type Stream = Pin<Box<dyn AsyncRead + Send>>;
type Buffered = Pin<Box<dyn AsyncBufRead + Send>>;

/// A file that is open.
pub(super) enum Content {
    /// Its bytes; those that are unpacked of it if it `is_packed`.
    Bytes { stream: Stream, is_packed: bool },
    /// Parquet, of which no row is read yet.
    Parquet(Parquet),
}

/// A Parquet file.
pub(super) struct Parquet {
    /// How it begins.
    pub(super) head: Vec<u8>,
    rest: Buffered,
    /// Where it is, if it lies in a file of its own.
    path: Option<PathBuf>,
    /// Its bytes on disk, where that is known.
    on_disk: Option<u64>,
}

/// Opens a file; `-` is standard input.
pub(super) async fn open(file: &walk::File) -> io::Result<Content> {
    let is_input = file.path == Path::new("-");
    let path = if is_input { Path::new("/dev/stdin") } else { &file.path };
    let mut source: Buffered = match &file.member {
        Some(member) => Box::pin(stream_of(member.read(), None)),
        None => Box::pin(BufReader::with_capacity(READ_BYTES, tokio::fs::File::open(path).await?)),
    };
    let on_disk = file.member.as_ref().map_or(file.size, |member| member.packed);
    let on_disk = (!is_input).then_some(on_disk);
    let coding = match source.fill_buf().await? {
        [0x1f, 0x8b, ..] => Coding::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Coding::Zstd,
        [b'P', b'K', 3, 4, ..] => {
            let why =
                "it is a zip archive within another, on standard input, or followed; unpack it, or name it as a file";
            return Err(io::Error::other(why));
        }
        [b'P', b'A', b'R', b'1', ..] => {
            let mut head = Vec::new();
            (&mut source).take(HEAD_BYTES).read_to_end(&mut head).await?;
            let path = (!is_input && file.member.is_none()).then(|| path.to_owned());
            return Ok(Content::Parquet(Parquet { head, rest: source, path, on_disk }));
        }
        _ => return Ok(Content::Bytes { stream: source, is_packed: false }),
    };
    let source = Counted::new(source);
    let packed = on_disk.map_or_else(|| Packed::SoFar(source.read()), Packed::Bytes);
    let stream = Box::pin(Bounded::new(coding.decoder(source, ZSTD_WINDOW_LOG_MAX), packed));
    Ok(Content::Bytes { stream, is_packed: true })
}

impl Parquet {
    /// Its rows as lines of JSON, and where the engine notes what it does not read. One that lies in no file of its own is copied for that.
    pub(super) async fn rows(self, reader: &parquet::Reader, room: &Arc<Room>) -> io::Result<(Stream, Notes)> {
        let (file, copied) = match &self.path {
            Some(path) => (File::open(path)?, None),
            None => {
                let (file, taken) = copied(io::Cursor::new(self.head).chain(self.rest), &reader.scratch, room).await?;
                (file, Some(taken))
            }
        };
        let bytes = self.on_disk.or_else(|| copied.as_ref().map(Taken::bytes)).map_or(0, |bytes| bytes);
        let rows = reader.rows(file)?;
        Ok((Box::pin(Bounded::new(stream_of(rows.pieces, copied), Packed::Bytes(bytes))), rows.notes))
    }
}

/// The pieces as a stream, which holds the room of what they are read from.
fn stream_of(mut pieces: mpsc::Receiver<io::Result<Bytes>>, held: Option<Taken>) -> impl AsyncBufRead + Send {
    StreamReader::new(stream::poll_fn(move |cx| {
        let _until_it_is_dropped = &held;
        pieces.poll_recv(cx)
    }))
}

/// A copy in a file without a name.
async fn copied(mut source: impl AsyncRead + Unpin, scratch: &Path, room: &Arc<Room>) -> io::Result<(File, Taken)> {
    let path = scratch.join(format!("millrace-parquet-{}", crate::random::letters()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    let (mut copy, mut taken) = (tokio::fs::File::from_std(file), room.hold());
    let mut piece = bytes::BytesMut::with_capacity(READ_BYTES);
    loop {
        piece.clear();
        if source.read_buf(&mut piece).await? == 0 {
            break;
        }
        taken.grow(to_u64(piece.len())).map_err(|full| {
            let why = "Parquet in an archive or on standard input is copied first; such copies, and files that were sent to be imported, may have";
            io::Error::other(format!("{why} {} together: name the file itself", full.bound))
        })?;
        copy.write_all(&piece).await?;
    }
    copy.flush().await?;
    Ok((copy.into_std().await, taken))
}
