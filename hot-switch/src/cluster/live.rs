//! Reads a mesh from the API server, as `mesh` reads one from files.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, TypeMeta};
use kube::{Client, Config};
use mesh::Mesh;
use serde_json::{Value, json};

/// What findings name in place of a file.
const PLACE: &str = "cluster";
/// As many are asked for at a time.
const PAGE: u32 = 500;
/// Where istiod's configuration is, unless the mesh was installed elsewhere.
const ISTIO: (&str, &str) = ("istio-system", "istio");

/// Which of istiod's configurations are read: each revision has its own.
#[derive(Clone, Copy, Debug)]
pub enum Configurations<'a> {
    /// All that are listed; the first revision's where they may not be.
    All,
    /// Those of these revisions, each by its name, and the one without a revision.
    Of(&'a BTreeSet<String>),
}

/// A kind that is read.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    group: &'static str,
    /// The first that the API server has.
    versions: &'static [&'static str],
    kind: &'static str,
    plural: &'static str,
}

const fn kind(
    group: &'static str,
    versions: &'static [&'static str],
    kind: &'static str,
    plural: &'static str,
) -> Kind {
    Kind { group, versions, kind, plural }
}

/// Istio's versions, the newest first.
const ISTIOS: &[&str] = &["v1", "v1beta1"];

/// The policies by which pods are protected.
pub const POLICIES: [Kind; 3] = [
    kind("security.istio.io", ISTIOS, "PeerAuthentication", "peerauthentications"),
    kind("security.istio.io", ISTIOS, "AuthorizationPolicy", "authorizationpolicies"),
    kind("security.istio.io", ISTIOS, "RequestAuthentication", "requestauthentications"),
];

/// The other kinds that `hot-switch check` reads.
pub const OTHERS: [Kind; 10] = [
    kind("", &["v1"], "Namespace", "namespaces"),
    kind("", &["v1"], "Pod", "pods"),
    kind("", &["v1"], "Service", "services"),
    kind("apps", &["v1"], "Deployment", "deployments"),
    kind("apps", &["v1"], "StatefulSet", "statefulsets"),
    kind("apps", &["v1"], "DaemonSet", "daemonsets"),
    kind("networking.istio.io", ISTIOS, "DestinationRule", "destinationrules"),
    kind("networking.istio.io", ISTIOS, "ServiceEntry", "serviceentries"),
    kind("networking.istio.io", ISTIOS, "Sidecar", "sidecars"),
    kind("networking.istio.io", ISTIOS, "VirtualService", "virtualservices"),
];

/// A client of the current context of the kubeconfig, or of this one.
///
/// # Errors
/// If there is none, or it cannot be used.
pub async fn client(context: Option<&str>) -> Result<Client> {
    let config = match context {
        None => Config::infer().await.context("no API server is known: give a kubeconfig, or run it in a pod")?,
        Some(name) => {
            let options = kube::config::KubeConfigOptions { context: Some(name.to_owned()), ..Default::default() };
            Config::from_kubeconfig(&options).await.with_context(|| format!("the kubeconfig's context `{name}`"))?
        }
    };
    Ok(Client::try_from(config)?)
}

/// Reads all resources of these kinds, and istiod's configurations. A kind that the API server does not have has none.
///
/// # Errors
/// If the API server cannot be reached, or refuses.
pub async fn read(
    client: &Client,
    kinds: impl Iterator<Item = Kind>,
    configurations: Configurations<'_>,
) -> Result<Mesh> {
    let mut items = Vec::new();
    for kind in kinds {
        items.extend(all(client, kind).await.with_context(|| format!("{} cannot be listed", kind.plural))?);
    }
    for found in configured(client, configurations).await? {
        let mut item = serde_json::to_value(&found)?;
        item["apiVersion"] = "v1".into();
        item["kind"] = "ConfigMap".into();
        items.push(item);
    }
    let mut mesh = Mesh::default();
    mesh.add_named(PLACE, &json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string());
    Ok(mesh)
}

async fn configured(client: &Client, configurations: Configurations<'_>) -> Result<Vec<ConfigMap>> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), ISTIO.0);
    let revisions = match configurations {
        Configurations::Of(revisions) => revisions.clone(),
        Configurations::All => match api.list(&ListParams::default()).await {
            Ok(all) => return Ok(all.items.into_iter().filter(is_istiods).collect()),
            Err(kube::Error::Api(status)) if status.code == 403 => BTreeSet::new(),
            Err(error) => return Err(error).context("istiod's ConfigMaps cannot be listed"),
        },
    };
    let mut found = Vec::new();
    let of_revisions = revisions.iter().map(|revision| format!("{}-{revision}", ISTIO.1));
    for name in std::iter::once(ISTIO.1.to_owned()).chain(of_revisions) {
        let one = api.get_opt(&name).await;
        found.extend(one.with_context(|| format!("istiod's ConfigMap `{name}` cannot be read"))?);
    }
    Ok(found)
}

/// `istio`, or a revision's; others of that name hold something else than a mesh's configuration.
fn is_istiods(map: &ConfigMap) -> bool {
    let name = map.metadata.name.as_deref().unwrap_or_default();
    let is_named = name.strip_prefix(ISTIO.1).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    is_named && map.data.as_ref().is_some_and(|data| data.contains_key("mesh"))
}

async fn all(client: &Client, kind: Kind) -> Result<Vec<Value>> {
    for version in kind.versions {
        let api_version =
            if kind.group.is_empty() { (*version).to_owned() } else { format!("{}/{version}", kind.group) };
        let resource = ApiResource {
            group: kind.group.to_owned(),
            version: (*version).to_owned(),
            api_version: api_version.clone(),
            kind: kind.kind.to_owned(),
            plural: kind.plural.to_owned(),
        };
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        match pages(&api, &TypeMeta { api_version, kind: kind.kind.to_owned() }).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            listed => return Ok(listed?),
        }
    }
    Ok(Vec::new())
}

async fn pages(api: &Api<DynamicObject>, types: &TypeMeta) -> Result<Vec<Value>, kube::Error> {
    let mut found = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await?;
        for mut item in page.items {
            item.types = Some(types.clone());
            item.metadata.managed_fields = None;
            found.push(serde_json::to_value(&item).map_err(kube::Error::SerdeError)?);
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}
