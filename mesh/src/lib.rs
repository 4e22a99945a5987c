//! Reads a mesh's resources and plugin configurations from files, each with its position.
//!
//! The input is what `kubectl get -o yaml` and `-o json` print: several documents, `kind: List`, directories, standard
//! input. This file turns it into resources. [`policy`] and [`services`] interpret them as Istio does, [`dns_name`]
//! handles its host names. Nothing here judges the content: `faultline validate` and `hot-switch check` do, each for a
//! question of its own.

#![forbid(unsafe_code)]

pub mod dns_name;
mod durations;
pub mod fields;
mod foreign;
mod given;
pub mod kinds;
mod lists;
pub mod lookup;
mod mesh_config;
pub mod outlier;
pub mod policy;
pub mod refused;
pub mod schema;
pub mod services;
mod texts;
pub mod yaml;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, bail, ensure};

pub use given::{Broken, Configuration, Empty, NOTHING, Unread};
use texts::{is_empty, is_yaml_only, list, read_file, read_text, utf16};
use yaml::node::{Node, Position};

/// A resource.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The file it is in, as the user named it.
    pub file: Rc<str>,
    /// Its kind; [`MESH_CONFIG`] and [`ENVOY`] stand for two that are not Kubernetes resources.
    pub kind: String,
    /// Its group, such as `networking.istio.io`; empty for Kubernetes' own.
    pub group: String,
    /// Its namespace, if it names one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The whole resource.
    pub node: Node,
}

/// Istio's root namespace, where the mesh configuration names no other.
const ROOT: &str = "istio-system";

/// Kinds without a namespace that are found beside the mesh's rules.
const CLUSTER_WIDE: [&str; 8] = [
    "Node",
    "Namespace",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "GatewayClass",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// The kind given to a MeshConfig, wherever it was found; its node is the MeshConfig itself.
pub const MESH_CONFIG: &str = "MeshConfig";
/// The kind given to an Envoy bootstrap.
pub const ENVOY: &str = "Envoy";

/// Fields of a MeshConfig by which DestinationRules are read.
const OF_RULES: [&str; 4] =
    ["rootNamespace", "defaultDestinationRuleExportTo", "localityLbSetting", "defaultTrafficPolicy"];

impl Resource {
    /// Its namespace. Resources that name none are applied to the current one, which is called `default` here.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// Kind, namespace and name, as people write them: `DestinationRule shop/reviews`.
    pub fn title(&self) -> String {
        match (&self.namespace, self.name.as_str()) {
            (_, "") => self.kind.clone(),
            (Some(namespace), name) => format!("{} {namespace}/{name}", self.kind),
            (None, name) => format!("{} {name}", self.kind),
        }
    }

    /// Whether it is of this kind in Istio's networking group.
    pub fn is_istio(&self, kind: &str) -> bool {
        self.kind == kind && self.group == "networking.istio.io"
    }
}

/// Everything that was read.
#[derive(Debug, Default)]
pub struct Mesh {
    /// The files, in the order in which the user named them.
    pub files: Vec<Rc<str>>,
    /// The resources, in order.
    pub resources: Vec<Resource>,
    /// The plugin configurations outside any resource.
    pub configurations: Vec<Configuration>,
    /// The files that could not be read as YAML.
    pub broken: Vec<Broken>,
    /// The files that have nothing in them.
    pub empty: Vec<Empty>,
    /// What is neither a resource nor a plugin configuration.
    pub unread: Vec<Unread>,
    /// The same files, to find one among many.
    known: HashSet<Rc<str>>,
    /// How many of the resources, from the first on, are known to be whole.
    whole: usize,
    /// The files with which the kustomizations among them patch.
    patches: Vec<PathBuf>,
}

impl Mesh {
    /// Reads files and directories; `-` is standard input.
    ///
    /// # Errors
    /// When one cannot be read at all.
    pub fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut mesh = Self::default();
        for path in paths {
            mesh.add(path)?;
        }
        Ok(mesh)
    }

    /// Reads a text, as if it had come on standard input.
    pub fn of_text(text: &str) -> Self {
        let mut mesh = Self::default();
        mesh.add_text("-", text.as_bytes(), true);
        mesh
    }

    /// Reads a text that is in no file, and has a name all the same.
    pub fn add_named(&mut self, name: &str, text: &str) {
        self.add_text(name, text.as_bytes(), true);
        self.set_aside();
    }

    /// Puts the resources that name no namespace into this one, as `kubectl apply --namespace` does.
    pub fn put_in(&mut self, namespace: &str) {
        for resource in &mut self.resources {
            let is_namespaced = !CLUSTER_WIDE.contains(&resource.kind.as_str()) && !resource.name.is_empty();
            if resource.namespace.is_none() && is_namespaced {
                resource.namespace = Some(namespace.to_owned());
            }
        }
    }

    /// Reads one more file or directory.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub fn add(&mut self, path: &Path) -> anyhow::Result<()> {
        if path == Path::new("-") {
            let text = read_text(std::io::stdin().lock()).context("cannot read standard input")?;
            ensure!(
                !text.is_empty(),
                "nothing came on standard input; see why the command before the pipe wrote nothing"
            );
            self.add_text("-", &text, true);
        } else if path.is_dir() {
            let mut files = Vec::new();
            list(path, &mut files)?;
            if files.is_empty() {
                bail!("`{}` has no file that ends in .yaml, .yml or .json", path.display());
            }
            // One that cannot be read, such as a link to nowhere, does not hide the others.
            let mut errors = Vec::new();
            for file in files {
                match read_file(&file) {
                    Ok(bytes) => self.add_text(&file.display().to_string(), &bytes, false),
                    Err(error) => errors.push(error),
                }
            }
            let more = errors.len().saturating_sub(1);
            if let Some(error) = errors.into_iter().next() {
                self.set_aside();
                return if more == 0 {
                    Err(error)
                } else {
                    Err(error.context(format!("{} files cannot be read, the first is", more + 1)))
                };
            }
        } else {
            self.add_text(&path.display().to_string(), &read_file(path)?, true);
        }
        self.set_aside();
        Ok(())
    }

    /// Reads a text. `named`: the user named this very file, so whatever it holds was meant to be read.
    fn add_text(&mut self, name: &str, bytes: &[u8], named: bool) {
        let file: Rc<str> = name.into();
        if !self.known.insert(Rc::clone(&file)) {
            return; // named twice, or alone and in its directory
        }
        self.files.push(Rc::clone(&file));
        let decoded = utf16(bytes);
        let bytes = decoded.as_deref().map_or(bytes, str::as_bytes);
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
                let problem = "it is no text in UTF-8; save it as UTF-8, or name another file".to_owned();
                self.broken.push(Broken {
                    file,
                    position: Some(Position { line, column: None }),
                    problem,
                    is_json: false,
                });
                return;
            }
        };
        if is_empty(text) {
            if named {
                let what = if text.trim().is_empty() { NOTHING } else { "has nothing but comments" };
                self.empty.push(Empty { file, what });
            }
            return;
        }
        match yaml::read(text) {
            Ok(documents) if documents.is_empty() && named => {
                self.empty.push(Empty { file, what: "has no value in it" });
            }
            Ok(documents) => {
                let alone = documents.len() <= 1;
                for node in documents {
                    self.add_document(&file, node, alone.then_some(text), named);
                }
            }
            // What starts like JSON is a configuration: the filter's own parser reports best what is wrong with it.
            Err((position, problem)) if text.trim_start().starts_with('{') && !text.trim_start().starts_with("{{") => {
                let is_resource = |node: &Node| node.text("kind").is_some() && node.text("apiVersion").is_some();
                if let Some(nodes) = yaml::read_json_values(text).filter(|nodes| nodes.iter().all(is_resource)) {
                    nodes.into_iter().for_each(|node| self.add_document(&file, node, None, named));
                    return;
                }
                if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
                    self.broken.push(Broken { file: Rc::clone(&file), position, problem, is_json: true });
                }
                self.configurations.push(Configuration { file, text: text.to_owned(), node: None });
            }
            Err(_) => match foreign::of_text(text) {
                Some((what, remedy)) => self.unread.push(Unread {
                    file,
                    position: Some(Position { line: 1, column: None }),
                    what: what.to_owned(),
                    remedy: remedy.to_owned(),
                    is_meant: true,
                }),
                None => self.add_parts(&file, text, named),
            },
        }
    }

    /// Reads a text of which some document is broken: the others are judged all the same.
    fn add_parts(&mut self, file: &Rc<str>, text: &str, named: bool) {
        for (_, part) in yaml::read_parts(text) {
            match part {
                Ok(nodes) => nodes.into_iter().for_each(|node| self.add_document(file, node, None, named)),
                Err((position, problem)) => {
                    self.broken.push(Broken { file: Rc::clone(file), position, problem, is_json: false });
                }
            }
        }
    }

    fn add_document(&mut self, file: &Rc<str>, node: Node, text: Option<&str>, named: bool) {
        if let (Some(kind), Some(version)) = (node.text("kind"), node.text("apiVersion")) {
            if kind.ends_with("List") && node.field("items").is_some() {
                if let Some((what, remedy)) = lists::missing(&node) {
                    self.not_read(file, &node, &what, remedy, true);
                }
                if node.list("items").is_empty() && named {
                    self.empty.push(Empty { file: Rc::clone(file), what: "has a list without items" });
                }
                let (item_kind, version) = (kind.trim_end_matches("List").to_owned(), version.to_owned());
                for mut item in node.into_list("items") {
                    lists::complete(&mut item, &item_kind, &version);
                    self.add_document(file, item, None, false);
                }
                return;
            }
            let group = version.split_once('/').map_or("", |(group, _)| group).to_owned();
            self.add_resource(file, (kind.to_owned(), group), node);
            return;
        }
        let has = |names: &[&str]| names.iter().any(|name| node.field(name).is_some());
        let kind = if has(&["static_resources", "staticResources"]) {
            Some((ENVOY, node.clone()))
        } else if let Some(inner) = node.field("meshConfig") {
            Some((MESH_CONFIG, mesh_config::as_istiod(inner.clone())))
        } else if has(&mesh_config::FIELDS) {
            Some((MESH_CONFIG, mesh_config::as_istiod(node.clone())))
        } else {
            None
        };
        if let Some((kind, node)) = kind {
            let (kind, file) = (kind.to_owned(), Rc::clone(file));
            self.resources.push(Resource {
                file,
                kind,
                group: String::new(),
                namespace: None,
                name: String::new(),
                node,
            });
        } else if let Some((what, remedy)) = foreign::of_document(&node) {
            self.not_read(file, &node, what, remedy, true);
        } else if named && text.is_some_and(is_yaml_only) && !has(&CONFIGURATION_FIELDS) {
            let (what, remedy) = foreign::of_anything(&node);
            self.not_read(file, &node, what, remedy, true);
        } else if named || has(&CONFIGURATION_FIELDS) {
            let text = text.map_or_else(|| node.json().to_string(), str::to_owned);
            self.configurations.push(Configuration { file: Rc::clone(file), text, node: Some(node) });
        } else {
            self.not_read(
                file,
                &node,
                "neither a resource nor a plugin configuration",
                "name what is to be read",
                false,
            );
        }
    }

    /// Adds a resource, and the mesh configuration that is inside it.
    fn add_resource(&mut self, file: &Rc<str>, (kind, group): (String, String), node: Node) {
        let own = |path: &str| node.text(path).map(str::to_owned);
        let resource = Resource {
            file: Rc::clone(file),
            kind,
            group,
            namespace: own("metadata.namespace"),
            name: own("metadata.name").unwrap_or_default(),
            node,
        };
        match mesh_config::inside(&resource.kind, &resource.node) {
            Ok(None) => {}
            Ok(Some(config)) => {
                let node = mesh_config::as_istiod(config);
                self.resources.push(Resource { kind: MESH_CONFIG.into(), node, ..resource.clone() });
            }
            Err(problem) => {
                let what = format!("a ConfigMap whose `mesh` is no mesh configuration ({problem})");
                self.not_read(file, &resource.node, &what, "correct the text under `data.mesh`", true);
            }
        }
        self.resources.push(resource);
    }

    fn not_read(&mut self, file: &Rc<str>, node: &Node, what: &str, remedy: &str, is_meant: bool) {
        let (what, remedy) = (what.to_owned(), remedy.to_owned());
        self.unread.push(Unread { file: Rc::clone(file), position: Some(node.position), what, remedy, is_meant });
    }

    /// Takes what is no whole resource out of what is judged: a kustomization's patches, unrendered templates.
    fn set_aside(&mut self) {
        // A mesh may come in many files, of which each is looked at once; a new patch may be one of the earlier.
        let new = patches(self.resources.get(self.whole..).unwrap_or_default());
        let from = if new.is_empty() { self.whole } else { 0 };
        self.patches.extend(new);
        for resource in self.resources.split_off(from.min(self.resources.len())) {
            match what_is_missing(&resource, &self.patches) {
                Some((what, remedy)) => self.not_read(&resource.file, &resource.node, what, remedy, true),
                None => self.resources.push(resource),
            }
        }
        self.whole = self.resources.len();
    }

    /// The resources of a kind of Istio's networking group.
    pub fn istio<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Resource> {
        self.resources.iter().filter(move |resource| resource.is_istio(kind))
    }

    /// The resources of a kind of Istio's networking group, each once: of several versions of one the last.
    pub fn distinct<'a>(&'a self, kind: &'a str) -> Vec<&'a Resource> {
        last_versions(self.istio(kind))
    }

    /// As [`Mesh::distinct`], for a kind of any group.
    pub fn distinct_in<'a>(&'a self, group: &str, kind: &str) -> Vec<&'a Resource> {
        last_versions(self.resources.iter().filter(|resource| resource.kind == kind && resource.group == group))
    }

    /// As [`Mesh::distinct`], for a kind of Kubernetes itself, whatever its group.
    pub fn distinct_kubernetes<'a>(&'a self, kind: &'a str) -> Vec<&'a Resource> {
        let own = |group: &str| group.is_empty() || group.ends_with(".k8s.io");
        last_versions(self.resources.iter().filter(move |resource| resource.kind == kind && own(&resource.group)))
    }

    /// The resources that are there several times, with all of their versions in the order of the files.
    pub fn versions(&self) -> Vec<Vec<&Resource>> {
        let mut seen: BTreeMap<[&str; 4], Vec<&Resource>> = BTreeMap::new();
        for resource in self.resources.iter().filter(|resource| !resource.name.is_empty()) {
            let id = [resource.kind.as_str(), &resource.group, resource.namespace(), &resource.name];
            seen.entry(id).or_default().push(resource);
        }
        seen.into_values().filter(|versions| versions.len() > 1).collect()
    }

    /// The root namespace.
    pub fn root(&self) -> &str {
        self.mesh_configs().find_map(|config| config.node.text("rootNamespace")).unwrap_or(ROOT)
    }

    /// The mesh configurations of other control planes than the first's, where they say otherwise how rules are read.
    pub fn other_mesh_configs(&self) -> Vec<&Resource> {
        let said = |config: &Resource| OF_RULES.map(|field| config.node.field(field).map(Node::json));
        let id = |config: &Resource| (config.namespace.clone(), config.name.clone());
        let mut all = self.mesh_configs();
        let Some(first) = all.next() else { return Vec::new() };
        all.filter(|config| id(config) != id(first) && said(config) != said(first)).collect()
    }

    /// The mesh configurations.
    pub fn mesh_configs(&self) -> impl Iterator<Item = &Resource> {
        self.resources.iter().filter(|resource| resource.kind == MESH_CONFIG)
    }
}

/// The files with which kustomizations patch.
fn patches(resources: &[Resource]) -> Vec<PathBuf> {
    let mut patches = Vec::new();
    for kustomization in resources.iter().filter(|resource| resource.kind == "Kustomization") {
        let directory = Path::new(&*kustomization.file).parent().unwrap_or(Path::new(""));
        let node = &kustomization.node;
        let lists = ["patches", "patchesJson6902"].into_iter().flat_map(|list| node.list(list));
        let merged = node.list("patchesStrategicMerge").iter().filter_map(|it| it.text(""));
        let named = lists.filter_map(|it| it.text("path")).chain(merged);
        patches.extend(named.map(|path| directory.join(path.trim_start_matches("./"))));
    }
    patches
}

/// Why a resource is no whole one, and the remedy.
fn what_is_missing(resource: &Resource, patches: &[PathBuf]) -> Option<(&'static str, &'static str)> {
    let lacks = |kind: &str, field: &str| resource.is_istio(kind) && resource.node.at(field).is_none();
    let is_rule = ["DestinationRule", "ServiceEntry", "WorkloadEntry"].iter().any(|kind| resource.is_istio(kind));
    if patches.iter().any(|path| path == Path::new(&*resource.file)) {
        Some(("a patch of kustomize", foreign::BUILD))
    } else if lacks("DestinationRule", "spec.host") || lacks("ServiceEntry", "spec.hosts") {
        Some(("no whole resource (it names no host), such as a patch of kustomize", foreign::BUILD))
    } else if is_rule && resource.node.field("spec").is_some_and(foreign::is_unrendered) {
        Some(("a template", foreign::RENDER))
    } else {
        None
    }
}

/// The last of the resources of one kind that have the same namespace and name, in the order of the first.
fn last_versions<'a>(resources: impl Iterator<Item = &'a Resource>) -> Vec<&'a Resource> {
    let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
    let mut kept: Vec<&Resource> = Vec::new();
    for resource in resources {
        let index = *seen.entry((resource.namespace(), resource.name.as_str())).or_insert(kept.len());
        match kept.get_mut(index) {
            Some(older) => *older = resource,
            None => kept.push(resource),
        }
    }
    kept
}

/// Fields that identify a plugin configuration among the other files of a directory.
const CONFIGURATION_FIELDS: [&str; 8] =
    ["outlierDetection", "clusters", "localities", "failover", "witness", "attempts", "limits", "logLevel"];
