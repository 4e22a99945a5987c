//! Who wrote a record.

use super::labels::Labels;

/// Who wrote a record: a pod, or what stands in for one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Source {
    /// The pod, or what stands in for its name.
    pub(crate) pod: String,
    /// Empty where the record does not have it, as all of the following.
    pub(crate) namespace: String,
    pub(crate) cluster: String,
    pub(crate) container: String,
    /// The process, where a machine alone is named, on which several proxies may run.
    pub(crate) process: String,
}

impl Source {
    pub(super) fn of(labels: &Labels) -> Option<Self> {
        let (pod, container) = (labels.name(), labels.container.as_str());
        // A container that runs on no named machine is named by itself.
        let pod = if pod.is_empty() { container } else { pod };
        (!pod.is_empty()).then(|| Self {
            pod: pod.to_owned(),
            namespace: labels.namespace.clone(),
            cluster: labels.cluster.clone(),
            container: container.to_owned(),
            process: if labels.is_of_a_machine() { labels.process.clone() } else { String::new() },
        })
    }
}

impl Source {
    /// The same machine's or pod's, whichever process it is.
    pub(crate) fn of_any_process(self) -> Self {
        Self { process: String::new(), ..self }
    }

    /// `CLUSTER/NAMESPACE/POD`, without what the record does not have.
    pub(crate) fn path(&self) -> String {
        let parts = [&self.cluster, &self.namespace, &self.pod];
        parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join("/")
    }
}
