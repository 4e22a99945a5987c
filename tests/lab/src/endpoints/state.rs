//! What an endpoint's threads share: its current behaviour and its open connections.

use std::collections::HashMap;
use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use super::behaviour::Behaviour;

/// Everything that the endpoint, its listener and its connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) state: Mutex<State>,
    /// Signalled when the behaviour is set, and when a connection ends.
    pub(super) changed: Condvar,
    pub(super) requests: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) application: OnceLock<Application>,
    /// Whether health checks are told that it is ill, whatever its behaviour.
    pub(super) ill: AtomicBool,
}

/// Maps a request's path to an answer's status and body.
pub(super) struct Application(pub(super) Box<Respond>);

type Respond = dyn Fn(&str) -> (u16, String) + Send + Sync;

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Application")
    }
}

/// What changes while the endpoint runs.
#[derive(Debug)]
pub(super) struct State {
    pub(super) behaviour: Behaviour,
    /// How often the behaviour was set: distinguishes a change to the same value from no change.
    pub(super) generation: u64,
    /// Open connections, each by its number.
    pub(super) open: HashMap<u64, TcpStream>,
}

impl Shared {
    /// The state of an endpoint that answers 200.
    pub(super) fn new(name: &str, address: SocketAddr) -> Self {
        let state = State { behaviour: Behaviour::Answer(200), generation: 0, open: HashMap::new() };
        Self {
            name: name.to_owned(),
            address,
            state: Mutex::new(state),
            changed: Condvar::new(),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            application: OnceLock::new(),
            ill: AtomicBool::new(false),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request, and returns the behaviour that applies to it, with its generation.
    pub(super) fn on_request(&self) -> (Behaviour, u64) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let state = self.lock();
        (state.behaviour, state.generation)
    }

    /// Waits until the behaviour is set again after the generation `since`.
    pub(super) fn wait_for_change(&self, since: u64) {
        let waited = self.changed.wait_while(self.lock(), |s| s.generation == since);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}
