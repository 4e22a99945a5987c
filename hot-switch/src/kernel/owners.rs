//! Which sockets are a sidecar's, by the processes that hold them.
//!
//! A sidecar has user and group 1337. But it is root, in group 1337, with TPROXY and where it may listen on low ports
//! (`capNetBindService`; both in Istio's injection template). The kernel says of a socket its user and not its group,
//! so the processes are asked.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};

use crate::names::PROXY_UID;

/// The numbers of all sockets that processes of a sidecar hold in the calling thread's network namespace. `proc` is
/// where the node's processes are seen.
///
/// # Errors
/// If the sidecar's processes cannot be looked into: the capability `SYS_PTRACE` is missing.
pub fn of_proxy(proc: &Path) -> Result<BTreeSet<u32>> {
    let netns = fs::metadata("/proc/thread-self/ns/net").context("the thread's network namespace")?.ino();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(proc).with_context(|| format!("{}: cannot be read", proc.display()))? {
        let folder = entry?.path();
        // Folders that are no processes have no such file, and processes end while one looks.
        let is_here = fs::metadata(folder.join("ns/net")).is_ok_and(|its| its.ino() == netns);
        if !is_here || !fs::read_to_string(folder.join("status")).is_ok_and(|status| is_proxy(&status)) {
            continue;
        }
        match sockets_of(&folder) {
            Ok(sockets) => found.extend(sockets),
            Err(error) if has_ended(&error) => {}
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("{}: the proxy's sockets cannot be listed: that needs SYS_PTRACE", folder.display())
                });
            }
        }
    }
    Ok(found)
}

/// Whether one of a process's users or groups is a sidecar's, by its `status`.
fn is_proxy(status: &str) -> bool {
    let own = PROXY_UID.to_string();
    let ids = status.lines().filter_map(|line| line.strip_prefix("Uid:").or_else(|| line.strip_prefix("Gid:")));
    ids.flat_map(str::split_whitespace).any(|id| id == own)
}

fn sockets_of(folder: &Path) -> io::Result<Vec<u32>> {
    let mut sockets = Vec::new();
    for entry in fs::read_dir(folder.join("fd"))? {
        match fs::read_link(entry?.path()) {
            Ok(target) => {
                let target = target.to_string_lossy();
                let number = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
                sockets.extend(number.and_then(|number| number.parse::<u32>().ok()));
            }
            // It was closed meanwhile.
            Err(error) if has_ended(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sockets)
}

fn has_ended(error: &io::Error) -> bool {
    // ESRCH: the process ended between two calls.
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_is_known_by_its_user_or_its_group() {
        let status = |uid: &str, gid: &str| format!("Name:\tx\nUid:\t{uid}\nGid:\t{gid}\nGroups:\t1337\n");
        assert!(is_proxy(&status("1337\t1337\t1337\t1337", "1337\t1337\t1337\t1337")));
        assert!(is_proxy(&status("0\t0\t0\t0", "1337\t1337\t1337\t1337")), "with TPROXY it is root");
        assert!(!is_proxy(&status("0\t0\t0\t0", "0\t0\t0\t0")), "a group beside is no sidecar's");
        assert!(!is_proxy(&status("13370\t1\t1\t1", "1\t1\t1\t1")));
    }
}
