//! One request to the kernel over netlink, and all of its answers.

use anyhow::{Context, Result, bail};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkDeserializable, NetlinkHeader, NetlinkMessage,
    NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};

/// Longer than the kernel's own messages, which are at most 32 KiB.
const BUFFER: usize = 64 * 1024;

/// Asks for all that match.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn dump<M>(protocol: isize, question: M) -> Result<Vec<M>>
where
    M: NetlinkSerializable + NetlinkDeserializable,
{
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    exchange(protocol, NetlinkMessage::new(header, NetlinkPayload::InnerMessage(question)), None)
}

/// Orders one thing; `kind` is the message's type where the crate has no message for it.
///
/// # Errors
/// If the kernel refuses.
pub(super) fn order<M>(protocol: isize, what: M, kind: u16) -> Result<()>
where
    M: NetlinkSerializable + NetlinkDeserializable,
{
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK;
    exchange(protocol, NetlinkMessage::new(header, NetlinkPayload::InnerMessage(what)), Some(kind)).map(drop)
}

fn exchange<M>(protocol: isize, mut message: NetlinkMessage<M>, kind: Option<u16>) -> Result<Vec<M>>
where
    M: NetlinkSerializable + NetlinkDeserializable,
{
    message.finalize();
    if let Some(kind) = kind {
        message.header.message_type = kind;
    }
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let mut socket = Socket::new(protocol).context("no netlink socket")?;
    socket.bind_auto().context("no netlink address")?;
    socket.connect(&SocketAddr::new(0, 0)).context("no way to the kernel")?;
    socket.send(&bytes, 0).context("the kernel takes no request")?;
    let mut answers = Vec::new();
    loop {
        let mut received = Vec::with_capacity(BUFFER);
        socket.recv(&mut received, 0).context("the kernel does not answer")?;
        let mut rest = received.as_slice();
        while !rest.is_empty() {
            let length = NetlinkBuffer::new_checked(rest).context("a netlink answer is cut short")?.length();
            let Some((one, others)) = rest.split_at_checked(length.try_into().unwrap_or(usize::MAX)) else {
                bail!("a netlink answer is cut short");
            };
            rest = others.get(length.next_multiple_of(4) as usize - length as usize..).unwrap_or_default();
            let answer = NetlinkMessage::<M>::deserialize(one).context("a netlink answer cannot be read")?;
            match answer.payload {
                NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                NetlinkPayload::Done(_) => return Ok(answers),
                NetlinkPayload::Error(error) if error.code.is_none() => return Ok(answers),
                NetlinkPayload::Error(error) => return Err(error.to_io()).context("the kernel refuses"),
                _ => {}
            }
        }
    }
}
