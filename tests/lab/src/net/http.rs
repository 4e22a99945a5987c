//! A small blocking HTTP/1.1 client, and a parser of requests for servers.
//!
//! The client keeps connections alive, reads bodies with a content length and chunked ones, and distinguishes a body
//! that breaks off from a complete one. For loopback only; no TLS, no redirects.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::wait::SAFETY_NET;

/// One answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values, in order.
    pub headers: Vec<(String, String)>,
    /// The body, as far as it was received.
    pub body: Vec<u8>,
    /// False if the connection ended before the body did.
    pub complete: bool,
}

impl Response {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One connection that is kept alive, and reopened if the other side has closed it.
#[derive(Debug)]
pub struct Client {
    target: SocketAddr,
    host: String,
    stream: Option<TcpStream>,
    unread: Vec<u8>,
}

impl Client {
    /// A client of `target` with `host` as the authority. It connects with the first request.
    pub fn new(target: SocketAddr, host: &str) -> Self {
        Self { target, host: host.to_owned(), stream: None, unread: Vec::new() }
    }

    /// Connects, unless it is already connected.
    ///
    /// # Errors
    /// If the other side refuses.
    pub fn connect(&mut self) -> io::Result<&mut TcpStream> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.target)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(SAFETY_NET))?;
            self.unread.clear();
            self.stream = Some(stream);
        }
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Sends a GET and reads the whole answer.
    ///
    /// # Errors
    /// If there is no answer, or it is not HTTP. The next request then uses a new connection.
    pub fn get(&mut self, path: &str) -> io::Result<Response> {
        self.get_with(path, &[])
    }

    /// Like [`Client::get`], with more headers.
    ///
    /// # Errors
    /// Like [`Client::get`].
    pub fn get_with(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<Response> {
        let answer = self.send_with(path, headers).and_then(|()| self.receive());
        if answer.as_ref().map_or(true, |r| !r.complete || r.header("connection") == Some("close")) {
            self.stream = None;
        }
        answer
    }

    /// Sends a GET and leaves the answer to [`Client::receive`].
    ///
    /// # Errors
    /// If the connection cannot be opened or breaks.
    pub fn send(&mut self, path: &str) -> io::Result<()> {
        self.send_with(path, &[])
    }

    /// Like [`Client::send`], with more headers.
    ///
    /// # Errors
    /// Like [`Client::send`].
    pub fn send_with(&mut self, path: &str, headers: &[(&str, &str)]) -> io::Result<()> {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{headers}\r\n", self.host);
        self.connect()?.write_all(request.as_bytes())
    }

    /// Reads one answer.
    ///
    /// # Errors
    /// If the connection ends before the headers do, or the answer is not HTTP.
    pub fn receive(&mut self) -> io::Result<Response> {
        let mut response = loop {
            if let Some(head) = parse_head(&mut self.unread)? {
                break head;
            }
            if self.more()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        if response.header("transfer-encoding") == Some("chunked") {
            self.chunked_body(&mut response)?;
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().map_err(io::Error::other)?;
            response.body = self.take(length)?;
            response.complete = response.body.len() == length;
        } else if ![101, 204, 304].contains(&response.status) {
            while self.more()? > 0 {}
            response.body = std::mem::take(&mut self.unread);
        }
        Ok(response)
    }

    fn chunked_body(&mut self, response: &mut Response) -> io::Result<()> {
        loop {
            let size = match httparse::parse_chunk_size(&self.unread).map_err(|e| io::Error::other(e.to_string()))? {
                httparse::Status::Complete((start, size)) => {
                    self.unread.drain(..start);
                    usize::try_from(size).map_err(io::Error::other)?
                }
                httparse::Status::Partial if self.more().unwrap_or(0) == 0 => {
                    response.complete = false;
                    return Ok(());
                }
                httparse::Status::Partial => continue,
            };
            let chunk = self.take(size + 2)?;
            response.complete = chunk.len() == size + 2;
            response.body.extend_from_slice(&chunk[..chunk.len().min(size)]);
            if size == 0 || !response.complete {
                return Ok(());
            }
        }
    }

    /// Reads up to `length` bytes: fewer only if the connection ended.
    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            match self.more() {
                Ok(0) => break,
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => break,
                other => other?,
            };
        }
        let length = length.min(self.unread.len());
        Ok(self.unread.drain(..length).collect())
    }

    fn more(&mut self) -> io::Result<usize> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let mut chunk = [0_u8; 16 * 1024];
        let read = stream.read(&mut chunk)?;
        self.unread.extend_from_slice(&chunk[..read]);
        Ok(read)
    }
}

/// A request that a server has read.
#[derive(Debug)]
pub(crate) struct Request {
    /// Path and query.
    pub(crate) path: String,
    /// The whole body.
    pub(crate) body: Vec<u8>,
}

/// Reads one request with its body, which needs a content length; `None` if the client closed the connection instead.
/// Bytes of the next request stay in `unread`.
pub(crate) fn read_request(stream: &mut impl Read, unread: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let mut chunk = [0_u8; 4096];
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(unread).map_err(io::Error::other)?;
        if let httparse::Status::Complete(head) = parsed {
            let length = request.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
            let length = length.and_then(|h| std::str::from_utf8(h.value).ok()?.trim().parse().ok()).unwrap_or(0);
            let path = request.path.unwrap_or_default().to_owned();
            if unread.len() >= head + length {
                let body = unread[head..head + length].to_vec();
                unread.drain(..head + length);
                return Ok(Some(Request { path, body }));
            }
        }
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok(None);
        }
        unread.extend_from_slice(&chunk[..read]);
    }
}

/// Takes a complete head from the front of `unread`; `None` while it is incomplete.
fn parse_head(unread: &mut Vec<u8>) -> io::Result<Option<Response>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(unread).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let response = Response {
        status: head.code.unwrap_or(0),
        headers: head.headers.iter().map(|h| (h.name.to_ascii_lowercase(), text(h.value))).collect(),
        body: Vec::new(),
        complete: true,
    };
    unread.drain(..length);
    Ok(Some(response))
}
