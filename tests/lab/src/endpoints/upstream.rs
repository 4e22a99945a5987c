//! A scripted endpoint whose behaviour can be changed at any time.
//!
//! It speaks HTTP/1.1 and, if the client starts with it, HTTP/2. It simulates a real server with its failures: a wrong
//! answer, a port on which nothing listens, a connection that is cut at every stage, a server that hangs. Nothing
//! depends on time: a request that hangs, or whose body is held back, continues when the behaviour changes.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Result, ensure};
use socket2::SockRef;

use super::behaviour::Behaviour;
use super::serve::accept;
use super::state::{Application, Shared};
use crate::net::ports::{HeldPort, endpoint_ip};
use crate::wait::SAFETY_NET;

/// An endpoint on an address of its own; it keeps its port until it is dropped.
#[derive(Debug)]
pub struct Upstream {
    shared: Arc<Shared>,
    port: HeldPort,
    listener: Mutex<Option<TcpListener>>,
    // Makes connections wait while the behaviour is `Ignore`.
    ignoring: Mutex<Option<(TcpListener, TcpStream)>>,
}

impl Upstream {
    /// Starts an endpoint that answers 200. `name` is the body of its answers and their `x-served-by` header.
    ///
    /// # Errors
    /// If no port is free.
    pub fn start(name: &str) -> Result<Self> {
        Self::start_on(name, HeldPort::on(endpoint_ip())?)
    }

    /// Starts an endpoint with this one's port on another address.
    ///
    /// # Errors
    /// If the port is taken there.
    pub fn start_beside(&self, name: &str) -> Result<Self> {
        Self::start_on(name, HeldPort::at(SocketAddr::new(endpoint_ip().into(), self.address().port()))?)
    }

    fn start_on(name: &str, port: HeldPort) -> Result<Self> {
        let shared = Arc::new(Shared::new(name, port.address()));
        let upstream = Self { shared, port, listener: Mutex::new(None), ignoring: Mutex::new(None) };
        upstream.set(Behaviour::Answer(200))?;
        Ok(upstream)
    }

    /// Where it listens, or would listen.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The name it answers with.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// While the behaviour is `Answer(200)`, `answer` makes the status and body of HTTP/1.1 answers from the path. Only
    /// the first call of this function has an effect.
    pub fn run(&self, answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) {
        let _ = self.shared.application.set(Application(Box::new(answer)));
    }

    /// Requests read so far, whatever their result.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Whether health checks (requests for [`super::HEALTH_PATH`]) fail although requests may succeed.
    pub fn set_ill(&self, ill: bool) {
        self.shared.ill.store(ill, Ordering::SeqCst);
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Changes the behaviour. For [`Behaviour::Refuse`], [`Behaviour::Ignore`] and [`Behaviour::ResetOnConnect`] it
    /// returns when the client has seen the end of every open connection, so that its next request needs a new one.
    ///
    /// # Errors
    /// If the port cannot be listened on again, or the client keeps a connection that was closed.
    pub fn set(&self, behaviour: Behaviour) -> Result<()> {
        let listens = !matches!(behaviour, Behaviour::Refuse | Behaviour::Ignore);
        if !listens {
            self.close_listener();
        }
        let mut state = self.shared.lock();
        state.behaviour = behaviour;
        state.generation += 1;
        self.shared.changed.notify_all();
        if behaviour.ends_connections() {
            for connection in state.open.values() {
                // The client may be gone already; the connection's reader then ends by itself.
                let _ = connection.shutdown(Shutdown::Write);
            }
            let net = self.shared.changed.wait_timeout_while(state, SAFETY_NET, |s| !s.open.is_empty());
            let (state, _) = net.unwrap_or_else(PoisonError::into_inner);
            ensure!(state.open.is_empty(), "{}: the client keeps connections that were closed", self.name());
        } else {
            drop(state);
        }
        let mut ignoring = self.ignoring.lock().unwrap_or_else(PoisonError::into_inner);
        *ignoring = None;
        if behaviour == Behaviour::Ignore {
            *ignoring = Some(self.port.listen_in_vain()?);
        }
        if listens {
            self.open_listener()?;
        }
        Ok(())
    }

    fn open_listener(&self) -> Result<()> {
        let mut slot = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            let listener = self.port.listen()?;
            let accepting = listener.try_clone()?;
            let shared = Arc::clone(&self.shared);
            thread::spawn(move || accept(&shared, &accepting));
            *slot = Some(listener);
        }
        Ok(())
    }

    fn close_listener(&self) {
        let closed = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listener) = closed {
            // Stops listening at once and wakes the accepting thread; dropping alone would leave its clone open.
            let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.close_listener();
        let mut state = self.shared.lock();
        state.behaviour = Behaviour::Refuse;
        state.generation += 1;
        self.shared.changed.notify_all();
        for connection in state.open.values() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}
