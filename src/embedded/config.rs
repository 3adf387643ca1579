//! How to run the embedded ClickHouse, and where its library is looked for.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::random;

/// Queries at the same time unless configured.
pub const QUERIES_MAX_DEFAULT: usize = 64;
/// Queries of Millrace itself that run besides those, told by its secret.
pub(super) const OWN_QUERIES_MAX: usize = 8;

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
    /// By which Millrace's own requests are known, see `OWN_HEADER`. Without one, no request is its own.
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
    random::letters() + &random::letters()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_named_is_the_only_one_looked_for() {
        let named = Some(PathBuf::from("/opt/chdb.so"));
        assert_eq!(
            library_candidates(named, None, Path::new("/x/millrace"), Path::new("/x")),
            [Path::new("/opt/chdb.so")]
        );
    }
}
