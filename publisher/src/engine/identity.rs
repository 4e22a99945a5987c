//! Where shippers put the names of a proxy in an engine: the fields that are asked for, so that not all of a record
//! need be fetched. `incident::logs` finds the names in what comes, by rules that know these and more.

/// Fields that hold the pod's name, or what stands in for one.
pub(super) const PODS: [&str; 8] = [
    "k8s.pod.name",
    "kubernetes.pod.name",
    "kubernetes.pod_name",
    "kubernetes_pod_name",
    "pod",
    "pod_name",
    "proxy",
    "service.instance.id",
];

/// Fields that hold its namespace.
pub(super) const NAMESPACES: [&str; 6] = [
    "k8s.namespace.name",
    "kubernetes.namespace",
    "kubernetes.namespace_name",
    "kubernetes_namespace_name",
    "namespace",
    "namespace_name",
];

/// Fields that hold its Kubernetes cluster.
pub(super) const CLUSTERS: [&str; 6] = [
    "k8s.cluster.name",
    "orchestrator.cluster.name",
    "kubernetes.cluster.name",
    "kubernetes_cluster",
    "cluster_name",
    "cluster",
];

/// Fields that hold its container.
pub(super) const CONTAINERS: [&str; 5] =
    ["k8s.container.name", "kubernetes.container.name", "kubernetes.container_name", "container", "container_name"];
