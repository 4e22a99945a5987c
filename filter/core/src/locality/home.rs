//! The proxy's own locality, where its bootstrap does not have it.

use super::Locality;

/// The labels with which a pod overrides its locality, the newer one first; in them, dots stand for slashes.
const OVERRIDES: [&str; 2] = ["topology.istio.io/locality", "istio-locality"];
/// The labels of a node's region, zone and subzone.
const TOPOLOGY: [&str; 3] =
    ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];

/// The proxy's locality by its labels, each of which `read` gives, or an empty text if there is none. As in Istio
/// (`pkg/model/proxy.go`: `GetLocalityLabel`, `SanitizeLocalityLabel`), a label for the whole comes first, and its dots
/// are slashes unless it has any.
pub fn home_from_labels(mut read: impl FnMut(&str) -> String) -> Locality {
    if let Some(label) = OVERRIDES.iter().map(|name| read(name)).find(|label| !label.is_empty()) {
        return Locality::parse(&if label.contains('/') { label } else { label.replace('.', "/") });
    }
    let [region, zone, subzone] = TOPOLOGY.map(&mut read);
    // A zone without its region fits no endpoint's locality.
    if region.is_empty() { Locality::default() } else { Locality::from_parts(&region, &zone, &subzone) }
}

/// The proxy's locality by Envoy's priorities: for each cluster, its hosts' priorities and localities. A control plane
/// that knows where the proxy is gives priority 0 to what is near it.
///
/// Each cluster that has several priorities shows the smallest locality that contains all its hosts of priority 0, and
/// must have none of a higher priority there. Those of all clusters must lie within each other; the innermost is the
/// answer. `None` if there is no such cluster, or they contradict each other.
pub fn conclude_home(clusters: &[Vec<(u32, Locality)>]) -> Option<Locality> {
    let has_several = |hosts: &&Vec<(u32, Locality)>| {
        let is_first = |(priority, _): &(u32, Locality)| *priority == 0;
        hosts.iter().any(is_first) && !hosts.iter().all(is_first)
    };
    let mut home: Option<Locality> = None;
    for hosts in clusters.iter().filter(has_several) {
        let first = hosts.iter().filter(|(priority, _)| *priority == 0).map(|(_, locality)| locality.clone());
        let near = first.reduce(|one, two| one.common(&two))?;
        if near.is_unknown() || hosts.iter().any(|(priority, far)| *priority > 0 && far.is_within(&near)) {
            return None;
        }
        home = match home {
            Some(home) if home.is_within(&near) => Some(home),
            Some(home) if !near.is_within(&home) => return None,
            _ => Some(near),
        };
    }
    home
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_labels(labels: &[(&str, &str)]) -> String {
        let read =
            |name: &str| labels.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value).to_owned();
        home_from_labels(read).as_str().to_owned()
    }

    #[test]
    fn labels_give_the_locality_as_they_do_in_istio() {
        let topology = [("topology.kubernetes.io/region", "eu"), ("topology.kubernetes.io/zone", "a")];
        assert_eq!(by_labels(&topology), "eu/a");
        assert_eq!(by_labels(&[topology[0], topology[1], ("topology.istio.io/subzone", "rack1")]), "eu/a/rack1");
        assert_eq!(by_labels(&[topology[1], ("istio-locality", "eu.a")]), "eu/a", "the override says more");
        assert_eq!(by_labels(&[("istio-locality", "eu/a.1/rack1")]), "eu/a.1/rack1");
        assert_eq!(by_labels(&[("istio-locality", "eu.a"), ("topology.istio.io/locality", "us.c")]), "us/c");
        assert_eq!(by_labels(&[]), "");
    }

    fn concluded(clusters: &[&[(u32, &str)]]) -> Option<String> {
        let place = |(priority, text): &(u32, &str)| (*priority, Locality::parse(text));
        let clusters: Vec<Vec<_>> = clusters.iter().map(|hosts| hosts.iter().map(place).collect()).collect();
        conclude_home(&clusters).map(|home| home.as_str().to_owned())
    }

    #[test]
    fn priorities_give_the_locality_if_all_clusters_agree() {
        assert_eq!(concluded(&[&[(0, "eu/a"), (0, "eu/a"), (1, "eu/b"), (2, "us/c")]]).as_deref(), Some("eu/a"));
        assert_eq!(concluded(&[&[(0, "eu/a/1"), (0, "eu/a/2"), (1, "eu/b/1")]]).as_deref(), Some("eu/a"));
        let region: &[(u32, &str)] = &[(0, "eu/a"), (0, "eu/b"), (1, "us/c")];
        let zone: &[(u32, &str)] = &[(0, "eu/a"), (1, "eu/b")];
        for both in [[region, zone], [zone, region]] {
            assert_eq!(concluded(&both).as_deref(), Some("eu/a"), "one zone of the region");
        }
        // Clusters with one priority show nothing.
        assert_eq!(concluded(&[zone, &[(0, "us/c"), (0, "eu/b")]]).as_deref(), Some("eu/a"));
    }

    #[test]
    fn clusters_that_disagree_or_rank_by_something_else_show_nothing() {
        assert_eq!(concluded(&[&[(0, "eu/a"), (0, "eu/b")]]), None, "one priority");
        assert_eq!(concluded(&[&[(0, "eu/a"), (1, "eu/b")], &[(0, "eu/b"), (1, "eu/a")]]), None);
        assert_eq!(concluded(&[&[(0, "eu/a"), (1, "eu/a/2")]]), None, "ranked by something else");
        assert_eq!(concluded(&[&[(0, "eu/a"), (0, "us/c"), (1, "ap/d")]]), None);
        assert_eq!(concluded(&[&[(0, "eu/a"), (1, "eu/ab")]]).as_deref(), Some("eu/a"), "another zone");
    }
}
