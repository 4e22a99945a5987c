//! Sorts tags: versions, by semantic versioning, before other names.

use std::cmp::Ordering;

/// Compares two tags. Versions come before other names and are ordered by semantic versioning, with or without a
/// leading `v` and with any number of parts.
pub(crate) fn order(a: &str, b: &str) -> Ordering {
    match (version(a), version(b)) {
        (Some(x), Some(y)) => x.cmp_with(&y).then_with(|| a.cmp(b)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

struct Version<'a> {
    parts: Vec<u64>,
    /// The pre-release part after `-`; a version with one sorts before the same version without.
    pre: Option<&'a str>,
}

fn version(tag: &str) -> Option<Version<'_>> {
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    let (numbers, pre) = tag.split_once('-').map_or((tag, None), |(numbers, pre)| (numbers, Some(pre)));
    let parts = numbers.split('.').map(|part| part.parse().ok()).collect::<Option<Vec<u64>>>()?;
    Some(Version { parts, pre })
}

impl Version<'_> {
    fn cmp_with(&self, other: &Self) -> Ordering {
        let pre = || match (self.pre, other.pre) {
            (None, None) => Ordering::Equal,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => identifiers(a, b),
        };
        self.parts.cmp(&other.parts).then_with(pre)
    }
}

/// Compares pre-release identifiers: numbers by value and before words, as semantic versioning says.
fn identifiers(a: &str, b: &str) -> Ordering {
    let key = |part: &str| match part.parse::<u64>() {
        Ok(number) => (0, number, String::new()),
        Err(_) => (1, 0, part.to_owned()),
    };
    a.split('.').map(key).cmp(b.split('.').map(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_in_their_order_and_before_names() {
        let mut tags =
            ["latest", "v1.10.0", "0.9", "1.2.0", "1.2.0-rc.10", "1.2.0-rc.2", "1.2.0-rc", "1", "dev", "1.2"];
        tags.sort_by(|a, b| order(a, b));
        assert_eq!(
            tags,
            ["0.9", "1", "1.2", "1.2.0-rc", "1.2.0-rc.2", "1.2.0-rc.10", "1.2.0", "v1.10.0", "dev", "latest"]
        );
    }
}
