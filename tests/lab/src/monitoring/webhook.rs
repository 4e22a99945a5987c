//! A receiver of Alertmanager's webhooks that keeps every alert; it takes the place of an on-call person's pager.
//!
//! It supports only the HTTP that Alertmanager sends: POSTs with a content length. Not here: what makes the alerts.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;

use anyhow::Result;
use serde_json::Value;

use crate::net::ports::HeldPort;

/// One alert of one notification.
#[derive(Clone, Debug)]
pub struct Alert {
    /// The alert, as Alertmanager's webhooks write it: `status`, `labels`, `annotations`, `startsAt`, …
    pub fields: Value,
    /// When the notification arrived.
    pub arrived: SystemTime,
}

impl Alert {
    /// A label; empty if the alert has none of this name.
    pub fn label(&self, name: &str) -> &str {
        self.fields["labels"][name].as_str().unwrap_or_default()
    }

    /// An annotation; empty if the alert has none of this name.
    pub fn annotation(&self, name: &str) -> &str {
        self.fields["annotations"][name].as_str().unwrap_or_default()
    }

    /// Whether this is a notification that the alert of that name fires.
    pub fn fires(&self, name: &str) -> bool {
        self.fields["status"] == "firing" && self.label("alertname") == name
    }

    /// Whether this is a notification that the alert of that name is resolved.
    pub fn is_over(&self, name: &str) -> bool {
        self.fields["status"] == "resolved" && self.label("alertname") == name
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.fields["status"].as_str().unwrap_or_default();
        write!(f, "{status:8} {}: {}", self.label("alertname"), self.annotation("summary"))
    }
}

/// A running receiver; it ends when this is dropped.
#[derive(Debug)]
pub struct Webhook {
    port: HeldPort,
    alerts: Arc<Mutex<Vec<Alert>>>,
    ended: Arc<AtomicBool>,
}

impl Webhook {
    /// Starts a receiver.
    ///
    /// # Errors
    /// If no port is free.
    pub fn start() -> Result<Self> {
        let port = HeldPort::on(Ipv4Addr::LOCALHOST)?;
        let listener = port.listen()?;
        let webhook = Self { port, alerts: Arc::default(), ended: Arc::default() };
        let (alerts, ended) = (Arc::clone(&webhook.alerts), Arc::clone(&webhook.ended));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let alerts = Arc::clone(&alerts);
                // Alertmanager keeps connections alive, and opens a new one if one breaks.
                thread::spawn(move || while receive(&stream, &alerts).unwrap_or(false) {});
            }
        });
        Ok(webhook)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// All alerts so far, in the order of arrival.
    pub fn alerts(&self) -> Vec<Alert> {
        self.alerts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first alert so far that satisfies `wanted`.
    pub fn first(&self, wanted: impl Fn(&Alert) -> bool) -> Option<Alert> {
        self.alerts.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|a| wanted(a)).cloned()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the accepting thread; if the connection fails, the thread has already ended.
        let _ = TcpStream::connect(self.address());
    }
}

/// Reads one notification and answers it; false if the connection has ended.
fn receive(mut stream: &TcpStream, alerts: &Mutex<Vec<Alert>>) -> io::Result<bool> {
    let mut bytes = Vec::new();
    let body = loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(head) = request.parse(&bytes).map_err(io::Error::other)? {
            let length = request.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
            let length = length.and_then(|h| std::str::from_utf8(h.value).ok()?.parse::<usize>().ok());
            let length = length.ok_or_else(|| io::Error::other("a notification without a content length"))?;
            if let Some(body) = bytes.get(head..head + length) {
                break body.to_vec();
            }
        }
        let mut chunk = [0_u8; 16 * 1024];
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok(false);
        }
        bytes.extend_from_slice(&chunk[..read]);
    };
    let notification: Value = serde_json::from_slice(&body)?;
    let arrived = SystemTime::now();
    let alerts_in_it = notification["alerts"].as_array().cloned().unwrap_or_default();
    let received = alerts_in_it.into_iter().map(|fields| Alert { fields, arrived });
    alerts.lock().unwrap_or_else(PoisonError::into_inner).extend(received);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    Ok(true)
}
