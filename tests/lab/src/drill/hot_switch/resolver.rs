//! Who answers DNS, in as much of it as shows which way a question went: the resolver of the cluster, and the proxy's
//! own, which stands in for pilot-agent's.

use std::io::{ErrorKind, Result as Io};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::thread::{set_thread_gid, set_thread_uid};

use super::callers::Way;
use crate::istio::Namespace;

/// Where the rules send an application's questions.
const CAPTURED: u16 = 15053;
/// Under this user, and in this group, sidecars run; the rules tell by it whose packets they see.
const PROXY: u32 = 1337;
/// How long an asker waits, and how often a server looks whether it is to end.
const PATIENCE: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(50);

/// One that answers until it is dropped.
#[derive(Debug)]
pub(super) struct Resolver {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Resolver {
    /// The cluster's, at this address.
    pub(super) fn of_cluster(namespace: &Namespace, address: SocketAddr) -> Result<Self> {
        Self::start(namespace, address, b"past", None)
    }

    /// The proxy's.
    pub(super) fn of_proxy(namespace: &Namespace) -> Result<Self> {
        Self::start(namespace, ([127, 0, 0, 1], CAPTURED).into(), b"through", Some(PROXY))
    }

    fn start(namespace: &Namespace, at: SocketAddr, answer: &'static [u8], user: Option<u32>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = namespace.inside(|| {
            // On the thread that `inside` made, and so on no other.
            if let Some(user) = user {
                set_thread_gid(rustix::process::Gid::from_raw(user))?;
                set_thread_uid(rustix::process::Uid::from_raw(user))?;
            }
            let socket = UdpSocket::bind(at).with_context(|| format!("{at}: cannot listen"))?;
            socket.set_read_timeout(Some(LOOK))?;
            let serve = move || {
                let mut question = [0; 512];
                while !stopped.load(Ordering::Relaxed) {
                    if let Ok((_, from)) = socket.recv_from(&mut question) {
                        let _ = socket.send_to(answer, from);
                    }
                }
            };
            Ok(thread::Builder::new().name("resolver".into()).spawn(serve)?)
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Its port is free afterwards.
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// Asks this resolver, from a port that was never used before, as resolvers in applications do.
pub(super) fn ask(resolver: SocketAddr) -> Io<Way> {
    let socket = UdpSocket::bind(SocketAddr::from(([0, 0, 0, 0], 0)))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(resolver)?;
    socket.send(b"where?")?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    match answer.get(..length) {
        Some(b"through") => Ok(Way::Through),
        Some(b"past") => Ok(Way::Past),
        _ => Err(ErrorKind::InvalidData.into()),
    }
}
