//! A real Envoy: started from a [`Bootstrap`], observed through its log, its admin interface and its outlier event log.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::envoy::attempts::{Attempt, attempts_log, parse_attempts};
use crate::envoy::bootstrap::{Bootstrap, Cluster, clusters_file, endpoints_file, filter_file, outlier_log};
use crate::envoy::events::EventLog;
use crate::envoy::metrics::Metrics;
use crate::envoy::outlier::{Record, parse_log, parse_unenforced};
use crate::envoy::topology::{EdsHealth, Endpoint};
use crate::net::http::Client;
use crate::net::load::Load;
use crate::net::ports::HeldPort;
use crate::programs::tools::Tool;
use crate::wait::{SAFETY_NET, eventually};

/// A running Envoy. It is killed when this is dropped; if a test is panicking then, the end of its log is printed.
#[derive(Debug)]
pub struct Envoy {
    child: Child,
    log: Arc<EventLog>,
    dir: TempDir,
    listeners: Vec<HeldPort>,
    admin: HeldPort,
    bootstrap: Bootstrap,
    filter_version: u32,
}

impl Envoy {
    /// Starts Envoy and returns when it is ready.
    ///
    /// # Errors
    /// If there is no Envoy, or it does not become ready; the message then contains the end of its log.
    pub fn start(bootstrap: &Bootstrap) -> Result<Self> {
        let program = bootstrap.program.clone().map_or_else(|| Tool::Envoy.path(), Ok)?;
        let dir = tempfile::Builder::new().prefix("envoy-").tempdir()?;
        let held = (0..bootstrap.listeners.max(1)).map(|_| HeldPort::on(Ipv4Addr::LOCALHOST));
        let listeners = held.collect::<std::io::Result<Vec<_>>>()?;
        let admin = HeldPort::on(Ipv4Addr::LOCALHOST)?;
        if let Some(filter) = &bootstrap.filter {
            deliver(&filter_file(dir.path()), &filter.discovery(1))?;
        }
        for cluster in bootstrap.clusters.iter().filter(|c| c.discovered) {
            deliver(&endpoints_file(dir.path(), cluster), &cluster.discovery(&bootstrap.home))?;
        }
        if bootstrap.clusters_discovered {
            deliver(&clusters_file(dir.path()), &bootstrap.discovery(dir.path()))?;
        }
        let config = dir.path().join("bootstrap.json");
        let json = bootstrap.to_envoy(&addresses(&listeners), admin.address(), dir.path());
        std::fs::write(&config, serde_json::to_vec_pretty(&json)?)?;

        let mut child = Command::new(&program)
            .arg("--config-path")
            .arg(&config)
            .args(["--concurrency", &bootstrap.workers.to_string(), "--log-level", &bootstrap.log_level])
            // It is never restarted hot; without hot restart, several can run side by side.
            .arg("--disable-hot-restart")
            // Writes the outlier event log at once instead of every ten seconds.
            .args(["--file-flush-interval-msec", "10"])
            // Envoy's log then has the same time zone as everything else.
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let log = Arc::new(EventLog::default());
        let stderr = child.stderr.take().context("Envoy's stderr")?;
        let follower = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                follower.push(String::from_utf8_lossy(&line).into_owned());
            }
            follower.close();
        });
        let bootstrap = bootstrap.clone();
        let mut envoy = Self { child, log, dir, listeners, admin, bootstrap, filter_version: 1 };
        envoy.wait_until_ready()?;
        Ok(envoy)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        while !self.admin("/ready").is_ok_and(|answer| answer.starts_with("LIVE")) {
            let ended = self.child.try_wait()?;
            if ended.is_some() || started.elapsed() > SAFETY_NET {
                let state = ended.map_or("is not ready".to_owned(), |status| format!("ended ({status})"));
                let lines = self.log.lines();
                // The reason is in the lines before the bootstrap, which Envoy prints last.
                let reasons = lines.iter().filter(|l| l.contains("[critical]") || l.contains("rror initializing"));
                let reasons: Vec<&str> = reasons.map(String::as_str).collect();
                bail!("Envoy {state}: {}; its log ends with:\n{}", reasons.join("; "), self.log.tail(20).join("\n"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The address for requests: that of the first listener.
    pub fn address(&self) -> SocketAddr {
        self.listeners[0].address()
    }

    /// The addresses of all listeners.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.listeners)
    }

    /// The address of the admin interface.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Whether it runs the filter.
    pub fn has_filter(&self) -> bool {
        self.bootstrap.filter.is_some()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Envoy's log with the filter's events.
    pub fn events(&self) -> &EventLog {
        &self.log
    }

    /// Opens `connections` connections for requests to `host`; they are distributed evenly over the workers.
    ///
    /// # Errors
    /// If Envoy refuses a connection.
    pub fn load(&self, host: &str, connections: usize) -> Result<Load> {
        Load::open(self.address(), host, connections)
    }

    /// The admin interface's answer to a GET.
    ///
    /// # Errors
    /// If there is no answer, or its status is not 200.
    pub fn admin(&self, path: &str) -> Result<String> {
        let answer = Client::new(self.admin.address(), "localhost").get(path);
        let answer = answer.with_context(|| format!("GET {path} from Envoy's admin interface"))?;
        ensure!(answer.status == 200, "GET {path} from Envoy's admin interface: {} {}", answer.status, answer.text());
        Ok(answer.text())
    }

    /// Everything under `/stats/prometheus`.
    ///
    /// # Errors
    /// If the admin interface does not answer.
    pub fn metrics(&self) -> Result<Metrics> {
        Ok(Metrics::parse(&self.admin("/stats/prometheus")?))
    }

    /// Envoy's own statistics whose name contains `pattern` (RE2), with their values; histograms are left out.
    ///
    /// # Errors
    /// If the admin interface does not answer.
    pub fn stats(&self, pattern: &str) -> Result<Vec<(String, u64)>> {
        let filter: String = pattern.bytes().map(|b| format!("%{b:02x}")).collect();
        let answer: Value = serde_json::from_str(&self.admin(&format!("/stats?format=json&filter={filter}"))?)?;
        let stats = answer["stats"].as_array().map(Vec::as_slice).unwrap_or_default();
        let pair = |s: &Value| Some((s["name"].as_str()?.to_owned(), s["value"].as_u64()?));
        Ok(stats.iter().filter_map(pair).collect())
    }

    /// The endpoints of a cluster that Envoy's detector currently ejects.
    ///
    /// # Errors
    /// If the admin interface does not answer.
    pub fn ejected(&self, cluster: &str) -> Result<Vec<String>> {
        let of_cluster = |(name, endpoint): (String, String)| (name == cluster).then_some(endpoint);
        Ok(self.all_ejected()?.into_iter().filter_map(of_cluster).collect())
    }

    /// The endpoints that Envoy's detector currently ejects, each with its cluster's name in front.
    ///
    /// # Errors
    /// If the admin interface does not answer.
    pub fn all_ejected(&self) -> Result<Vec<(String, String)>> {
        let answer: Value = serde_json::from_str(&self.admin("/clusters?format=json")?)?;
        let clusters = answer["cluster_statuses"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut ejected = Vec::new();
        for cluster in clusters {
            let hosts = cluster["host_statuses"].as_array().map(Vec::as_slice).unwrap_or_default();
            for host in hosts.iter().filter(|h| h["health_status"]["failed_outlier_check"] == true) {
                let address = &host["address"]["socket_address"];
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                ejected
                    .push((text(&cluster["name"]), format!("{}:{}", text(&address["address"]), address["port_value"])));
            }
        }
        Ok(ejected)
    }

    /// Envoy's own record of ejections and returns so far.
    ///
    /// # Errors
    /// If its log cannot be read.
    pub fn outlier_records(&self) -> Result<Vec<Record>> {
        let file = outlier_log(self.dir.path());
        parse_log(&std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?)
    }

    /// The ejections that Envoy's detector found due, but did not enforce.
    ///
    /// # Errors
    /// If its log cannot be read.
    pub fn unenforced_records(&self) -> Result<Vec<Record>> {
        let file = outlier_log(self.dir.path());
        parse_unenforced(&std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?)
    }

    /// Waits until Envoy's own record satisfies `done`, and returns it.
    ///
    /// # Errors
    /// If it does not within [`SAFETY_NET`].
    pub fn wait_for_records(&self, what: &str, done: impl Fn(&[Record]) -> bool) -> Result<Vec<Record>> {
        eventually(what, || Ok(Some(self.outlier_records()?).filter(|r| done(r))))
    }

    /// Delivers a new plugin configuration to the running filter, and returns when Envoy uses it.
    ///
    /// # Errors
    /// If Envoy runs without a filter, or does not accept the configuration.
    pub fn reconfigure(&mut self, config: &str) -> Result<()> {
        let filter = self.bootstrap.filter.as_mut().context("this Envoy runs without a filter")?;
        config.clone_into(&mut filter.config);
        self.reload()
    }

    /// Delivers another module to the running Envoy, and returns when Envoy uses it.
    ///
    /// # Errors
    /// Like [`Envoy::reconfigure`].
    pub fn replace_module(&mut self, module: &Path) -> Result<()> {
        let filter = self.bootstrap.filter.as_mut().context("this Envoy runs without a filter")?;
        module.clone_into(&mut filter.module);
        self.reload()
    }

    fn reload(&mut self) -> Result<()> {
        let filter = self.bootstrap.filter.as_ref().context("this Envoy runs without a filter")?;
        self.filter_version += 1;
        deliver(&filter_file(self.dir.path()), &filter.discovery(self.filter_version))?;
        let version = u64::from(self.filter_version);
        eventually("Envoy takes the new plugin configuration", || {
            let reloads = self.stats("extension_config_discovery.*config_reload$")?;
            Ok(reloads.iter().any(|(_, n)| *n >= version).then_some(()))
        })
    }

    /// Delivers other endpoints for a cluster that gets them by discovery, and returns when Envoy uses them.
    ///
    /// # Errors
    /// If there is no such cluster, or Envoy does not accept the endpoints.
    pub fn set_endpoints(&mut self, cluster: &str, endpoints: Vec<Endpoint>) -> Result<()> {
        let health = BTreeMap::new();
        self.set_endpoints_and_health(cluster, endpoints, health)
    }

    /// Like [`Envoy::set_endpoints`], with the endpoints that are not healthy.
    ///
    /// # Errors
    /// Like [`Envoy::set_endpoints`].
    pub fn set_endpoints_and_health(
        &mut self,
        cluster: &str,
        endpoints: Vec<Endpoint>,
        health: BTreeMap<SocketAddr, EdsHealth>,
    ) -> Result<()> {
        let found = self.bootstrap.clusters.iter_mut().find(|c| c.name == cluster);
        let found = found.with_context(|| format!("there is no {cluster}"))?;
        (found.endpoints, found.health) = (endpoints, health);
        self.edit_endpoints(cluster, |_| {})
    }

    /// Delivers the endpoints of a cluster that gets them by discovery again, with a change in what is delivered (the
    /// list `endpoints` of a `ClusterLoadAssignment`), and returns when Envoy uses them.
    ///
    /// # Errors
    /// Like [`Envoy::set_endpoints`].
    pub fn edit_endpoints(&self, cluster: &str, change: impl FnOnce(&mut Value)) -> Result<()> {
        let updates = format!("^cluster.{}.*update_success$", cluster.replace('|', "."));
        let before = self.stats(&updates)?;
        let found = self.bootstrap.clusters.iter().find(|c| c.discovered && c.name == cluster);
        let found = found.with_context(|| format!("{cluster} does not get its endpoints by discovery"))?;
        let mut discovery = found.discovery(&self.bootstrap.home);
        change(&mut discovery["resources"][0]["endpoints"]);
        deliver(&endpoints_file(self.dir.path(), found), &discovery)?;
        eventually("Envoy takes the new endpoints", || Ok((self.stats(&updates)? != before).then_some(())))
    }

    /// Delivers other clusters, for the same authorities, to an Envoy that gets them by discovery from files, and
    /// returns when Envoy uses them. A cluster that differs is replaced: the detector's state of its endpoints is lost.
    ///
    /// # Errors
    /// If Envoy does not accept them.
    pub fn set_clusters(&mut self, clusters: Vec<Cluster>) -> Result<()> {
        let updates = "^cluster_manager.cluster_(added|modified)$";
        let before = self.stats(updates)?;
        self.bootstrap.clusters = clusters;
        deliver(&clusters_file(self.dir.path()), &self.bootstrap.discovery(self.dir.path()))?;
        // A cluster that resolves names is used only after they are resolved.
        eventually("Envoy takes the new clusters", || {
            let warming = self.stats("^cluster_manager.warming_clusters$")?.iter().any(|(_, n)| *n > 0);
            Ok((!warming && self.stats(updates)? != before).then_some(()))
        })
    }

    /// The lines for each attempt and request, if the bootstrap enables them.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn attempts(&self) -> Result<Vec<Attempt>> {
        let file = attempts_log(self.dir.path());
        Ok(parse_attempts(&std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?))
    }

    /// CPU time that Envoy's threads have used so far.
    ///
    /// # Errors
    /// If the kernel does not provide it.
    pub fn cpu_time(&self) -> Result<Duration> {
        let mut nanoseconds = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            let file = thread?.path().join("schedstat");
            let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            nanoseconds += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("Envoy's log ends with:\n{}", self.log.tail(60).join("\n"));
        }
    }
}

fn addresses(ports: &[HeldPort]) -> Vec<SocketAddr> {
    ports.iter().map(HeldPort::address).collect()
}

/// Writes a file for Envoy. Envoy watches for files that are moved into place, so that it never reads an incomplete
/// one.
fn deliver(file: &Path, discovery: &Value) -> Result<()> {
    let next = file.with_extension("next");
    std::fs::write(&next, serde_json::to_vec(discovery)?)?;
    std::fs::rename(&next, file).with_context(|| format!("move {} into place", file.display()))
}
