//! Ports that no other process can take: each is held from the moment it is chosen until its owner is dropped.
//!
//! A socket that is bound but never listens keeps its port from other processes, refuses connections like a closed
//! port, and lets another socket (of the test, Envoy or a registry) listen on the same address, because both allow
//! address reuse. So parallel tests never race for a port, and an endpoint can stop and come back at its address. Linux
//! only.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};

use socket2::{Domain, Socket, Type};

/// A port on one address that is held for as long as this value lives.
#[derive(Debug)]
pub struct HeldPort {
    // Never read; holds the port while it is bound.
    _holder: Socket,
    address: SocketAddr,
}

impl HeldPort {
    /// Takes a free port on `ip`.
    ///
    /// # Errors
    /// If the address is not local or no port is free.
    pub fn on(ip: Ipv4Addr) -> io::Result<Self> {
        Self::at(SocketAddr::new(IpAddr::V4(ip), 0))
    }

    /// Takes this address; with port 0, a free one.
    ///
    /// # Errors
    /// If it is not local, or taken.
    pub fn at(address: SocketAddr) -> io::Result<Self> {
        let holder = bound(address)?;
        let address = holder.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { _holder: holder, address })
    }

    /// The address with its port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens on the held port; after the listener is dropped, the port refuses connections again.
    ///
    /// # Errors
    /// If another socket already listens there.
    pub fn listen(&self) -> io::Result<TcpListener> {
        let socket = bound(self.address)?;
        socket.listen(1024)?;
        Ok(socket.into())
    }

    /// Listens on the held port, but connections are never established: nothing accepts them, and the returned
    /// connection fills the queue. After both are dropped, the port refuses connections again.
    ///
    /// # Errors
    /// If another socket already listens there.
    pub fn listen_in_vain(&self) -> io::Result<(TcpListener, TcpStream)> {
        let socket = bound(self.address)?;
        // A backlog of one connection.
        socket.listen(0)?;
        Ok((socket.into(), TcpStream::connect(self.address)?))
    }
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The next address of 127.0.1.0/24, one for each endpoint: real endpoints differ in their address, not in their port.
pub fn endpoint_ip() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed) % 254;
    Ipv4Addr::new(127, 0, 1, u8::try_from(n + 1).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_port_refuses_listens_and_refuses_again() {
        let port = HeldPort::on(endpoint_ip()).unwrap();
        for _ in 0..3 {
            let refused = TcpStream::connect(port.address()).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let listener = port.listen().unwrap();
            TcpStream::connect(port.address()).unwrap();
            drop(listener);
        }
    }
}
