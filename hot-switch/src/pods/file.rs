//! Pods from a file: for a node without Kubernetes, for tests, and for the drill. Read again when it changes.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result};
use hot_switch_core::sighting::Container;
use hot_switch_core::standing::{Directions, Kind, Life, Mode, Protection, Standing};
use serde::Deserialize;

use super::{Place, Pod, Source};
use crate::probe::app::AppProbes;
use crate::probe::round::Target;

/// The file.
#[derive(Debug)]
pub struct PodsFile {
    path: PathBuf,
    read: Option<(SystemTime, Vec<Pod>)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    pods: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    name: String,
    workload: Option<String>,
    netns: Option<PathBuf>,
    uid: Option<String>,
    address: IpAddr,
    #[serde(default)]
    probes: AppProbes,
    port: Option<u16>,
    #[serde(default)]
    mode: FileMode,
    #[serde(default)]
    directions: FileDirections,
    /// Whether policy would be lost, and the second consent.
    #[serde(default)]
    policy: FilePolicy,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FileMode {
    Off,
    #[default]
    Report,
    Act,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FileDirections {
    #[default]
    Both,
    Inbound,
    Outbound,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum FilePolicy {
    #[default]
    None,
    MayBeLost,
    MustStay,
}

impl PodsFile {
    /// Pods from this file.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, read: None }
    }
}

impl Source for PodsFile {
    fn pods(&mut self) -> Result<Vec<Pod>> {
        let path = self.path.display().to_string();
        let changed = fs::metadata(&self.path).and_then(|file| file.modified()).with_context(|| path.clone())?;
        if let Some((at, pods)) = self.read.as_ref().filter(|(at, _)| *at == changed) {
            let _ = at;
            return Ok(pods.clone());
        }
        let text = fs::read_to_string(&self.path).with_context(|| path.clone())?;
        let pods = parse(&text).with_context(|| path)?;
        self.read = Some((changed, pods.clone()));
        Ok(pods)
    }
}

fn parse(text: &str) -> Result<Vec<Pod>> {
    let document: Document = serde_saphyr::from_str(text).context("is not a list of pods")?;
    document.pods.into_iter().map(pod).collect()
}

fn pod(entry: Entry) -> Result<Pod> {
    let place = match (entry.netns, entry.uid) {
        (Some(path), None) => Place::Path(path),
        (None, Some(uid)) => Place::Uid(uid),
        _ => anyhow::bail!("pod {}: give netns or uid, and not both", entry.name),
    };
    let standing = Standing {
        mode: match entry.mode {
            FileMode::Off => Mode::Off,
            FileMode::Report => Mode::Report,
            FileMode::Act => Mode::Act,
        },
        directions: match entry.directions {
            FileDirections::Both => Directions::Both,
            FileDirections::Inbound => Directions::Inbound,
            FileDirections::Outbound => Directions::Outbound,
        },
        kind: Kind::Sidecar,
        life: Life::Lives,
        protection: match entry.policy {
            FilePolicy::None => Protection::None,
            FilePolicy::MayBeLost => Protection::MayBeLost,
            FilePolicy::MustStay => Protection::MustStay,
        },
    };
    let target =
        Target { address: entry.address, probes: entry.probes, port: entry.port, container: Container::Unknown };
    Ok(Pod {
        workload: entry.workload.unwrap_or_else(|| entry.name.clone()),
        name: entry.name,
        place,
        target,
        standing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_reports_unless_it_says_more_and_what_is_unknown_is_refused() {
        let pods = parse("pods:\n- {name: shop/cart-1, netns: /run/netns/a, address: 10.0.0.2, port: 8080}\n").unwrap();
        let pod = pods.first().unwrap();
        assert_eq!((pod.standing.mode, &*pod.workload), (Mode::Report, "shop/cart-1"));
        for wrong in [
            "pods: [{name: a, address: 10.0.0.2}]",
            "pods: [{name: a, netns: /x, address: b}]",
            "pod: []",
            "pods: [{name: a, netns: /x, address: 10.0.0.2, mode: yes}]",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
