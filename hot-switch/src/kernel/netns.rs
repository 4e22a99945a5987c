//! Network namespaces: opened once, kept by a descriptor, entered by a thread.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace. It lives as long as this does, whatever becomes of its processes.
#[derive(Clone, Debug)]
pub struct Netns {
    file: Arc<File>,
    inode: u64,
}

impl Netns {
    /// Opens the namespace behind a file such as `/proc/PID/ns/net` or `/run/netns/NAME`. `proc` is where the node's
    /// process 1 is seen.
    ///
    /// # Errors
    /// If it is gone, or is the node's own or this program's: those are never touched.
    pub fn open(path: &Path, proc: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("{}: cannot be opened", path.display()))?;
        let inode = file.metadata()?.ino();
        for own in [proc.join("1/ns/net"), "/proc/self/ns/net".into()] {
            let is_own = fs::metadata(&own).is_ok_and(|own| own.ino() == inode);
            ensure!(!is_own, "{}: that is the node's own network, which is never touched", path.display());
        }
        Ok(Self { file: Arc::new(file), inode })
    }

    /// What tells it from others: a pod whose namespace has another number than before was set up anew.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Moves the calling thread into it, for good: what it opens and starts from now on is inside.
    ///
    /// # Errors
    /// If the capability `SYS_ADMIN` is missing.
    pub fn enter(&self) -> Result<()> {
        move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
            .context("cannot enter a network namespace: that needs the capability SYS_ADMIN")
    }

    /// Does `work` inside, on a thread of its own.
    ///
    /// # Errors
    /// If it cannot be entered, and what `work` says.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let entered = || self.enter().and_then(|()| work());
        let done = std::thread::scope(|scope| scope.spawn(entered).join());
        done.unwrap_or_else(|_| anyhow::bail!("what was done in a network namespace failed unexpectedly"))
    }
}
