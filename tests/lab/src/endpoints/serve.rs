//! The connections of a scripted endpoint: each is accepted and served according to the current behaviour.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::behaviour::{Behaviour, HEALTH_PATH};
use super::state::{Application, Shared};
use crate::net::h2;
use crate::net::http::read_request;

/// What happens to a connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It serves the next request.
    Stay,
    /// It is closed in good order.
    Close,
    /// It is reset.
    Reset,
}

/// Accepts connections until the listener is shut down, each on a thread of its own.
pub(super) fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
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
            let end = serve(&shared, &stream).unwrap_or(Then::Close);
            // The registered clone is dropped first: a connection is closed, or reset, with its last handle.
            let mut state = shared.lock();
            state.open.remove(&id);
            if end == Then::Reset {
                reset(stream);
            } else {
                drop(stream);
            }
            shared.changed.notify_all();
        });
    }
}

fn reset(stream: TcpStream) {
    // A linger time of zero turns the close into a reset.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}

/// Serves one connection until it ends; returns how it should end.
fn serve(shared: &Shared, mut stream: &TcpStream) -> io::Result<Then> {
    stream.set_nodelay(true)?;
    let mut begin = [0];
    if stream.peek(&mut begin)? == 1 && begin[0] == h2::PREFACE[0] {
        return serve_h2(shared, stream);
    }
    let mut unread = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut unread)? {
        let then = if request.path == HEALTH_PATH && is_answering(shared) {
            let status = if shared.ill.load(Ordering::SeqCst) { 503 } else { 200 };
            stream.write_all(head(shared, status, 0).as_bytes())?;
            Then::Stay
        } else {
            answer(shared, stream, &request.path)?
        };
        if then != Then::Stay {
            return Ok(then);
        }
    }
    Ok(Then::Close)
}

fn is_answering(shared: &Shared) -> bool {
    matches!(shared.lock().behaviour, Behaviour::Answer(_) | Behaviour::AnswerAlternately(_))
}

/// Answers one HTTP/1.1 request, or fails as the behaviour requires.
fn answer(shared: &Shared, mut stream: &TcpStream, path: &str) -> io::Result<Then> {
    let (behaviour, generation) = shared.on_request();
    let body = format!("{}\n", shared.name);
    match behaviour {
        Behaviour::AnswerAlternately(status) => {
            let status = if shared.requests.load(Ordering::SeqCst).is_multiple_of(2) { status } else { 200 };
            stream.write_all((head(shared, status, body.len()) + &body).as_bytes())?;
        }
        Behaviour::Answer(status) => {
            let (status, body) = match (status, shared.application.get()) {
                (200, Some(Application(respond))) => respond(path),
                _ => (status, body),
            };
            stream.write_all((head(shared, status, body.len()) + &body).as_bytes())?;
        }
        Behaviour::EarlyHints(status) => {
            let hints = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n".to_owned();
            stream.write_all((hints + &head(shared, status, body.len()) + &body).as_bytes())?;
        }
        Behaviour::GrpcAtOnce(status) => {
            let grpc = format!("content-type: application/grpc\r\ngrpc-status: {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{grpc}").as_bytes())?;
        }
        Behaviour::HoldBody => {
            stream.write_all((head(shared, 200, body.len() * 2) + &body).as_bytes())?;
            shared.wait_for_change(generation);
            stream.write_all(body.as_bytes())?;
        }
        Behaviour::Babble => {
            stream.write_all(b"Hello.\r\n\r\n")?;
            return Ok(Then::Close);
        }
        Behaviour::SwitchProtocols => {
            let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            stream.write_all(head.as_bytes())?;
            shared.wait_for_change(generation);
            return Ok(Then::Close);
        }
        Behaviour::Hang => {
            shared.wait_for_change(generation);
            return Ok(Then::Close);
        }
        Behaviour::Refuse | Behaviour::Ignore | Behaviour::CloseBeforeHeaders | Behaviour::GrpcInTrailers(_) => {
            return Ok(Then::Close);
        }
        Behaviour::ResetAfterHeaders => {
            stream.write_all((head(shared, 200, body.len() * 2) + &body).as_bytes())?;
            return Ok(Then::Reset);
        }
        Behaviour::ResetOnConnect | Behaviour::ResetOnRequest => return Ok(Then::Reset),
    }
    Ok(Then::Stay)
}

/// The head of an HTTP/1.1 answer with a body of `length` bytes.
fn head(shared: &Shared, status: u16, length: usize) -> String {
    format!(
        "HTTP/1.1 {status} {}\r\nx-served-by: {}\r\nx-endpoint: {}\r\ncontent-type: text/plain\r\n\
         content-length: {length}\r\n\r\n",
        if status < 400 { "OK" } else { "Failed" },
        shared.name,
        shared.address,
    )
}

/// Like [`serve`], for HTTP/2. A behaviour that has no counterpart there, or needs a body, closes the connection.
fn serve_h2(shared: &Shared, stream: &TcpStream) -> io::Result<Then> {
    let connection = h2::Connection::accept(stream)?;
    while let Some(id) = connection.next_request()? {
        let (behaviour, generation) = shared.on_request();
        let grpc = [(":status", "200"), ("content-type", "application/grpc")];
        match behaviour {
            Behaviour::Answer(status) => {
                let served_by = ("x-served-by", shared.name.as_str());
                connection.headers(id, &[(":status", &status.to_string()), served_by], h2::Part::Last)?;
            }
            Behaviour::GrpcAtOnce(status) => {
                let status = status.to_string();
                connection.headers(id, &[grpc[0], grpc[1], ("grpc-status", &status)], h2::Part::Last)?;
            }
            Behaviour::GrpcInTrailers(status) => {
                connection.headers(id, &grpc, h2::Part::First)?;
                connection.headers(id, &[("grpc-status", &status.to_string())], h2::Part::Last)?;
            }
            Behaviour::ResetOnRequest => connection.reset(id)?,
            Behaviour::Hang => {
                shared.wait_for_change(generation);
                return Ok(Then::Close);
            }
            _ => return Ok(Then::Close),
        }
    }
    Ok(Then::Close)
}
