//! Load with a fixed number of requests over a fixed number of connections, and a tally of the answers.
//!
//! Requests are sent one after the other, over the connections in turn, so that the same script gives the same sequence
//! of attempts on every machine. Not here: rates and durations, which would make tests depend on the machine.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::net::http::{Client, Response};
use crate::wait::SAFETY_NET;

/// The answers to a number of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers by status code.
    pub by_status: BTreeMap<u16, u64>,
    /// Answers by the name of their endpoint; Envoy's own answers are not included.
    pub by_endpoint: BTreeMap<String, u64>,
    /// Requests without an answer, or with one that broke off.
    pub broken: u64,
}

impl Tally {
    /// Answers with this status code.
    pub fn status(&self, code: u16) -> u64 {
        self.by_status.get(&code).copied().unwrap_or(0)
    }

    /// Answers given by the endpoint of this name.
    pub fn from(&self, endpoint: &str) -> u64 {
        self.by_endpoint.get(endpoint).copied().unwrap_or(0)
    }

    /// All requests.
    pub fn total(&self) -> u64 {
        self.by_status.values().sum::<u64>() + self.broken
    }

    fn count(&mut self, answer: std::io::Result<Response>) {
        match answer {
            Ok(response) if response.complete => {
                *self.by_status.entry(response.status).or_default() += 1;
                if let Some(name) = response.header("x-served-by") {
                    *self.by_endpoint.entry(name.to_owned()).or_default() += 1;
                }
            }
            _ => self.broken += 1,
        }
    }

    fn add(&mut self, other: Self) {
        for (status, n) in other.by_status {
            *self.by_status.entry(status).or_default() += n;
        }
        for (endpoint, n) in other.by_endpoint {
            *self.by_endpoint.entry(endpoint).or_default() += n;
        }
        self.broken += other.broken;
    }
}

/// Connections to one listener, for requests to one authority.
#[derive(Debug)]
pub struct Load {
    clients: Vec<Client>,
    next: usize,
    /// Everything sent so far.
    pub total: Tally,
}

impl Load {
    /// Opens `connections` connections to `target`, for requests to `host`.
    ///
    /// # Errors
    /// If the target refuses.
    pub fn open(target: SocketAddr, host: &str, connections: usize) -> Result<Self> {
        let mut clients: Vec<Client> = (0..connections.max(1)).map(|_| Client::new(target, host)).collect();
        for client in &mut clients {
            client.connect()?;
        }
        Ok(Self { clients, next: 0, total: Tally::default() })
    }

    /// Sends one GET on the next connection and reads the answer.
    ///
    /// # Errors
    /// If there is no answer.
    pub fn get(&mut self, path: &str) -> Result<Response> {
        let index = self.next % self.clients.len();
        self.next += 1;
        let answer = self.clients[index].get(path);
        self.total.count(answer.as_ref().map(Clone::clone).map_err(|e| e.kind().into()));
        Ok(answer?)
    }

    /// Sends `requests` GETs one after the other, over the connections in turn.
    pub fn send(&mut self, requests: u64) -> Tally {
        let mut tally = Tally::default();
        for _ in 0..requests {
            let index = self.next % self.clients.len();
            self.next += 1;
            tally.count(self.clients[index].get("/"));
        }
        self.total.add(tally.clone());
        tally
    }

    /// Sends requests until `done` returns true, and returns their tally. `done` is called before the first request.
    ///
    /// # Errors
    /// If it does not become true within [`SAFETY_NET`]; `what` says what was waited for.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&Tally) -> bool) -> Result<Tally> {
        let started = Instant::now();
        let mut tally = Tally::default();
        while !done(&tally) {
            if started.elapsed() > SAFETY_NET {
                bail!("{what}: not after {} s and {} requests ({tally:?})", SAFETY_NET.as_secs(), tally.total());
            }
            tally.add(self.send(1));
            // Leaves processor time to Envoy.
            thread::sleep(Duration::from_millis(1));
        }
        Ok(tally)
    }

    /// Sends `requests` GETs on every connection, all connections at once.
    pub fn send_at_once(&mut self, requests: u64) -> Tally {
        let per_client = |client: &mut Client| {
            let mut tally = Tally::default();
            (0..requests).for_each(|_| tally.count(client.get("/")));
            tally
        };
        let mut tally = Tally::default();
        thread::scope(|scope| {
            let sending: Vec<_> = self.clients.iter_mut().map(|c| scope.spawn(move || per_client(c))).collect();
            for sender in sending {
                tally.add(sender.join().unwrap_or_default());
            }
        });
        self.total.add(tally.clone());
        tally
    }
}
