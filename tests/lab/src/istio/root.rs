//! The root directory of a container: the machine's programs, and folders and files of its own for everything else.
//!
//! The mounts are made by the container's own process in a mount namespace of its own, so the machine never sees them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::netns::Namespace;

/// Folders of the machine that every container sees.
const OF_MACHINE: [&str; 9] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "dev", "sys", "etc/alternatives"];

/// A user and group, such as `1337`.
pub(crate) type User = u32;

/// A container's root directory.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    dir: PathBuf,
    mounts: Vec<(PathBuf, PathBuf)>,
}

impl Root {
    /// Makes the directory, with an `/etc` for a machine of this name.
    pub(crate) fn create(dir: &Path) -> Result<Self> {
        let mut root = Self { dir: dir.to_owned(), mounts: Vec::new() };
        for folder in ["etc/ssl/certs", "proc", "run", "var", "root", "opt", "image"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        fs::create_dir_all(dir.join("tmp"))?;
        fs::set_permissions(dir.join("tmp"), fs::Permissions::from_mode(0o1777))?;
        for name in OF_MACHINE {
            let of_machine = Path::new("/").join(name);
            match fs::read_link(&of_machine) {
                // Debian's /bin is a link to usr/bin.
                Ok(target) => std::os::unix::fs::symlink(target, dir.join(name))?,
                Err(_) if of_machine.is_dir() => root.mount(&of_machine, &of_machine)?,
                Err(_) => {}
            }
        }
        root.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nistio-proxy:x:1337:1337::/:/bin/sh\n")?;
        root.write("etc/group", "root:x:0:\nistio-proxy:x:1337:\n")?;
        root.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")?;
        Ok(root)
    }

    /// Shows `what`, a file or folder of the machine, at `at`, an absolute path inside.
    pub(crate) fn mount(&mut self, what: &Path, at: &Path) -> Result<()> {
        let point = self.path(at);
        if what.is_dir() {
            fs::create_dir_all(&point)?;
        } else {
            fs::create_dir_all(point.parent().context("a file is in a folder")?)?;
            fs::write(&point, "")?;
        }
        self.mounts.push((what.to_owned(), at.to_owned()));
        Ok(())
    }

    /// Writes a file; `at` is its path inside.
    pub(crate) fn write(&self, at: &str, text: &str) -> Result<()> {
        let file = self.path(Path::new(at));
        fs::create_dir_all(file.parent().context("a file is in a folder")?)?;
        fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))
    }

    /// Makes `name` in the folder `/image` a link to a program of the machine.
    pub(crate) fn link(&self, name: &str, program: &Path) -> Result<()> {
        Ok(std::os::unix::fs::symlink(program, self.dir.join("image").join(name))?)
    }

    /// Where a path inside is on the machine.
    pub(crate) fn path(&self, inside: &Path) -> PathBuf {
        self.dir.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// A command that runs inside, in this network namespace, as this user, with only this environment.
    pub(crate) fn command(
        &self,
        namespace: &Namespace,
        user: User,
        environment: &BTreeMap<String, String>,
        words: &[String],
    ) -> Command {
        let dir = self.dir.display();
        let mut script = format!("set -e\nmount -t proc proc '{dir}/proc'\n");
        for (what, at) in &self.mounts {
            let point = self.path(at);
            if what.is_dir() {
                // The point may be in a folder that was mounted just before.
                script += &format!("mkdir -p '{}'\n", point.display());
            }
            script += &format!("mount --rbind '{}' '{}'\n", what.display(), point.display());
        }
        script += &format!("exec chroot --userspec={user}:{user} --groups= '{dir}' \"$@\"\n");
        let mut command = namespace.command(Path::new("/bin/sh"));
        command.args(["-c", &script, "sh", "/usr/bin/env", "-i"]);
        command.args(environment.iter().map(|(name, value)| format!("{name}={value}"))).args(words);
        command
    }
}
