//! What can be set, with the values that hold when nothing is.

use crate::Moment;

/// What is done with a pod that was bypassed too often within [`Settings::flap_window`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFlap {
    /// It is not bypassed again before the window has passed.
    StayOff,
    /// It stays bypassed until the window has passed.
    StayBypassed,
}

/// What is done when a bypass lasts longer than [`Settings::longest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnOverdue {
    /// It is told, and goes on: the proxy still fails.
    Alarm,
    /// It ends, though the proxy may still fail.
    Restore,
}

/// What can be set for a pod's decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For how long a proxy must be dead before that is confirmed.
    pub confirm_dead: Moment,
    /// For how long a proxy must be silent before that is confirmed.
    pub confirm_silent: Moment,
    /// For how long a proxy that failed may take to start again.
    pub confirm_starting: Moment,
    /// How many sightings in a row must agree, at least 2.
    pub confirm_sightings: u32,
    /// For how long a proxy must be well again before the bypass ends.
    pub well_for: Moment,
    /// How long a bypass lasts at least.
    pub hold: Moment,
    /// How long after the end of a bypass its direct connections may live.
    pub grace: Moment,
    /// How many bypasses [`Settings::flap_window`] allows.
    pub flap_limit: usize,
    /// The window of [`Settings::flap_limit`].
    pub flap_window: Moment,
    /// What is done beyond it.
    pub on_flap: OnFlap,
    /// How long a bypass may last.
    pub longest: Moment,
    /// What is done beyond it.
    pub on_overdue: OnOverdue,
    /// For how long a container must be down before the stand-in image is wanted; `None`: never.
    pub stand_in_after: Option<Moment>,
    /// How long the stand-in stays before the real image is tried again; doubled each time, up to 16 times this.
    pub retry_image: Moment,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            confirm_dead: Moment::from_secs(3),
            confirm_silent: Moment::from_secs(3),
            confirm_starting: Moment::from_secs(10),
            confirm_sightings: 3,
            well_for: Moment::from_secs(10),
            hold: Moment::from_secs(30),
            grace: Moment::from_secs(30),
            flap_limit: 3,
            flap_window: Moment::from_secs(600),
            on_flap: OnFlap::StayOff,
            longest: Moment::from_secs(3600),
            on_overdue: OnOverdue::Alarm,
            stand_in_after: Some(Moment::from_secs(10)),
            retry_image: Moment::from_secs(60),
        }
    }
}
