//! Which cluster the hosts of an aggregate cluster belong to: requests name the aggregate, Envoy ejects in its members.

use super::compare_and_swap;
use filter_core::encoded;
use filter_core::encoding;

/// The maximum number of hosts that are remembered of an aggregate cluster.
const MAX_HOSTS: usize = 10_000;

/// The member clusters of an aggregate cluster, and the hosts of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owners {
    /// For each member, its name and the hashes of its hosts' addresses.
    pub(crate) members: Vec<(String, Vec<u32>)>,
}

encoded!(struct Owners { members });

/// Reads the owners of an aggregate cluster's hosts; none if they are not known.
pub(crate) fn read(aggregate: &str) -> Owners {
    let bytes = compare_and_swap::read(&key(aggregate)).unwrap_or_default();
    encoding::decode(&bytes).unwrap_or_default()
}

/// Sets the owners of an aggregate cluster's hosts.
pub(crate) fn set(aggregate: &str, mut owners: Owners) {
    let mut room = MAX_HOSTS;
    for (_, hosts) in &mut owners.members {
        hosts.truncate(room);
        room = room.saturating_sub(hosts.len());
    }
    let encoded = encoding::encode(&owners);
    compare_and_swap::update(&key(aggregate), |_| (Some(encoded.clone()), ()));
}

fn key(aggregate: &str) -> String {
    compare_and_swap::key(&format!("a.{aggregate}"))
}
