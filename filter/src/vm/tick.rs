//! The time of the VM's next tick.
//!
//! Every root context ticks on its own. The one configured last is the VM's heartbeat; if it stops (its listener was
//! removed), another takes over. It beats every second, and ten times as often while anything is open. Between two
//! beats it may tick only to ask Envoy in time.

use crate::host;
use filter_core::time::Millis;

/// Time between two heartbeats while nothing is open.
const IDLE_TICK_MS: u32 = 1_000;
/// Time between two heartbeats while anything is open, and before the first.
const OPEN_TICK_MS: u32 = 100;
/// The shortest time between two ticks, for a question to Envoy that is due.
const MIN_TICK_MS: u32 = 5;
/// A heartbeat that has not ticked for this long is replaced.
const REPLACE_HEARTBEAT_MS: Millis = 5_000;

/// The root context whose ticks count, and when it last ticked.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    root: u32,
    ticked_at: Millis,
    beat_at: Millis,
    period_ms: u32,
}

impl Heartbeat {
    /// Makes `root`, whose configuration is being set, the heartbeat.
    pub(crate) fn follow(&mut self, root: u32) {
        self.root = root;
        self.set_period(OPEN_TICK_MS);
    }

    /// The root context whose ticks count.
    pub(crate) fn root(&self) -> u32 {
        self.root
    }

    /// Whether a tick of `root` at `now` counts.
    pub(crate) fn accepts_tick(&mut self, root: u32, now: Millis) -> bool {
        if root != self.root {
            if self.ticked_at.abs_diff(now) < REPLACE_HEARTBEAT_MS {
                return false;
            }
            self.follow(root);
        }
        self.ticked_at = now;
        true
    }

    /// Whether a tick at `now` is a beat, and not only for a question.
    pub(crate) fn is_beat(&mut self, now: Millis) -> bool {
        let is_beat =
            self.period_ms >= OPEN_TICK_MS || self.beat_at.abs_diff(now) >= Millis::from(OPEN_TICK_MS - MIN_TICK_MS);
        if is_beat {
            self.beat_at = now;
        }
        is_beat
    }

    /// Sets the time of the next tick; called in the heartbeat's tick. It is in time for what is due in `due`
    /// milliseconds; if nothing is due, it depends on whether anything `is_open` in the proxy.
    pub(crate) fn set_pace(&mut self, due: Option<Millis>, is_open: bool) {
        let period = match due {
            Some(due) => period_for(due),
            None if is_open => OPEN_TICK_MS,
            None => IDLE_TICK_MS,
        };
        if period != self.period_ms {
            self.set_period(period);
        }
    }

    /// Ticks faster from now on; called in a request's callback. In time for what is due in `due` milliseconds, or as
    /// fast as while anything is open.
    pub(crate) fn shorten_tick(&mut self, due: Option<Millis>) {
        let period = due.map_or(OPEN_TICK_MS, period_for);
        if self.period_ms > period {
            host::in_context(self.root, || self.set_period(period));
        }
    }

    fn set_period(&mut self, millis: u32) {
        self.period_ms = millis;
        let _ = host::set_tick_period(millis);
    }
}

/// Raises the tick period of the current root context, which does not drive the VM: its ticks only show that it lives.
pub(crate) fn slow_down() {
    let _ = host::set_tick_period(IDLE_TICK_MS);
}

/// The tick period that is short enough for what is due in `due` milliseconds.
fn period_for(due: Millis) -> u32 {
    u32::try_from(due).unwrap_or(OPEN_TICK_MS).clamp(MIN_TICK_MS, OPEN_TICK_MS)
}
