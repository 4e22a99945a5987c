//! What is to be said at the next heartbeat, once per proxy.
//!
//! Not while a configuration is set: a canary VM is configured too, and then thrown away.

use rustc_hash::FxBuildHasher;
use std::hash::BuildHasher;

/// Something to be said of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It was rejected, and why.
    Rejected(String),
    /// It is in force; the fields in it that mean nothing.
    InForce(Vec<String>),
}

/// The notices that wait for the next heartbeat, each with a number that stands for the configuration it is about.
#[derive(Debug, Default)]
pub(crate) struct Notices(Vec<(u64, Notice)>);

impl Notices {
    /// Adds what is to be said of the configuration `text`, unless it is to be said already: then of this one.
    pub(crate) fn push(&mut self, text: &[u8], notice: Notice) {
        self.0.retain(|(_, known)| *known != notice);
        self.0.push((FxBuildHasher.hash_one(text), notice));
    }

    /// Takes all of them, oldest first.
    pub(crate) fn take(&mut self) -> Vec<(u64, Notice)> {
        std::mem::take(&mut self.0)
    }
}
