//! Whose a record is: where shippers and stores put a pod's name, and the names beside it.
//!
//! There is no end of shippers, but they name the same few things with the same few words: `k8s.pod.name`,
//! `kubernetes.pod_name`, `podName`, `__meta_kubernetes_pod_name`. So a key is compared without case and separators,
//! and with the keys of the objects that it lies in put before it.

use filter_core::time::Millis;

use super::cells;
use super::event::parse_time;
use super::json::{self, Pairs};

/// As deep may a name lie below the object that an event is in.
const MAX_DEPTH: usize = 5;

/// As many objects are looked through for names.
const MOST_OBJECTS: usize = 200;

/// A key's last word that names a pod by itself.
const POD: [&str; 6] = ["pod", "proxy", "kubernetespod", "k8spod", "kubepod", "podname"];
const NAMESPACE: [&str; 3] = ["namespace", "podnamespace", "ns"];
const CONTAINER: [&str; 2] = ["container", "dockercontainer"];
const CLUSTER: [&str; 6] = ["cluster", "k8scluster", "kubecluster", "kubernetescluster", "clusterid", "ekscluster"];

/// What stands in for a pod's name where there is none, the best first.
const INSTANCE: [&[&str]; 4] = [
    &["instance", "serviceinstanceid", "nodeid", "taskarn", "ecstaskarn", "taskid", "allocid", "nomadallocid"],
    &["containerid", "containeridfull"],
    &["logstream", "logstreamname"],
    &["host", "hostname", "node", "nodename", "computer", "machine", "agenthostname", "kubernetesnodename"],
];

/// The number of a process, as the journal and syslog's readers name it.
const PROCESS: [&str; 4] = ["pid", "syslogpid", "procid", "processid"];

const TIME: [&str; 13] = [
    "timestamp",
    "time",
    "ts",
    "date",
    "datetime",
    "eventtime",
    "timegenerated",
    "realtimetimestamp",
    "timeunixnano",
    "receivetimestamp",
    "ingestiontime",
    "observedtimeunixnano",
    "timereceived",
];

/// Where the message stands; only to tell a table's first row.
const MESSAGE: [&str; 12] = [
    "message",
    "log",
    "line",
    "textpayload",
    "jsonpayload",
    "body",
    "raw",
    "msg",
    "content",
    "logmessage",
    "event",
    "labels",
];

/// What begins a key that names another's pod.
const ANOTHERS: [&str; 10] =
    ["upstream", "downstream", "peer", "destination", "dest", "remote", "target", "server", "client", "previous"];

/// Whose a record is, as far as it tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    /// The Kubernetes cluster.
    pub(super) cluster: String,
    pub(super) namespace: String,
    pub(super) pod: String,
    pub(super) container: String,
    /// What stands in for a pod's name, and how bad it is at that.
    pub(super) instance: Option<(usize, String)>,
    /// The process on a machine, where one is named.
    pub(super) process: String,
    /// When the record was written.
    pub(super) at: Option<Millis>,
}

impl Labels {
    /// Takes what is not known yet from what lies around.
    pub(super) fn fill(&mut self, outer: &Self) {
        // Another pod's namespace is not this one's.
        if self.pod.is_empty() || outer.pod.is_empty() || self.pod == outer.pod {
            fill(&mut self.namespace, &outer.namespace);
            fill(&mut self.container, &outer.container);
        }
        fill(&mut self.pod, &outer.pod);
        fill(&mut self.cluster, &outer.cluster);
        fill(&mut self.process, &outer.process);
        if let Some((rank, name)) = &outer.instance {
            self.offer(*rank, name);
        }
        self.at = self.at.or(outer.at);
    }

    /// The pod's name, or what stands in for one; empty where nothing does.
    pub(super) fn name(&self) -> &str {
        let instance = self.instance.as_ref().map_or("", |(_, name)| name.as_str());
        if self.pod.is_empty() { instance } else { &self.pod }
    }

    /// Those of a pod's sidecar.
    pub(super) fn of_sidecar(namespace: &str, pod: &str) -> Self {
        let [namespace, pod, container] = [namespace, pod, "istio-proxy"].map(str::to_owned);
        Self { namespace, pod, container, ..Self::default() }
    }

    /// Those of a pod.
    pub(super) fn of_pod((namespace, pod): (&str, &str)) -> Self {
        Self { namespace: namespace.to_owned(), pod: pod.to_owned(), ..Self::default() }
    }

    /// Whether a machine alone stands in for the pod's name.
    pub(super) fn is_of_a_machine(&self) -> bool {
        let worst = INSTANCE.len() - 1;
        self.pod.is_empty() && self.instance.as_ref().is_some_and(|(rank, _)| *rank == worst)
    }

    /// A machine's name.
    pub(super) fn offer_host(&mut self, host: &str) {
        self.offer(INSTANCE.len() - 1, host);
    }

    fn offer(&mut self, rank: usize, name: &str) {
        if self.instance.as_ref().is_none_or(|(known, _)| rank < *known) {
            self.instance = Some((rank, name.to_owned()));
        }
    }

    /// What the keys of an object tell, without those that are skipped: what stands nearer to the object counts first.
    pub(super) fn of(pairs: &Pairs<'_>, skipped: &dyn Fn(&str) -> bool) -> Self {
        let mut levels = vec![Vec::new(); MAX_DEPTH + 1];
        let mut looked = 0;
        collect(pairs, "", 0, skipped, &mut looked, &mut levels);
        let mut labels = Self::default();
        levels.iter().flatten().for_each(|one| labels.fill(one));
        labels
    }

    /// Takes one name in; `path` is the key with those of the objects around it, both as [`normal`] makes them.
    pub(super) fn take(&mut self, path: &str, last: &str, value: &str) {
        if value.len() > 1000 {
            return;
        }
        if let Some((namespace, pod, container)) = of_path(value) {
            fill(&mut self.namespace, namespace);
            fill(&mut self.pod, pod);
            fill(&mut self.container, container);
        }
        let value = value.trim();
        if value.is_empty()
            || value == "-"
            || is_of_request(path)
            || ANOTHERS.iter().any(|other| path.starts_with(other))
        {
            return;
        }
        let is = |names: &[&str]| names.contains(&last) || names.contains(&path);
        let rank = INSTANCE.iter().position(|names| is(names));
        let is_name = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
        if (is(&POD) || path.ends_with("podname") || path.ends_with("orchestratorresourcename"))
            && value.chars().all(is_name)
        {
            let (namespace, pod) = value.rsplit_once('/').unwrap_or(("", value));
            fill(&mut self.pod, pod);
            fill(&mut self.namespace, namespace);
        } else if (is(&NAMESPACE) || path.ends_with("namespacename") || path.ends_with("namespace"))
            && !path.ends_with("servicenamespace")
        {
            fill(&mut self.namespace, value);
        } else if (is(&CONTAINER) || path.ends_with("containername")) && !value.contains("k8s_") {
            fill(&mut self.container, value.trim_start_matches('/'));
        } else if (is(&CLUSTER) || path.ends_with("clustername")) && !value.contains('|') {
            fill(&mut self.cluster, value);
        } else if let Some(rank) = rank {
            let rank = if path.contains("cloud") { INSTANCE.len() - 1 } else { rank };
            self.offer(rank, value);
        } else if is(&PROCESS) && value.bytes().all(|byte| byte.is_ascii_digit()) {
            fill(&mut self.process, value);
        } else if is(&TIME) {
            self.at = self.at.or_else(|| time_of(value));
        }
    }
}

/// Puts what each object tells among what others of its depth do.
fn collect(
    pairs: &Pairs<'_>,
    path: &str,
    depth: usize,
    skipped: &dyn Fn(&str) -> bool,
    looked: &mut usize,
    levels: &mut [Vec<Labels>],
) {
    let mut own = Labels::default();
    for (key, node) in pairs.iter().filter(|(key, _)| depth > 0 || !skipped(key)) {
        let last = normal(key);
        let joined = format!("{path}{last}");
        if let Some(text) = json::scalar(node) {
            own.take(&joined, &last, &text);
            if let Some(inner) = (holds_labels(&last) || text.starts_with("{\"")).then(|| in_text(&text)).flatten() {
                own.fill(&inner);
            }
        } else if depth < MAX_DEPTH && *looked < MOST_OBJECTS {
            *looked += 1;
            if let Some(inner) = json::object_of(node) {
                collect(&inner, &joined, depth + 1, skipped, looked, levels);
            }
        }
    }
    if let Some(level) = levels.get_mut(depth) {
        level.push(own);
    }
}

fn fill(known: &mut String, told: &str) {
    if known.is_empty() && !told.is_empty() {
        told.clone_into(known);
    }
}

/// Whether it holds what a request carries, which names whoever sent it, or anybody; a key as [`normal`] makes it.
pub(super) fn is_of_request(key: &str) -> bool {
    key.contains("headers") || key.contains("httprequest")
}

/// A key without case and separators.
pub(super) fn normal(key: &str) -> String {
    let mut plain = String::with_capacity(key.len());
    plain.extend(key.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| char::from(byte.to_ascii_lowercase())));
    plain
}

/// Whether it is the name of a column that logs have.
pub(super) fn is_column(name: &str) -> bool {
    let known = [&POD[..], &NAMESPACE, &CONTAINER, &CLUSTER, &TIME, &MESSAGE].concat();
    known.contains(&name) || INSTANCE.concat().contains(&name) || name.ends_with("podname")
}

/// Whether a text under this key may be an object of names.
fn holds_labels(key: &str) -> bool {
    ["label", "kubernetes", "k8s", "tag", "attribute", "resource", "metadata", "stream", "fields", "properties"]
        .iter()
        .any(|word| key.contains(word))
}

/// The names in a text: `{"pod":"x"}`, `{pod="x", app="y"}`, `pod_name:x,kube_namespace:y`.
fn in_text(text: &str) -> Option<Labels> {
    if let Some(pairs) = json::pairs(text) {
        return Some(Labels::of(&pairs, &|_| false));
    }
    let labels = Labels::around(text, "");
    (labels != Labels::default()).then_some(labels)
}

impl Labels {
    pub(super) fn take_key(&mut self, key: &str, value: &str) {
        let key = normal(key);
        self.take(&key, &key, value);
    }

    /// The names in a line of text around an event: `pod=x`, `{pod="x"}`, `"pod_name":"x"`, as logfmt, logcli and
    /// syslog write them, and as they stand in JSON that was cut. What stands last before the event is nearest.
    pub(super) fn around(before: &str, after: &str) -> Self {
        let mut labels = Self::default();
        for (key, value) in words(before).into_iter().rev().chain(words(after)) {
            labels.take_key(key, value);
        }
        if labels.pod.is_empty()
            && let Some((namespace, pod)) = cells::in_line(before)
        {
            fill(&mut labels.namespace, namespace);
            fill(&mut labels.pod, pod);
        }
        labels
    }
}

/// Keys and values in a text, in order.
fn words(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    for at in memchr::memchr2_iter(b'=', b':', bytes) {
        let before = text.get(..at).unwrap_or_default().trim_end_matches(['"', '\'', '\\', ' ']);
        let begin = before.rfind(|c: char| !(c.is_ascii_alphanumeric() || "_.-@/".contains(c))).map_or(0, |at| at + 1);
        let Some(key) = before.get(begin..).filter(|key| (2..=80).contains(&key.len())) else { continue };
        let after = text.get(at + 1..).unwrap_or_default().trim_start_matches(['"', '\\', ' ', '\'']);
        // A time of day, which stands on every line, is no name.
        if [key, after].iter().all(|side| side.starts_with(|c: char| c.is_ascii_digit())) {
            continue;
        }
        let end = after.find(|c: char| "\"\\ ,;}])'\t\n<>&|".contains(c)).unwrap_or(after.len());
        // The name of an Envoy cluster, such as `outbound|80||web.shop`, is nobody's.
        let is_envoys = |value: &&str| ["outbound", "inbound"].contains(value) && after[end..].starts_with('|');
        if let Some(value) = after.get(..end).filter(|value| !value.is_empty() && !is_envoys(value)) {
            found.push((key, value));
        }
    }
    found
}

/// Namespace, pod and container in the path of a kubelet's file, or in what is made of its name:
/// `/var/log/pods/NAMESPACE_POD_UID/CONTAINER/0.log`, `kube.var.log.containers.POD_NAMESPACE_CONTAINER-ID.log`.
pub(super) fn of_path(path: &str) -> Option<(&str, &str, &str)> {
    // Each of these has underscores between its parts.
    memchr::memchr(b'_', path.as_bytes())?;
    if let Some((_, rest)) = path.split_once("/pods/").filter(|_| path.contains('_')) {
        let mut parts = rest.split('/');
        let (folder, container) = (parts.next()?, parts.next()?);
        let [namespace, pod, _] = folder.split('_').collect::<Vec<_>>()[..] else { return None };
        return Some((namespace, pod, container));
    }
    // Docker's name of a container that Kubernetes started: k8s_CONTAINER_POD_NAMESPACE_UID_0
    if let [_, container, pod, namespace, _, _] = path.split('_').collect::<Vec<_>>()[..]
        && path.trim_start_matches('/').starts_with("k8s_")
    {
        return Some((namespace, pod, container));
    }
    let stem = path.strip_suffix(".log").unwrap_or(path);
    let (stem, id) = stem.rsplit_once('-')?;
    if id.len() != 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let name = stem.rsplit_once("containers.").or_else(|| stem.rsplit_once('/')).map_or(stem, |(_, name)| name);
    let [pod, namespace, container] = name.split('_').collect::<Vec<_>>()[..] else { return None };
    Some((namespace, pod, container))
}

/// A time as text or as a number of seconds, milliseconds, microseconds or nanoseconds.
pub(super) fn time_of(value: &str) -> Option<Millis> {
    if value.len() >= 9 && value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return epoch(value.parse().ok()?);
    }
    parse_time(value)
}

/// A number since 1970: of which unit tells its size.
pub(super) fn epoch(number: f64) -> Option<Millis> {
    const UNITS: [(f64, f64); 4] = [(1e8, 1e3), (1e11, 1.0), (1e14, 1e-3), (1e17, 1e-6)];
    let (_, factor) = UNITS.iter().rev().find(|(least, _)| number >= *least)?;
    (number < 1e20).then_some((number * factor).round() as Millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> String {
        let pairs = json::pairs(text).unwrap();
        let Labels { cluster, namespace, pod, container, .. } = Labels::of(&pairs, &|_| false);
        format!("{cluster}/{namespace}/{pod}/{container}")
    }

    #[test]
    fn a_pod_is_known_wherever_its_name_stands() {
        for (text, wanted) in [
            (r#"{"proxy": "p"}"#, "//p/"),
            (r#"{"podName": "p", "containerName": "c", "namespace": "n"}"#, "/n/p/c"),
            (r#"{"kubernetes": {"pod_name": "p", "namespace_name": "n", "container_name": "c"}}"#, "/n/p/c"),
            (
                r#"{"kubernetes": {"pod": {"name": "p", "uid": "u"}, "namespace": "n", "container": {"name": "c"}}}"#,
                "/n/p/c",
            ),
            (r#"{"kubernetes.pod_name": "p", "kubernetes.namespace_name": "n"}"#, "/n/p/"),
            (r#"{"labels": {"pod": "p", "cluster": "k", "container": "c"}}"#, "k//p/c"),
            (
                r#"{"resource": {"labels": {"pod_name": "p", "cluster_name": "k"}}, "labels": {"k8s-pod/app": "a"}}"#,
                "k//p/",
            ),
            (r#"{"k8s_pod_name": "p", "k8s_namespace_name": "n"}"#, "/n/p/"),
            (r#"{"attributes": [{"key": "k8s.pod.name", "value": {"stringValue": "p"}}]}"#, "//p/"),
            (r#"{"ddtags": "pod_name:p,kube_namespace:n,kube_cluster_name:k"}"#, "k/n/p/"),
            (r#"{"attributes": {"tags": ["pod_name:p", "kube_namespace:n"]}}"#, "/n/p/"),
            (r#"{"labels": "{pod=\"p\", namespace=\"n\"}"}"#, "/n/p/"),
            (r#"{"labels": "{\"pod\": \"p\"}"}"#, "//p/"),
            (r#"{"file": "/var/log/pods/n_p_0f3c/c/0.log"}"#, "/n/p/c"),
            (r#"{"orchestrator": {"resource": {"name": "p", "type": "pod"}, "namespace": "n"}}"#, "/n/p/"),
            (r#"{"upstream": {"pod": "x"}, "destination_pod_name": "y"}"#, "///"),
            (r#"{"http": {"headers": {"pod-name": "x"}}, "requestHeaders": {"pod": "y"}}"#, "///"),
            (r#"{"CONTAINER_NAME": "c", "_HOSTNAME": "h"}"#, "///c"),
        ] {
            assert_eq!(name(text), wanted, "{text}");
        }
        let id = "a".repeat(64);
        assert_eq!(name(&format!(r#"{{"tag": "kube.var.log.containers.p_n_c-{id}.log"}}"#)), "/n/p/c");
    }

    #[test]
    fn names_in_text_are_read_as_the_usual_tools_write_them() {
        for before in [
            r#"2026-11-20T15:43:09Z {app="a", pod="p", container="c"} 2026"#,
            "level=warn pod=p container=c msg=\"",
            r#"<14>1 2026-11-20T15:43:09Z h a - - [kubernetes@1 pod="p" container="c"] "#,
            r#"{"kubernetes":{"pod_name":"p","container_name":"c"},"log":"x "#,
            r#"{\"kubernetes\":{\"pod_name\":\"p\",\"container_name\":\"c\"},\"log\":\"x "#,
        ] {
            let labels = Labels::around(before, "");
            assert_eq!((labels.pod.as_str(), labels.container.as_str()), ("p", "c"), "{before}");
        }
    }

    #[test]
    fn the_unit_of_a_number_is_known_by_its_size() {
        let all = ["1795189389", "1795189389.567", "1795189389567", "1795189389567000", "1795189389567813000"];
        assert_eq!(all.map(time_of).map(|at| at.unwrap() / 1000), [1_795_189_389; 5]);
    }
}
