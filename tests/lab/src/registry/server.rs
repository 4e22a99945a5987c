//! A real registry (CNCF distribution) on a loopback address: open to all, with a password, over TLS, or with a token
//! service.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::token_service::TokenService;
use super::user::User;
use crate::net::authority::Authority;
use crate::net::http::Client;
use crate::net::ports::HeldPort;
use crate::wait::SAFETY_NET;

use crate::programs::tools::Tool;

/// A running registry, initially empty; it is stopped and its data removed when this is dropped.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    port: HeldPort,
    dir: TempDir,
}

/// Who may read and write.
#[derive(Clone, Copy, Debug)]
pub enum Door<'a> {
    /// Everyone.
    Open,
    /// This user, over plain http.
    Password(User<'a>),
    /// This user, over TLS with a certificate of this authority.
    PasswordOverTls(User<'a>, &'a Authority),
    /// Anyone to whom this service gives a token.
    Token(&'a TokenService),
}

impl Registry {
    /// Starts a registry; with `user`, only that user may read and write.
    ///
    /// # Errors
    /// If a program is missing, or the registry does not answer; the message then contains its log.
    pub fn start(user: Option<User<'_>>) -> Result<Self> {
        Self::start_behind(user.map_or(Door::Open, Door::Password))
    }

    /// Starts a registry.
    ///
    /// # Errors
    /// Like [`Registry::start`].
    pub fn start_behind(door: Door<'_>) -> Result<Self> {
        let program = Tool::DockerRegistry.path()?;
        let dir = tempfile::Builder::new().prefix("registry-").tempdir()?;
        let port = HeldPort::on(Ipv4Addr::LOCALHOST)?;
        let write = |name: &str, content: &[u8]| -> Result<String> {
            let path = dir.path().join(name);
            std::fs::write(&path, content)?;
            Ok(path.display().to_string())
        };
        let mut config = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: '{}'}}\n  \
             delete: {{enabled: true}}\nhttp:\n  addr: '{}'\n",
            dir.path().join("store").display(),
            port.address(),
        );
        if let Door::PasswordOverTls(_, authority) = door {
            let (certificate, key) = authority.issue()?;
            let (certificate, key) = (write("cert.pem", certificate.as_bytes())?, write("key.pem", key.as_bytes())?);
            config += &format!("  tls: {{certificate: '{certificate}', key: '{key}'}}\n");
        }
        match door {
            Door::Open => {}
            Door::Password(user) | Door::PasswordOverTls(user, _) => {
                let passwords = write("htpasswd", &htpasswd(user)?)?;
                config += &format!("auth:\n  htpasswd: {{realm: test, path: '{passwords}'}}\n");
            }
            Door::Token(service) => {
                let trusted = write("token.pem", service.certificate().as_bytes())?;
                config += &format!(
                    "auth:\n  token: {{realm: '{}', service: '{}', issuer: '{}', rootcertbundle: '{trusted}'}}\n",
                    service.url(),
                    TokenService::NAME,
                    TokenService::NAME,
                );
            }
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
        // A 401 is an answer too: it asks for the password.
        while Client::new(self.address(), "registry").get("/v2/").is_err() {
            if self.child.try_wait()?.is_some() || started.elapsed() > SAFETY_NET {
                let log = std::fs::read_to_string(log_file(self.dir.path())).unwrap_or_default();
                bail!("the registry does not answer; its log:\n{log}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The requests of `faultline` so far, as `METHOD path status`, once one of them is `last`.
    ///
    /// # Errors
    /// If that one is not made.
    pub fn requests_until(&self, last: &str) -> Result<Vec<String>> {
        let started = Instant::now();
        loop {
            let log = std::fs::read_to_string(log_file(self.dir.path()))?;
            let requests: Vec<String> =
                log.lines().filter(|line| line.contains("\"faultline/")).filter_map(request).collect();
            if requests.iter().any(|request| request == last) {
                return Ok(requests);
            }
            ensure!(started.elapsed() < SAFETY_NET, "no request `{last}` in {requests:#?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its address, which is the first part of a reference.
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

/// Parses a line of an access log: `… "METHOD path HTTP/1.1" status …`.
fn request(line: &str) -> Option<String> {
    let (_, rest) = line.split_once('"')?;
    let (request, rest) = rest.split_once(" HTTP/1.1\" ")?;
    let (method, target) = request.split_once(' ')?;
    let path = target.split('?').next()?;
    Some(format!("{method} {path} {}", rest.split(' ').next()?))
}

fn log_file(dir: &Path) -> std::path::PathBuf {
    dir.join("registry.log")
}

fn htpasswd(user: User<'_>) -> Result<Vec<u8>> {
    let program = Tool::Htpasswd.path()?;
    let mut command = Command::new(&program);
    // The registry accepts only bcrypt.
    let output = command.args(["-B", "-b", "-n", user.name, user.password]).output();
    let output = output.with_context(|| format!("run {}", program.display()))?;
    ensure!(output.status.success(), "htpasswd: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}
