//! A TCP relay between Envoy and something it depends on, which can be cut.
//!
//! A cut relay refuses connections and has closed those that were open, as if the target's process were gone; the
//! target keeps running and keeps its state. Not here: delays, loss, or anything else between working and cut.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Result;
use socket2::SockRef;

use crate::net::ports::HeldPort;
use crate::wait::SAFETY_NET;

/// The relay; it is cut when this is dropped.
#[derive(Debug)]
pub struct Relay {
    port: HeldPort,
    listener: Mutex<Option<TcpListener>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    wires: Mutex<Wires>,
    known: Condvar,
}

#[derive(Debug, Default)]
struct Wires {
    target: Option<SocketAddr>,
    open: Vec<TcpStream>,
}

impl Relay {
    /// Starts a relay that is not cut. Connections wait until [`Relay::forward_to`] sets their target.
    ///
    /// # Errors
    /// If no port is free.
    pub fn start() -> Result<Self> {
        let port = HeldPort::on(Ipv4Addr::LOCALHOST)?;
        let relay = Self { port, listener: Mutex::default(), shared: Arc::default() };
        relay.mend()?;
        Ok(relay)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Sets the target of connections from now on.
    pub fn forward_to(&self, target: SocketAddr) {
        self.shared.lock().target = Some(target);
        self.shared.known.notify_all();
    }

    /// Refuses connections, and closes those that are open.
    pub fn cut(&self) {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listener) = listener {
            // Wakes the accepting thread; dropping alone would leave its clone open.
            let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
        }
        for stream in self.shared.lock().open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Accepts connections again.
    ///
    /// # Errors
    /// If the port cannot be listened on.
    pub fn mend(&self) -> Result<()> {
        let mut slot = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            let listener = self.port.listen()?;
            let accepting = listener.try_clone()?;
            let shared = Arc::clone(&self.shared);
            thread::spawn(move || {
                while let Ok((near, _)) = accepting.accept() {
                    let shared = Arc::clone(&shared);
                    // A connection that breaks is closed on both sides; that is not a failure of the relay.
                    thread::spawn(move || carry(&shared, &near));
                }
            });
            *slot = Some(listener);
        }
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Wires> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn carry(shared: &Shared, near: &TcpStream) -> io::Result<()> {
    let waited = shared.known.wait_timeout_while(shared.lock(), SAFETY_NET, |wires| wires.target.is_none());
    let target = waited.unwrap_or_else(PoisonError::into_inner).0.target;
    let far = TcpStream::connect(target.ok_or(io::ErrorKind::NotConnected)?)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    shared.lock().open.extend([near.try_clone()?, far.try_clone()?]);
    thread::scope(|scope| {
        scope.spawn(|| pour(near, &far));
        pour(&far, near);
    });
    Ok(())
}

fn pour(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::net::http::{Client, read_request};

    /// A server that answers `far` to every request.
    fn far(port: &HeldPort) {
        let listener = port.listen().unwrap();
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut unread = Vec::new();
                while let Ok(Some(_)) = read_request(&mut stream, &mut unread) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nfar").unwrap();
                }
            }
        });
    }

    #[test]
    fn a_cut_wire_refuses_and_a_mended_one_leads_on() {
        let port = HeldPort::on(Ipv4Addr::LOCALHOST).unwrap();
        far(&port);
        let relay = Relay::start().unwrap();
        relay.forward_to(port.address());
        let mut client = Client::new(relay.address(), "far");
        assert_eq!(client.get("/").unwrap().text(), "far");
        relay.cut();
        assert!(client.get("/").is_err());
        assert_eq!(client.get("/").unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        relay.mend().unwrap();
        assert_eq!(client.get("/").unwrap().text(), "far");
    }
}
