//! Measures how late the agent itself is: what it calls a proxy's silence may be its own.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::shared::Shared;

const EVERY: Duration = Duration::from_millis(200);
/// The worst of this many measurements counts: two seconds.
const LATELY: usize = 10;

/// Begins to measure. It ends with the agent.
pub(super) fn watch(shared: Arc<Shared>) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let shared = Arc::downgrade(&shared);
    thread::Builder::new().name("node".into()).spawn(move || measure(&listener, address, &shared))?;
    Ok(())
}

fn measure(listener: &TcpListener, address: SocketAddr, shared: &Weak<Shared>) {
    let mut delays = VecDeque::new();
    while let Some(shared) = shared.upgrade() {
        let began = Instant::now();
        thread::sleep(EVERY);
        // A connection to a socket of one's own: what a healthy proxy's probe costs on this node now.
        let own = TcpStream::connect_timeout(&address, EVERY).and_then(|_| listener.accept());
        let late = began.elapsed().saturating_sub(EVERY);
        delays.push_back(if own.is_ok() { late } else { late.max(EVERY) });
        if delays.len() > LATELY {
            delays.pop_front();
        }
        shared.set_delay(delays.iter().copied().max().unwrap_or_default());
    }
}
