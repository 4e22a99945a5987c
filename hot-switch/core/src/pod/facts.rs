//! What a step of a pod is decided from.

use crate::Moment;
use crate::node::Node;
use crate::refusal::Refusal;
use crate::sighting::Sighting;
use crate::standing::Standing;

/// What is in the pod's kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    /// Istio's rules are there.
    pub captured: bool,
    /// The application's probes, which come to 15020, are taken over.
    pub probes: bool,
    /// The sidecar's own readiness, 15021, is taken over.
    pub ready: bool,
    /// The gate is on, at least in part, since this moment.
    pub gate: Option<Moment>,
    /// A part of the gate is missing, as whoever set it was stopped between two families or backends; or its owner
    /// chose other directions since.
    pub half: bool,
}

impl Kernel {
    /// Whether any probe is answered in the proxy's place.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.probes || self.ready
    }
}

/// What the controller says of this pod's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// There is nobody to ask.
    NoController,
    /// It has not answered yet.
    Waiting,
    /// Yes; the pod's label already tells its callers.
    Granted,
    /// No.
    Denied(Refusal),
}

/// What a step is decided from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Now.
    pub now: Moment,
    /// What the probes saw.
    pub sighting: Sighting,
    /// What is in the kernel.
    pub kernel: Kernel,
    /// What may be done with the pod at all.
    pub standing: Standing,
    /// The node in this round.
    pub node: Node,
    /// From which delay on the agent does not believe itself.
    pub patience: Moment,
    /// The controller's word.
    pub consent: Consent,
}
