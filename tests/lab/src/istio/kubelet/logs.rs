//! The kubelet's answer to `kubectl logs`, which the API server passes on: a container's log, whole or its last lines.

use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use anyhow::Result;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use crate::istio::netns::Namespace;
use crate::net::http::read_request;

/// The kubelet's port.
pub(crate) const PORT: u16 = 10250;

/// The server; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct LogServer {
    listener: TcpListener,
}

impl LogServer {
    /// Starts to answer at `address` in this namespace, with this certificate and key. `find` has the log of a
    /// container, by namespace, pod and name.
    pub(crate) fn start(
        net: &Namespace,
        address: &str,
        (certificate, key): &(String, String),
        find: impl Fn(&str, &str, &str) -> Option<PathBuf> + Send + Sync + 'static,
    ) -> Result<Self> {
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key)?);
        let listener = net.inside(|| Ok(TcpListener::bind((address, PORT))?))?;
        let accepting = listener.try_clone()?;
        let find = Arc::new(find);
        thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                let (config, find) = (Arc::clone(&config), Arc::clone(&find));
                // A client that leaves before the end is no failure here.
                thread::spawn(move || serve(stream, config, &*find));
            }
        });
        Ok(Self { listener })
    }
}

impl Drop for LogServer {
    fn drop(&mut self) {
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
    }
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    find: &dyn Fn(&str, &str, &str) -> Option<PathBuf>,
) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let Some(request) = read_request(&mut stream, &mut Vec::new())? else { return Ok(()) };
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let parts: Vec<&str> = path.split('/').collect();
    let file = match parts[..] {
        ["", "containerLogs", namespace, pod, container] => find(namespace, pod, container),
        _ => None,
    };
    let log = file.and_then(|file| std::fs::read(file).ok());
    let status = if log.is_some() { "200 OK" } else { "404 Not Found" };
    let body = log.map(|log| last_lines(&log, query)).unwrap_or_default();
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// The lines that `tailLines` in the query asks for; all, if it is absent.
fn last_lines(log: &[u8], query: &str) -> Vec<u8> {
    let wanted = query.split('&').find_map(|one| one.strip_prefix("tailLines="));
    let Some(wanted) = wanted.and_then(|count| count.parse::<usize>().ok()) else { return log.to_vec() };
    let lines: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
    lines[lines.len().saturating_sub(wanted)..].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_given_if_they_are_asked_for() {
        let log = b"one\ntwo\nthree\n";
        assert_eq!(last_lines(log, "follow=false"), log);
        assert_eq!(last_lines(log, "follow=false&tailLines=2"), b"two\nthree\n");
        assert_eq!(last_lines(log, "tailLines=9"), log);
    }
}
