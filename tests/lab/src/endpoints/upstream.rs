//! A scripted endpoint, for HTTP/1.1 and, where the client begins with it, HTTP/2, that can be told, at any moment, how to behave from now on.
//!
//! It stands for a real server with its failures: a wrong answer, a port where nothing listens, a connection that is cut at
//! every stage, a server that hangs. Nothing depends on time: what hangs or holds back goes on when the behaviour changes.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use socket2::SockRef;

use crate::SAFETY_NET;
use crate::h2;
use crate::http::read_request;
use crate::ports::{HeldPort, endpoint_ip};

/// What the endpoint does with connections and requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers every request with this status code.
    Answer(u16),
    /// Nothing listens: connections are refused.
    Refuse,
    /// Connections are neither accepted nor refused.
    Ignore,
    /// Accepts a connection and resets it at once.
    ResetOnConnect,
    /// Reads the request, then resets the connection; with HTTP/2, the stream.
    ResetOnRequest,
    /// Reads the request, then closes the connection in good order, without an answer.
    CloseBeforeHeaders,
    /// Reads the request and does not answer; closes the connection once the behaviour changes.
    Hang,
    /// Answers 200 with a part of the body, then resets the connection.
    ResetAfterHeaders,
    /// Answers 200 with a part of the body, and sends the rest once the behaviour changes.
    HoldBody,
    /// Answers with something that is not HTTP, and closes the connection.
    Babble,
    /// Answers 103, then with this status code.
    EarlyHints(u16),
    /// Answers 101, and closes the connection once the behaviour changes.
    SwitchProtocols,
    /// Answers 200 with this gRPC status and nothing more ("trailers-only").
    GrpcAtOnce(u8),
    /// Answers 200, then with this gRPC status in trailers. HTTP/2 only.
    GrpcInTrailers(u8),
}

impl Behaviour {
    // Whether a connection that is open now must not serve another request.
    fn ends_connections(self) -> bool {
        matches!(self, Behaviour::Refuse | Behaviour::Ignore | Behaviour::ResetOnConnect)
    }
}

/// An endpoint on an address of its own; it keeps its port until it is dropped.
#[derive(Debug)]
pub struct Upstream {
    shared: Arc<Shared>,
    port: HeldPort,
    listener: Mutex<Option<TcpListener>>,
    // What makes connections wait, while that is the behaviour.
    ignoring: Mutex<Option<(TcpListener, TcpStream)>>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    address: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    requests: AtomicU64,
    connections: AtomicU64,
    application: OnceLock<Application>,
}

// From a request's path to an answer's status and body.
struct Application(Box<Respond>);

type Respond = dyn Fn(&str) -> (u16, String) + Send + Sync;

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Application")
    }
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    // How often the behaviour was set: tells a change to the same value apart from no change.
    generation: u64,
    open: HashMap<u64, TcpStream>,
}

impl Upstream {
    /// Starts an endpoint that answers 200. `name` is the body of its answers and their `x-served-by` header.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(name: &str) -> Result<Self> {
        Self::start_on(name, HeldPort::on(endpoint_ip())?)
    }

    /// Starts an endpoint with this one's port on another address.
    ///
    /// # Errors
    /// When the port is taken there.
    pub fn start_beside(&self, name: &str) -> Result<Self> {
        Self::start_on(name, HeldPort::at(SocketAddr::new(endpoint_ip().into(), self.address().port()))?)
    }

    fn start_on(name: &str, port: HeldPort) -> Result<Self> {
        let state = State { behaviour: Behaviour::Answer(200), generation: 0, open: HashMap::new() };
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            address: port.address(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            application: OnceLock::new(),
        });
        let upstream = Self { shared, port, listener: Mutex::new(None), ignoring: Mutex::new(None) };
        upstream.set(Behaviour::Answer(200))?;
        Ok(upstream)
    }

    /// Where it listens, or would listen.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The name it answers with.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Lets `answer` make status and body of HTTP/1.1 answers from the path, while the behaviour is `Answer(200)`. Only
    /// the first such call counts.
    pub fn run(&self, answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) {
        let _ = self.shared.application.set(Application(Box::new(answer)));
    }

    /// Requests read so far, whatever became of them.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Changes the behaviour. For [`Behaviour::Refuse`], [`Behaviour::Ignore`] and
    /// [`Behaviour::ResetOnConnect`] it returns when the client has
    /// seen the end of every open connection, so that its next request needs a new one.
    ///
    /// # Errors
    /// When the port cannot be listened on again, or the client keeps a connection that was closed.
    pub fn set(&self, behaviour: Behaviour) -> Result<()> {
        let listens = !matches!(behaviour, Behaviour::Refuse | Behaviour::Ignore);
        if !listens {
            self.close_listener();
        }
        let mut state = self.shared.lock();
        state.behaviour = behaviour;
        state.generation += 1;
        self.shared.changed.notify_all();
        if behaviour.ends_connections() {
            for connection in state.open.values() {
                // The client may be gone already; the reader of the connection then ends by itself.
                let _ = connection.shutdown(Shutdown::Write);
            }
            let net = self.shared.changed.wait_timeout_while(state, SAFETY_NET, |s| !s.open.is_empty());
            let (state, _) = net.unwrap_or_else(PoisonError::into_inner);
            ensure!(state.open.is_empty(), "{}: the client keeps connections that were closed", self.name());
        } else {
            drop(state);
        }
        let mut ignoring = self.ignoring.lock().unwrap_or_else(PoisonError::into_inner);
        *ignoring = None;
        if behaviour == Behaviour::Ignore {
            *ignoring = Some(self.port.listen_in_vain()?);
        }
        if listens {
            self.open_listener()?;
        }
        Ok(())
    }

    fn open_listener(&self) -> Result<()> {
        let mut slot = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            let listener = self.port.listen()?;
            let accepting = listener.try_clone()?;
            let shared = Arc::clone(&self.shared);
            thread::spawn(move || accept(&shared, &accepting));
            *slot = Some(listener);
        }
        Ok(())
    }

    fn close_listener(&self) {
        let closed = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listener) = closed {
            // Ends listening at once and wakes the accepting thread; dropping alone would leave its clone open.
            let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.close_listener();
        let mut state = self.shared.lock();
        state.behaviour = Behaviour::Refuse;
        state.generation += 1;
        self.shared.changed.notify_all();
        for connection in state.open.values() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for_change(&self, since: u64) {
        let waited = self.changed.wait_while(self.lock(), |s| s.generation == since);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn head(&self, status: u16, length: usize) -> String {
        format!(
            "HTTP/1.1 {status} {}\r\nx-served-by: {}\r\nx-endpoint: {}\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n",
            if status < 400 { "OK" } else { "Failed" },
            self.name,
            self.address,
        )
    }
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    while let Ok((stream, _)) = listener.accept() {
        let id = shared.connections.fetch_add(1, Ordering::SeqCst);
        let Ok(registered) = stream.try_clone() else {
            continue;
        };
        let mut state = shared.lock();
        if state.behaviour == Behaviour::ResetOnConnect {
            drop(state);
            drop(registered);
            reset(stream);
            continue;
        }
        if state.behaviour == Behaviour::Refuse {
            continue;
        }
        state.open.insert(id, registered);
        drop(state);
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let resets = serve(&shared, &stream).unwrap_or(false);
            // The registered clone goes first: a connection is closed, or reset, with its last handle.
            let mut state = shared.lock();
            state.open.remove(&id);
            if resets {
                reset(stream);
            } else {
                drop(stream);
            }
            shared.changed.notify_all();
        });
    }
}

fn reset(stream: TcpStream) {
    // Lingering for no time turns the close into a reset.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}

// Serves one connection until it ends; true when it is to end with a reset.
fn serve(shared: &Shared, mut stream: &TcpStream) -> io::Result<bool> {
    stream.set_nodelay(true)?;
    let mut begin = [0];
    if stream.peek(&mut begin)? == 1 && begin[0] == h2::PREFACE[0] {
        return serve_h2(shared, stream);
    }
    let mut unread = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut unread)? {
        shared.requests.fetch_add(1, Ordering::SeqCst);
        let (behaviour, generation) = {
            let state = shared.lock();
            (state.behaviour, state.generation)
        };
        let body = format!("{}\n", shared.name);
        match behaviour {
            Behaviour::Answer(status) => {
                let (status, body) = match (status, shared.application.get()) {
                    (200, Some(Application(answer))) => answer(&request.path),
                    _ => (status, body),
                };
                stream.write_all((shared.head(status, body.len()) + &body).as_bytes())?;
            }
            Behaviour::EarlyHints(status) => {
                let hints = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n".to_owned();
                stream.write_all((hints + &shared.head(status, body.len()) + &body).as_bytes())?;
            }
            Behaviour::Babble => {
                stream.write_all(b"Hello.\r\n\r\n")?;
                return Ok(false);
            }
            Behaviour::SwitchProtocols => {
                let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                stream.write_all(head.as_bytes())?;
                shared.wait_for_change(generation);
                return Ok(false);
            }
            Behaviour::GrpcAtOnce(status) => {
                let grpc =
                    format!("content-type: application/grpc\r\ngrpc-status: {status}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(format!("HTTP/1.1 200 OK\r\n{grpc}").as_bytes())?;
            }
            Behaviour::Refuse | Behaviour::Ignore | Behaviour::CloseBeforeHeaders | Behaviour::GrpcInTrailers(_) => {
                return Ok(false);
            }
            Behaviour::ResetOnConnect | Behaviour::ResetOnRequest => return Ok(true),
            Behaviour::Hang => {
                shared.wait_for_change(generation);
                return Ok(false);
            }
            Behaviour::ResetAfterHeaders => {
                stream.write_all((shared.head(200, body.len() * 2) + &body).as_bytes())?;
                return Ok(true);
            }
            Behaviour::HoldBody => {
                stream.write_all((shared.head(200, body.len() * 2) + &body).as_bytes())?;
                shared.wait_for_change(generation);
                stream.write_all(body.as_bytes())?;
            }
        }
    }
    Ok(false)
}

// As `serve`, for HTTP/2. What has no counterpart there, or needs a body, closes the connection.
fn serve_h2(shared: &Shared, stream: &TcpStream) -> io::Result<bool> {
    let connection = h2::Connection::accept(stream)?;
    while let Some(id) = connection.next_request()? {
        shared.requests.fetch_add(1, Ordering::SeqCst);
        let (behaviour, generation) = {
            let state = shared.lock();
            (state.behaviour, state.generation)
        };
        let grpc = [(":status", "200"), ("content-type", "application/grpc")];
        match behaviour {
            Behaviour::Answer(status) => {
                let served_by = ("x-served-by", shared.name.as_str());
                connection.headers(id, &[(":status", &status.to_string()), served_by], true)?;
            }
            Behaviour::GrpcAtOnce(status) => {
                connection.headers(id, &[grpc[0], grpc[1], ("grpc-status", &status.to_string())], true)?;
            }
            Behaviour::GrpcInTrailers(status) => {
                connection.headers(id, &grpc, false)?;
                connection.headers(id, &[("grpc-status", &status.to_string())], true)?;
            }
            Behaviour::ResetOnRequest => connection.reset(id)?,
            Behaviour::Hang => {
                shared.wait_for_change(generation);
                return Ok(false);
            }
            _ => return Ok(false),
        }
    }
    Ok(false)
}
