//! The TCP sockets of the calling thread's network namespace, and their end.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DESTROY};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

/// A connection's socket.
#[derive(Clone, Debug)]
pub struct TcpSocket {
    /// Its own address.
    pub local: SocketAddr,
    /// The other side's.
    pub peer: SocketAddr,
    /// Whose it is.
    pub uid: u32,
    family: u8,
    id: SocketId,
}

/// All sockets of connections that are open or being opened.
///
/// # Errors
/// If the kernel cannot list them.
pub fn list() -> Result<Vec<TcpSocket>> {
    let mut sockets = Vec::new();
    for (family, any) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        let states = StateFlags::ESTABLISHED
            | StateFlags::SYN_SENT
            | StateFlags::SYN_RECV
            | StateFlags::CLOSE_WAIT
            | StateFlags::FIN_WAIT1;
        let extensions = ExtensionFlags::empty();
        let request = InetRequest { family, protocol: IPPROTO_TCP, extensions, states, socket_id: any };
        let answers = super::netlink::dump(NETLINK_SOCK_DIAG, SockDiagMessage::InetRequest(request))
            .context("the pod's sockets cannot be listed")?;
        for answer in answers {
            let SockDiagMessage::InetResponse(answer) = answer else { continue };
            let id = answer.header.socket_id.clone();
            sockets.push(TcpSocket {
                local: SocketAddr::new(id.source_address.to_canonical(), id.source_port),
                peer: SocketAddr::new(id.destination_address.to_canonical(), id.destination_port),
                uid: answer.header.uid,
                family,
                id,
            });
        }
    }
    Ok(sockets)
}

impl TcpSocket {
    /// Whether both ends are in this namespace.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        is_loopback(self.peer.ip()) || is_loopback(self.local.ip()) || self.peer.ip() == self.local.ip()
    }

    /// Ends the connection: its owner gets an error, and the other side a reset.
    ///
    /// # Errors
    /// If the kernel refuses: it lacks `INET_DIAG_DESTROY`, or the capability `NET_ADMIN` is missing.
    pub fn destroy(&self) -> Result<()> {
        let request = InetRequest {
            family: self.family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::all(),
            socket_id: self.id.clone(),
        };
        super::netlink::order(NETLINK_SOCK_DIAG, SockDiagMessage::InetRequest(request), SOCK_DESTROY)
            .with_context(|| format!("the connection {} to {} cannot be ended", self.local, self.peer))
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.is_loopback()
}

/// Ends all of these; one that has just ended by itself is as good. The number of those that were ended, and the last
/// complaint.
pub fn destroy_all<'a>(sockets: impl Iterator<Item = &'a TcpSocket>) -> (usize, Option<anyhow::Error>) {
    let mut ended = 0;
    let mut complaint = None;
    for socket in sockets {
        match socket.destroy() {
            Ok(()) => ended += 1,
            Err(error) if is_gone(&error) => {}
            Err(error) => complaint = Some(error),
        }
    }
    (ended, complaint)
}

fn is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}
