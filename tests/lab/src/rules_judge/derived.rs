//! What faultline says of a set of rules.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use wildmatch::WildMatch;

use super::seen::{Detection, millis};
use crate::istio::Client;
use crate::programs::publisher::Publisher;

/// What `faultline config` derives for the proxies of a namespace.
#[derive(Debug)]
pub(super) struct Derived {
    entries: Vec<(WildMatch, Value)>,
    default: Value,
    /// What it remarks on stderr.
    pub(super) remarks: Vec<String>,
}

/// A finding of `faultline validate`.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// Its rule.
    pub(super) code: String,
    /// `error`, `warning` or `note`.
    pub(super) severity: String,
    /// Kind, namespace and name of the resource.
    pub(super) resource: String,
    /// What it says.
    pub(super) text: String,
}

/// Runs `faultline config` for the proxies of a client.
///
/// # Errors
/// If it fails for another reason than that there are no rules.
pub(super) fn config(publisher: &Publisher, file: &Path, client: &Client) -> Result<Derived> {
    let file = file.display().to_string();
    let labels: Vec<String> = client.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut words = vec!["config", "--from", &file, "--namespace", client.namespace];
    words.extend(labels.iter().flat_map(|label| ["--selector", label.as_str()]));
    let output = publisher.run(&words, "")?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let remarks: Vec<String> =
        complaint.lines().filter_map(|line| line.strip_prefix("note: ")).map(str::to_owned).collect();
    if !output.status.success() {
        if complaint.contains("nothing to take thresholds from") {
            return Ok(Derived { entries: Vec::new(), default: Value::Null, remarks });
        }
        bail!("faultline config: {}: {complaint}", output.status);
    }
    let config: Value = serde_json::from_slice(&output.stdout).context("faultline config")?;
    let entries = config["clusters"].as_array().map_or(&[][..], Vec::as_slice);
    let entry = |entry: &Value| Some((WildMatch::new(entry["match"].as_str()?), entry["outlierDetection"].clone()));
    Ok(Derived {
        entries: entries.iter().filter_map(entry).collect(),
        default: config["outlierDetection"].clone(),
        remarks,
    })
}

impl Derived {
    /// The outlier detection of a cluster and the percentage below which all endpoints are used; `None` is a cluster
    /// whose endpoints are never ejected.
    pub(super) fn of(&self, cluster: &str) -> Option<(Detection, f64)> {
        let found = self.entries.iter().find(|(pattern, _)| pattern.matches(cluster));
        let fields = found.map_or(&self.default, |(_, fields)| fields);
        // A cluster without outlier detection gets thresholds of 0 and nothing else.
        let duration = |name: &str| fields[name].as_str().and_then(millis);
        let number = |name: &str, default: u64| fields[name].as_u64().unwrap_or(default);
        let is_split = fields["splitExternalLocalOriginErrors"] == true;
        let detection = Detection {
            five_xx: number("consecutive5xxErrors", 5),
            gateway: number("consecutiveGatewayErrors", 0),
            local: is_split.then(|| number("consecutiveLocalOriginFailures", 5)),
            interval: duration("interval")?,
            base: duration("baseEjectionTime")?,
            cap: number("maxEjectionPercent", 10),
        };
        Some((detection, fields["minHealthPercent"].as_f64().unwrap_or(0.0)))
    }
}

/// Runs `faultline validate`.
///
/// # Errors
/// If it prints no findings at all.
pub(super) fn validate(publisher: &Publisher, file: &Path) -> Result<Vec<Finding>> {
    let output = publisher.run(&["validate", &file.display().to_string(), "--output", "json"], "")?;
    let reports: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("faultline validate: {}", String::from_utf8_lossy(&output.stderr)))?;
    let findings =
        reports.as_array().into_iter().flatten().filter_map(|report| report["findings"].as_array()).flatten();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let finding = |finding: &Value| Finding {
        code: text(finding, "code"),
        severity: text(finding, "severity"),
        resource: text(finding, "resource"),
        text: format!("{}: {}; {}", text(finding, "path"), text(finding, "problem"), text(finding, "atRunTime")),
    };
    Ok(findings.map(finding).collect())
}
