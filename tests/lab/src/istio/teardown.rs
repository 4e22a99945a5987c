//! The end of a mesh: on every way out, a return, a failure, a panic or a signal.

use std::thread;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::netns;

/// Exit code of a program that a signal ended: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Removes this program's mesh when it is dropped.
#[derive(Debug)]
pub(crate) struct Teardown;

impl Teardown {
    /// From now on, nothing of the mesh outlives this value, nor the program if SIGINT, SIGTERM or SIGHUP ends it.
    ///
    /// # Errors
    /// If signals cannot be received.
    pub(crate) fn prepare() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listening = runtime.enter();
        let [mut interrupt, mut terminate, mut hang_up] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        drop(listening);
        let failed = [&interrupt, &terminate, &hang_up].into_iter().find_map(|one| one.as_ref().err());
        if let Some(error) = failed {
            anyhow::bail!("signals cannot be received: {error}");
        }
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                let (Ok(interrupt), Ok(terminate), Ok(hang_up)) = (&mut interrupt, &mut terminate, &mut hang_up) else {
                    return;
                };
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => {}
                }
            });
            // Nothing new is made from here on: the gate stays held until the end.
            let _gate = netns::gate();
            if let Err(error) = netns::remove_all(&netns::mesh_name()) {
                tell(&error);
            }
            std::process::exit(INTERRUPTED);
        })?;
        Ok(Self)
    }
}

impl Drop for Teardown {
    fn drop(&mut self) {
        // While a signal's clearing up goes on, this waits, and the program ends with that.
        let _gate = netns::gate();
        let removed = netns::remove_all(&netns::mesh_name());
        if let Err(error) = removed.context("what the drill started is not all gone") {
            tell(&error);
        }
    }
}

#[expect(clippy::print_stderr, reason = "the last words of a program that ends have no other way out")]
fn tell(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
