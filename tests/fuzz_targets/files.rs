//! What is read from disk or unpacked: the configuration, bodies in a coding, segments of the journal.

use millrace::codings::Coding;
use millrace::columns::native::frames::{FRAME_HEADER_BYTES, checksum_of, claimed_bytes, decompress_frames};
use millrace::columns::native::parse::Block;
use millrace::config::{Config, Environment};
use millrace::journal::{self, Journal, Loaded, MachineFolder, Options, Order};
use millrace::sizes::ByteSize;
use millrace::telemetry::Metrics;
use millrace::time::UnixNanos;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use tokio::io::AsyncReadExt as _;

/// What a future is at once; nothing if it waits.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// A configuration is refused with a reason, or can be shown, without its secrets.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let environment: Environment = [("TOKEN".to_owned(), SECRET.to_owned())].into();
    match Config::of_file(text, &environment) {
        Err(problems) => assert!(!problems.to_string().is_empty(), "a refusal says why"),
        Ok(config) => {
            let shown = config.to_yaml();
            let is_secret_said =
                text.contains("password: ${env:TOKEN}") && shown.as_ref().is_ok_and(|yaml| yaml.contains(SECRET));
            assert!(!is_secret_said, "a secret is shown: {shown:?}");
        }
    }
}

const SECRET: &str = "a-secret-of-the-environment";

/// Bytes of a body that are read at most.
const BODY_BYTES_MAX: u64 = 1 << 18;

/// A body in each coding ends, or is refused; what is not coded stays as it is.
pub fn coded_body(data: &[u8]) {
    for name in ["", "gzip", "zstd", "deflate", "br", "lz4"] {
        let coding = Coding::named(name).expect("it is a coding");
        let mut decoder = pin!(coding.decoder(data, 23).take(BODY_BYTES_MAX));
        let mut out = Vec::new();
        let read = at_once(decoder.read_to_end(&mut out));
        assert!(read.is_some(), "{name}: a body that is there is not waited for");
        assert!(coding != Coding::Identity || data.starts_with(&out), "{name}: it is another one");
    }
}

/// A journal opens with any file in it, twice alike, and what it sends of it are frames of blocks that can be read. Once with its checksums
/// as they are, and once with those that its bytes have, so that what lies behind them is read as well; then nothing else holds.
pub fn journal_file(data: &[u8]) {
    let summed = with_checksums(data);
    for (bytes, state) in [(data, "-1.segment"), (&summed, "-1.segment"), (&summed, ".open")] {
        let folder = tempfile::Builder::new().prefix("journal").tempdir_in(shared_memory()).expect("a folder");
        std::fs::write(folder.path().join(format!("{NAME}{state}")), bytes).expect("a file can be written");
        let sent = sent_of(folder.path());
        let is_written = sent.iter().all(Option::is_some);
        assert!(is_written || bytes != data, "what is sent is not what was written");
        assert_eq!(sent, sent_of(folder.path()), "a second start finds something else");
    }
}

/// The name of a segment, but for its state.
const NAME: &str = "0000000000000001-0000000000000001";

/// Where files cost least, if the machine has it.
fn shared_memory() -> &'static Path {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory } else { Path::new("/tmp") }
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| Metrics::new().expect("metrics can be made"));

/// Opens the journal, and reads what it would send: rows of each segment, if they can be read.
fn sent_of(dir: &Path) -> Vec<Option<usize>> {
    let options = Options {
        dir: dir.to_owned(),
        config: journal::Config { segment_bytes: ByteSize::mib(1), ..journal::Config::default() },
        database: "otel".to_owned(),
        origin: 7,
        secret: 7,
        keys_max: 100,
        now: UnixNanos::new(1_800_000_000_000_000_000).expect("a time"),
        boot: Some("boot".to_owned()),
        prepare_ahead: false,
        clickhouse_is_here: false,
    };
    let folder = Arc::new(MachineFolder::open(dir).expect("the folder can be locked"));
    let (journal, recovered) =
        Journal::open(options, folder, METRICS.clone(), &mut |replay| replay.rows.len() < 1 << 20)
            .expect("a journal opens whatever lies in it");
    let backlog = journal.backlog().clone();
    backlog.close();
    let mut sent = Vec::new();
    while let Some(mut segment) = at_once(backlog.take(Order::OldestFirst)).flatten() {
        if let Ok(loaded) = segment.load() {
            let rows = match &loaded {
                Loaded::Whole(whole) => rows_in(&whole.frames().all().expect("they are read")),
                Loaded::InDoubt(parts) => parts.parts().iter().map(|part| rows_in(&part.frames)).sum(),
            };
            sent.push(rows);
        }
    }
    assert!(sent.len() <= recovered.segments, "more than was found");
    sent
}

/// The rows of the blocks in frames, if they are that.
fn rows_in(frames: &[u8]) -> Option<usize> {
    let mut blocks = Vec::new();
    decompress_frames(frames, &mut blocks).ok()?;
    let (mut rest, mut rows) = (blocks.as_slice(), 0);
    while !rest.is_empty() {
        let (block, behind) = Block::parse(rest).ok()?;
        rows += block.rows();
        rest = behind;
    }
    Some(rows)
}

/// The file with the checksums of its header, its frames and its records as they are for these bytes.
fn with_checksums(data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    let header = bytes.get(10..12).map_or(0, |length| usize::from(u16::from_le_bytes([length[0], length[1]])));
    if header < 16 || header > bytes.len() {
        return bytes;
    }
    sum_behind(&mut bytes, 0, header - 16);
    let mut at = header;
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(b"ACCEPTED") {
            let keys = rest.get(8..12).map_or(0, |keys| u32::from_le_bytes([keys[0], keys[1], keys[2], keys[3]]));
            let length = 32 + 16 * usize::try_from(keys).unwrap_or(usize::MAX).min(1 << 20);
            if !sum_behind(&mut bytes, at, length) {
                break;
            }
            at += length + 16;
        } else if let Some(length) = claimed_bytes(rest).filter(|length| *length > FRAME_HEADER_BYTES) {
            let sum = checksum_of(&bytes[at + 16..at + length]);
            bytes[at..at + 16].copy_from_slice(&sum);
            at += length;
        } else {
            break;
        }
    }
    bytes
}

/// Writes the checksum of so many bytes behind them, if there is room.
fn sum_behind(bytes: &mut [u8], from: usize, length: usize) -> bool {
    let Some(sum) = bytes.get(from..from + length).map(checksum_of) else { return false };
    let Some(place) = bytes.get_mut(from + length..from + length + 16) else { return false };
    place.copy_from_slice(&sum);
    true
}
