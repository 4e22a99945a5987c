//! What a step of a pod leads to.

use crate::Moment;
use crate::event;
use crate::refusal::Refusal;
use crate::sighting::Condition;
use crate::standing::Directions;

/// Something to do now. Each may be given again until the kernel shows that it is done, so each must be idempotent.
/// After a list of them was done, or failed, the kernel is read and [`super::Pod::settle`] called: people are told of
/// what the kernel shows, not of what was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Answer the application's probes in the proxy's place.
    TakeProbes,
    /// Answer the sidecar's own readiness too. Only where the gate is on: the pod would else be ready, and whatever is
    /// sent to it be lost in its proxy.
    TakeReady,
    /// Leave all of them to the proxy again.
    ReturnProbes,
    /// Take traffic past the proxy. The rule keeps the moment.
    GateOn(Directions, Moment),
    /// Give traffic back to the proxy.
    GateOff,
    /// End the connections that hang in the proxy.
    CutProxySockets,
    /// End the connections that were made past the proxy.
    CutDirectFlows,
    /// Tell people.
    Tell(News),
}

/// What people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The proxy fails, seen at least twice.
    Suspected(Condition),
    /// It is well again before anything was done; it failed for this long.
    Recovered(Moment),
    /// Its traffic goes past it; it failed for this long before.
    Bypassed(Condition, Moment),
    /// A gate was found in the kernel and is looked after from now on.
    Adopted,
    /// Its traffic goes through it again; the bypass lasted for this long.
    Restored(Moment),
    /// It fails, and it is not bypassed.
    Refused(Refusal, Condition),
    /// The bypass lasts longer than it may.
    Overdue(Moment),
}

impl News {
    /// The event's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Suspected(_) => event::SUSPECTED,
            Self::Recovered(_) => event::RECOVERED,
            Self::Bypassed(..) => event::BYPASSED,
            Self::Adopted => event::ADOPTED,
            Self::Restored(_) => event::RESTORED,
            Self::Refused(..) => event::REFUSED,
            Self::Overdue(_) => event::OVERDUE,
        }
    }
}

/// Which image the proxy's container should have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Image {
    /// The proxy's.
    #[default]
    Real,
    /// The stand-in, which makes the pod ready.
    StandIn,
}

/// What the pod's agent wants from the controller, for as long as it wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// When the failure began: names this wish, so that a consent to an earlier one is none to this.
    pub since: Moment,
    /// Why.
    pub why: Condition,
    /// The image.
    pub image: Image,
}
