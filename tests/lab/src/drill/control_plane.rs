//! A minimal control plane: a discovery server (REST form) whose answers a drill supplies.
//!
//! It answers `POST /v3/discovery:<what>` with the latest resources of that name, and with 304 if the client already
//! has them. It is reached through a [`Relay`], so that it can stop and come back. Not here: watching, subsets,
//! streams.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;
use serde_json::{Value, json};
use socket2::SockRef;

use crate::net::http::read_request;
use crate::net::ports::HeldPort;
use crate::net::relay::Relay;

type Resources = Arc<Mutex<HashMap<String, (u64, Value)>>>;

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct ControlPlane {
    // Held as long as the server listens.
    _port: HeldPort,
    listener: TcpListener,
    relay: Relay,
    resources: Resources,
}

impl ControlPlane {
    /// Starts the server without any resources.
    ///
    /// # Errors
    /// If no port is free.
    pub(super) fn start() -> Result<Self> {
        let port = HeldPort::on(Ipv4Addr::LOCALHOST)?;
        let listener = port.listen()?;
        let relay = Relay::start()?;
        relay.forward_to(port.address());
        let source = Self { _port: port, listener, relay, resources: Resources::default() };
        let accepting = source.listener.try_clone()?;
        let resources = Arc::clone(&source.resources);
        thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                let resources = Arc::clone(&resources);
                // Envoy opens another connection if one breaks.
                thread::spawn(move || serve(&stream, &resources));
            }
        });
        Ok(source)
    }

    /// Where Envoy sends its requests.
    pub(super) fn address(&self) -> SocketAddr {
        self.relay.address()
    }

    /// From now on, delivers this as `what`: `clusters`, `endpoints` or `extension_configs`. `discovery` is the content
    /// of the file that would otherwise deliver it.
    pub(super) fn put(&self, what: &str, discovery: &Value) {
        let mut resources = self.resources.lock().unwrap_or_else(PoisonError::into_inner);
        let version = resources.get(what).map_or(0, |(version, _)| *version) + 1;
        resources.insert(what.to_owned(), (version, discovery["resources"].clone()));
    }

    /// Becomes unreachable, like a control plane that was stopped.
    pub(super) fn stop(&self) {
        self.relay.cut();
    }

    /// Becomes reachable again, with the resources that were put in the meantime.
    ///
    /// # Errors
    /// If its port cannot be listened on.
    pub(super) fn come_back(&self) -> Result<()> {
        self.relay.mend()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
    }
}

fn serve(mut stream: &TcpStream, resources: &Resources) -> io::Result<()> {
    let mut unread = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut unread)? {
        let asked: Value = serde_json::from_slice(&request.body)?;
        let what = request.path.rsplit(':').next().unwrap_or_default();
        let found = resources.lock().unwrap_or_else(PoisonError::into_inner).get(what).cloned();
        let (status, body) = match found {
            None => ("404 Not Found", String::new()),
            Some((version, _)) if asked["version_info"].as_str() == Some(&version.to_string()) => {
                ("304 Not Modified", String::new())
            }
            Some((version, resources)) => {
                let kind = resources[0]["@type"].clone();
                let delivered =
                    json!({ "version_info": version.to_string(), "type_url": kind, "resources": resources });
                ("200 OK", delivered.to_string())
            }
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n", body.len());
        stream.write_all(format!("{head}\r\n{body}").as_bytes())?;
    }
    Ok(())
}
