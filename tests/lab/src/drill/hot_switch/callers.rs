//! Callers that call all the time and remember what they got.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::istio::Namespace;

/// Between two calls.
const EVERY: Duration = Duration::from_millis(20);
/// After this a call has failed.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Which way a call's answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Through,
    Past,
}

/// A call: when it began, and what came of it.
type Call = (Instant, Result<Way, String>);

/// Somebody who calls.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) name: &'static str,
    calls: Arc<Mutex<Vec<Call>>>,
    stop: Arc<AtomicBool>,
}

/// Calls, counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    through: usize,
    past: usize,
    pub(super) failed: usize,
    how: Vec<String>,
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { through, past, failed, how } = self;
        write!(out, "{through} requests through the proxy, {past} past it, {failed} failed")?;
        if how.is_empty() { Ok(()) } else { write!(out, " ({})", how.join(", ")) }
    }
}

impl Caller {
    /// Begins to call `target` from this namespace, each time over a connection of its own.
    pub(super) fn start(name: &'static str, namespace: &Namespace, target: SocketAddr) -> Result<Self> {
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (list, stopped) = (Arc::clone(&calls), Arc::clone(&stop));
        namespace.inside(|| {
            thread::Builder::new().name("caller".into()).spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let got = call(target).map_err(|error| error.to_string());
                    list.lock().unwrap_or_else(PoisonError::into_inner).push((began, got));
                    thread::sleep(EVERY.saturating_sub(began.elapsed()));
                }
            })?;
            Ok(())
        })?;
        Ok(Self { name, calls, stop })
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls that began at or after this moment, counted.
    pub(super) fn since(&self, moment: Instant) -> Counts {
        let mut counts = Counts::default();
        for (_, got) in self.calls().iter().filter(|(at, _)| *at >= moment) {
            match got {
                Ok(Way::Through) => counts.through += 1,
                Ok(Way::Past) => counts.past += 1,
                Err(how) => {
                    counts.failed += 1;
                    if !counts.how.contains(how) {
                        counts.how.push(how.clone());
                    }
                }
            }
        }
        counts
    }

    /// Calls that went well since this moment.
    pub(super) fn good_since(&self, moment: Instant) -> usize {
        let counts = self.since(moment);
        counts.through + counts.past
    }

    /// How long after this moment the first call that was served past the proxy began.
    pub(super) fn first_direct(&self, moment: Instant) -> Option<Duration> {
        self.first(moment, Way::Past)
    }

    /// The same, through it.
    pub(super) fn first_through(&self, moment: Instant) -> Option<Duration> {
        self.first(moment, Way::Through)
    }

    fn first(&self, moment: Instant, way: Way) -> Option<Duration> {
        let calls = self.calls();
        let (at, _) = calls.iter().find(|(at, got)| *at >= moment && *got == Ok(way))?;
        Some(at.duration_since(moment))
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Calls once, over a connection of its own.
pub(super) fn call(target: SocketAddr) -> std::io::Result<Way> {
    Held::connect(target)?.call()
}

/// A connection over which is called again and again.
#[derive(Debug)]
pub(super) struct Held(TcpStream);

impl Held {
    pub(super) fn connect(target: SocketAddr) -> std::io::Result<Self> {
        Ok(Self(connect(target, TIMEOUT)?))
    }

    pub(super) fn call(&mut self) -> std::io::Result<Way> {
        way_of(&exchange(&mut self.0, "/")?)
    }
}

fn way_of(answer: &str) -> std::io::Result<Way> {
    let way = answer.rsplit("\r\n\r\n").next().unwrap_or_default();
    match way {
        "through" => Ok(Way::Through),
        "past" => Ok(Way::Past),
        _ => Err(std::io::Error::other(answer.lines().next().unwrap_or("no answer").to_owned())),
    }
}

/// Asks over a connection of its own, and reads to its end or to the body's.
pub(super) fn get(target: SocketAddr, path: &str, timeout: Duration) -> std::io::Result<String> {
    exchange(&mut connect(target, timeout)?, path)
}

fn connect(target: SocketAddr, timeout: Duration) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&target, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(stream)
}

fn exchange(stream: &mut TcpStream, path: &str) -> std::io::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: drill\r\n\r\n")?;
    let mut received = String::new();
    let mut piece = [0; 4096];
    loop {
        let length = stream.read(&mut piece)?;
        received.push_str(&String::from_utf8_lossy(piece.get(..length).unwrap_or_default()));
        if length == 0 || is_complete(&received) {
            return Ok(received);
        }
    }
}

fn is_complete(received: &str) -> bool {
    let Some((head, body)) = received.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    length.is_none_or(|length| body.len() >= length)
}

/// All callers.
#[derive(Debug)]
pub(super) struct Callers(pub(super) Vec<Caller>);

impl Callers {
    pub(super) fn all(&self) -> &[Caller] {
        &self.0
    }
}

/// Probes the pod from outside as a kubelet does, and remembers when it would have lost patience.
#[derive(Debug)]
pub(super) struct Kubelet {
    killed: Arc<Mutex<Option<String>>>,
    stop: Arc<AtomicBool>,
}

impl Kubelet {
    /// Probes liveness every second; three failures in a row end the application.
    pub(super) fn start(namespace: &Namespace, status: SocketAddr) -> Result<Self> {
        let killed: Arc<Mutex<Option<String>>> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let (verdict, stopped) = (Arc::clone(&killed), Arc::clone(&stop));
        namespace.inside(|| {
            thread::Builder::new().name("kubelet".into()).spawn(move || {
                let mut failures = Vec::new();
                while !stopped.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    match get(status, "/app-health/app/livez", Duration::from_secs(1)) {
                        Ok(answer) if answer.starts_with("HTTP/1.1 200") => failures.clear(),
                        Ok(answer) => failures.push(answer.lines().next().unwrap_or("no answer").to_owned()),
                        Err(error) => failures.push(error.to_string()),
                    }
                    if failures.len() >= 3 {
                        *verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(failures.join(", "));
                    }
                    thread::sleep(Duration::from_secs(1).saturating_sub(began.elapsed()));
                }
            })?;
            Ok(())
        })?;
        Ok(Self { killed, stop })
    }

    /// Why it would have killed the application, if it would have since this was asked last.
    pub(super) fn would_have_killed(&self) -> Option<String> {
        self.killed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
