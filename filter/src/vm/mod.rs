//! The state of one VM: one worker's, shared by all root contexts that live in it (listeners, directions, an access
//! logger), which also share the configuration that came last and one heartbeat.
//!
//! A configuration that cannot be read is reported at the next heartbeat, once per proxy, and changes nothing: the last
//! good one stays, or the defaults. Not while it is set: a canary VM is configured too, and then thrown away.

pub mod known;

use crate::callbacks::heartbeat::Heartbeat;
use crate::callbacks::notify::Sent;
use crate::callbacks::requests::Pending;
use crate::callbacks::upstream_log::Answered;
use crate::callbacks::witness::Asked;
use crate::host;
use crate::host::exchange::{self as request, Expression, HEALTHY_ATTEMPT, HEALTHY_REQUEST};
use crate::output::reporter::{Reporter, set_log_level};
use crate::shared;
use crate::vm::known::Known;
use filter_core::config::{self, Config};
use filter_core::locality::Locality;
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::hash::BuildHasher;

/// Root contexts that are remembered; Envoy makes a new one with every change of the configuration.
const MAX_ROOTS: usize = 256;

/// Something to be said once per proxy at the next heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The configuration was rejected, and why.
    Rejected(String),
    /// A configuration is in force; the fields in it that mean nothing.
    InForce(Vec<String>),
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Plugin {
    /// The configuration in force.
    pub config: Config,
    /// What is to be said at the next heartbeat, with a number that tells the configuration it is about.
    pub notices: Vec<(u64, Notice)>,
    /// The proxy's own locality.
    pub home: Locality,
    /// The clusters and endpoints that were met.
    pub known: Known,
    /// Events and metrics going out.
    pub reporter: Reporter,
    /// What tells healthy requests.
    pub healthy_request: Expression,
    /// What tells healthy attempts, in the upstream log.
    pub healthy_attempt: Expression,
    /// Requests judged when their response headers passed, by context, until they are logged.
    pub pending: FxHashMap<u32, Pending>,
    /// Answers judged when their headers passed, until the upstream log shows that they are over.
    pub answered: Answered,
    /// When to do what time asks for.
    pub heartbeat: Heartbeat,
    /// The question to Envoy that this VM waits for an answer to.
    pub asked: Option<Asked>,
    /// Whether Envoy did not answer when last asked, so that its word is not waited for.
    pub silent: bool,
    /// What this VM sent to the receiver of `notify` and waits for an answer to.
    pub sent: Option<Sent>,
    roots: Vec<u32>,
}

impl Plugin {
    /// A root context gets its configuration, of `size` bytes.
    pub fn configure(&mut self, root: u32, size: usize) {
        if !self.roots.contains(&root) {
            if self.roots.len() >= MAX_ROOTS {
                self.roots.remove(0);
            }
            self.roots.push(root);
            self.healthy_request.compile(HEALTHY_REQUEST);
            self.healthy_attempt.compile(HEALTHY_ATTEMPT);
        }
        self.heartbeat.follow(root);
        self.home = request::home();
        // One byte more than is read, so that the parser sees that it is too long.
        let max = size.min(config::MAX_TEXT_BYTES.saturating_add(1));
        let text =
            if size == 0 { Vec::new() } else { host::buffer(host::PLUGIN_CONFIGURATION, 0, max).unwrap_or_default() };
        let number = FxBuildHasher.hash_one(&text);
        let notice = match config::parse(&text) {
            Ok(parsed) => {
                self.take_over(parsed.config);
                Notice::InForce(parsed.unknown_fields)
            }
            Err(error) => {
                let config = self.config.clone();
                self.take_over(config);
                Notice::Rejected(error.to_string())
            }
        };
        self.notices.retain(|(_, known)| *known != notice);
        self.notices.push((number, notice));
    }

    fn take_over(&mut self, config: Config) {
        set_log_level(config.log_level);
        self.known.configure(&config);
        self.reporter.metrics.set_limit(&config.limits);
        self.config = config;
    }

    /// Whether Envoy's word on its endpoints is to be waited for.
    pub fn has_witness(&mut self) -> bool {
        if self.config.witness.is_none() {
            return false;
        }
        if self.silent {
            // Another worker may have had an answer since.
            self.silent = shared::question().is_some_and(|question| question.is_silent());
        }
        !self.silent
    }

    /// Whether a context is a root's, and not a request's.
    pub fn is_root(&self, context: u32) -> bool {
        self.roots.contains(&context)
    }
}
