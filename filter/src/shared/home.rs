//! The proxy's own locality, concluded from the priorities that Envoy lists, for proxies that are not told theirs.

use super::compare_and_swap;
use filter_core::admin::host_lists::HostStatus;
use filter_core::locality::Locality;
use filter_core::locality::conclude_home;

/// Takes in lists of hosts. A conclusion stays until a list contradicts it: a control plane numbers priorities anew
/// when the endpoints at home leave, and home is where it was all the same.
pub(crate) fn note_lists(lists: &[(String, Vec<HostStatus>)]) {
    let pairs = |hosts: &Vec<HostStatus>| hosts.iter().map(|host| (host.priority, host.locality.clone())).collect();
    let clusters: Vec<Vec<(u32, Locality)>> = lists.iter().map(|(_, hosts)| pairs(hosts)).collect();
    let is_contradicted = |home: &Locality| {
        let is_home = |priority: u32, locality: &Locality| priority > 0 && locality.is_within(home);
        let is_first_elsewhere = |priority: u32, locality: &Locality| priority == 0 && !locality.is_within(home);
        clusters.iter().any(|hosts| {
            hosts.iter().any(|(priority, locality)| is_home(*priority, locality))
                && hosts.iter().any(|(priority, locality)| is_first_elsewhere(*priority, locality))
        })
    };
    if read().is_some_and(|home| !is_contradicted(&home)) {
        return;
    }
    if let Some(home) = conclude_home(&clusters) {
        let encoded = home.as_str().as_bytes().to_vec();
        compare_and_swap::update(&key(), |_| (Some(encoded.clone()), ()));
    }
}

/// The concluded locality; `None` if there is none.
pub(crate) fn read() -> Option<Locality> {
    let bytes = compare_and_swap::read(&key())?;
    Some(Locality::parse(&String::from_utf8_lossy(&bytes))).filter(|home| !home.is_unknown())
}

fn key() -> String {
    compare_and_swap::key("home")
}
