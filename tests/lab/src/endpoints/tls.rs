//! An endpoint with TLS, like services outside the mesh, whose certificate can be replaced with a wrong one.
//!
//! Every connection serves one request, so every request sees the current certificate. Not here: plain HTTP and its
//! failures ([`super::Upstream`]), client certificates.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use crate::net::authority::Authority;
use crate::net::http::read_request;
use crate::net::ports::{HeldPort, endpoint_ip};

/// The endpoint; it ends when this is dropped.
#[derive(Debug)]
pub struct TlsEndpoint {
    port: HeldPort,
    listener: TcpListener,
    config: Arc<Mutex<Arc<ServerConfig>>>,
}

impl TlsEndpoint {
    /// Starts an endpoint with a certificate of `authority`; `name` is the body of its answers.
    ///
    /// # Errors
    /// If no port is free or there are no random numbers.
    pub fn start(name: &str, authority: &Authority) -> Result<Self> {
        let port = HeldPort::on(endpoint_ip())?;
        let listener = port.listen()?;
        let endpoint = Self { port, listener, config: Arc::new(Mutex::new(config(authority)?)) };
        let accepting = endpoint.listener.try_clone()?;
        let (config, name) = (Arc::clone(&endpoint.config), name.to_owned());
        thread::spawn(move || {
            while let Ok((stream, _)) = accepting.accept() {
                let config = Arc::clone(&config.lock().unwrap_or_else(PoisonError::into_inner));
                let name = name.clone();
                // A client that rejects the certificate closes the connection; that is not a failure here.
                thread::spawn(move || serve(stream, config, &name));
            }
        });
        Ok(endpoint)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// From now on, shows a certificate of this authority.
    ///
    /// # Errors
    /// If there are no random numbers.
    pub fn show_certificate_of(&self, authority: &Authority) -> Result<()> {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = config(authority)?;
        Ok(())
    }
}

impl Drop for TlsEndpoint {
    fn drop(&mut self) {
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
    }
}

fn config(authority: &Authority) -> Result<Arc<ServerConfig>> {
    let (certificate, key) = authority.issue()?;
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key)?))
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, name: &str) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    if read_request(&mut stream, &mut Vec::new())?.is_some() {
        let length = name.len() + 1;
        let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(format!("{head}{name}\n").as_bytes())?;
        stream.conn.send_close_notify();
        stream.flush()?;
    }
    Ok(())
}
