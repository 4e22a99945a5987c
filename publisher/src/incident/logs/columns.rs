//! What the columns of a row are called where no names stand above them, or none that is known: their values tell.

use super::cells::{is_name, likeness, pod};
use super::labels::{is_column, normal, time_of};

/// Gives the fields of a row that have no name, or none that is known, the name that their values tell.
pub(super) fn name(row: &mut [(String, String)]) {
    if row.iter().any(|(name, _)| is_pods(&normal(name))) {
        return;
    }
    let mut found = false;
    for (name, field) in row.iter_mut().filter(|(name, _)| !is_column(&normal(name))) {
        if !found && pod(field.trim()).is_some() {
            "pod".clone_into(name);
            found = true;
        } else if field == "istio-proxy" {
            "container".clone_into(name);
        } else if name.is_empty() && field.len() < 40 && time_of(field.trim()).is_some() {
            "time".clone_into(name);
        }
    }
    // A pod of a StatefulSet, or a machine: either tells proxies apart.
    let numbered = |(name, field): &&mut (String, String)| name.is_empty() && is_name(field) && likeness(field) == 1;
    if !found && let Some((name, _)) = row.iter_mut().find(numbered) {
        "host".clone_into(name);
    }
}

fn is_pods(name: &str) -> bool {
    name == "pod" || name.ends_with("podname")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_get_the_names_that_their_values_tell() {
        let named = |fields: &[(&str, &str)]| {
            let mut row: Vec<(String, String)> =
                fields.iter().map(|(name, field)| ((*name).to_owned(), (*field).to_owned())).collect();
            name(&mut row);
            row.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(",")
        };
        let pod = "mocka-7d9c6b5f4-8xkqz";
        assert_eq!(named(&[("", "2026-11-20T15:43:09Z"), ("", pod), ("", "istio-proxy")]), "time,pod,container");
        assert_eq!(named(&[("x", pod), ("message", pod)]), "pod,message");
        assert_eq!(named(&[("pod", "a"), ("x", pod)]), "pod,x");
        assert_eq!(named(&[("", "mocka-0"), ("", "node-1")]), "host,");
    }
}
