//! One HTTP request with a deadline: all that a probe needs.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::names::STAND_IN_HEADER;

/// No answer's head is longer.
const LONGEST_HEAD: usize = 16 * 1024;

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An answer came, after this long.
    Status {
        /// Its status.
        code: u16,
        /// Whether the stand-in gave it.
        stand_in: bool,
        /// How long it took.
        took: Duration,
    },
    /// Nothing listens.
    Refused,
    /// No answer in time, or none that is HTTP.
    Silent,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Whom to ask.
    pub to: SocketAddr,
    /// From which address; the sidecar's rules let one of loopback's through that no application uses.
    pub from: Option<IpAddr>,
    /// The path, with its query.
    pub path: &'a str,
    /// Further headers.
    pub headers: &'a [(String, String)],
    /// Until when.
    pub timeout: Duration,
}

/// Connects within the time.
///
/// # Errors
/// What the system says: refused, or not in time.
pub fn connect(to: SocketAddr, from: Option<IpAddr>, timeout: Duration) -> std::io::Result<TcpStream> {
    let Some(from) = from.filter(|from| from.is_ipv4() == to.is_ipv4()) else {
        return TcpStream::connect_timeout(&to, timeout);
    };
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&to.into(), timeout)?;
    Ok(socket.into())
}

/// Asks.
#[must_use]
pub fn ask(request: &Request<'_>) -> Reply {
    let began = Instant::now();
    let stream = match connect(request.to, request.from, request.timeout) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Reply::Refused,
        Err(_) => return Reply::Silent,
    };
    exchange(stream, request, began).unwrap_or(Reply::Silent)
}

fn exchange(mut stream: TcpStream, request: &Request<'_>, began: Instant) -> Option<Reply> {
    let left = |began: Instant| request.timeout.checked_sub(began.elapsed()).filter(|left| !left.is_zero());
    let mut head = format!("GET {} HTTP/1.1\r\nconnection: close\r\nuser-agent: hot-switch\r\n", request.path);
    if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += &format!("host: {}\r\n", request.to);
    }
    for (name, value) in request.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    stream.set_write_timeout(Some(left(began)?)).ok()?;
    stream.write_all(head.as_bytes()).ok()?;
    let mut received = Vec::new();
    loop {
        stream.set_read_timeout(Some(left(began)?)).ok()?;
        let mut piece = [0; 1024];
        let length = stream.read(&mut piece).ok()?;
        received.extend_from_slice(piece.get(..length)?);
        if let Some((code, stand_in)) = status(&received) {
            return Some(Reply::Status { code, stand_in, took: began.elapsed() });
        }
        if length == 0 || received.len() > LONGEST_HEAD {
            return None;
        }
    }
}

/// The status of an answer whose head is complete, and whether the stand-in gave it.
fn status(received: &[u8]) -> Option<(u16, bool)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut headers);
    let complete = answer.parse(received).ok()?.is_complete();
    let code = answer.code.filter(|_| complete)?;
    Some((code, answer.headers.iter().any(|header| header.name.eq_ignore_ascii_case(STAND_IN_HEADER))))
}
