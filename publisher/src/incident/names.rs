//! What people call services and localities, from what Envoy calls them.

use std::collections::{BTreeMap, BTreeSet};

/// The part of a locality that people call it by: `ap-northeast-1a` of `ap-northeast-1/ap-northeast-1a`.
pub(crate) fn locality(locality: &str) -> &str {
    let mut slashes = locality.match_indices('/').map(|(at, _)| at + 1);
    match slashes.next() {
        _ if locality.is_empty() => "an unknown locality",
        // Of region, zone and subzone, the last two: a subzone alone says little.
        Some(zone) => locality.get(zone..).filter(|rest| !rest.is_empty()).unwrap_or(locality),
        None => locality,
    }
}

/// The service's name in an Istio cluster's, without Kubernetes' domain; other clusters are called as they are.
pub(crate) fn service(cluster: &str) -> &str {
    dns_name(cluster).split_once(".svc.").map_or(dns_name(cluster), |(name, _)| name)
}

/// The DNS name in an Istio cluster's name, `direction|port|subset|DNS name`; of another cluster, its name.
pub(crate) fn dns_name(cluster: &str) -> &str {
    cluster.splitn(4, '|').nth(3).filter(|name| !name.is_empty()).unwrap_or(cluster)
}

/// A name for each cluster that no other has: the [`service`]'s, or the cluster's own where several clusters are of one
/// service.
pub(crate) fn of_clusters<'a>(clusters: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let clusters: BTreeSet<&str> = clusters.collect();
    let mut bearers: BTreeMap<&str, usize> = BTreeMap::new();
    for cluster in &clusters {
        *bearers.entry(service(cluster)).or_default() += 1;
    }
    let name = |cluster: &str| match bearers.get(service(cluster)) {
        _ if cluster.is_empty() => "(no cluster)".to_owned(),
        Some(1) => service(cluster).to_owned(),
        _ => cluster.to_owned(),
    };
    clusters.iter().map(|cluster| ((*cluster).to_owned(), name(cluster))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_and_localities_are_called_as_people_call_them() {
        assert_eq!(service("outbound|8000||mockb.default.svc.cluster.local"), "mockb.default");
        assert_eq!(service("outbound|80||mydb.com"), "mydb.com");
        assert_eq!(service("backend"), "backend");
        let two = ["outbound|1||b.d.svc.cluster.local", "outbound|2||b.d.svc.cluster.local"];
        assert_eq!(of_clusters(two.into_iter())[two[0]], two[0]);
        assert_eq!(["r/z", "r/z/s", "r", "", "/z"].map(locality), ["z", "z/s", "r", "an unknown locality", "z"]);
    }
}
