//! The paths of questions to Envoy's admin interface.
//!
//! Each names the clusters that it is about and asks for no more than is read. Envoy answers
//! 200 with `{}` where it has none of them, 400 to a mask with a field that it does not know if it has any, and 404 to
//! a kind of resource that it does not know. One answer holds one kind of resource.

use filter_core::admin::stats::name_in_stats;
use filter_core::cluster::Origin;
use filter_core::order;
use std::fmt::Write;

/// Lists the endpoints of all clusters.
pub(super) const ALL_HOST_LISTS: &str = "/clusters?format=json";

/// What of a cluster is read: nothing of credentials, certificates or headers, which `health_checks` and
/// `typed_extension_protocol_options` hold. Envoy 1.36 to 1.40 know these fields; a path cannot lead further into a
/// list or into `typed_config`.
const RULE_MASK: &str = "cluster.name,cluster.outlier_detection,cluster.common_lb_config.healthy_panic_threshold,\
                         cluster.cluster_type";

/// The maximum number of clusters that are named at once.
pub(super) const MAX_NAMED: usize = 64;

/// The maximum length of the names in a path, in bytes. Envoy answers 431 to requests with headers over 60 KiB.
const MAX_PATH_BYTES: usize = 32 * 1024;

/// How long a regular expression in `name_regex` may be. Envoy answers 400 if its program has more instructions, about
/// one for each byte, than `re2.max_program_size.error_level`: Istio sets 32,768, and without a setting it is 100. The
/// filters of `/clusters` and `/stats` have no such limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expressions {
    /// As long as Istio allows.
    Long,
    /// As long as Envoy allows by default: one name, or a few short ones.
    Short,
}

impl Expressions {
    /// The maximum length of all names together, in bytes, with two for what is around each.
    fn max_bytes(self) -> usize {
        match self {
            Self::Long => 30_000,
            Self::Short => 90,
        }
    }
}

/// Lists the endpoints of some clusters. Envoy before 1.38 lists those of all.
pub(super) fn host_lists(clusters: &[String]) -> String {
    format!("{ALL_HOST_LISTS}&filter=%5E({})$", any_of(clusters.iter().map(String::as_str)))
}

/// Counts the ejections of some clusters; Istio appends a semicolon to a cluster's name.
pub(super) fn ejection_counts(clusters: &[String]) -> String {
    let names: Vec<String> = clusters.iter().map(|name| name_in_stats(name)).collect();
    let names = any_of(names.iter().map(String::as_str));
    let kinds = "(enforced%7Cdetected)";
    format!("/stats?format=json&filter=%5Ecluster%5C.({names})%3B%3F%5C.outlier_detection%5C.ejections_{kinds}_")
}

/// Tells how some clusters eject.
pub(super) fn rules(origin: Origin, clusters: &[String], expressions: Expressions) -> String {
    let names = any_of_at_most(clusters, expressions);
    format!("{}&name_regex={names}", all_rules(origin))
}

/// Tells how the clusters eject whose names begin with `start`; only the one called `name`, if that is all of it.
pub(super) fn rules_beginning(origin: Origin, start: &str, name: &str) -> String {
    let names = if start == name { any_of([name]) } else { any_beginning(start) };
    format!("{}&name_regex={names}", all_rules(origin))
}

fn all_rules(origin: Origin) -> String {
    format!("/config_dump?resource={}&mask={RULE_MASK}", resource(origin))
}

fn resource(origin: Origin) -> &'static str {
    match origin {
        Origin::Bootstrap => "static_clusters",
        Origin::ControlPlane => "dynamic_active_clusters",
    }
}

/// Lists the endpoints of some clusters as the load balancer uses them.
pub(super) fn endpoint_configs(origin: Origin, clusters: &[String], expressions: Expressions) -> String {
    let resource = match origin {
        Origin::Bootstrap => "static_endpoint_configs",
        Origin::ControlPlane => "dynamic_endpoint_configs",
    };
    format!("/config_dump?include_eds&resource={resource}&name_regex={}", any_of_at_most(clusters, expressions))
}

/// The first of `clusters` that one `name_regex` can name, at least one, and the others.
pub(super) fn named_at_once(clusters: &[String], expressions: Expressions) -> (&[String], &[String]) {
    let (mut bytes, mut path_bytes) = (0_usize, 0_usize);
    let fits = |name: &String| {
        bytes = bytes.saturating_add(name.len()).saturating_add(2);
        path_bytes = path_bytes.saturating_add(any_of([name.as_str()]).len()).saturating_add(3);
        (bytes <= expressions.max_bytes() && path_bytes <= MAX_PATH_BYTES).then_some(())
    };
    let count = clusters.iter().take(MAX_NAMED).map_while(fits).count();
    clusters.split_at_checked(count.max(1)).unwrap_or((clusters, &[]))
}

/// The shortest beginning of `name` with which no more than [`MAX_NAMED`] of Envoy's clusters begin alike, if the
/// `known` of them are a sample of `total`; all of it if none is known. One that is too long for a short expression is
/// cut.
pub(super) fn beginning_of_few<'n>(name: &'n str, known: impl Iterator<Item = &'n str>, total: usize) -> &'n str {
    let alike = |other: &str| name.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
    let mut lengths: Vec<usize> = known.map(alike).collect();
    order::sort(&mut lengths, |a, b| a > b);
    let total = total.max(lengths.len());
    let most = MAX_NAMED.saturating_mul(lengths.len()).checked_div(total).unwrap_or(0);
    let shortest = match lengths.get(most) {
        Some(length) => length.saturating_add(1),
        None if lengths.is_empty() => name.len(),
        None => 0,
    };
    let end = name.floor_char_boundary(shortest.min(Expressions::Short.max_bytes()));
    name.get(..end).unwrap_or(name)
}

/// As [`any_of`]; a name that is too long by itself is cut, and others that begin alike match as well.
fn any_of_at_most(clusters: &[String], expressions: Expressions) -> String {
    let max = expressions.max_bytes();
    match clusters {
        [name] if name.len() > max => any_beginning(name.get(..name.floor_char_boundary(max)).unwrap_or("")),
        names => any_of(names.iter().map(String::as_str)),
    }
}

/// A regular expression that matches any name that begins so; `\C` is any byte.
fn any_beginning(start: &str) -> String {
    format!("{}%5CC*", any_of([start]))
}

/// A regular expression (RE2), as part of a path, that matches any of these names literally.
fn any_of<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let mut any = String::new();
    for (i, name) in names.into_iter().enumerate() {
        any.push_str(if i == 0 { "" } else { "%7C" });
        for byte in name.bytes() {
            let _ = match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => any.write_char(char::from(byte)),
                // RE2 takes any other ASCII character after a backslash literally; the rest is UTF-8 and stays as it
                // is.
                0..=0x7f => write!(any, "%5C%{byte:02X}"),
                _ => write!(any, "%{byte:02X}"),
            };
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn clusters_are_asked_for_by_their_whole_literal_names() {
        let clusters = names(&["outbound|80||a.b", "ö;"]);
        assert_eq!(
            host_lists(&clusters),
            "/clusters?format=json&filter=%5E(outbound%5C%7C80%5C%7C%5C%7Ca%5C%2Eb%7C%C3%B6%5C%3B)$"
        );
        assert!(
            ejection_counts(&names(&["a:b"]))
                .ends_with("cluster%5C.(a_b)%3B%3F%5C.outlier_detection%5C.ejections_(enforced%7Cdetected)_")
        );
        assert_eq!(
            endpoint_configs(Origin::ControlPlane, &clusters, Expressions::Long),
            "/config_dump?include_eds&resource=dynamic_endpoint_configs\
             &name_regex=outbound%5C%7C80%5C%7C%5C%7Ca%5C%2Eb%7C%C3%B6%5C%3B"
        );
    }

    #[test]
    fn rules_are_asked_for_without_anything_secret() {
        let path = rules(Origin::Bootstrap, &names(&["a"]), Expressions::Short);
        assert_eq!(
            path,
            "/config_dump?resource=static_clusters&mask=cluster.name,cluster.outlier_detection,\
             cluster.common_lb_config.healthy_panic_threshold,cluster.cluster_type&name_regex=a"
        );
        for secret in ["health_checks", "typed_extension_protocol_options", "transport_socket"] {
            assert!(!path.contains(secret), "{secret}");
        }
    }

    #[test]
    fn as_many_are_named_as_envoy_takes() {
        let many: Vec<String> = (0..200).map(|i| format!("outbound|80||service-{i:03}.ns.svc.cluster.local")).collect();
        assert_eq!(named_at_once(&many, Expressions::Long).0.len(), MAX_NAMED);
        assert_eq!(named_at_once(&many, Expressions::Short).0.len(), 1);
        assert_eq!(named_at_once(&names(&["a", "b", "c"]), Expressions::Short).0.len(), 3);
        let special = vec!["|".repeat(1_000); 10];
        assert_eq!(named_at_once(&special, Expressions::Long).0.len(), 5, "each takes six bytes a character");
        let long = names(&[&"x".repeat(100), "y"]);
        let (first, rest) = named_at_once(&long, Expressions::Short);
        assert_eq!((first.len(), rest), (1, &long[1..]));
        assert_eq!(named_at_once(&[], Expressions::Long).0.len(), 0);
    }

    #[test]
    fn rules_of_many_are_asked_for_by_how_few_names_begin() {
        let many: Vec<String> = (0..1_000).map(|i| format!("outbound|80||service-{i}.shop")).collect();
        let few = |name: &str| beginning_of_few(name, many.iter().map(String::as_str), 1_000).to_owned();
        // There are 111 that begin with `service-3`, and 11 with `service-30`.
        assert_eq!(few("outbound|80||service-3.shop"), "outbound|80||service-3.");
        assert_eq!(few("outbound|80||service-304.shop"), "outbound|80||service-30");
        assert_eq!(few("inbound"), "i");
        assert_eq!(beginning_of_few("a", ["a", "b"].into_iter(), 64), "", "all of them");
        assert_eq!(beginning_of_few("ab", ["ab", "ac", "d"].into_iter(), 96), "a", "64 of 96 are two of three");
        assert_eq!(beginning_of_few("ab", ["ab", "ac"].into_iter(), 1_000), "ab", "there may be many like it");
        let long: Vec<String> = (0..100).map(|i| format!("{}ä{i}", "x".repeat(89))).collect();
        assert_eq!(beginning_of_few(&long[7], long.iter().map(String::as_str), 0), "x".repeat(89));
        assert_eq!(beginning_of_few("ab", std::iter::empty(), 10), "ab");
        assert!(rules_beginning(Origin::ControlPlane, "a|", "a|b").ends_with("&name_regex=a%5C%7C%5CC*"));
        let alone = rules_beginning(Origin::ControlPlane, "svc", "svc");
        assert!(alone.ends_with("&name_regex=svc"), "and none that begins with it: {alone}");
    }

    #[test]
    fn a_name_that_is_too_long_is_cut_between_characters() {
        let name = format!("{}ä-the-rest", "x".repeat(89));
        let path = rules(Origin::ControlPlane, &[name], Expressions::Short);
        assert!(path.ends_with(&format!("name_regex={}%5CC*", "x".repeat(89))), "{path}");
    }
}
