//! The paths of questions to Envoy's admin interface.

use filter_core::admin::stats::name_in_stats;
use std::fmt::Write;

/// Lists the endpoints of all clusters.
pub(super) const ALL_HOST_LISTS: &str = "/clusters?format=json";

/// Lists the endpoints of some clusters.
pub(super) fn host_lists(clusters: &[String]) -> String {
    format!("{ALL_HOST_LISTS}&filter=%5E({})$", any_of(clusters))
}

/// Counts the ejections of some clusters; Istio appends a semicolon to a cluster's name.
pub(super) fn ejection_counts(clusters: &[String]) -> String {
    let names: Vec<String> = clusters.iter().map(|name| name_in_stats(name)).collect();
    let names = any_of(&names);
    format!("/stats?format=json&filter=%5Ecluster%5C.({names})%3B%3F%5C.outlier_detection%5C.ejections_enforced_")
}

/// A regular expression (RE2), as part of a path, that matches any of these names literally.
fn any_of(names: &[String]) -> String {
    let mut any = String::new();
    for (i, name) in names.iter().enumerate() {
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

    #[test]
    fn clusters_are_asked_for_by_their_whole_literal_names() {
        let path = host_lists(&["outbound|80||a.b".into(), "c".into()]);
        assert_eq!(path, "/clusters?format=json&filter=%5E(outbound%5C%7C80%5C%7C%5C%7Ca%5C%2Eb%7Cc)$");
        assert!(
            ejection_counts(&["a:b".into()])
                .ends_with("cluster%5C.(a_b)%3B%3F%5C.outlier_detection%5C.ejections_enforced_")
        );
    }
}
