//! The Go modules that the mesh's programs are built from, each with a `go.mod` of its own.

use std::fmt::Write as _;

/// A program of a module.
pub(super) struct Program {
    /// The drill's key for it.
    pub(super) key: &'static str,
    pub(super) name: &'static str,
    pub(super) package: &'static str,
}

/// A module at a version.
pub(super) struct Module {
    pub(super) path: &'static str,
    pub(super) version: &'static str,
    /// Its folder in the cache.
    pub(super) folder: &'static str,
    /// The version of Go that it needs, and the line of its `go.mod` that says how Go is to behave.
    go: (&'static str, &'static str),
    pub(super) programs: &'static [Program],
    /// How long its programs take to build: the end of a sentence.
    pub(super) takes: &'static str,
    /// Variables that its programs report as their version, and their values.
    stamps: &'static [(&'static str, &'static str)],
    /// Other modules than it asks for: path, path and version instead.
    replaced: &'static [(&'static str, &'static str)],
    /// Modules that are developed in its repository and released at this version.
    staging: (&'static str, &'static [&'static str]),
}

/// Kubernetes.
pub(super) const KUBERNETES: Module = Module {
    path: "k8s.io/kubernetes",
    version: "v1.35.4",
    folder: "kubernetes-1.35.4",
    go: ("1.25.0", "godebug default=go1.25\n"),
    programs: &[
        Program { key: "KUBE_APISERVER", name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver" },
        Program { key: "KUBECTL", name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl" },
    ],
    takes: "about 8 minutes",
    stamps: &[
        ("k8s.io/component-base/version.gitVersion", "v1.35.4"),
        ("k8s.io/component-base/version.gitMajor", "1"),
        ("k8s.io/component-base/version.gitMinor", "35"),
    ],
    replaced: &[],
    staging: (
        "v0.35.4",
        &[
            "api",
            "apiextensions-apiserver",
            "apimachinery",
            "apiserver",
            "cli-runtime",
            "client-go",
            "cloud-provider",
            "cluster-bootstrap",
            "code-generator",
            "component-base",
            "component-helpers",
            "controller-manager",
            "cri-api",
            "cri-client",
            "csi-translation-lib",
            "dynamic-resource-allocation",
            "endpointslice",
            "externaljwt",
            "kms",
            "kube-aggregator",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
            "kubectl",
            "kubelet",
            "metrics",
            "mount-utils",
            "pod-security-admission",
            "sample-apiserver",
            "sample-cli-plugin",
            "sample-controller",
        ],
    ),
};

const OF_ISTIO: &[Program] = &[
    Program { key: "PILOT_DISCOVERY", name: "pilot-discovery", package: "istio.io/istio/pilot/cmd/pilot-discovery" },
    Program { key: "PILOT_AGENT", name: "pilot-agent", package: "istio.io/istio/pilot/cmd/pilot-agent" },
    Program { key: "ISTIOCTL", name: "istioctl", package: "istio.io/istio/istioctl/cmd/istioctl" },
];

/// Istio's branch 1.31. The tags of releases are no versions of a Go module, so a commit names it.
pub(super) const ISTIO_1_31: Module = Module {
    path: "istio.io/istio",
    version: "v0.0.0-20260827124520-eed52ebb66ad",
    folder: "istio-1.31",
    go: ("1.26.0", ""),
    programs: OF_ISTIO,
    takes: "about 12 minutes",
    stamps: &[("istio.io/istio/pkg/version.buildVersion", "1.31.0-lab")],
    replaced: &[],
    staging: ("", &[]),
};

/// Istio's branch 1.30. Five of its modules are at commits that module proxies may not have; they are replaced by their
/// next releases.
pub(super) const ISTIO_1_30: Module = Module {
    path: "istio.io/istio",
    version: "v0.0.0-20260826214018-9739e10eb9d7",
    folder: "istio-1.30",
    go: ("1.26.0", ""),
    programs: OF_ISTIO,
    takes: "about 12 minutes",
    stamps: &[("istio.io/istio/pkg/version.buildVersion", "1.30.4-lab")],
    replaced: &[
        (
            "github.com/agentgateway/agentgateway/api",
            "github.com/agentgateway/agentgateway/api v0.0.0-20260501213430-773586679f1c",
        ),
        (
            "github.com/envoyproxy/go-control-plane/contrib",
            "github.com/envoyproxy/go-control-plane/contrib v1.36.1-0.20260713214202-ca8ce173c36f",
        ),
        (
            "github.com/envoyproxy/go-control-plane/envoy",
            "github.com/envoyproxy/go-control-plane/envoy v1.37.1-0.20260713214202-ca8ce173c36f",
        ),
        ("istio.io/api", "istio.io/api v1.30.8"),
        ("istio.io/client-go", "istio.io/client-go v1.30.8"),
    ],
    staging: ("", &[]),
};

impl Module {
    /// A `go.mod` of a module that only uses this one. Go adds what it finds to be needed.
    pub(super) fn go_mod(&self) -> String {
        let (go, behaviour) = self.go;
        let mut text = format!("module mesh\n\ngo {go}\n\n{behaviour}\nrequire {} {}\n", self.path, self.version);
        for (from, to) in self.replaced {
            _ = writeln!(text, "replace {from} => {to}");
        }
        let (version, names) = self.staging;
        for name in names {
            _ = writeln!(text, "replace k8s.io/{name} => k8s.io/{name} {version}");
        }
        text
    }

    /// A file that uses its programs, so that Go keeps what they need in `go.mod`.
    pub(super) fn tools_go(&self) -> String {
        let uses: String = self.programs.iter().map(|program| format!("import _ \"{}\"\n", program.package)).collect();
        format!("//go:build tools\n\npackage mesh\n\n{uses}")
    }

    /// The linker's options: no symbols, and the version.
    pub(super) fn ldflags(&self) -> String {
        let stamps: String = self.stamps.iter().map(|(name, value)| format!(" -X {name}={value}")).collect();
        format!("-s -w{stamps}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_says_what_it_uses_and_what_replaces_it() {
        let istio = ISTIO_1_30.go_mod();
        assert!(istio.contains("\nrequire istio.io/istio v0.0.0-20260826214018-9739e10eb9d7\n"), "{istio}");
        assert!(istio.contains("\nreplace istio.io/api => istio.io/api v1.30.8\n"), "{istio}");
        let kubernetes = KUBERNETES.go_mod();
        assert!(kubernetes.contains("\ngodebug default=go1.25\n"), "{kubernetes}");
        assert!(kubernetes.contains("\nreplace k8s.io/client-go => k8s.io/client-go v0.35.4\n"), "{kubernetes}");
    }
}
