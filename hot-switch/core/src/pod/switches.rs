//! How often a pod was bypassed lately.

use std::collections::VecDeque;

use crate::Moment;
use crate::settings::Settings;

/// More are never remembered, whatever the limit is set to.
const MOST: usize = 64;

/// The beginnings of a pod's bypasses within the flap window.
#[derive(Clone, Debug, Default)]
pub(super) struct Switches(VecDeque<Moment>);

impl Switches {
    /// Another one began.
    pub(super) fn record(&mut self, at: Moment) {
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(at);
    }

    /// Whether as many began within the window as may.
    pub(super) fn exhausted(&self, now: Moment, settings: &Settings) -> bool {
        let recent = self.0.iter().filter(|at| now.saturating_sub(**at) < settings.flap_window).count();
        recent >= settings.flap_limit.min(MOST)
    }
}
