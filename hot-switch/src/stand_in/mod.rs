//! Answers a pod's probes in the place of a proxy that cannot: from the application's own probes, and nothing else.
//!
//! The agent serves it inside the pods whose probes it has taken over; the subcommand `stand-in` serves it as the
//! entrypoint of the image that replaces a dead proxy's.
//!
//! Inside a pod a thread serves it, and no child process. A child would outlive nothing: the agent is process 1 of its
//! container, without the node's process namespace, and the kernel ends every process of a container with its first
//! one. While an agent is replaced, which takes seconds, probes that were taken over fail; kubelet waits for several
//! failures in a row. The thread is born in the pod's namespace, serves until it is told to stop, and goes back to no
//! pool; so nothing else of the agent ever runs in the pod's namespace, and a crash leaves nothing that holds one.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::names::STAND_IN_HEADER;
use crate::probe::app::AppProbes;
use crate::probe::http;

/// kubelet asks seldom, and one probe at a time: more at once is none of its.
const AT_ONCE: usize = 32;
/// How long a caller may take to say what it wants, and to read the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// No request for a probe is longer.
const LONGEST: usize = 16 * 1024;

/// What is answered.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Whether the sidecar's own readiness is answered too. Where traffic still goes to the proxy it is not: the pod
    /// would be ready, and serve nobody.
    pub for_proxy: bool,
    /// Where the application listens.
    pub address: IpAddr,
    /// From which address it is asked.
    pub from: Option<IpAddr>,
    /// Its probes.
    pub probes: AppProbes,
    /// A port of it, for a pod without probes.
    pub port: Option<u16>,
}

/// Answers probes until it is dropped.
#[derive(Debug)]
pub struct StandIn {
    stop: Arc<AtomicBool>,
    address: SocketAddr,
    answers: Arc<Mutex<Answers>>,
}

impl StandIn {
    /// Begins to answer on this port, in the calling thread's network namespace.
    ///
    /// # Errors
    /// If something else listens there.
    pub fn serve(port: u16, answers: Answers) -> Result<Self> {
        let listener = listen(port).with_context(|| format!("port {port}: probes cannot be answered there"))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(Mutex::new(answers));
        let (stopped, shared) = (Arc::clone(&stop), Arc::clone(&answers));
        // The thread is in the namespace that the caller's is in.
        thread::Builder::new().name("stand-in".into()).spawn(move || accept(&listener, &stopped, &shared))?;
        Ok(Self { stop, address, answers })
    }

    /// Answers from these probes from now on.
    pub fn update(&self, answers: Answers) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = answers;
    }
}

impl StandIn {
    /// Ends it: a connection of one's own wakes the thread that waits for one. Must be called, or dropped, in the
    /// namespace in which it serves.
    fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let own = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.address.port());
        let _ = TcpStream::connect_timeout(&own, PATIENCE);
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.end();
    }
}

fn listen(port: u16) -> Result<TcpListener> {
    let bound = |address: IpAddr, domain| -> Result<TcpListener> {
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&SocketAddr::new(address, port).into())?;
        socket.listen(64)?;
        Ok(socket.into())
    };
    // A pod without IPv6 cannot bind the address of both families.
    bound(Ipv6Addr::UNSPECIFIED.into(), Domain::IPV6).or_else(|_| bound(Ipv4Addr::UNSPECIFIED.into(), Domain::IPV4))
}

fn accept(listener: &TcpListener, stop: &AtomicBool, answers: &Arc<Mutex<Answers>>) {
    let at_once = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else {
            // Out of descriptors: waiting is all that helps.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        if at_once.fetch_add(1, Ordering::Relaxed) >= AT_ONCE {
            at_once.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let answers = answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counted = Arc::clone(&at_once);
        let served = thread::Builder::new().name("stand-in answer".into()).spawn(move || {
            let _ = answer(stream, &answers);
            counted.fetch_sub(1, Ordering::Relaxed);
        });
        if served.is_err() {
            at_once.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn answer(mut stream: TcpStream, answers: &Answers) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut received = Vec::new();
    let path = loop {
        let mut piece = [0; 1024];
        let length = stream.read(&mut piece)?;
        received.extend_from_slice(piece.get(..length).unwrap_or_default());
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        if request.parse(&received)?.is_complete() {
            break request.path.unwrap_or_default().to_owned();
        }
        anyhow::ensure!(length > 0 && received.len() <= LONGEST, "no request");
    };
    let (status, body) = if answers.succeed(&path) { ("200 OK", "ok\n") } else { ("503 Service Unavailable", "no\n") };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{STAND_IN_HEADER}: stand-in\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n\
         {body}"
    )?;
    Ok(())
}

impl Answers {
    /// What kubelet is told for this path. What is not a probe fails: nothing of the proxy is pretended to live.
    fn succeed(&self, path: &str) -> bool {
        if path == "/healthz/ready" {
            return self.for_proxy && self.ready();
        }
        self.probes.run(path, self.address, self.from).unwrap_or(false)
    }

    fn ready(&self) -> bool {
        let by_port = || {
            let to = SocketAddr::new(self.address, self.port?);
            Some(http::connect(to, self.from, PATIENCE).is_ok())
        };
        // An application that names neither cannot be asked; kubelet asks no more of it either.
        self.probes.ready(self.address, self.from).or_else(by_port).unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::http::{Reply, Request, ask};

    #[test]
    fn it_answers_from_the_applications_probes_and_says_who_it_is() {
        let host = IpAddr::from([127, 0, 0, 1]);
        let app = TcpListener::bind((host, 0)).unwrap();
        let port = app.local_addr().unwrap().port();
        let text = format!(
            r#"{{"/app-health/a/readyz":{{"tcpSocket":{{"port":{port}}}}},"/app-health/a/livez":{{"tcpSocket":{{"port":{port}}}}}}}"#
        );
        let answers =
            Answers { for_proxy: true, address: host, from: None, probes: AppProbes::read(&text).unwrap(), port: None };
        let stand_in = StandIn::serve(0, answers).unwrap();
        let to = SocketAddr::new(host, stand_in.address.port());
        let code = |path| match ask(&Request { to, from: None, path, headers: &[], timeout: PATIENCE }) {
            Reply::Status { code, stand_in, .. } => {
                assert!(stand_in, "never taken for the proxy");
                code
            }
            other => panic!("{other:?}"),
        };
        assert_eq!([code("/healthz/ready"), code("/app-health/a/livez"), code("/stats/prometheus")], [200, 200, 503]);
        assert_eq!(code("/app-health/b/livez"), 503, "an unknown container");
        let through_the_proxy = Answers { for_proxy: false, ..stand_in.answers.lock().unwrap().clone() };
        stand_in.update(through_the_proxy.clone());
        let codes = [code("/healthz/ready"), code("/app-health/a/livez")];
        assert_eq!(codes, [503, 200], "a proxy that traffic goes to is not called ready in its place");
        stand_in.update(Answers { for_proxy: true, ..through_the_proxy });
        drop(app);
        assert_eq!(
            [code("/healthz/ready"), code("/app-health/a/livez")],
            [503, 503],
            "a dead application is not hidden"
        );
    }
}
