//! The fence around the engine's process: which files it may reach, and which system calls it may make.
//!
//! ```text
//! files   Landlock    its own folder, and what it reads of the machine; no file elsewhere is made, read or changed.
//!                     Where the kernel has it, connections, abstract sockets and signals too
//! calls   seccomp     see `calls`: it starts no program, connects nowhere, signals nobody
//! ```
//!
//! Landlock restricts threads, not processes; so the engine's server runs on threads that one restricted thread begot.
//! Nothing in a configuration takes the fence away. A kernel that lacks a part of it leaves the engine running, and the
//! log and the health page say what is missing.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::embedded::engine::system_calls;

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

/// How much of the fence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// Around files.
    pub files: Enforcement,
    /// Around system calls.
    pub calls: Enforcement,
}

/// How far the kernel lets one part of the fence be put up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enforcement {
    /// All of it.
    Full,
    /// Something of it only.
    Partly,
    /// Nothing.
    Not,
}

impl Fence {
    /// Whether it stands as it should.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.files == Enforcement::Full && self.calls == Enforcement::Full
    }
}

impl Enforcement {
    const WORDS: [(Self, &'static str); 3] = [(Self::Full, "full"), (Self::Partly, "partial"), (Self::Not, "none")];

    /// `full`, `partial` or `none`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partly => "partial",
            Self::Not => "none",
        }
    }
}

/// `files full, calls full`: what the child tells its parent.
impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "files {}, calls {}", self.files.word(), self.calls.word())
    }
}

impl Fence {
    /// Reads what [`Display`](fmt::Display) writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let enforcement = |word: &str| {
            Enforcement::WORDS.into_iter().find(|(_, known)| *known == word).map(|(enforcement, _)| enforcement)
        };
        let parts = text.strip_prefix("files ").and_then(|rest| rest.split_once(", calls "));
        let (files, calls) = parts?;
        Some(Self { files: enforcement(files)?, calls: enforcement(calls)? })
    }
}

/// Puts up the fence for good: around files for the calling thread and those it starts, around calls for the process.
/// `given` is a file elsewhere that is open already and may be read.
pub(crate) fn confine(data_dir: &Path, library: &Path, given: Option<BorrowedFd<'_>>) -> Fence {
    let files = confine_files(data_dir, library, given).unwrap_or_else(|error| {
        tracing::warn!(%error, "embedded clickhouse: landlock cannot be used");
        Enforcement::Not
    });
    // no core file holds prompts, and no other process of this user looks into this one
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "embedded clickhouse can be looked into by other processes of this user");
    }
    let calls = match system_calls::confine() {
        Ok(()) => Enforcement::Full,
        Err(error) => {
            tracing::warn!(%error, "embedded clickhouse: seccomp cannot be used");
            Enforcement::Not
        }
    };
    Fence { files, calls }
}

/// One ruleset for all that Landlock knows: a second one would forbid moving files between folders.
fn confine_files(data_dir: &Path, library: &Path, given: Option<BorrowedFd<'_>>) -> Result<Enforcement, RulesetError> {
    let abi = ABI::V6;
    let all = AccessFs::from_all(abi);
    let read = AccessFs::from_read(abi);
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(READ, read))?
        .add_rules(path_beneath_rules(library.parent(), read))?
        .add_rules(path_beneath_rules(READ_WRITE, read | AccessFs::WriteFile | AccessFs::Truncate))?
        .add_rules(path_beneath_rules([data_dir], all))?
        .add_rules(given.into_iter().map(|file| Ok::<_, RulesetError>(PathBeneath::new(file, AccessFs::ReadFile))))?
        .restrict_self()?;
    // what came later than V3 concerns devices, connections and signals, which `calls` refuses on any kernel
    let knows_all_of_files =
        matches!(status.landlock, LandlockStatus::Available { effective_abi, .. } if effective_abi >= ABI::V3);
    Ok(match status.ruleset {
        RulesetStatus::NotEnforced => Enforcement::Not,
        RulesetStatus::FullyEnforced => Enforcement::Full,
        RulesetStatus::PartiallyEnforced if knows_all_of_files => Enforcement::Full,
        RulesetStatus::PartiallyEnforced => Enforcement::Partly,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_child_tells_of_its_fence_is_what_the_parent_reads() {
        for (files, _) in Enforcement::WORDS {
            for (calls, _) in Enforcement::WORDS {
                let fence = Fence { files, calls };
                assert_eq!(Fence::parse(&fence.to_string()), Some(fence));
            }
        }
        for told in ["", "full", "files full", "files full, calls some"] {
            assert_eq!(Fence::parse(told), None, "{told}");
        }
    }
}
