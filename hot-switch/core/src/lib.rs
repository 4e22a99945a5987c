//! What hot-switch decides, pure: facts in, intents out, time an argument.
//!
//! [`sighting`] says what a round of probes means, [`pod`] what is done with one pod, [`node`] whether a node may be
//! believed, [`fleet`] how many pods may be bypassed at once, [`event`]
//! what people's programs read of it. No clock, no I/O: whoever calls does both.

pub mod event;
pub mod fleet;
pub mod node;
pub mod pod;
pub mod refusal;
pub mod settings;
pub mod sighting;
pub mod standing;

/// A moment: the time since some start that all moments of one program share. It never goes back.
pub type Moment = core::time::Duration;
