//! The plan of a manifest: everything that it says, whatever its kind, with its names checked.
//!
//! A wrong name is reported here, before the API server (or, worse, only istiod's log) reports it. Which options a kind
//! accepts is decided in [`super::applies`].

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use serde_json::{Map, Value, json};

use super::kind::{FilterPosition, Kind, Phase, PullPolicy};
use crate::reference::RegistryRef;
use crate::reference::digest::Digest;

/// The plugin's root id.
pub(crate) const ROOT_ID: &str = "faultline";

/// Everything a manifest says.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The kind of resource.
    pub(crate) kind: Kind,
    /// Name of the resource.
    pub(crate) name: String,
    /// Namespace; `None` is the current one.
    pub(crate) namespace: Option<String>,
    /// Where proxies get the module.
    pub(crate) source: Source,
    /// Digest of the image's manifest.
    pub(crate) digest: Option<Digest>,
    /// What the plugin is attached to.
    pub(crate) target: Target,
    /// Phase of the filter chain.
    pub(crate) phase: Option<Phase>,
    /// Order within the phase.
    pub(crate) priority: i32,
    /// Name of the pull secret.
    pub(crate) pull_secret: Option<String>,
    /// When to pull again.
    pub(crate) pull_policy: Option<PullPolicy>,
    /// The plugin's configuration.
    pub(crate) config: Option<Value>,
}

/// Where proxies get the module from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The proxies, or their control plane, pull it.
    Image(RegistryRef),
    /// Envoy loads a file that the operator has put into its file system.
    File {
        /// Its path in the proxy's file system.
        path: String,
        /// Where the plugin stands.
        position: FilterPosition,
    },
}

/// What the plugin is attached to.
#[derive(Debug)]
pub(crate) enum Target {
    /// The outbound side of the sidecars and gateways that have all of these labels; of the whole namespace if there
    /// are none.
    Workloads(BTreeMap<String, String>),
    /// The proxies of these resources.
    Resources(Vec<TargetRef>),
}

/// A resource to attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetRef {
    group: &'static str,
    /// Its kind.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
}

impl TargetRef {
    /// Parses `KIND/NAME`; the kind must be one that `resource`'s controller accepts.
    ///
    /// # Errors
    /// For anything else.
    pub(crate) fn parse(resource: Kind, text: &str) -> anyhow::Result<Self> {
        let Some((kind, name)) = text.split_once('/') else {
            bail!("--target-ref `{text}`: write KIND/NAME, such as Gateway/edge");
        };
        let group = match (resource, kind) {
            (Kind::EnvoyExtensionPolicy, "Gateway" | "ListenerSet" | "HTTPRoute" | "GRPCRoute") => {
                "gateway.networking.k8s.io"
            }
            (Kind::EnvoyExtensionPolicy, _) => {
                bail!(
                    "--target-ref `{text}`: Envoy Gateway attaches to Gateway, ListenerSet, HTTPRoute and GRPCRoute \
                        only"
                )
            }
            (_, "Gateway" | "GatewayClass") => "gateway.networking.k8s.io",
            (Kind::EnvoyFilter, _) => {
                bail!("--target-ref `{text}`: an EnvoyFilter of this program attaches to Gateway and GatewayClass only")
            }
            (_, "ServiceEntry") => "networking.istio.io",
            (_, "Service") => "",
            _ => bail!("--target-ref `{text}`: Istio attaches to Gateway, GatewayClass, Service and ServiceEntry only"),
        };
        check_name("--target-ref", name)?;
        Ok(Self { group, kind: kind.to_owned(), name: name.to_owned() })
    }

    fn json(&self) -> Value {
        json!({"group": self.group, "kind": self.kind, "name": self.name})
    }
}

impl Plan {
    /// Checks for what Kubernetes and Istio would refuse.
    ///
    /// # Errors
    /// For the first name or label that they would refuse.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        check_name("--name", &self.name)?;
        if let Some(namespace) = &self.namespace {
            ensure!(
                namespace.len() <= 63 && is_label(namespace),
                "--namespace `{namespace}`: use at most 63 lower-case letters, digits and `-`, starting and ending \
                    with a letter or digit"
            );
        }
        if let Some(secret) = &self.pull_secret {
            check_name("--pull-secret", secret)?;
        }
        if let Source::File { path, .. } = &self.source {
            let whole = path.starts_with('/') && !path.ends_with('/') && !path.chars().any(char::is_control);
            ensure!(whole, "--module `{path}`: write the file's whole path, such as /etc/envoy/faultline.wasm");
        }
        match &self.target {
            Target::Workloads(labels) => {
                for (key, value) in labels {
                    let wildcard = key.contains('*') || value.contains('*');
                    ensure!(!wildcard, "--selector `{key}={value}`: wildcards are not allowed");
                    ensure!(value.len() <= 63, "--selector `{key}={value}`: a label's value has at most 63 characters");
                    ensure!(
                        is_key_of_label(key) && (value.is_empty() || is_part_of_label(value)),
                        "--selector `{key}={value}`: no pod can have such a label; use letters, digits, `-`, `_` and \
                         `.`, starting and ending with a letter or digit"
                    );
                }
            }
            Target::Resources(refs) => {
                ensure!(refs.len() <= 16, "--target-ref: at most 16 are allowed, got {}", refs.len())
            }
        }
        Ok(())
    }

    /// A Kubernetes resource with this plan's name and namespace.
    pub(crate) fn resource(&self, api_version: &str, kind: &str, spec: Map<String, Value>) -> Value {
        let mut metadata = json!({"name": self.name});
        if let Some(namespace) = &self.namespace {
            metadata["namespace"] = json!(namespace);
        }
        json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec})
    }

    /// The labels that select workloads; `None` if all are selected or the target is not workloads.
    pub(crate) fn labels(&self) -> Option<&BTreeMap<String, String>> {
        match &self.target {
            Target::Workloads(labels) => Some(labels).filter(|labels| !labels.is_empty()),
            Target::Resources(_) => None,
        }
    }

    /// The field `targetRefs`, if there are any.
    pub(crate) fn target_refs(&self) -> Option<Value> {
        match &self.target {
            Target::Workloads(_) => None,
            Target::Resources(refs) => Some(refs.iter().map(TargetRef::json).collect()),
        }
    }

    /// Whether the filter takes Envoy's default thresholds for those of every cluster, because it neither asks Envoy
    /// nor is given any.
    pub(crate) fn assumes_defaults(&self) -> bool {
        let Some(config) = &self.config else { return true };
        let given = |node: &Value| !node["outlierDetection"].is_null();
        let for_a_cluster = config["clusters"].as_array().is_some_and(|entries| entries.iter().any(given));
        config["witness"].is_null() && !given(config) && !for_a_cluster
    }

    /// The URL of an image, with the digest if there is one. It includes the scheme, because istiod discards some URLs
    /// without one and says so only in its log.
    ///
    /// The digest is in the URL and not in a field beside it: the agents of Istio and Higress and the controller of
    /// Envoy Gateway would fetch what the tag names and compare afterwards, so once the tag has moved, no new proxy
    /// gets the module.
    pub(crate) fn url(&self, image: &RegistryRef) -> String {
        let tagged = image.tagged();
        match &self.digest {
            Some(digest) => format!("oci://{tagged}@{digest}"),
            None => format!("oci://{tagged}"),
        }
    }
}

/// Keeps the fields that have a value.
pub(crate) fn fields<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Whether the text is a DNS label; its length is not checked.
fn is_label(text: &str) -> bool {
    let end = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.bytes().next().is_some_and(end)
        && text.bytes().last().is_some_and(end)
        && text.bytes().all(|b| end(b) || b == b'-')
}

/// Whether a label of Kubernetes can have this key: a name, perhaps with a domain and a slash before it.
fn is_key_of_label(key: &str) -> bool {
    match key.split_once('/') {
        Some((domain, name)) => domain.split('.').all(is_label) && is_part_of_label(name),
        None => is_part_of_label(key),
    }
}

fn is_part_of_label(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.starts_with(is_plain)
        && text.ends_with(is_plain)
        && text.chars().all(|c| is_plain(c) || "-_.".contains(c))
}

/// Checks for a DNS name, which Kubernetes requires for the names of most objects.
fn check_name(option: &str, name: &str) -> anyhow::Result<()> {
    ensure!(
        name.len() <= 253 && name.split('.').all(is_label),
        "{option} `{name}`: use at most 253 lower-case letters, digits, `-` and `.`, starting and ending with a letter \
            or digit"
    );
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::reference::Reference;

    /// A plan with nothing but defaults.
    pub(crate) fn plan(kind: Kind) -> Plan {
        let Ok(Reference::Registry(image)) = "ghcr.io/acme/faultline:1.0".parse() else { unreachable!() };
        Plan {
            kind,
            name: "faultline".into(),
            namespace: Some("shop".into()),
            source: Source::Image(image),
            digest: Some(Digest::of(b"")),
            target: Target::Workloads(BTreeMap::new()),
            phase: None,
            priority: 0,
            pull_secret: None,
            pull_policy: None,
            config: None,
        }
    }

    #[test]
    fn what_kubernetes_would_refuse_is_refused_here() {
        let refused = |change: fn(&mut Plan)| {
            let mut plan = plan(Kind::WasmPlugin);
            change(&mut plan);
            plan.check().is_err()
        };
        assert!(plan(Kind::WasmPlugin).check().is_ok());
        assert!(refused(|p| p.name = "Faultline".into()));
        assert!(refused(|p| p.name = String::new()));
        assert!(refused(|p| p.namespace = Some("a.b".into())));
        assert!(refused(|p| p.pull_secret = Some("a_b".into())));
        assert!(refused(|p| p.target = Target::Workloads(BTreeMap::from([("app".into(), "x*".into())]))));
        assert!(refused(
            |p| p.source = Source::File { path: "faultline.wasm".into(), position: FilterPosition::UpstreamLog }
        ));
    }

    #[test]
    fn each_controller_has_its_own_targets() {
        for bad in ["Gateway", "Deployment/x", "HTTPRoute/x", "Gateway/", "Gateway/A"] {
            assert!(TargetRef::parse(Kind::WasmPlugin, bad).is_err(), "{bad}");
        }
        for good in ["Gateway/a", "GatewayClass/a", "Service/a", "ServiceEntry/a"] {
            assert!(TargetRef::parse(Kind::WasmPlugin, good).is_ok(), "{good}");
        }
        assert!(TargetRef::parse(Kind::EnvoyExtensionPolicy, "HTTPRoute/a").is_ok());
        assert!(TargetRef::parse(Kind::EnvoyExtensionPolicy, "Service/a").is_err());
        assert!(TargetRef::parse(Kind::EnvoyFilter, "Service/a").is_err());
    }
}
