//! The application behind the sidecar, and the service that it calls: each answer says which way the request came.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result};

use crate::istio::Namespace;
use crate::net::http::read_request;

/// Serves in this namespace until the program ends.
pub(super) fn serve(namespace: &Namespace, address: SocketAddr) -> Result<()> {
    namespace.inside(|| {
        let listener = TcpListener::bind(address).with_context(|| format!("{address}: cannot listen"))?;
        thread::Builder::new().name("application".into()).spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let _ = thread::Builder::new().spawn(move || drop(answer(stream)));
            }
        })?;
        Ok(())
    })
}

fn answer(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut unread = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut unread)? {
        // The proxy appends this to the path: the parser here keeps no headers.
        let way = if request.path.contains("via=proxy") { "through" } else { "past" };
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{way}", way.len())?;
    }
    Ok(())
}
