//! Which events are one proxy's.
//!
//! A record names its proxy, or else its file does. The same lines may come twice, from a file given twice, from
//! `kubectl logs --previous` beside the log that goes on from it, or from a store beside `kubectl logs`: one proxy
//! never writes the same event twice, so equal events of one proxy are one, and files whose events are equal where they
//! overlap are one proxy's.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use filter_core::time::Millis;

use super::event::{Kept, Name};
use super::named::{self, Key};
use super::remark::Remark;
use super::source::Source;

/// What one proxy wrote.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) events: Vec<Kept>,
    /// Events that could not be read.
    pub(super) unread: u64,
    /// Its beginnings and ends, each after so many of the events.
    pub(super) turns: Vec<(usize, Remark)>,
    /// What the filter warned of.
    pub(super) warnings: BTreeSet<Name>,
}

impl Log {
    /// Takes in what else the same proxy wrote.
    pub(super) fn add(&mut self, more: Self) {
        let before = self.events.len();
        self.turns.extend(more.turns.into_iter().map(|(after, turn)| (before + after, turn)));
        self.events.extend(more.events);
        self.unread += more.unread;
        self.warnings.extend(more.warnings);
    }

    /// Whether a proxy wrote it.
    fn is_a_proxys(&self) -> bool {
        !self.events.is_empty() || self.unread > 0 || !self.turns.is_empty() || !self.warnings.is_empty()
    }
}

/// The logs by proxy.
pub(super) type Logs = BTreeMap<Key, Log>;

/// Puts the logs together that are one proxy's, leaves out those of containers that are no proxies, and names the rest.
/// Also how many were left out of which nothing tells whether they are proxies'.
pub(super) fn merge(logs: &mut Logs) -> (BTreeMap<Key, String>, u64) {
    merge_rotated(logs);
    merge_files(logs);
    merge_pods(logs);
    // What runs in the same container as a proxy that wrote an event is a proxy too, in another pod.
    let container = |key: &Key| match key {
        Key::Pod(source) if !source.container.is_empty() => Some(source.container.clone()),
        _ => None,
    };
    let of_proxies: BTreeSet<String> =
        logs.iter().filter(|(_, log)| log.is_a_proxys()).filter_map(|(key, _)| container(key)).collect();
    let mut doubtful: BTreeSet<String> = BTreeSet::new();
    logs.retain(|key, log| {
        let is_kept = log.is_a_proxys()
            || matches!(key, Key::File(_))
            || container(key).is_some_and(|container| of_proxies.contains(&container));
        if let Key::Pod(source) = key
            && !is_kept
            && source.container.is_empty()
        {
            doubtful.insert(source.path());
        }
        is_kept
    });
    (names(logs.keys()), doubtful.len() as u64)
}

/// A file with a number before its extension goes on in the one without, where that is there.
fn merge_rotated(logs: &mut Logs) {
    let rotated = |key: &Key| match key {
        Key::File(stem) => named::unrotated(stem).map(|rest| Key::File(rest.to_owned())),
        Key::Pod(_) => None,
    };
    let pairs: Vec<(Key, Key)> = logs.keys().filter_map(|key| Some((key.clone(), rotated(key)?))).collect();
    for (older, newer) in pairs {
        if logs.contains_key(&newer)
            && let Some(more) = logs.remove(&older)
        {
            logs.entry(newer).or_default().add(more);
        }
    }
}

/// Files that say the same where they overlap are one proxy's. Only files that share an event need to be compared.
fn merge_files(logs: &mut Logs) {
    let mut holders: HashMap<u64, Vec<Key>> = HashMap::new();
    for (key, log) in logs.iter().filter(|(key, _)| matches!(key, Key::File(_))) {
        // The earliest event of the later file lies in the overlap, if there is one.
        let Some(first) = log.events.iter().map(|event| event.at).min() else { continue };
        let marks: HashSet<u64> = log.events.iter().filter(|event| event.at == first).map(|event| event.mark).collect();
        marks.into_iter().for_each(|mark| holders.entry(mark).or_default().push(key.clone()));
    }
    let mut pairs: BTreeSet<(Key, Key)> = BTreeSet::new();
    for (key, log) in logs.iter().filter(|(key, _)| matches!(key, Key::File(_))) {
        for event in &log.events {
            for other in holders.get(&event.mark).into_iter().flatten().filter(|other| *other != key) {
                pairs.insert(if key < other { (key.clone(), other.clone()) } else { (other.clone(), key.clone()) });
            }
        }
    }
    let mut into: HashMap<Key, Key> = HashMap::new();
    for (first, second) in pairs {
        let root = |key: &Key| {
            let mut key = key.clone();
            while let Some(next) = into.get(&key) {
                key = next.clone();
            }
            key
        };
        let (first, second) = (root(&first), root(&second));
        let same = match (logs.get(&first), logs.get(&second)) {
            (Some(a), Some(b)) if first != second => same_proxy(&a.events, &b.events),
            _ => false,
        };
        if same && let (Some(more), Some(log)) = (logs.remove(&second), logs.get_mut(&first)) {
            log.add(more);
            into.insert(second, first);
        }
    }
}

/// A pod that one record names in full and another in part is one, where nothing else fits.
fn merge_pods(logs: &mut Logs) {
    let mut by_pod: BTreeMap<String, Vec<Source>> = BTreeMap::new();
    for key in logs.keys() {
        if let Key::Pod(source) = key {
            by_pod.entry(source.pod.clone()).or_default().push(source.clone());
        }
    }
    for sources in by_pod.into_values().filter(|sources| sources.len() > 1) {
        for source in &sources {
            let mut fuller = sources.iter().filter(|other| *other != source && is_part(source, other));
            let (Some(whole), None) = (fuller.next(), fuller.next()) else { continue };
            if let Some(more) = logs.remove(&Key::Pod(source.clone())) {
                logs.entry(Key::Pod(whole.clone())).or_default().add(more);
            }
        }
    }
}

/// Whether one names nothing that the other names otherwise, and less.
fn is_part(part: &Source, whole: &Source) -> bool {
    let fits = |part: &str, whole: &str| part.is_empty() || part == whole;
    fits(&part.namespace, &whole.namespace)
        && fits(&part.cluster, &whole.cluster)
        && fits(&part.container, &whole.container)
        && fits(&part.process, &whole.process)
}

/// The shortest name for each that no other has.
pub(super) fn names<'k>(keys: impl Iterator<Item = &'k Key> + Clone) -> BTreeMap<Key, String> {
    let forms = |key: &Key| match key {
        Key::Pod(Source { pod, namespace, cluster, container, process }) => {
            let pod = &if process.is_empty() { pod.clone() } else { format!("{pod}[{process}]") };
            let path = |parts: &[&String]| {
                parts.iter().filter(|part| !part.is_empty()).map(|part| part.as_str()).collect::<Vec<_>>().join("/")
            };
            [
                pod.clone(),
                path(&[namespace, pod]),
                path(&[cluster, namespace, pod]),
                format!("{} {container}", path(&[cluster, namespace, pod])).trim_end().to_owned(),
            ]
        }
        Key::File(path) => {
            let [short, whole] = named::names_of(path);
            [short, whole.clone(), whole.clone(), whole]
        }
    };
    let mut bearers: HashMap<(usize, String), usize> = HashMap::new();
    for key in keys.clone() {
        for (rank, form) in forms(key).into_iter().enumerate() {
            *bearers.entry((rank, form)).or_default() += 1;
        }
    }
    let name = |key: &Key| {
        let forms = forms(key);
        let unique = forms.iter().enumerate().find(|(rank, form)| bearers.get(&(*rank, (*form).clone())) == Some(&1));
        unique.map_or_else(|| forms[3].clone(), |(_, form)| form.clone())
    };
    keys.map(|key| (key.clone(), name(key))).collect()
}

/// Whether two logs say the same where they overlap in time, and say something there.
fn same_proxy(a: &[Kept], b: &[Kept]) -> bool {
    let range = |log: &[Kept]| -> Option<(Millis, Millis)> {
        let times = || log.iter().map(|event| event.at);
        Some((times().min()?, times().max()?))
    };
    let (Some((a_from, a_to)), Some((b_from, b_to))) = (range(a), range(b)) else { return false };
    let overlap = a_from.max(b_from)..=a_to.min(b_to);
    let within = |log: &[Kept]| -> HashSet<u64> {
        log.iter().filter(|event| overlap.contains(&event.at)).map(|event| event.mark).collect()
    };
    let (a, b) = (within(a), within(b));
    // At the ends of the overlap one may hold more of the same millisecond than the other.
    !a.is_disjoint(&b) && (a.is_subset(&b) || b.is_subset(&a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(cluster: &str, namespace: &str, pod: &str, container: &str) -> Key {
        let [cluster, namespace, pod, container] = [cluster, namespace, pod, container].map(str::to_owned);
        Key::Pod(Source { pod, namespace, cluster, container, process: String::new() })
    }

    #[test]
    fn names_are_as_short_as_they_can_be() {
        let keys = [pod("", "", "a", "c"), pod("k", "n", "b", "c"), pod("l", "n", "b", "c"), pod("k", "m", "b", "c")];
        let names: Vec<String> = names(keys.iter()).into_values().collect();
        assert_eq!(names, ["a", "m/b", "k/n/b", "l/n/b"]);
    }

    #[test]
    fn a_pod_that_is_named_in_part_is_the_one_that_fits() {
        let keys = |keys: &[&Key]| {
            let mut logs: Logs = keys.iter().map(|key| ((*key).clone(), Log::default())).collect();
            merge_pods(&mut logs);
            logs.into_keys().collect::<Vec<_>>()
        };
        let (full, other) = (pod("k", "n", "a", "c"), pod("l", "n", "a", "c"));
        assert_eq!(keys(&[&pod("", "", "a", "c"), &full])[..], *std::slice::from_ref(&full));
        assert_eq!(keys(&[&pod("", "", "a", ""), &full, &other]).len(), 3);
        assert_eq!(keys(&[&full, &other]).len(), 2);
    }
}
