//! A receiver of Alertmanager's webhooks that keeps only how large each notification is.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;
use serde_json::Value;

/// One notification.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Notification {
    pub(crate) bytes: usize,
    /// Alerts in it, and those that `max_alerts` left out.
    pub(crate) alerts: usize,
    pub(crate) left_out: u64,
}

/// A running receiver; it lasts as long as the program.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Notification>>>,
}

impl Receiver {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let receiver = Self { address: listener.local_addr()?, seen: Arc::default() };
        let seen = Arc::clone(&receiver.seen);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = Arc::clone(&seen);
                thread::spawn(move || while receive(&stream, &seen).unwrap_or(false) {});
            }
        });
        Ok(receiver)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All notifications so far, in the order of arrival.
    pub(crate) fn seen(&self) -> Vec<Notification> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads one notification and answers it; false if the connection has ended.
fn receive(mut stream: &TcpStream, seen: &Mutex<Vec<Notification>>) -> io::Result<bool> {
    let mut bytes = Vec::new();
    let body = loop {
        if let Some(body) = body(&bytes)? {
            break body.to_vec();
        }
        let mut chunk = vec![0_u8; 256 * 1024];
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok(false);
        }
        bytes.extend_from_slice(&chunk[..read]);
    };
    let json: Value = serde_json::from_slice(&body)?;
    let alerts = json["alerts"].as_array().map_or(0, Vec::len);
    let left_out = json["truncatedAlerts"].as_u64().unwrap_or(0);
    let notification = Notification { bytes: body.len(), alerts, left_out };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(notification);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    Ok(true)
}

/// The body of a request that is complete.
fn body(bytes: &[u8]) -> io::Result<Option<&[u8]>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes).map_err(io::Error::other)? else { return Ok(None) };
    let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse::<usize>().ok());
    let length = length.ok_or_else(|| io::Error::other("a notification without a content length"))?;
    Ok(bytes.get(head..head + length))
}
