//! What the engine is started with: the server's settings, and its one user with what that user may do.
//!
//! ```text
//! server   memory, caches, threads         <clickhouse><max_server_memory_usage>...
//! user     grants, settings and their bounds   <clickhouse><users><default><grants>...
//! ```
//!
//! The grants are a list of what is allowed, and the engine itself holds every statement to it, however it is written and
//! wherever it is stored: other sources than files, programs, backups, users, named collections are not granted.
//!
//! Both lie in files without a name that cannot be changed any more. In the data folder, SQL could write what the next
//! start reads.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use sha2::{Digest as _, Sha256};

/// A fifth of the memory limit may hold marks; the engine's own default is 5 GiB.
const MARK_CACHE_SHARE: usize = 5;

/// Threads, each of which has three files open. The engine's own defaults are for machines of many cores: up to 128 for
/// removing old parts, 64 for loading them, and 1,000 that wait for work.
const THREADS: &[(&str, u32)] = &[
    ("max_thread_pool_free_size", 16),
    ("max_parts_cleaning_thread_pool_size", 2),
    ("max_active_parts_loading_thread_pool_size", 8),
    ("max_outdated_parts_loading_thread_pool_size", 4),
    ("max_unexpected_parts_loading_thread_pool_size", 2),
    ("max_io_thread_pool_size", 32),
    ("database_catalog_drop_table_concurrency", 2),
];

/// What the user may do, everywhere but where [`REVOKED`] says otherwise. A source that is missing here (`URL`, `S3`,
/// `MYSQL`, ...) is refused as table function, as table engine and as database engine.
const GRANTED: &[&str] = &[
    "SHOW, SELECT, INSERT, ALTER, DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE, CHECK, dictGet, KILL TRANSACTION",
    "CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE DICTIONARY, CREATE FUNCTION",
    "CREATE TEMPORARY TABLE, CREATE ARBITRARY TEMPORARY TABLE",
    // files of the engine's own folder: no others can be reached. `cluster` and `Distributed`: this machine alone
    "FILE, REMOTE",
    "SYSTEM FLUSH, SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM VIEWS, SYSTEM RELOAD DICTIONARY, SYSTEM DROP CACHE",
    "SYSTEM SYNC REPLICA, SYSTEM RESTART REPLICA",
];
/// Without these the engine answers nobody.
const REVOKED: &[&str] = &["DROP DATABASE ON default.*", "DROP, TRUNCATE, ALTER, INSERT ON system.*"];

/// Settings that no statement changes: another language would be read by other rules than those it was looked at with.
const FIXED: &[&str] = &["dialect", "allow_experimental_eval_table_function"];

/// What a query that sorts or groups on disk leaves free there: the journal and the engine's own parts need it. The engine
/// holds nobody to `max_temporary_data_on_disk_size_for_query`, but to this.
const DISK_KEPT_FREE_BYTES: u64 = 1 << 30;
const DISK_KEPT_FREE: &str = "min_free_disk_space_for_temporary_data";

/// The files that the engine reads when it opens, and nobody can change.
pub(crate) struct Settings {
    server: File,
    _user: File,
}

/// What they say.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) memory_max_bytes: usize,
}

impl Settings {
    /// Writes both. `more` is XML that goes into the server's settings as it is.
    pub(crate) fn write(limits: &Limits, user_files: &Path, own_secret: Option<&str>, more: &str) -> io::Result<Self> {
        let user = sealed("millrace-user", &user_xml(own_secret))?;
        let server = sealed("millrace-server", &server_xml(limits, user_files, &path_of(&user), more))?;
        Ok(Self { server, _user: user })
    }

    /// Where the engine finds the server's settings, which name the user's.
    pub(crate) fn path(&self) -> PathBuf {
        path_of(&self.server)
    }
}

fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// A file in memory, with this text for good.
fn sealed(name: &str, text: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(text.as_bytes())?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(file)
}

fn server_xml(limits: &Limits, user_files: &Path, user: &Path, more: &str) -> String {
    format!(
        "<clickhouse>\n\
         <max_server_memory_usage>{memory}</max_server_memory_usage>\n\
         <mark_cache_size>{marks}</mark_cache_size>\n\
         {threads}\
         <user_files_path>{user_files}/</user_files_path>\n\
         <user_scripts_path>/nonexistent/</user_scripts_path>\n\
         <user_directories><users_xml><path>{user}</path></users_xml></user_directories>\n\
         <merge_tree>\n\
         <min_columns_to_activate_adaptive_write_buffer>1</min_columns_to_activate_adaptive_write_buffer>\n\
         <max_suspicious_broken_parts>1000000</max_suspicious_broken_parts>\n\
         <max_suspicious_broken_parts_bytes>1000000000000000</max_suspicious_broken_parts_bytes>\n\
         </merge_tree>\n\
         {more}\n\
         </clickhouse>\n",
        memory = limits.memory_max_bytes,
        threads = THREADS.iter().map(|(name, most)| format!("<{name}>{most}</{name}>\n")).collect::<String>(),
        marks = limits.memory_max_bytes / MARK_CACHE_SHARE,
        user_files = escaped(&user_files.display().to_string()),
        user = user.display(),
    )
}

fn user_xml(own_secret: Option<&str>) -> String {
    let granted = GRANTED.iter().map(|rights| format!("<query>GRANT {rights} ON *.*</query>\n"));
    let revoked = REVOKED.iter().map(|rights| format!("<query>REVOKE {rights}</query>\n"));
    let fixed = FIXED.iter().map(|setting| format!("<{setting}><readonly/></{setting}>\n"));
    format!(
        "<clickhouse>\n\
         <profiles><default>\n\
         <{DISK_KEPT_FREE}>{DISK_KEPT_FREE_BYTES}</{DISK_KEPT_FREE}>\n\
         <constraints>\n{fixed}\
         <{DISK_KEPT_FREE}><min>{DISK_KEPT_FREE_BYTES}</min></{DISK_KEPT_FREE}>\n\
         </constraints>\n\
         </default></profiles>\n\
         <quotas><default></default></quotas>\n\
         <users><default>\n\
         <password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>\n\
         {hidden}\
         <grants>\n{grants}</grants>\n\
         </default></users>\n\
         </clickhouse>\n",
        fixed = fixed.collect::<String>(),
        hidden = own_secret.map_or_else(String::new, hidden_queries),
        grants = granted.chain(revoked).collect::<String>(),
    )
}

/// Queries of Millrace itself end their `log_comment` with its secret; only those see them, and can KILL them, that do so
/// too. What stands here is the secret's hash: SQL can read this file.
fn hidden_queries(own_secret: &str) -> String {
    let hash: String = Sha256::digest(own_secret).iter().map(|byte| format!("{byte:02X}")).collect();
    let is_own = |comment: &str| format!("hex(SHA256(right({comment}, {}))) = '{hash}'", own_secret.len());
    let (reader, query) = (is_own("getSetting('log_comment')"), is_own("Settings['log_comment']"));
    format!("<databases><system><processes><filter>{reader} OR NOT {query}</filter></processes></system></databases>\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
