//! What the workers know about each cluster: its state, and the list of its endpoints.
//!
//! This makes an event appear once per proxy: only the worker whose change is written back reports its events.

use super::compare_and_swap::{self, Put};
use super::open_findings::OpenFindings;
use filter_core::admin::host_lists::HostStatus;
use filter_core::cluster::ClusterState;
use filter_core::cluster::host_totals::{Growth, HostTotals};
use filter_core::cluster::members::Members;
use filter_core::encoding;
use filter_core::locality::Locality;
use filter_core::metric::Level;
use filter_core::time::Millis;

/// A change to a cluster's state.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// Whether the last run was written back.
    pub(crate) is_written: bool,
    /// What the cluster's gauges showed before the last run.
    pub(crate) before: Vec<Level>,
    /// What they should show after the last run.
    pub(crate) after: Vec<Level>,
}

/// Reads the state of a cluster; `None` if there is none.
pub(crate) fn read(name: &str) -> Option<ClusterState> {
    compare_and_swap::read(&state_key(name)).map(|bytes| ClusterState::decode(&bytes))
}

/// Changes the state of a cluster. `change` may run several times, each time on the latest state.
pub(crate) fn change(
    name: &str,
    open_findings: &mut OpenFindings,
    change: &mut dyn FnMut(&mut ClusterState),
) -> Changed {
    let key = state_key(name);
    let mut changed = Changed::default();
    for _ in 0..compare_and_swap::MAX_TRIES {
        let Some((bytes, cas)) = compare_and_swap::take(&key) else { break };
        let mut state = ClusterState::decode(&bytes);
        let open = state.open_findings();
        changed.before = state.levels(name);
        change(&mut state);
        changed.after = state.levels(name);
        let value = state.encode();
        changed.is_written = value == bytes;
        if changed.is_written {
            break;
        }
        let opened = i64::from(state.open_findings()).saturating_sub(i64::from(open));
        // The total rises before a finding becomes visible and falls after it is gone, so no worker misses one.
        open_findings.add(opened.max(0));
        let put = compare_and_swap::put(&key, &value, cas);
        changed.is_written = put == Put::Done;
        open_findings.add(if changed.is_written { opened.min(0) } else { opened.max(0).saturating_neg() });
        if put != Put::Overtaken {
            break;
        }
    }
    changed
}

/// The hashes of endpoints that have left, and how many there are in each locality.
type Merged = (Vec<u32>, Vec<(Locality, u32)>);

/// Merges endpoints that were seen, as hashes with their localities, into the list of a cluster's endpoints, of which
/// Envoy counts `total`, if known. Returns the hashes of those that have left, and how many there are in each locality.
pub(crate) fn merge_members(
    name: &str,
    seen: &[(u32, &Locality)],
    total: Option<u32>,
    limit: u32,
    now: Millis,
) -> Option<Merged> {
    let (left, grown, counts) = compare_and_swap::update(&compare_and_swap::key(&format!("m.{name}")), |bytes| {
        let mut members = encoding::decode::<Members>(bytes).unwrap_or_default();
        let before = members.len();
        let left = members.merge(seen, total, limit, now);
        let grown = i64::try_from(members.len()).unwrap_or(0).saturating_sub(i64::try_from(before).unwrap_or(0));
        let result = (left, grown, members.counts());
        (Some(encoding::encode(&members)), result)
    })?;
    if grown != 0 {
        add_tracked_endpoints(grown);
    }
    Some((left, counts))
}

/// Takes in the counts of a cluster's hosts that Envoy lists at `now`, asked for at `asked`; returns what they got
/// since the last list, or `None` if they are older than that.
pub(crate) fn grow_totals(name: &str, hosts: &[HostStatus], asked: Millis, now: Millis) -> Option<Growth> {
    let grown = compare_and_swap::update(&compare_and_swap::key(&format!("t.{name}")), |bytes| {
        let mut totals = encoding::decode::<HostTotals>(bytes).unwrap_or_default();
        let growth = totals.grow(hosts, asked, now);
        (Some(encoding::encode(&totals)), growth)
    });
    // Without shared data every list is the first.
    grown.unwrap_or_else(|| Some(Growth::default()))
}

/// The number of known endpoints, over all clusters.
pub(crate) fn tracked_endpoints() -> u64 {
    compare_and_swap::total(&tracked_key())
}

/// Adds to the number of known endpoints; `by` may be negative.
fn add_tracked_endpoints(by: i64) {
    compare_and_swap::add(&tracked_key(), by);
}

fn state_key(name: &str) -> String {
    compare_and_swap::key(&format!("c.{name}"))
}

fn tracked_key() -> String {
    compare_and_swap::key("tracked")
}
