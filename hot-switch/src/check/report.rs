//! What is told of a mesh. The field names are those of `--output json` and must not change.

use hot_switch_core::standing::{Directions, Mode};
use serde::Serialize;

use super::finding::{Finding, Severity};
use super::known::Case;
use super::sidecar::Sidecar;

/// What is told.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Every workload, in the order of the files.
    pub workloads: Vec<Judged>,
    /// What is wrong with the files themselves.
    pub files: Vec<Finding>,
    /// What had to be assumed, and of how many.
    pub assumed: Vec<Counted>,
    /// What was read and looked into by no rule, and how many of each.
    pub not_looked_into: Vec<Counted>,
    /// How much was read.
    pub read: Read,
}

impl Report {
    /// Every finding.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.files.iter().chain(self.workloads.iter().flat_map(|workload| &workload.findings))
    }

    /// How many findings are as bad as this.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings().filter(|finding| finding.severity == severity).count()
    }
}

/// How much was read.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Read {
    /// Files.
    pub files: usize,
    /// Resources in them.
    pub resources: usize,
}

/// Something, and how many there are.
#[derive(Clone, Debug, Serialize)]
pub struct Counted {
    /// What.
    pub what: String,
    /// How many.
    pub count: usize,
}

impl<T: Into<String>> From<(T, usize)> for Counted {
    fn from((what, count): (T, usize)) -> Self {
        Self { what: what.into(), count }
    }
}

/// A workload, judged.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// Kind, namespace and name.
    pub workload: String,
    /// The file, as the user named it.
    pub file: String,
    /// Where it begins; counts from 1.
    pub line: u64,
    /// Its mode, or the one that was to be assumed.
    pub mode: Mode,
    /// Which traffic is taken past the proxy.
    pub directions: Directions,
    /// Whether protection may be lost.
    pub allow_unprotected: bool,
    /// How many pods it is to have; `null`: as many as there are nodes.
    pub replicas: Option<u64>,
    /// How it is known whether it has a sidecar, in words.
    pub sidecar: &'static str,
    /// Whether it has one.
    pub has_sidecar: bool,
    /// The codes of the rules for which a bypass would be refused.
    pub refused: Vec<&'static str>,
    /// What comes to the pods.
    pub inbound: Direction,
    /// What the pods call.
    pub outbound: Direction,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Judged {
    /// A workload before it is judged.
    pub(crate) fn of(case: &Case<'_, '_>) -> Self {
        let (workload, consent) = (case.workload, case.consent);
        Self {
            workload: workload.title(),
            file: workload.resource.file.to_string(),
            line: workload.resource.node.position.line,
            mode: consent.mode,
            directions: consent.directions,
            allow_unprotected: consent.allow_unprotected,
            replicas: workload.replicas(),
            sidecar: case.sidecar.words(),
            has_sidecar: !matches!(case.sidecar, Sidecar::None(_)),
            refused: Vec::new(),
            inbound: Direction::default(),
            outbound: Direction::default(),
            findings: Vec::new(),
        }
    }
}

/// How much of a direction is brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As far as the files show, all.
    All,
    /// A part.
    Part,
    /// Nothing.
    None,
    /// It is not to be bypassed.
    #[default]
    Off,
}

/// What is told of a direction.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Direction {
    /// How much of it is brought back.
    pub verdict: Verdict,
    /// What is brought back, in words.
    pub restored: Vec<String>,
}
