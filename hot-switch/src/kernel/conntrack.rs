//! Which connections of the calling thread's network namespace go past the proxy, by the kernel's own account of
//! translations.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use netlink_packet_netfilter::conntrack::{ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Tuple};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::sockets::{Asks, TcpSocket};

/// Bits of a connection's status: its source or destination is translated.
const TRANSLATED: u32 = (1 << 4) | (1 << 5);

/// Connections by who began them with whom, and whether they are translated.
pub type Connections = BTreeMap<(SocketAddr, SocketAddr), bool>;

/// All TCP connections that the kernel tracks here.
///
/// # Errors
/// If the kernel cannot list them.
pub fn list() -> Result<Connections> {
    let mut connections = Connections::new();
    for family in [NetfilterProtoFamily::IPv4, NetfilterProtoFamily::IPv6] {
        let header = NetfilterHeader::new(family, 0, 0);
        let answers =
            super::netlink::dump(NETLINK_NETFILTER, NetfilterMessage::new(header, ConntrackMessage::Get(Vec::new())))
                .context("the pod's tracked connections cannot be listed")?;
        for answer in answers {
            let NetfilterMessageInner::Conntrack(message) = answer.inner else { continue };
            let (ConntrackMessage::New(attributes) | ConntrackMessage::Get(attributes)) = message else {
                continue;
            };
            if let Some((ends, translated)) = connection(&attributes) {
                connections.insert(ends, translated);
            }
        }
    }
    Ok(connections)
}

fn connection(attributes: &[ConntrackAttribute]) -> Option<((SocketAddr, SocketAddr), bool)> {
    let mut ends = None;
    let mut translated = false;
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(tuples) => ends = endpoints(tuples),
            ConntrackAttribute::CtaStatus(status) => translated = status.bits() & TRANSLATED != 0,
            _ => {}
        }
    }
    Some((ends?, translated))
}

fn endpoints(tuples: &[Tuple]) -> Option<(SocketAddr, SocketAddr)> {
    let (mut source, mut destination): (Option<IpAddr>, Option<IpAddr>) = (None, None);
    let (mut from, mut to) = (None, None);
    for tuple in tuples {
        match tuple {
            Tuple::Ip(parts) => {
                for part in parts {
                    match part {
                        IPTuple::SourceAddress(address) => source = Some(*address),
                        IPTuple::DestinationAddress(address) => destination = Some(*address),
                        _ => {}
                    }
                }
            }
            Tuple::Proto(parts) => {
                for part in parts {
                    match part {
                        ProtoTuple::SourcePort(port) => from = Some(*port),
                        ProtoTuple::DestinationPort(port) => to = Some(*port),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some((SocketAddr::new(source?, from?), SocketAddr::new(destination?, to?)))
}

/// The application's connections that go past the proxy though Istio's rules would redirect them. `passed` are the
/// ports that the rules let pass anyhow, `proxys` the sockets that are the sidecar's ([`super::owners`]).
///
/// A connection of which this namespace has both ends is none of them: with TPROXY the proxy calls the application from
/// its caller's address (`original_src`), and what it carries goes through the proxy.
#[must_use]
pub fn direct<'a>(
    sockets: &'a [TcpSocket],
    connections: &Connections,
    passed: &BTreeSet<u16>,
    proxys: &BTreeSet<u32>,
) -> Vec<(&'a TcpSocket, Asks)> {
    let ends: BTreeSet<(SocketAddr, SocketAddr)> = sockets.iter().map(|socket| (socket.local, socket.peer)).collect();
    let is_internal = |socket: &TcpSocket| socket.is_internal() || ends.contains(&(socket.peer, socket.local));
    let asks = |socket: &'a TcpSocket| {
        let inbound = connections.get(&(socket.peer, socket.local));
        let outbound = connections.get(&(socket.local, socket.peer));
        let (is_direct, asks) = match (inbound, outbound) {
            (Some(translated), _) => (!translated && !passed.contains(&socket.local.port()), Asks::Peer),
            (None, Some(translated)) => (!translated, Asks::Owner),
            (None, None) => (false, Asks::Owner),
        };
        is_direct.then_some((socket, asks))
    };
    sockets.iter().filter(|socket| !socket.is_proxys(proxys) && !is_internal(socket)).filter_map(asks).collect()
}
