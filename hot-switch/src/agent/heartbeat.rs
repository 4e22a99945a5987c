//! Keeps the node's Lease: says what is wanted, and hears what the controller says.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::consent::Authority;
use super::shared::Shared;
use crate::cluster::lease::Leases;
use crate::cluster::words::Asks;

/// In calm.
const EVERY: Duration = Duration::from_secs(5);
/// While an answer is awaited, and for how long a change waits at most.
const POLL_EVERY: Duration = Duration::from_millis(200);
/// Before this many seconds have passed, the kernels of the node's pods may not all have been read, and what is not
/// wanted yet may be wanted: the controller would take back what it granted.
const FIRST: Duration = Duration::from_secs(5);
/// A call of the API server takes no longer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Begins, on the caller's runtime.
pub(super) fn start(leases: Leases, shared: Arc<Shared>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("lease".into()).spawn(move || runtime.block_on(keep(&leases, &shared)))?;
    Ok(())
}

async fn keep(leases: &Leases, shared: &Shared) {
    tokio::time::sleep(FIRST).await;
    let mut said = Asks::default();
    let mut since = EVERY;
    let mut complained = false;
    loop {
        let (asks, waits) = match &*shared.consent() {
            Authority::Controller(board) => (board.asks(), board.waits()),
            Authority::Limits(_) => return,
        };
        if asks != said || waits || since >= EVERY {
            let asked = leases.ask(&shared.options.node, shared.clock.date(), &asks);
            let answers = tokio::time::timeout(TIMEOUT, asked).await;
            let answers = answers.unwrap_or_else(|_| Err(anyhow::anyhow!("the API server does not answer")));
            if let Err(error) = &answers
                && !complained
            {
                eprintln!("error: {error:#}; nothing new is bypassed meanwhile, restores go on");
            }
            complained = answers.is_err();
            if let Authority::Controller(board) = &mut *shared.consent() {
                board.hear(answers.ok());
            }
            said = asks;
            since = Duration::ZERO;
        }
        tokio::time::sleep(POLL_EVERY).await;
        since += POLL_EVERY;
    }
}
