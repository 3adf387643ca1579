//! Processes as Linux shows them under /proc, and signals to them.

use std::fs;
use std::process::Command;

/// Sends a signal, e.g. `TERM`, to a process that the test started (or to its child).
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("kill runs");
    assert!(status.success(), "no process {pid} to send SIG{name} to");
}

/// The processes whose parent is `pid`, zombies left out.
pub fn children(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc is there");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|child| stat(*child).is_some_and(|(state, parent)| parent == pid && state != 'Z')).collect()
}

/// Whether the process is there and is no zombie.
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z')
}

/// The state letter and the parent. Source: proc_pid_stat(5); the name in brackets may hold anything, so look behind it.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind_name) = stat.rsplit_once(") ")?;
    let mut fields = behind_name.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

/// The highest resident memory the process ever had, in bytes.
pub fn peak_memory_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is alive");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM is in the status");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("VmHWM is a number");
    kib * 1024
}
