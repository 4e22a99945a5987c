//! The state that all VMs of one proxy share: the clock, metrics, shared data, logs, pending HTTP calls, timers,
//! faults, costs.
//!
//! Time is virtual: it moves only when a test moves it.

use crate::abi::{Level, Pairs};
use crate::costs::Costs;
use crate::faults::Faults;
use crate::ids::{CallId, VmId};
use crate::properties::header;
use crate::shared::{Queues, SharedData};
use crate::stats::Stats;
use crate::upstream::Node;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// A line that the module logged.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// Level it was logged at; lines below the proxy's level are not kept.
    pub level: Level,
    /// The text; invalid UTF-8 is replaced.
    pub message: String,
    /// The VM that logged.
    pub vm: VmId,
    /// Virtual time since the harness was built.
    pub at: Duration,
}

/// An HTTP call of the module that has no answer yet.
#[derive(Clone, Debug)]
pub struct HttpCall {
    /// Its id, for `Harness::answer`.
    pub id: CallId,
    /// The VM that called.
    pub vm: VmId,
    /// The cluster that it goes to.
    pub cluster: String,
    /// Request headers, including pseudo-headers.
    pub headers: Pairs,
    /// Request body.
    pub body: Vec<u8>,
    /// Request trailers.
    pub trailers: Pairs,
    /// `None` if the module passed 0: the call waits forever.
    pub timeout: Option<Duration>,
    /// Virtual time of the call.
    pub made_at: Duration,
    pub(crate) serial: u64,
    pub(crate) root: u32,
    pub(crate) token: u32,
}

impl HttpCall {
    /// The first value of a request header; empty if there is none or it is not UTF-8.
    pub fn header(&self, name: &str) -> &str {
        let value = header(&self.headers, name.as_bytes()).unwrap_or_default();
        std::str::from_utf8(value).unwrap_or_default()
    }

    /// `:path`.
    pub fn path(&self) -> &str {
        self.header(":path")
    }

    pub(crate) fn due(&self) -> Option<Duration> {
        Some(self.made_at + self.timeout?)
    }
}

/// What the module's HTTP calls find at a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cluster {
    /// Calls are sent and wait for an answer.
    Up,
    /// The cluster is known but has no endpoint: InternalFailure.
    NoEndpoint,
}

/// A root context's tick in one VM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    pub(crate) serial: u64,
    pub(crate) root: u32,
    pub(crate) period: Duration,
    pub(crate) due: Duration,
    /// The order of arming: ticks that are due at the same time fire in this order.
    pub(crate) armed: u64,
}

pub(crate) type SharedProcess = Rc<RefCell<Process>>;

/// State of the Envoy process.
pub(crate) struct Process {
    pub(crate) now: Duration,
    /// The wall clock since the Unix epoch; it may jump relative to `now`.
    pub(crate) wall: Duration,
    pub(crate) stats: Stats,
    pub(crate) shared: SharedData,
    pub(crate) queues: Queues,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) log_level: Level,
    pub(crate) faults: Faults,
    pub(crate) costs: Costs,
    pub(crate) clusters: BTreeMap<String, Cluster>,
    pub(crate) calls: Vec<HttpCall>,
    pub(crate) next_call: u64,
    pub(crate) timers: Vec<Timer>,
    pub(crate) armed: u64,
    pub(crate) node: Node,
    pub(crate) vm_id: String,
    pub(crate) vm_config: Vec<u8>,
}

impl Process {
    /// Moves time forward, and the wall clock with it; never back.
    pub(crate) fn move_to(&mut self, instant: Duration) {
        let step = instant.saturating_sub(self.now);
        self.now += step;
        self.wall += step;
    }

    /// Sets, restarts or (period 0) stops the tick of a root context.
    pub(crate) fn arm(&mut self, serial: u64, root: u32, period: Duration) {
        self.disarm(serial, |timer_root| timer_root == root);
        if period.is_zero() {
            return;
        }
        self.armed += 1;
        self.timers.push(Timer { serial, root, period, due: self.now + period, armed: self.armed });
    }

    /// Stops the ticks and forgets the pending HTTP calls of root contexts that are gone.
    pub(crate) fn forget(&mut self, serial: u64, gone: impl Fn(u32) -> bool) {
        self.disarm(serial, &gone);
        self.calls.retain(|call| call.serial != serial || !gone(call.root));
    }

    fn disarm(&mut self, serial: u64, which: impl Fn(u32) -> bool) {
        self.timers.retain(|timer| timer.serial != serial || !which(timer.root));
    }

    pub(crate) fn next_timer(&self, until: Duration) -> Option<Timer> {
        let due = self.timers.iter().filter(|timer| timer.due <= until);
        due.min_by_key(|timer| (timer.due, timer.armed)).copied()
    }

    pub(crate) fn next_timeout(&self, until: Duration) -> Option<(Duration, CallId)> {
        let due = self.calls.iter().filter_map(|call| Some((call.due()?, call.id)));
        due.filter(|(due, _)| *due <= until).min()
    }
}
