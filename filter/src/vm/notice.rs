//! Notices about a configuration, which the next heartbeat logs once per proxy.
//!
//! They are not logged at once because Envoy also configures a canary VM, which it then discards.

/// A notice about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It was rejected, for this reason.
    Rejected(String),
    /// It is in force, with these unknown fields.
    InForce(Vec<String>),
}

impl Notice {
    /// The key with which workers claim to log it.
    pub(crate) const fn key(&self) -> &'static str {
        match self {
            Self::Rejected(_) => "rejected",
            Self::InForce(_) => "in_force",
        }
    }
}

/// The notices that wait for the next heartbeat, each with a number that identifies its configuration.
#[derive(Debug, Default)]
pub(crate) struct Notices(Vec<(u64, Notice)>);

impl Notices {
    /// Adds a notice about a configuration. It replaces an equal notice that still waits, even one about
    /// another one.
    pub(crate) fn push(&mut self, configuration: u64, notice: Notice) {
        self.0.retain(|(_, known)| *known != notice);
        self.0.push((configuration, notice));
    }

    /// Takes all of them, oldest first.
    pub(crate) fn take(&mut self) -> Vec<(u64, Notice)> {
        std::mem::take(&mut self.0)
    }
}
