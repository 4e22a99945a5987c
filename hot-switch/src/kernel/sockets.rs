//! The TCP sockets of the calling thread's network namespace, and their end.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DESTROY};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use crate::names::PROXY_UID;

/// A connection's socket.
#[derive(Clone, Debug)]
pub struct TcpSocket {
    /// Its own address.
    pub local: SocketAddr,
    /// The other side's.
    pub peer: SocketAddr,
    /// Whose it is.
    pub uid: u32,
    /// Its number, by which processes hold it.
    pub inode: u32,
    last: Last,
    family: u8,
    id: SocketId,
}

/// Who did something last on a connection.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    /// Milliseconds since data were sent, and since some came.
    sent: u32,
    received: u32,
    /// Data wait to be sent, or to be read.
    queued: bool,
}

/// Who asks on a connection, and who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// The other side asks: the connection comes from outside.
    Peer,
    /// The socket's owner asks.
    Owner,
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
        let extensions = ExtensionFlags::INFO;
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
                inode: answer.header.inode,
                last: last(&answer),
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

    /// Whether it is the sidecar's, of which these are known to be.
    #[must_use]
    pub fn is_proxys(&self, known: &BTreeSet<u32>) -> bool {
        self.uid == PROXY_UID || known.contains(&self.inode)
    }

    /// Whether a question is under way that has no answer yet: who asks did something last, or data wait. Of protocols
    /// that do not take turns it says nothing.
    #[must_use]
    pub fn is_asked(&self, who: Asks) -> bool {
        let Last { sent, received, queued } = self.last;
        queued
            || match who {
                Asks::Peer => received < sent,
                Asks::Owner => sent < received,
            }
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

fn last(answer: &InetResponse) -> Last {
    let header = &answer.header;
    let queued = header.recv_queue > 0 || header.send_queue > 0;
    let info = answer.nlas.iter().find_map(|part| if let Nla::TcpInfo(info) = part { Some(&**info) } else { None });
    // `struct tcp_info` of <linux/tcp.h>: tcpi_last_data_sent and tcpi_last_data_recv.
    let at = |place: usize| -> Option<u32> {
        Some(u32::from_ne_bytes(info?.get(place..place.checked_add(4)?)?.try_into().ok()?))
    };
    Last { sent: at(44).unwrap_or(0), received: at(52).unwrap_or(0), queued }
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
