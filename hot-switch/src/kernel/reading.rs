//! The rules of a namespace in all backends, and what is done to them there.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail, ensure};
use hot_switch_core::standing::Directions;

use super::apply;
use super::plan;
use super::rules::{Backend, Mark, Rules};

/// The rules of the calling thread's network namespace, in every backend that has any of Istio's or ours.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    parts: Vec<Rules>,
}

/// What the rules amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Istio's rules are there.
    pub captured: bool,
    /// The application's probes are taken over, wherever traffic is captured.
    pub probes: bool,
    /// So is the sidecar's own readiness.
    pub ready: bool,
    /// When the gate was set, in milliseconds since 1970, if any part of it is there.
    pub gate: Option<u64>,
    /// Part of it is missing, or concerns a direction that it should not.
    pub half: bool,
}

impl Reading {
    /// Reads them.
    ///
    /// # Errors
    /// If no program to read them is installed, or one fails.
    pub fn take() -> Result<Self> {
        let mut parts = Vec::new();
        let mut installed = false;
        for backend in Backend::ALL {
            if !may_have_rules(backend) {
                continue;
            }
            match apply::read(backend)? {
                Some(rules) => {
                    installed = true;
                    if rules.capture() || rules.have_ours() {
                        parts.push(rules);
                    }
                }
                None if is_legacy(backend) => {
                    let program = backend.reader();
                    bail!("the pod has rules that only {program} can read: put iptables-legacy into the image");
                }
                None => {}
            }
        }
        ensure!(installed, "neither iptables-nft-save nor nft is installed: put iptables and nftables into the image");
        Ok(Self { parts })
    }

    /// A reading of these rules, for tests and plans.
    #[must_use]
    pub fn of(parts: Vec<Rules>) -> Self {
        Self { parts }
    }

    /// The rules, by backend.
    #[must_use]
    pub fn parts(&self) -> &[Rules] {
        &self.parts
    }

    /// What they amount to, where a bypass concerns these directions.
    #[must_use]
    pub fn found(&self, directions: Directions) -> Found {
        let capturing = || self.parts.iter().filter(|rules| rules.capture());
        let captured = capturing().next().is_some();
        let chains = self.parts.iter().flat_map(Rules::chains).filter(|(_, chain)| chain.way().is_some());
        let gate = chains.filter_map(|(_, chain)| chain.gate()).min();
        let differs = self.parts.iter().any(|rules| plan::gate_on(rules, directions, 0).is_some());
        Found {
            captured,
            probes: captured && capturing().all(|rules| rules.have(Mark::Probes)),
            ready: captured && capturing().all(|rules| rules.have(Mark::Ready)),
            gate,
            half: gate.is_some() && differs,
        }
    }

    /// The ports on which the pod is reached past the proxy anyhow.
    #[must_use]
    pub fn passed_ports(&self) -> BTreeSet<u16> {
        self.parts.iter().flat_map(Rules::passed_ports).collect()
    }

    /// Whether any part marks and diverts traffic instead of redirecting it.
    #[must_use]
    pub fn is_tproxy(&self) -> bool {
        self.parts.iter().any(Rules::is_tproxy)
    }

    /// Sets the gate.
    ///
    /// # Errors
    /// If a program refuses; what was done before it is kept, seen by the next reading, and completed.
    pub fn gate_on(&self, directions: Directions, since: u64) -> Result<()> {
        self.each(|rules| plan::gate_on(rules, directions, since)).context("the gate cannot be set")
    }

    /// Takes the gate away.
    ///
    /// # Errors
    /// If a program refuses.
    pub fn gate_off(&self) -> Result<()> {
        self.each(plan::gate_off).context("the gate cannot be taken away")
    }

    /// Takes the application's probes over.
    ///
    /// # Errors
    /// If a program refuses.
    pub fn take_probes(&self) -> Result<()> {
        self.each(plan::take_probes).context("probes cannot be taken over")
    }

    /// Takes the sidecar's own readiness over.
    ///
    /// # Errors
    /// If a program refuses.
    pub fn take_ready(&self) -> Result<()> {
        self.each(plan::take_ready).context("the sidecar's readiness cannot be taken over")
    }

    /// Returns all probes.
    ///
    /// # Errors
    /// If a program refuses.
    pub fn return_probes(&self) -> Result<()> {
        self.each(plan::return_probes).context("probes cannot be returned")
    }

    fn each(&self, plan: impl Fn(&Rules) -> Option<String>) -> Result<()> {
        for rules in &self.parts {
            if let Some(text) = plan(rules) {
                apply::write(rules.backend, &text)?;
            }
        }
        Ok(())
    }
}

fn is_legacy(backend: Backend) -> bool {
    matches!(backend, Backend::Legacy4 | Backend::Legacy6)
}

/// The kernel lists the legacy tables that exist. They are looked at only then: reading one makes it, and Istio's own
/// program takes a legacy table that it finds for the one to use.
fn may_have_rules(backend: Backend) -> bool {
    let list = match backend {
        Backend::Legacy4 => "/proc/thread-self/net/ip_tables_names",
        Backend::Legacy6 => "/proc/thread-self/net/ip6_tables_names",
        Backend::Nft4 | Backend::Nft6 | Backend::Native => return true,
    };
    fs::read_to_string(list).is_ok_and(|names| !names.trim().is_empty())
}
