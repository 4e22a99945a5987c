//! Which pods a node has, and what is to be done with each.

pub mod file;
pub mod find;
pub mod gateway;
pub mod kubernetes;
pub mod watch;

use std::path::PathBuf;

use hot_switch_core::standing::Standing;

use crate::probe::round::Target;

/// Where a pod's network namespace is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, such as `/run/netns/NAME`.
    Path(PathBuf),
    /// By the pod's UID: the namespace of the oldest of its processes.
    Uid(String),
}

/// A pod.
#[derive(Clone, Debug)]
pub struct Pod {
    /// `namespace/name`.
    pub name: String,
    /// Its workload, the same way; its own name where it has none.
    pub workload: String,
    /// Its network namespace.
    pub place: Place,
    /// What is asked in it.
    pub target: Target,
    /// What may be done with it.
    pub standing: Standing,
}

/// Somebody who knows the node's pods.
pub trait Source: Send {
    /// All of them, now.
    ///
    /// # Errors
    /// If they cannot be known now; those known before go on being looked after.
    fn pods(&mut self) -> anyhow::Result<Vec<Pod>>;
}
