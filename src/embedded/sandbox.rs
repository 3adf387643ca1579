//! Confines this thread, and every thread it will start, to the data folder: `file()` and `INTO OUTFILE` reach nothing
//! else, `url()` connects to nothing.
//!
//! Landlock restricts threads, not processes; so the engine's server runs on threads that one restricted thread begot.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, path_beneath_rules,
};

/// What the engine reads: time zones, the loader's files, what the kernel tells about the machine and this process.
/// Not `/proc` as a whole: other processes' environments are there.
const READ: &[&str] = &[
    "/usr",
    "/lib",
    "/lib64",
    "/sys",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/ld.so.cache",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/version",
    "/proc/mounts",
    "/proc/sys",
    "/proc/net",
    "/proc/diskstats",
    "/proc/filesystems",
    "/proc/pressure",
    "/dev/urandom",
    "/dev/random",
];
const READ_WRITE: &[&str] = &["/dev/null", "/dev/zero"];

/// How far this kernel lets itself be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Confinement {
    /// Files and outgoing connections.
    Full,
    /// Something of it only.
    Partial,
    /// The kernel has no Landlock.
    None,
}

/// Restricts the calling thread for good.
pub(crate) fn confine(data_dir: &Path, library: &Path) -> Result<Confinement, RulesetError> {
    let abi = ABI::V5;
    let all = AccessFs::from_all(abi);
    let read = AccessFs::from_read(abi);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .handle_access(AccessNet::ConnectTcp)?
        .create()?
        .add_rules(path_beneath_rules(READ, read))?
        .add_rules(path_beneath_rules(library.parent(), read))?
        .add_rules(path_beneath_rules(READ_WRITE, read | AccessFs::WriteFile | AccessFs::Truncate))?
        .add_rules(path_beneath_rules([data_dir], all))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Confinement::Full,
        RulesetStatus::PartiallyEnforced => Confinement::Partial,
        RulesetStatus::NotEnforced => Confinement::None,
    })
}
