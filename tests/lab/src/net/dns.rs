//! A name server whose answers can change: names outside the mesh resolve to loopback addresses.
//!
//! It answers questions for IPv4 addresses, over UDP, with answers that must not be cached. Not here: the rest of DNS.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;

type Known = Mutex<HashMap<String, Ipv4Addr>>;

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    known: Arc<Known>,
    ended: Arc<AtomicBool>,
}

impl NameServer {
    /// Starts a server without any names.
    ///
    /// # Errors
    /// If no port is free.
    pub fn start() -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let names = Self { address: socket.local_addr()?, known: Arc::default(), ended: Arc::default() };
        let (known, ended) = (Arc::clone(&names.known), Arc::clone(&names.ended));
        thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question) {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                if let Some(answer) = answer(&question[..length], &known) {
                    // A client that gets no answer asks again.
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Ok(names)
    }

    /// Sets the name's address from now on.
    pub fn set(&self, name: &str, address: Ipv4Addr) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), address);
    }

    /// Its UDP address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the thread; if it has already ended, nothing reads this.
        let _ = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.send_to(&[0], self.address));
    }
}

const HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];

/// The answer to a message with one question; `None` for any other message.
fn answer(question: &[u8], known: &Known) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = question.get(at..at + 2)?;
    let end = at + 4;
    let address = known.lock().unwrap_or_else(PoisonError::into_inner).get(&labels.join(".")).copied();
    let found = address.filter(|_| kind == TYPE_A);
    // The question's id; an authoritative answer without recursion; "no such name" if the name is unknown.
    let code = if address.is_some() { 0 } else { 3 };
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([0x84, code, 0, 1, 0, u8::from(found.is_some()), 0, 0, 0, 0]);
    answer.extend(question.get(HEADER..end)?);
    if let Some(address) = found {
        // The name of the question, type A, class IN, a lifetime of 0 seconds, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_name_has_its_address_and_an_unknown_one_does_not_exist() {
        let known = Known::new(HashMap::from([("a.b".to_owned(), Ipv4Addr::new(127, 0, 1, 9))]));
        let question = |name: &[u8]| [&[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], name, &[0, 0, 1, 0, 1]].concat();
        let told = answer(&question(b"\x01a\x01B"), &known).unwrap();
        assert_eq!((told[3], told[7], &told[told.len() - 4..]), (0, 1, &[127, 0, 1, 9][..]));
        let told = answer(&question(b"\x01c"), &known).unwrap();
        assert_eq!((told[3], told[7]), (3, 0));
        assert_eq!(answer(&[0; 5], &known), None);
    }
}
