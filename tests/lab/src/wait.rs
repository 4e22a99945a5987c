//! Waits for a condition instead of for a fixed time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// How long a condition may take before it counts as missing. It is far more than a slow machine needs: it ends a hang
/// and never decides a test.
pub const SAFETY_NET: Duration = Duration::from_secs(60);

/// Calls `find` every ten milliseconds until it finds something; `what` names it in the error.
///
/// # Errors
/// An error of `find`, or that it found nothing within [`SAFETY_NET`].
pub fn eventually<T>(what: &str, find: impl Fn() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = find()? {
            return Ok(found);
        }
        ensure!(started.elapsed() < SAFETY_NET, "{what}: not within {} s", SAFETY_NET.as_secs());
        thread::sleep(Duration::from_millis(10));
    }
}
