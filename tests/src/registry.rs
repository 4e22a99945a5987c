//! A real registry (CNCF distribution), with or without a password, over plain http on a loopback address.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::SAFETY_NET;
use crate::http::Client;
use crate::ports::HeldPort;
use crate::tools::Tool;

/// A running registry with an empty store; it ends, and its store with it, when this is dropped.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    port: HeldPort,
    dir: TempDir,
}

/// A user of a registry that asks for one.
#[derive(Clone, Copy, Debug)]
pub struct User<'a> {
    /// The name.
    pub name: &'a str,
    /// The password.
    pub password: &'a str,
}

impl Registry {
    /// Starts a registry; with `user`, only that user may read and write.
    ///
    /// # Errors
    /// When a program is missing, or the registry does not answer; the message then has its log.
    pub fn start(user: Option<User<'_>>) -> Result<Self> {
        let program = Tool::DockerRegistry.path()?;
        let dir = tempfile::Builder::new().prefix("registry-").tempdir()?;
        let port = HeldPort::on(Ipv4Addr::LOCALHOST)?;
        let mut config = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: '{}'}}\n  delete: {{enabled: true}}\nhttp: {{addr: '{}'}}\n",
            dir.path().join("store").display(),
            port.address(),
        );
        if let Some(user) = user {
            let passwords = dir.path().join("htpasswd");
            std::fs::write(&passwords, htpasswd(user)?)?;
            config += &format!("auth:\n  htpasswd: {{realm: test, path: '{}'}}\n", passwords.display());
        }
        let file = dir.path().join("config.yml");
        std::fs::write(&file, config)?;
        let log = File::create(log_file(dir.path()))?;
        let child = Command::new(&program)
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut registry = Self { child, port, dir };
        registry.wait_until_it_answers()?;
        Ok(registry)
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let started = Instant::now();
        // 401 is an answer too: it asks for the password.
        while Client::new(self.address(), "registry").get("/v2/").is_err() {
            if self.child.try_wait()?.is_some() || started.elapsed() > SAFETY_NET {
                let log = std::fs::read_to_string(log_file(self.dir.path())).unwrap_or_default();
                bail!("the registry does not answer; its log:\n{log}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Where it listens: the first part of a reference.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_file(dir: &Path) -> std::path::PathBuf {
    dir.join("registry.log")
}

fn htpasswd(user: User<'_>) -> Result<Vec<u8>> {
    let program = Tool::Htpasswd.path()?;
    let mut command = Command::new(&program);
    // The registry takes bcrypt only.
    let output = command.args(["-B", "-b", "-n", user.name, user.password]).output();
    let output = output.with_context(|| format!("run {}", program.display()))?;
    ensure!(output.status.success(), "htpasswd: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}
