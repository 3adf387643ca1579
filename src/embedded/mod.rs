//! The embedded ClickHouse: the real engine as a shared library, behind the documented HTTP interface.
//!
//! ```text
//! parent: supervise ──starts, watches, stops──> child: `millrace clickhouse`
//!                                                └ run_server
//!    server    binds to loopback, puts up the fence (sandbox, calls), opens the engine
//!    handler   one request: guard -> request -> body -> what kind of statement (sql, lexer) -> run -> respond
//!    run       rows come out through a pipe, an INSERT's data goes in through a channel
//!    job       one statement on its connection (sessions): settings put up before, taken down after
//!    allowed   what a statement from outside may be and name, read off the engine's own tree of it
//!    engine    the data folder, connections, KILL
//!    settings  what the engine is started with, and what its user may do
//!    libchdb   the binding, the only unsafe code of the house
//! ```

mod engine;
mod server;
pub(crate) mod supervisor;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use crate::embedded::engine::instance::OpenError;
pub use crate::embedded::engine::sandbox::{Fence, Held};
pub use crate::embedded::server::guard::OWN_HEADER;
pub use crate::embedded::server::listener::{Bound, ServeError, memory_default, run_server};
pub use crate::embedded::supervisor::{Command, EXIT_PERMANENT, NeverStarted, Supervised, supervise};

/// Queries at the same time unless configured.
pub const QUERIES_MAX_DEFAULT: usize = 64;
/// Queries of Millrace itself that run besides those, told by its secret.
const OWN_QUERIES_MAX: usize = 8;

/// How to run the embedded ClickHouse.
#[derive(Clone)]
pub struct Config {
    /// Loopback, unless there is a password. Port 0 takes any.
    pub listen: SocketAddr,
    /// Created if missing; one process at a time.
    pub data_dir: PathBuf,
    /// Where libchdb may be: the first file that exists. [`library_candidates`] lists the usual places.
    pub library: Vec<PathBuf>,
    /// What the engine may allocate; a quarter of the machine, at most 4 GiB, when absent.
    pub memory_max_bytes: Option<usize>,
    /// By which Millrace's own requests are known, see [`OWN_HEADER`]. Without one, no request is its own.
    pub own_secret: Option<String>,
    /// Asked from every client when present.
    pub password: Option<String>,
    /// Further settings of the server, as XML elements. Nothing that SQL can write.
    pub engine_settings: String,
    /// More queries than this at once are refused with code 202; a few of Millrace's own run besides them.
    pub queries_max: usize,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("data_dir", &self.data_dir)
            .field("library", &self.library)
            .field("memory_max_bytes", &self.memory_max_bytes)
            .field("password", &self.password.as_ref().map(|_secret| "[REDACTED]"))
            .field("own_secret", &self.own_secret.as_ref().map(|_secret| "[REDACTED]"))
            .field("engine_settings", &self.engine_settings)
            .field("queries_max", &self.queries_max)
            .finish()
    }
}

const LIBRARY_FILE: &str = if cfg!(target_os = "macos") { "libchdb.dylib" } else { "libchdb.so" };

/// Where libchdb is looked for: what was configured, what the environment (`MILLRACE_LIBCHDB`) names, beside the
/// executable, where `make libchdb` puts it, then wherever the loader looks.
#[must_use]
pub fn library_candidates(
    configured: Option<PathBuf>,
    environment: Option<PathBuf>,
    executable: &Path,
    current_dir: &Path,
) -> Vec<PathBuf> {
    if let Some(named) = configured.or(environment) {
        return vec![named];
    }
    let platform = match (cfg!(target_os = "macos"), cfg!(target_arch = "aarch64")) {
        (false, false) => "lib-linux-x64-gnu",
        (false, true) => "lib-linux-arm64-gnu",
        (true, false) => "lib-darwin-x64",
        (true, true) => "lib-darwin-arm64",
    };
    let installed = Path::new(".tools/libchdb/node_modules/@chdb").join(platform);
    let beside = executable.parent().map(|dir| dir.join(LIBRARY_FILE));
    let tools = std::iter::once(current_dir).chain(executable.ancestors().skip(1));
    let tools = tools.flat_map(|dir| ["libchdb.so", "libchdb.dylib"].map(|file| dir.join(&installed).join(file)));
    let tools = tools.filter(|path| path.is_file()).take(1);
    let hint = current_dir.join(&installed).join(LIBRARY_FILE);
    beside.into_iter().chain(tools).chain([hint]).collect()
}

/// A secret for Millrace's own requests, new for each start.
#[must_use]
pub fn own_secret() -> String {
    random_letters() + &random_letters()
}

/// 16 lower-case letters nobody can guess.
fn random_letters() -> String {
    random_bytes::<16>().iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}

/// A random UUID as text.
fn random_uuid() -> String {
    let id = u128::from_le_bytes(random_bytes());
    let id = id & !(0xf000 << 64) & !(0xc000 << 48) | (0x4000 << 64) | (0x8000 << 48);
    let hex = format!("{id:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // the kernel's source does not fail once it is up; ids that are not random would still be told apart by luck only
    if getrandom::fill(&mut bytes).is_err() {
        tracing::error!("the system has no randomness");
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_looks_like_one() {
        let id = random_uuid();
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'));
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{id}");
        assert_ne!(id, random_uuid());
    }

    #[test]
    fn a_library_that_is_named_is_the_only_one_looked_for() {
        let named = Some(PathBuf::from("/opt/chdb.so"));
        assert_eq!(
            library_candidates(named, None, Path::new("/x/millrace"), Path::new("/x")),
            [Path::new("/opt/chdb.so")]
        );
    }
}
