//! Which system calls the engine's process may make: what it takes to compute, to use files (which ones, `sandbox` says)
//! and to answer on the listener that is open already.
//!
//! ```text
//! in neither list             EPERM: no program is started, no socket opened, no other process signalled or looked into
//! in WHEN, arguments differ   EPERM: signals to this process alone, threads but no processes, nothing sent to an address
//! clone3                      ENOSYS: its arguments lie where no filter can read them; the C library then calls `clone`
//! ```
//!
//! A list of what is allowed: what the kernel learns later is refused. It holds for every thread of the process, and for
//! whatever SQL makes the engine do.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

/// Why the calls are not confined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallsError {
    /// No list of calls for this processor.
    #[error("confine system calls: none are listed for this processor")]
    Processor,
    /// The list cannot be turned into a filter.
    #[error("confine system calls: {0}")]
    Filter(#[from] BackendError),
    /// The kernel does not take the filter.
    #[error("confine system calls: {0}")]
    Install(#[from] seccompiler::Error),
}

/// Allowed whatever their arguments are.
const ALWAYS: &[i64] = &[
    // memory
    libc::SYS_brk,
    libc::SYS_get_mempolicy,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_munlock,
    libc::SYS_munmap,
    // threads, and what they wait for
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_gettid,
    libc::SYS_membarrier,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    // time
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_setitimer,
    libc::SYS_timer_create,
    libc::SYS_timer_delete,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_settime,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_times,
    // its own signal handlers
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    // what it is, and on what machine
    libc::SYS_capget,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getpgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpriority,
    libc::SYS_getrandom,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrusage,
    libc::SYS_getsid,
    libc::SYS_getuid,
    libc::SYS_sysinfo,
    libc::SYS_umask,
    libc::SYS_uname,
    // files: Landlock says which
    libc::SYS_chdir,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchdir,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fdatasync,
    libc::SYS_fgetxattr,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readahead,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat2,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_syncfs,
    libc::SYS_tee,
    libc::SYS_truncate,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_vmsplice,
    libc::SYS_write,
    libc::SYS_writev,
    // events and pipes
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    // connections that came in: no `socket`, `connect`, `bind` or `sendmsg`
    libc::SYS_accept4,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
];

/// The same under the names that only this processor has.
#[cfg(target_arch = "x86_64")]
const ALWAYS_HERE: &[i64] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_chmod,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_getdents,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_symlink,
    libc::SYS_sync_file_range,
    libc::SYS_time,
    libc::SYS_unlink,
];
/// `renameat` and `sync_file_range`, which the `libc` crate does not name. Source: `asm-generic/unistd.h`.
#[cfg(not(target_arch = "x86_64"))]
const ALWAYS_HERE: &[i64] = &[38, 84];

/// Names a mapping of the own memory; the allocator does. Source: `linux/prctl.h`.
const PR_SET_VMA: i32 = 0x5356_4d41;

/// Allowed when the argument at this place is one of these.
const WHEN: &[(i64, u8, &[i32])] = &[
    (
        libc::SYS_prctl,
        0,
        &[
            libc::PR_SET_NAME,
            libc::PR_GET_NAME,
            libc::PR_GET_DUMPABLE,
            libc::PR_SET_TIMERSLACK,
            libc::PR_SET_NO_NEW_PRIVS,
            libc::PR_GET_NO_NEW_PRIVS,
            PR_SET_VMA,
        ],
    ),
    // not F_SETOWN: the kernel would signal another process for it
    (
        libc::SYS_fcntl,
        1,
        &[
            libc::F_DUPFD,
            libc::F_DUPFD_CLOEXEC,
            libc::F_GETFD,
            libc::F_SETFD,
            libc::F_GETFL,
            libc::F_SETFL,
            libc::F_GETLK,
            libc::F_SETLK,
            libc::F_SETLKW,
            libc::F_OFD_GETLK,
            libc::F_OFD_SETLK,
            libc::F_OFD_SETLKW,
            libc::F_GETPIPE_SZ,
            libc::F_SETPIPE_SZ,
        ],
    ),
    // not TIOCSTI: it would type into the terminal
    (libc::SYS_ioctl, 1, &[TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FICLONE]),
    // 0 is the caller
    (libc::SYS_prlimit64, 0, &[0]),
    (libc::SYS_sched_setaffinity, 0, &[0]),
];

/// Source: `asm-generic/ioctls.h`, `linux/fs.h`; the same on both processors.
const TCGETS: i32 = 0x5401;
const TIOCGWINSZ: i32 = 0x5413;
const FIONREAD: i32 = 0x541b;
const FIONBIO: i32 = 0x5421;
const FIOCLEX: i32 = 0x5451;
const FICLONE: i32 = 0x4004_9409;

/// Calls whose first argument is the process to signal: itself alone. 0, its group, is somebody else.
const SIGNALS: &[i64] = &[libc::SYS_kill, libc::SYS_tgkill, libc::SYS_rt_tgsigqueueinfo, libc::SYS_rt_sigqueueinfo];

/// Confines every thread of this process for good.
pub(crate) fn confine() -> Result<(), CallsError> {
    let processor = TargetArch::try_from(std::env::consts::ARCH).map_err(|_unknown| CallsError::Processor)?;
    let own_id = u64::from(std::process::id());
    let refused = |errno: i32| SeccompAction::Errno(errno.unsigned_abs());
    let listed = SeccompFilter::new(allowed(own_id)?, refused(libc::EPERM), SeccompAction::Allow, processor)?;
    // of two filters the one that refuses decides, so the list may hold what the other refuses in its own way
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let unknown = SeccompFilter::new(clone3, SeccompAction::Allow, refused(libc::ENOSYS), processor)?;
    for filter in [unknown, listed] {
        apply_filter_all_threads(&BpfProgram::try_from(filter)?)?;
    }
    Ok(())
}

/// Every call that may be made; the rules of a call are alternatives, none means any arguments.
fn allowed(own_id: u64) -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let always = ALWAYS.iter().chain(ALWAYS_HERE).chain(&[libc::SYS_clone3]).map(|call| (*call, Vec::new()));
    let mut calls: BTreeMap<i64, Vec<SeccompRule>> = always.collect();
    for (call, place, values) in WHEN {
        let rules = values.iter().map(|value| is(*place, u64::from(value.cast_unsigned())));
        calls.insert(*call, rules.collect::<Result<_, _>>()?);
    }
    for call in SIGNALS {
        calls.insert(*call, vec![is(0, own_id)?]);
    }
    let thread = u64::from(libc::CLONE_THREAD.cast_unsigned());
    let clone = condition(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), thread)?;
    calls.insert(libc::SYS_clone, vec![clone]);
    // bytes for a connection, to no address
    calls.insert(libc::SYS_sendto, vec![condition(4, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?]);
    Ok(calls)
}

/// The argument at this place, an `int`, is this one.
fn is(place: u8, value: u64) -> Result<SeccompRule, BackendError> {
    condition(place, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn condition(
    place: u8,
    length: SeccompCmpArgLen,
    compare: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(place, length, compare, value)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_that_reaches_out_of_the_process_is_listed() {
        let allowed = allowed(4242).unwrap();
        let reaching = [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_socket,
            libc::SYS_socketpair,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_listen,
            libc::SYS_sendmsg,
            libc::SYS_sendmmsg,
            libc::SYS_tkill,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_process_madvise,
            libc::SYS_pidfd_open,
            libc::SYS_pidfd_getfd,
            libc::SYS_pidfd_send_signal,
            libc::SYS_mount,
            libc::SYS_bpf,
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_enter,
            libc::SYS_perf_event_open,
            libc::SYS_keyctl,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_setuid,
            libc::SYS_memfd_create,
            libc::SYS_userfaultfd,
            libc::SYS_fchownat,
            libc::SYS_mknodat,
            libc::SYS_shmget,
            libc::SYS_mq_open,
            libc::SYS_seccomp,
        ];
        let listed: Vec<i64> = reaching.into_iter().filter(|call| allowed.contains_key(call)).collect();
        assert_eq!(listed, Vec::<i64>::new());
        // no call is allowed both with and without looking at its arguments
        let looked_at = WHEN.iter().map(|(call, ..)| call).chain(SIGNALS).chain(&[libc::SYS_clone, libc::SYS_sendto]);
        for call in looked_at {
            assert!(!ALWAYS.contains(call) && !allowed[call].is_empty(), "call {call}");
        }
    }

    #[test]
    fn the_filter_fits_into_what_the_kernel_takes() {
        let filter = SeccompFilter::new(
            allowed(u64::from(u32::MAX)).unwrap(),
            SeccompAction::Errno(1),
            SeccompAction::Allow,
            TargetArch::x86_64,
        );
        // Source: BPF_MAXINSNS of linux/bpf_common.h
        assert!(BpfProgram::try_from(filter.unwrap()).unwrap().len() <= 4096);
    }
}
