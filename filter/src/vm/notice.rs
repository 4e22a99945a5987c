//! What the next heartbeat logs of a configuration, once per proxy.
//!
//! Not at once: a canary VM is configured too, and then thrown away.

use rustc_hash::FxBuildHasher;
use std::hash::BuildHasher;

/// What is logged of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It was rejected, and why.
    Rejected(String),
    /// It is in force; the fields in it that mean nothing.
    InForce(Vec<String>),
}

impl Notice {
    /// Under which key workers claim to log it.
    pub(crate) const fn key(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::InForce(_) => "in_force",
        }
    }
}

/// The notices that wait for the next heartbeat, each with a number that stands for the configuration it is about.
#[derive(Debug, Default)]
pub(crate) struct Notices(Vec<(u64, Notice)>);

impl Notices {
    /// Adds a notice about the configuration `text`. An equal one that still waits, perhaps about another, is dropped.
    pub(crate) fn push(&mut self, text: &[u8], notice: Notice) {
        self.0.retain(|(_, known)| *known != notice);
        self.0.push((FxBuildHasher.hash_one(text), notice));
    }

    /// Takes all of them, oldest first.
    pub(crate) fn take(&mut self) -> Vec<(u64, Notice)> {
        std::mem::take(&mut self.0)
    }
}
