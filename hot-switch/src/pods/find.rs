//! Finds a pod's network namespace by the pod's UID, without asking the container runtime.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::Place;
use crate::kernel::netns::Netns;

impl Place {
    /// Opens the namespace. `proc` is where the node's processes are seen, `/host/proc` in a DaemonSet.
    ///
    /// # Errors
    /// If it is gone, or is the node's own.
    pub fn open(&self, proc: &Path) -> Result<Netns> {
        match self {
            Self::Path(path) => Netns::open(path, proc),
            Self::Uid(uid) => Netns::open(&oldest_process(uid, proc)?.join("ns/net"), proc),
        }
    }
}

/// The folder of the pod's oldest process: the pause process, which survives the containers' restarts.
fn oldest_process(uid: &str, proc: &Path) -> Result<PathBuf> {
    // The UID goes into a comparison with control groups: what is none must not match any.
    let is_uid = uid.len() >= 8 && uid.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    ensure!(is_uid, "{uid:?} is no UID of a pod");
    let mut oldest: Option<(u64, PathBuf)> = None;
    for entry in fs::read_dir(proc).with_context(|| format!("{}: cannot be read", proc.display()))? {
        let Ok(entry) = entry else { continue };
        if !entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let folder = entry.path();
        // Processes end while one looks.
        let Ok(groups) = fs::read_to_string(folder.join("cgroup")) else { continue };
        if !groups.lines().any(|group| pod_of(group).is_some_and(|of| of == uid.replace('_', "-"))) {
            continue;
        }
        let Some(started) = started(&folder) else { continue };
        if oldest.as_ref().is_none_or(|(before, _)| started < *before) {
            oldest = Some((started, folder));
        }
    }
    oldest.map(|(_, folder)| folder).with_context(|| format!("no process of the pod {uid} is on this node"))
}

/// The UID of the pod in whose control group a process is: of the outermost, since a container that may make groups
/// below its own could give one of them another pod's name. cgroupfs keeps the dashes of a UID, systemd turns them into
/// underscores; static pods have UIDs without any.
fn pod_of(group: &str) -> Option<String> {
    let is_uid = |text: &str| text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    group.split('/').find_map(|part| {
        let (_, uid) = part.trim_end_matches(".slice").rsplit_once("pod")?;
        Some(uid.replace('_', "-")).filter(|uid| is_uid(uid))
    })
}

/// When a process started, in ticks since the node did: field 22 of its `stat`, counted after the name, which may
/// contain anything.
fn started(folder: &Path) -> Option<u64> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(proc: &Path, pid: u32, cgroup: &str, started: u64) {
        let folder = proc.join(pid.to_string());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("cgroup"), cgroup).unwrap();
        let fields = format!("{pid} (a ) b) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {started} 0 0");
        fs::write(folder.join("stat"), fields).unwrap();
    }

    #[test]
    fn the_pods_oldest_process_is_found_in_both_spellings() {
        let proc = tempfile::tempdir().unwrap();
        let uid = "0b1c2d3e-aaaa-bbbb-cccc-123456789abc";
        process(proc.path(), 10, &format!("0::/kubepods/burstable/pod{uid}/cri-1\n"), 500);
        let systemd = uid.replace('-', "_");
        let slice = format!("0::/kubepods.slice/kubepods-pod{systemd}.slice/cri-containerd-2.scope\n");
        process(proc.path(), 11, &slice, 400);
        process(proc.path(), 12, "0::/kubepods/pod99999999-aaaa-bbbb-cccc-123456789abc/x\n", 1);
        fs::create_dir(proc.path().join("self")).unwrap();
        assert_eq!(oldest_process(uid, proc.path()).unwrap(), proc.path().join("11"));
    }

    #[test]
    fn a_pod_that_names_a_group_of_its_own_as_another_pod_is_not_taken_for_it() {
        let proc = tempfile::tempdir().unwrap();
        let (victim, hostile) = ("0b1c2d3e-aaaa-bbbb-cccc-123456789abc", "ffffffff-aaaa-bbbb-cccc-123456789abc");
        process(proc.path(), 10, &format!("0::/kubepods/pod{hostile}/cri-1/kubepods/pod{victim}/x\n"), 1);
        process(proc.path(), 11, &format!("0::/../../pod{victim}/cri-2\n"), 500);
        assert_eq!(oldest_process(victim, proc.path()).unwrap(), proc.path().join("11"));
        let of_kubelet = "12:cpu:/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod\
            0123456789abcdef0123456789abcdef.slice/cri.scope";
        assert_eq!(pod_of(of_kubelet).as_deref(), Some("0123456789abcdef0123456789abcdef"), "a static pod");
    }

    #[test]
    fn hostile_and_unknown_uids_are_refused() {
        let proc = tempfile::tempdir().unwrap();
        process(proc.path(), 10, "0::/kubepods/pod/x\n", 5);
        for uid in ["", "/", "../../1", "a", "0b1c2d3e aaaa"] {
            assert!(oldest_process(uid, proc.path()).unwrap_err().to_string().contains("no UID"), "{uid}");
        }
        let error = oldest_process("0b1c2d3e-aaaa-bbbb-cccc-123456789abc", proc.path()).unwrap_err();
        assert!(error.to_string().contains("no process of the pod"));
    }
}
