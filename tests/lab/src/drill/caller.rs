//! A caller of a service: sends one request after the other, over a few connections in turn, and counts the answers.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::net::http::Client;

/// Connections of each caller, so that every worker of Envoy gets some.
const CONNECTIONS: usize = 4;

/// A caller that sends requests to a service and reads the answers.
#[derive(Debug)]
pub(super) struct Caller {
    name: String,
    clients: Vec<Client>,
    path: &'static str,
    last: Answer,
    new: BTreeSet<String>,
    /// Requests so far.
    pub calls: u64,
    /// Requests that were answered with an error.
    pub errors: u64,
    /// Requests without an answer.
    pub unanswered: u64,
}

/// The answer to one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status code; 0 if there was no answer.
    pub status: u16,
    /// The body, or why there is none.
    pub text: String,
}

impl Caller {
    /// A caller of `host` at `target`; `name` appears on the screen.
    pub(super) fn new(name: &str, target: SocketAddr, host: &str) -> Self {
        let clients = (0..CONNECTIONS).map(|_| Client::new(target, host)).collect();
        let (last, new) = Default::default();
        Self { name: name.to_owned(), clients, path: "/", last, new, calls: 0, errors: 0, unanswered: 0 }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Sets the path of all further requests.
    pub(super) fn ask_for(&mut self, path: &'static str) {
        self.path = path;
    }

    /// The last answer.
    pub(super) fn last(&self) -> &Answer {
        &self.last
    }

    /// Whether the last answer was a 200 with this body.
    pub(super) fn gets(&self, text: &str) -> bool {
        self.last.status == 200 && self.last.text == text
    }

    /// Sends one request. Returns the answer if it is the first of its kind since [`Caller::look_anew`].
    pub(super) fn call(&mut self) -> Option<&Answer> {
        self.clients.rotate_left(1);
        self.calls += 1;
        self.last = match self.clients[0].get(self.path) {
            Ok(answer) if answer.complete => {
                Answer { status: answer.status, text: answer.text().trim_end().to_owned() }
            }
            Ok(_) => Answer { status: 0, text: "an answer that broke off".to_owned() },
            Err(error) => Answer { status: 0, text: error.to_string() },
        };
        self.errors += u64::from(self.last.status >= 400);
        self.unanswered += u64::from(self.last.status == 0);
        let kind = format!("{} {}", self.last.status, self.last.text);
        self.new.insert(kind).then_some(&self.last)
    }

    /// Makes every kind of answer count as new again, except that of the last one.
    pub(super) fn look_anew(&mut self) {
        let last = format!("{} {}", self.last.status, self.last.text);
        self.new.retain(|kind| *kind == last);
    }
}
