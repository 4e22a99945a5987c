//! The proxy's own locality, concluded from the priorities that Envoy lists, for proxies that are not told theirs.

use super::compare_and_swap;
use filter_core::admin::host_lists::HostStatus;
use filter_core::cluster::members::endpoint_hash;
use filter_core::encoding;
use filter_core::locality::{Locality, conclude_home};

/// The maximum number of clusters whose conclusions are kept.
const MAX_CLUSTERS: usize = 64;

/// Where each cluster shows home to be, by the hash of its name.
type Conclusions = Vec<(u32, String)>;

/// Takes in lists of hosts. A cluster's conclusion stays until its list contradicts it: a control plane numbers
/// priorities anew when the endpoints at home leave, and home is where it was all the same.
pub(crate) fn note_lists(lists: &[(String, Vec<HostStatus>)]) {
    let of_several = |hosts: &[HostStatus]| hosts.iter().any(|host| host.priority > 0);
    if !lists.iter().any(|(_, hosts)| of_several(hosts)) {
        return;
    }
    compare_and_swap::update(&key(), |bytes| {
        let mut known: Conclusions = encoding::decode(bytes).unwrap_or_default();
        for (name, hosts) in lists.iter().filter(|(_, hosts)| of_several(hosts)) {
            let hash = endpoint_hash(name);
            let before = known.iter().find(|(cluster, _)| *cluster == hash).map(|(_, home)| Locality::parse(home));
            if before.is_some_and(|home| !is_contradicted(&home, hosts)) {
                continue;
            }
            known.retain(|(cluster, _)| *cluster != hash);
            let pairs = hosts.iter().map(|host| (host.priority, host.locality.clone())).collect();
            if let Some(home) = conclude_home(&[pairs]).filter(|_| known.len() < MAX_CLUSTERS) {
                known.push((hash, home.as_str().to_owned()));
            }
        }
        (Some(encoding::encode(&known)), ())
    });
}

/// Whether hosts at home have a lower priority than some elsewhere.
fn is_contradicted(home: &Locality, hosts: &[HostStatus]) -> bool {
    let is_second_at_home = |host: &HostStatus| host.priority > 0 && host.locality.is_within(home);
    let is_first_elsewhere = |host: &HostStatus| host.priority == 0 && !host.locality.is_within(home);
    hosts.iter().any(is_second_at_home) && hosts.iter().any(is_first_elsewhere)
}

/// The concluded locality, the innermost of those of all clusters; `None` if there is none, or if they lie apart.
pub(crate) fn read() -> Option<Locality> {
    let known: Conclusions = encoding::decode(&compare_and_swap::read(&key())?).unwrap_or_default();
    let mut homes = known.iter().map(|(_, home)| Locality::parse(home));
    let first = homes.next()?;
    homes.try_fold(
        first,
        |home, other| {
            if home.is_within(&other) { Some(home) } else { other.is_within(&home).then_some(other) }
        },
    )
}

fn key() -> String {
    compare_and_swap::key("home")
}
