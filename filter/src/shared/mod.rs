//! What all workers of the proxy know together, in Envoy's shared data.
//!
//! A change takes the value, works on a copy, and puts it back if nobody was faster, else it starts over: so each event
//! is made once per proxy. Shared data is process-wide and never freed, and plugins with the same bytes share it, so
//! keys have a prefix and there are two for each cluster at most, and a few more.
//!
//! While anything is not over anywhere in the proxy, the gauge `faultline_open_findings` is above zero. It is raised
//! before a finding is shared and lowered after it is closed, so a worker that reads zero has missed nothing. Gauges show
//! what is kept here, and are set to it again with each heartbeat: two workers may set one in the wrong order, and it may
//! start over at 0 when the module is replaced.

use crate::host::{self, Status};
use crate::output::reporter::Metrics;
use filter_core::cluster::{ClusterState, ENCODING};
use filter_core::members::Members;
use filter_core::metric::Level;
use filter_core::notify::outbox::Outbox;
use filter_core::time::Millis;
use serde::{Deserialize, Serialize};

/// Keys of totals over all clusters.
const OPEN: &str = "open";
const TRACKED: &str = "tracked";

/// How often a change is tried again when other workers are faster.
const TRIES: u32 = 32;

/// For a key that is not there yet: the host then takes any number, and no value that is there has this one.
const ABSENT: u32 = u32::MAX;

/// Reads the shared state of a cluster; `None` when there is none.
pub fn cluster(name: &str) -> Option<ClusterState> {
    let (bytes, _) = host::shared_data(&cluster_key(name)).ok()??;
    Some(ClusterState::decode(&bytes))
}

/// Changes the shared state of a cluster, and its gauges with it. `change` may run several times, each time on the latest
/// state; the result of the run that counted is returned, `None` if none could be made to count.
pub fn change_cluster<R>(
    name: &str,
    metrics: &mut Metrics,
    mut change: impl FnMut(&mut ClusterState) -> R,
) -> Option<R> {
    let mut levels = (Vec::new(), Vec::new());
    let changed = update(
        &cluster_key(name),
        |bytes| {
            let mut state = ClusterState::decode(bytes);
            let (before, shown) = (state.open_findings(), state.levels(name));
            let result = change(&mut state);
            levels = (shown, state.levels(name));
            let opened = i64::from(state.open_findings()).saturating_sub(i64::from(before));
            let after = state.encode();
            Change { after: (after != bytes).then_some(after), opened, result }
        },
        metrics,
    );
    let (shown, now) = levels;
    for level in shown.iter().filter(|level| !now.iter().any(|other| other.is_of(level))) {
        metrics.show(name, &Level { value: 0, ..level.clone() });
    }
    now.iter().filter(|level| !shown.contains(level)).for_each(|level| metrics.show(name, level));
    changed
}

/// The number of open findings, over all clusters; shown in the gauge by which requests are hurried through.
pub fn open_findings() -> u64 {
    total(OPEN)
}

/// The number of endpoints that are known, over all clusters.
pub fn tracked_endpoints() -> u64 {
    total(TRACKED)
}

/// Notes that so many endpoints more, or fewer, are known.
pub fn add_tracked_endpoints(by: i64) {
    add(TRACKED, by);
}

fn total(key: &str) -> u64 {
    let value = host::shared_data(&prefixed(key)).ok().flatten();
    value.and_then(|(bytes, _)| postcard::from_bytes(&bytes).ok()).unwrap_or_default()
}

/// Adds to a total and returns it; `None` where nothing can be shared.
fn add(key: &str, by: i64) -> Option<u64> {
    let key = prefixed(key);
    for _ in 0..TRIES {
        let (bytes, cas) = host::shared_data(&key).ok()?.unwrap_or((Vec::new(), ABSENT));
        let total = postcard::from_bytes::<u64>(&bytes).unwrap_or_default().saturating_add_signed(by);
        match host::set_shared_data(&key, &postcard::to_extend(&total, Vec::new()).unwrap_or_default(), cas) {
            Ok(()) => return Some(total),
            Err(Status::CAS_MISMATCH) => {}
            Err(_) => return None,
        }
    }
    None
}

/// Changes the shared list of a cluster's endpoints.
pub fn change_members<R>(name: &str, metrics: &mut Metrics, mut change: impl FnMut(&mut Members) -> R) -> Option<R> {
    update(
        &prefixed(&format!("m.{name}")),
        |bytes| {
            let mut members = postcard::from_bytes::<Members>(bytes).unwrap_or_default();
            let result = change(&mut members);
            let after = postcard::to_extend(&members, Vec::new()).unwrap_or_default();
            Change { after: (after != bytes).then_some(after), opened: 0, result }
        },
        metrics,
    )
}

/// Claims something that is to be done once per proxy, such as the report of a bad configuration (`token` tells which):
/// true for one of the workers that ask within `millis` of each other.
pub fn claim(what: &str, token: u64, now: u64, millis: u64, metrics: &mut Metrics) -> bool {
    let claimed = update(
        &prefixed(&format!("claim.{what}")),
        |bytes| {
            let last = postcard::from_bytes::<(u64, u64)>(bytes).ok();
            let mine = last.is_none_or(|(known, at)| known != token || now.abs_diff(at) >= millis);
            let after = mine.then(|| postcard::to_extend(&(token, now), Vec::new()).unwrap_or_default());
            Change { after, opened: 0, result: mine }
        },
        metrics,
    );
    // Where nothing can be shared, every worker says it: better twice than never.
    claimed.unwrap_or(true)
}

/// Takes one of the log lines that may be written in the current second; false when they are used up.
pub fn take_log_line(now: u64, per_second: u32, metrics: &mut Metrics) -> bool {
    let second = now / 1000;
    let taken = update(
        &prefixed("lines"),
        |bytes| {
            let (at, used) = postcard::from_bytes::<(u64, u32)>(bytes).unwrap_or_default();
            let used = if at == second { used } else { 0 };
            let free = used < per_second;
            let after =
                free.then(|| postcard::to_extend(&(second, used.saturating_add(1)), Vec::new()).unwrap_or_default());
            Change { after, opened: 0, result: free }
        },
        metrics,
    );
    // Where nothing can be shared, nothing can be counted either: better a line too many.
    taken.unwrap_or(true)
}

/// The question to Envoy, as the workers share it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Clusters that Envoy should be asked about.
    pub suspects: Vec<String>,
    /// Until when a question counts as under way; 0 when none is.
    pub under_way_until: Millis,
    /// When the last one was over.
    pub done: Millis,
    /// How long to wait after it at the least, whatever is suspected.
    pub rest: Millis,
    /// How long to wait after it if nothing new is suspected.
    pub wait: Millis,
    /// Whether something new is suspected.
    pub urgent: bool,
    /// How often in a row there was no answer that could be used.
    pub failures: u32,
    /// When Envoy last counted ejections, and how long it is not to be asked to again.
    pub count: (Millis, Millis),
}

/// Clusters that are noted; when there are more, the next question is about all of them anyway.
const MAX_SUSPECTS: usize = 64;

/// Failures in a row after which Envoy counts as silent.
const SILENT_AFTER: u32 = 3;

impl Question {
    /// Whether Envoy does not answer, so that its word is not to be waited for.
    pub fn is_silent(&self) -> bool {
        self.failures >= SILENT_AFTER
    }

    /// Notes that a question ended without an answer; `for_good` says that the next one will, too.
    pub fn failed(&mut self, for_good: bool) {
        self.failures = if for_good { SILENT_AFTER } else { self.failures.saturating_add(1) };
    }

    /// Notes a cluster.
    pub fn suspect(&mut self, cluster: &str) {
        if self.suspects.len() < MAX_SUSPECTS && !self.suspects.iter().any(|name| name == cluster) {
            self.suspects.push(cluster.to_owned());
        }
    }
}

/// Reads the question; a first one when there is none. `None` where nothing can be shared.
pub fn question() -> Option<Question> {
    let value = host::shared_data(&question_key()).ok()?;
    Some(value.map_or_else(Question::default, |(bytes, _)| postcard::from_bytes(&bytes).unwrap_or_default()))
}

/// Changes the question.
pub fn change_question<R>(metrics: &mut Metrics, mut change: impl FnMut(&mut Question) -> R) -> Option<R> {
    update(
        &question_key(),
        |bytes| {
            let mut question = postcard::from_bytes::<Question>(bytes).unwrap_or_default();
            let result = change(&mut question);
            let after = postcard::to_extend(&question, Vec::new()).unwrap_or_default();
            Change { after: (after != bytes).then_some(after), opened: 0, result }
        },
        metrics,
    )
}

fn question_key() -> String {
    prefixed("question")
}

/// Reads what waits to be sent.
pub fn outbox() -> Outbox {
    let value = host::shared_data(&outbox_key()).ok().flatten();
    value.map_or_else(Outbox::default, |(bytes, _)| Outbox::decode(&bytes))
}

/// Changes what waits to be sent.
pub fn change_outbox<R>(metrics: &mut Metrics, mut change: impl FnMut(&mut Outbox) -> R) -> Option<R> {
    update(
        &outbox_key(),
        |bytes| {
            let mut outbox = Outbox::decode(bytes);
            let result = change(&mut outbox);
            let after = outbox.encode();
            Change { after: (after != bytes).then_some(after), opened: 0, result }
        },
        metrics,
    )
}

fn outbox_key() -> String {
    prefixed("outbox")
}

/// What came of working on a copy.
struct Change<R> {
    /// The new value; `None` leaves the old one.
    after: Option<Vec<u8>>,
    /// By how much the number of open findings changes.
    opened: i64,
    result: R,
}

fn update<R>(key: &str, mut work: impl FnMut(&[u8]) -> Change<R>, metrics: &mut Metrics) -> Option<R> {
    let mut open = |by: i64| {
        if let Some(total) = (by != 0).then(|| add(OPEN, by)).flatten() {
            metrics.set_open_findings(total);
        }
    };
    for _ in 0..TRIES {
        let (bytes, cas) = host::shared_data(key).ok()?.unwrap_or((Vec::new(), ABSENT));
        let change = work(&bytes);
        let Some(after) = change.after else { return Some(change.result) };
        // Workers look closer before there is something to see, and not after it is gone.
        open(change.opened.max(0));
        match host::set_shared_data(key, &after, cas) {
            Ok(()) => {
                open(change.opened.min(0));
                return Some(change.result);
            }
            Err(status) => {
                open(change.opened.max(0).saturating_neg());
                if status != Status::CAS_MISMATCH {
                    return None;
                }
            }
        }
    }
    None
}

fn cluster_key(name: &str) -> String {
    prefixed(&format!("c.{name}"))
}

/// A key. A module that keeps something else under it starts anew, its totals included.
fn prefixed(key: &str) -> String {
    format!("faultline.{ENCODING}.{key}")
}
