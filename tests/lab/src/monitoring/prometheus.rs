//! A real Prometheus that scrapes an Envoy every second and evaluates the operators' rules, with shorter durations.
//!
//! Not here: the text format that it scrapes; see [`crate::envoy::metrics`].

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::net::http::Client;
use crate::net::ports::HeldPort;
use crate::programs::run::wait_for_answer;
use crate::programs::tools::Tool;

/// How much faster these rules run than an operator's: a scrape interval of 15 s becomes one second.
pub const FASTER: u64 = 15;

/// The job name for scraping Envoy.
pub const JOB: &str = "envoy";

/// A running Prometheus; it is stopped and its data removed when this is dropped.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    port: HeldPort,
    // Never read; removes the directory when it is dropped.
    _dir: TempDir,
}

impl Prometheus {
    /// Starts Prometheus with the shipped rules, [`quickened`]; it scrapes `envoy`'s admin interface and notifies
    /// `alertmanager`.
    ///
    /// # Errors
    /// If there is no Prometheus, or it does not answer; the message then contains its log.
    pub fn start(envoy: SocketAddr, alertmanager: Option<SocketAddr>) -> Result<Self> {
        let managers: Vec<_> = alertmanager.iter().map(SocketAddr::to_string).collect();
        let rules = quickened(&std::fs::read_to_string(shipped_rules())?);
        Self::run(&rules, |rules| {
            json!({
                "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
                "rule_files": [rules],
                "alerting": { "alertmanagers": [{ "static_configs": [{ "targets": managers }] }] },
                "scrape_configs": [{
                    "job_name": JOB,
                    "metrics_path": "/stats/prometheus",
                    "static_configs": [{ "targets": [envoy.to_string()] }],
                }],
            })
        })
    }

    /// Starts Prometheus with the text of some rules, and a configuration that is told the file in which they are.
    ///
    /// # Errors
    /// Like [`Prometheus::start`].
    pub fn run(rules: &str, config: impl FnOnce(&Path) -> Value) -> Result<Self> {
        let program = Tool::Prometheus.path()?;
        let dir = tempfile::Builder::new().prefix("prometheus-").tempdir()?;
        let port = HeldPort::on(Ipv4Addr::LOCALHOST)?;
        let file = dir.path().join("rules.yaml");
        std::fs::write(&file, rules)?;
        let config = config(&file);
        let file = dir.path().join("prometheus.json");
        std::fs::write(&file, config.to_string())?;
        let log = dir.path().join("log");
        let out = File::create(&log)?;
        let mut child = Command::new(&program)
            .arg("--config.file")
            .arg(&file)
            .arg("--storage.tsdb.path")
            .arg(dir.path().join("data"))
            .args(["--web.listen-address", &port.address().to_string()])
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        wait_for_answer("Prometheus", &mut child, port.address(), "/-/ready", &log)?;
        Ok(Self { child, port, _dir: dir })
    }

    /// Evaluates a query at `time` (seconds since the Unix epoch), or now. Returns the result's samples, each with
    /// `metric` and `value`.
    ///
    /// # Errors
    /// If Prometheus rejects the query; the message says why.
    pub fn query(&self, query: &str, time: Option<f64>) -> Result<Vec<Value>> {
        let time = time.map(|time| format!("&time={time}")).unwrap_or_default();
        let answer = self.get(&format!("/api/v1/query?query={}{time}", encoded(query)), query)?;
        Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
    }

    /// The values that a label has in the series of a selector.
    ///
    /// # Errors
    /// If Prometheus rejects the selector.
    pub fn label_values(&self, selector: &str, label: &str) -> Result<Vec<String>> {
        let answer = self.get(&format!("/api/v1/label/{label}/values?match[]={}", encoded(selector)), selector)?;
        let values = answer["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(values.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// The only value of a query without a range, at `time` or now; `None` if there is none.
    ///
    /// # Errors
    /// Like [`Prometheus::query`].
    pub fn number(&self, query: &str, time: Option<f64>) -> Result<Option<f64>> {
        let result = self.query(query, time)?;
        Ok(result.first().and_then(|sample| sample["value"][1].as_str()?.parse().ok()))
    }

    /// The groups of rules as Prometheus tells them: `name`, `interval`, `lastEvaluation`, `evaluationTime` (seconds).
    ///
    /// # Errors
    /// If Prometheus does not answer.
    pub fn groups(&self) -> Result<Vec<Value>> {
        let answer = self.get("/api/v1/rules", "its rules")?;
        Ok(answer["data"]["groups"].as_array().cloned().unwrap_or_default())
    }

    /// How many rounds of the rules were left out because the one before took too long.
    ///
    /// # Errors
    /// If Prometheus does not answer.
    pub fn missed_rounds(&self) -> Result<f64> {
        let answer = Client::new(self.port.address(), "localhost").get("/metrics").context("ask Prometheus")?;
        let text = answer.text();
        let missed = text.lines().filter(|line| line.starts_with("prometheus_rule_group_iterations_missed_total{"));
        Ok(missed.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    fn get(&self, path: &str, query: &str) -> Result<Value> {
        let answer = Client::new(self.port.address(), "localhost").get(path).context("ask Prometheus")?;
        let body: Value = serde_json::from_slice(&answer.body).context("Prometheus's answer")?;
        ensure!(body["status"] == "success", "Prometheus refuses {query}: {}", body["error"]);
        Ok(body)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rules that operators get.
pub fn shipped_rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus/faultline.rules.yaml")
}

/// The rules with every duration after `interval:`, `for:`, `offset` or in brackets divided by [`FASTER`], and nothing
/// else changed. Names that contain a duration, and text for people, stay. So a rule considers, and waits for, the same
/// number of scrapes as an operator's.
pub fn quickened(rules: &str) -> String {
    let mut quick = String::with_capacity(rules.len());
    let mut rest = rules;
    let marks = ["interval: ", "for: ", "offset ", "["];
    while let Some(end) = marks.iter().filter_map(|mark| Some(rest.find(mark)? + mark.len())).min() {
        let (before, after) = rest.split_at(end);
        quick += before;
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let unit = match after.as_bytes().get(digits) {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3600,
            _ => 0,
        };
        match after[..digits].parse::<u64>() {
            Ok(number) if unit > 0 => {
                quick += &format!("{}ms", number * unit * 1000 / FASTER);
                rest = &after[digits + 1..];
            }
            _ => rest = after,
        }
    }
    quick + rest
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_become_short_and_names_and_words_stay() {
        let rules =
            "interval: 15s\nrecord: a:b:new30m\nexpr: a[1h] offset 30m or ([^/]*)\nfor: 0s\nsummary: for a 30m\n";
        let quick = "interval: 1000ms\nrecord: a:b:new30m\nexpr: a[240000ms] offset 120000ms or ([^/]*)\nfor: 0ms\n\
                     summary: for a 30m\n";
        assert_eq!(quickened(rules), quick);
    }
}
