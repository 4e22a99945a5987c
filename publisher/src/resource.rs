//! The Kubernetes resources that carry the plugin: WasmPlugin, and TrafficExtension, which supersedes it in Istio 1.30.
//!
//! Both hold the same facts in a different order of nesting, so there is one [`Plan`], which is checked, and one function for
//! each resource. What is wrong with a name is said here, before the API server (or, worse, only istiod's log) says it.

use std::collections::BTreeMap;

use anyhow::{bail, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::cli::{Kind, Phase};
use crate::digest::Digest;
use crate::reference::RegistryRef;

/// The plugin's root id.
const PLUGIN: &str = "faultline";

/// Everything a resource says.
#[derive(Debug)]
pub struct Plan {
    /// Name of the resource.
    pub name: String,
    /// Namespace, the current one if none.
    pub namespace: Option<String>,
    /// Where the mesh pulls from.
    pub image: RegistryRef,
    /// Digest of the image's manifest.
    pub digest: Option<Digest>,
    /// What the plugin is put into.
    pub target: Target,
    /// Place in the filter chain.
    pub phase: Option<Phase>,
    /// Order within the phase.
    pub priority: Option<i32>,
    /// Name of the pull secret.
    pub pull_secret: Option<String>,
    /// The plugin's configuration.
    pub config: Option<Value>,
}

/// What the plugin is put into.
#[derive(Debug)]
pub enum Target {
    /// The sidecars and gateways with all of these labels, on their way out; of the whole namespace if there are none.
    Workloads(BTreeMap<String, String>),
    /// The proxies of these resources.
    Resources(Vec<TargetRef>),
}

/// A resource to attach to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetRef {
    group: &'static str,
    kind: String,
    name: String,
}

impl TargetRef {
    /// A waypoint's Gateway.
    ///
    /// # Errors
    /// When it is no name.
    pub fn waypoint(name: &str) -> anyhow::Result<Self> {
        Self::parse(&format!("Gateway/{name}"))
    }

    /// Reads `KIND/NAME`, of the kinds that istiod accepts.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let Some((kind, name)) = text.split_once('/') else {
            bail!("--target-ref `{text}`: write KIND/NAME, such as Gateway/waypoint");
        };
        let group = match kind {
            "Gateway" | "GatewayClass" => "gateway.networking.k8s.io",
            "ServiceEntry" => "networking.istio.io",
            "Service" => "",
            _ => bail!("--target-ref `{text}`: Istio attaches to Gateway, GatewayClass, Service and ServiceEntry only"),
        };
        check_name("--target-ref", name)?;
        Ok(Self { group, kind: kind.to_owned(), name: name.to_owned() })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource<S> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: S,
}

#[derive(Serialize)]
struct Metadata {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
}

/// Where the plugin goes: fields that both kinds have in `spec`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    #[serde(skip_serializing_if = "Option::is_none")]
    selector: Option<Selector>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    target_refs: Vec<TargetRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    r#match: Vec<Match>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Match {
    mode: &'static str,
}

/// What runs: fields of `spec` in a WasmPlugin, of `spec.wasm` in a TrafficExtension.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Code {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_pull_secret: Option<String>,
    plugin_name: &'static str,
    fail_strategy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin_config: Option<Value>,
}

#[derive(Serialize)]
struct WasmPluginSpec {
    #[serde(flatten)]
    place: Place,
    #[serde(flatten)]
    code: Code,
}

#[derive(Serialize)]
struct TrafficExtensionSpec {
    #[serde(flatten)]
    place: Place,
    wasm: Code,
}

impl Plan {
    /// Checks what Kubernetes and Istio would refuse.
    ///
    /// # Errors
    /// For the first name or label that they would.
    pub fn check(&self) -> anyhow::Result<()> {
        check_name("--name", &self.name)?;
        if let Some(namespace) = &self.namespace {
            ensure!(
                namespace.len() <= 63 && is_label(namespace),
                "--namespace `{namespace}`: use at most 63 lower-case letters, digits and `-`, starting and ending with a letter or digit"
            );
        }
        if let Some(secret) = &self.pull_secret {
            check_name("--pull-secret", secret)?;
        }
        match &self.target {
            Target::Workloads(labels) => {
                for (key, value) in labels {
                    let wildcard = key.contains('*') || value.contains('*');
                    ensure!(!wildcard, "--selector `{key}={value}`: wildcards are not allowed");
                    ensure!(value.len() <= 63, "--selector `{key}={value}`: a label's value has at most 63 characters");
                }
            }
            Target::Resources(refs) => {
                ensure!(refs.len() <= 16, "--target-ref: at most 16 are allowed, got {}", refs.len())
            }
        }
        Ok(())
    }

    /// The resource as YAML, without comments.
    ///
    /// # Errors
    /// Only if the configuration cannot be written as YAML.
    pub fn yaml(&self, kind: Kind) -> anyhow::Result<String> {
        Ok(match kind {
            Kind::WasmPlugin => serde_saphyr::to_string(&self.wasm_plugin())?,
            Kind::TrafficExtension => serde_saphyr::to_string(&self.traffic_extension())?,
        })
    }

    /// The resource as JSON.
    ///
    /// # Errors
    /// As [`Self::yaml`].
    pub fn json(&self, kind: Kind) -> anyhow::Result<Value> {
        Ok(match kind {
            Kind::WasmPlugin => serde_json::to_value(self.wasm_plugin())?,
            Kind::TrafficExtension => serde_json::to_value(self.traffic_extension())?,
        })
    }

    fn wasm_plugin(&self) -> Resource<WasmPluginSpec> {
        self.resource("WasmPlugin", WasmPluginSpec { place: self.place(), code: self.code() })
    }

    fn traffic_extension(&self) -> Resource<TrafficExtensionSpec> {
        self.resource("TrafficExtension", TrafficExtensionSpec { place: self.place(), wasm: self.code() })
    }

    fn resource<S>(&self, kind: &'static str, spec: S) -> Resource<S> {
        let metadata = Metadata { name: self.name.clone(), namespace: self.namespace.clone() };
        Resource { api_version: "extensions.istio.io/v1alpha1", kind, metadata, spec }
    }

    fn place(&self) -> Place {
        let (selector, target_refs, r#match) = match &self.target {
            Target::Workloads(labels) => (
                (!labels.is_empty()).then(|| Selector { match_labels: labels.clone() }),
                Vec::new(),
                vec![Match { mode: "CLIENT" }],
            ),
            // No match: a waypoint counts as a server, so CLIENT would silently never apply there.
            Target::Resources(refs) => (None, refs.clone(), Vec::new()),
        };
        let phase = self.phase.map(|phase| match phase {
            Phase::Authn => "AUTHN",
            Phase::Authz => "AUTHZ",
            Phase::Stats => "STATS",
        });
        Place { selector, target_refs, phase, priority: self.priority, r#match }
    }

    fn code(&self) -> Code {
        Code {
            // With the scheme: istiod discards some URLs without one, and says so only in its log.
            url: format!("oci://{}", self.image.tagged()),
            sha256: self.digest.as_ref().map(|digest| digest.hex().to_owned()),
            image_pull_secret: self.pull_secret.clone(),
            plugin_name: PLUGIN,
            // Anything else answers 403 to all traffic when the module cannot be fetched.
            fail_strategy: "FAIL_OPEN",
            plugin_config: self.config.clone(),
        }
    }
}

/// Whether it is what DNS calls a label, whatever its length.
fn is_label(text: &str) -> bool {
    let end = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.bytes().next().is_some_and(end)
        && text.bytes().last().is_some_and(end)
        && text.bytes().all(|b| end(b) || b == b'-')
}

/// A DNS name, as Kubernetes wants the names of most objects.
fn check_name(option: &str, name: &str) -> anyhow::Result<()> {
    ensure!(
        name.len() <= 253 && name.split('.').all(is_label),
        "{option} `{name}`: use at most 253 lower-case letters, digits, `-` and `.`, starting and ending with a letter or digit"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Reference;

    fn plan() -> Plan {
        let Ok(Reference::Registry(image)) = "ghcr.io/acme/faultline:1.0".parse() else { unreachable!() };
        Plan {
            name: "faultline".into(),
            namespace: Some("shop".into()),
            image,
            digest: Some(Digest::of(b"")),
            target: Target::Workloads(BTreeMap::new()),
            phase: None,
            priority: None,
            pull_secret: None,
            config: None,
        }
    }

    #[test]
    fn the_default_is_what_a_namespace_of_sidecars_needs() {
        let yaml = plan().yaml(Kind::WasmPlugin).unwrap();
        assert_eq!(
            yaml.trim_end(),
            "\
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata:
  name: faultline
  namespace: shop
spec:
  match:
  - mode: CLIENT
  url: oci://ghcr.io/acme/faultline:1.0
  sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  pluginName: faultline
  failStrategy: FAIL_OPEN"
        );
    }

    #[test]
    fn what_yaml_would_take_for_something_else_is_quoted() {
        for hex in ["1".repeat(64), format!("1e{}", "2".repeat(62)), format!("0{}", "7".repeat(63))] {
            let mut plan = plan();
            plan.digest = Some(format!("sha256:{hex}").parse().unwrap());
            let yaml = plan.yaml(Kind::WasmPlugin).unwrap();
            assert!(
                yaml.contains(&format!("sha256: \"{hex}\"")) || yaml.contains(&format!("sha256: '{hex}'")),
                "{yaml}"
            );
        }
        for word in ["true", "yes", "on", "y", "null", "~", "1", "0x1f", "1_000", "12:30", ""] {
            let mut plan = plan();
            plan.target = Target::Workloads(BTreeMap::from([("k".to_owned(), word.to_owned())]));
            let yaml = plan.yaml(Kind::WasmPlugin).unwrap();
            assert!(!yaml.contains(&format!("k: {word}\n")), "{yaml}");
        }
    }

    #[test]
    fn waypoints_get_no_match() {
        let mut plan = plan();
        plan.target = Target::Resources(vec![TargetRef::waypoint("waypoint").unwrap()]);
        let spec = &plan.json(Kind::TrafficExtension).unwrap()["spec"];
        assert!(spec.get("match").is_none());
        assert_eq!(spec["targetRefs"][0]["group"], "gateway.networking.k8s.io");
        assert_eq!(spec["wasm"]["pluginName"], "faultline");
    }

    #[test]
    fn what_kubernetes_would_refuse_is_refused_here() {
        let refused = |change: fn(&mut Plan)| {
            let mut plan = plan();
            change(&mut plan);
            plan.check().is_err()
        };
        assert!(plan().check().is_ok());
        assert!(refused(|p| p.name = "Faultline".into()));
        assert!(refused(|p| p.name = String::new()));
        assert!(refused(|p| p.namespace = Some("a.b".into())));
        assert!(refused(|p| p.pull_secret = Some("a_b".into())));
        assert!(refused(|p| p.target = Target::Workloads(BTreeMap::from([("app".into(), "x*".into())]))));
        for bad in ["Gateway", "Deployment/x", "Gateway/", "Gateway/A"] {
            assert!(TargetRef::parse(bad).is_err(), "{bad}");
        }
    }
}
