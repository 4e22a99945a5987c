//! A real Alertmanager that sends every alert, and its end, to one webhook at once.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use serde_json::json;
use tempfile::TempDir;

use crate::net::ports::HeldPort;
use crate::programs::run::wait_for_answer;
use crate::programs::tools::Tool;

/// A running Alertmanager; it is stopped and its data removed when this is dropped.
#[derive(Debug)]
pub struct Alertmanager {
    child: Child,
    port: HeldPort,
    // Never read; removes the directory when it is dropped.
    _dir: TempDir,
}

impl Alertmanager {
    /// Starts Alertmanager; `webhook` receives its notifications.
    ///
    /// # Errors
    /// If there is no Alertmanager, or it does not answer; the message then contains its log.
    pub fn start(webhook: SocketAddr) -> Result<Self> {
        // Every alert is in a separate group, so none waits for another.
        let config = json!({
            "route": {
                "receiver": "webhook", "group_by": ["..."],
                "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h",
            },
            "receivers": [{
                "name": "webhook",
                "webhook_configs": [{ "url": format!("http://{webhook}/"), "send_resolved": true }],
            }],
        });
        Self::run(&config.to_string())
    }

    /// Starts Alertmanager with this configuration, in YAML or JSON.
    ///
    /// # Errors
    /// Like [`Alertmanager::start`].
    pub fn run(config: &str) -> Result<Self> {
        let program = Tool::Alertmanager.path()?;
        let dir = tempfile::Builder::new().prefix("alertmanager-").tempdir()?;
        let port = HeldPort::on(Ipv4Addr::LOCALHOST)?;
        let file = dir.path().join("alertmanager.yaml");
        std::fs::write(&file, config)?;
        let log = dir.path().join("log");
        let out = File::create(&log)?;
        let mut child = Command::new(&program)
            .arg("--config.file")
            .arg(&file)
            .arg("--storage.path")
            .arg(dir.path().join("data"))
            .args(["--web.listen-address", &port.address().to_string()])
            // With an empty address, it opens no port for peers.
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        wait_for_answer("Alertmanager", &mut child, port.address(), "/-/ready", &log)?;
        Ok(Self { child, port, _dir: dir })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
