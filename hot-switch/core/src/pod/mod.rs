//! What is done with one pod.
//!
//! ```text
//!            failing            confirmed, allowed        consent, gate on
//!   Well ───────────► Suspect ───────────────► Confirmed ────────────────► Bypassed ◄──┐ fails
//!    ▲ ▲                │  │ not allowed            │ denied                   │ well    │
//!    │ └────────────────┘  └──────► Refused ◄───────┘                          ▼         │
//!    │    well again                   │ well again                        Recovering ───┘
//!    └─────────────────────────────────┘◄──────────── gate off ─────────────────┘ well for long enough
//! ```
//!
//! A pod whose proxy was never well is `Unborn` and stays out of it. What was done is read from the kernel in every
//! step, so an intent that was lost is given again, and an agent that starts finds out from the kernel where the one
//! before it stopped.

mod bypassed;
mod facts;
mod intent;
mod state;
mod stay;
mod step;
mod switches;
mod through;

pub use facts::{Consent, Facts, Kernel};
pub use intent::{Image, Intent, News, Wish};
pub use state::State;
pub use step::Pod;
