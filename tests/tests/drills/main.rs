//! The drills and rounds of the judge are the tests that load the machine most, so they run one at a time.

mod chart;
mod drills;
mod hot_switch;
mod istio;
mod judge;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits until no other test of this binary runs, and reserves the machine until the guard is dropped.
fn machine() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}
