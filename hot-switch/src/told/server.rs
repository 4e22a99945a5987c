//! Serves metrics: `/metrics`, and `/healthz` for the program's own probe.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::metrics::Metrics;

/// How long a scraper may take to ask and to read.
const PATIENCE: Duration = Duration::from_secs(2);

/// Begins to serve at this address; the address that it got.
///
/// # Errors
/// If it is in use.
pub fn serve(address: SocketAddr, metrics: Arc<Mutex<Metrics>>) -> Result<SocketAddr> {
    let listener = TcpListener::bind(address).with_context(|| format!("metrics cannot be served at {address}"))?;
    let own = listener.local_addr()?;
    thread::Builder::new().name("metrics".into()).spawn(move || {
        // One after the other: a scraper that hangs delays others by its patience, and nothing else.
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => drop(answer(stream, &metrics)),
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    })?;
    Ok(own)
}

fn answer(mut stream: TcpStream, metrics: &Mutex<Metrics>) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut received = [0; 2048];
    let length = stream.read(&mut received)?;
    let asked = String::from_utf8_lossy(received.get(..length).unwrap_or_default()).into_owned();
    let (status, body) = match asked.split_whitespace().nth(1) {
        Some("/metrics") => ("200 OK", metrics.lock().unwrap_or_else(PoisonError::into_inner).text()),
        Some("/healthz") => ("200 OK", "ok\n".to_owned()),
        _ => ("404 Not Found", "there is /metrics, and /healthz\n".to_owned()),
    };
    let length = body.len();
    let kind = "text/plain; version=0.0.4";
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )?;
    Ok(())
}
