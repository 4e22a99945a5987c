//! The chart of `deploy/helm` in a real API server, by a real Helm: installed, upgraded and rolled back by one value,
//! and removed without a trace. What it renders is tested offline.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use lab::istio::{Account, ApiServer, Branch, obstacle_to_api_server};
use lab::skip::{Tool, skip};
use lab::wait::eventually;
use serde_json::{Value, json};

const NAMESPACE: &str = "shop";
const PLUGINS: &str = "/apis/extensions.istio.io/v1alpha1/namespaces/shop/wasmplugins";
const REPOSITORY: &str = "registry.example.com/mesh/faultline";
const ONES: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const TWOS: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

/// What the test needs besides the API server: Helm, and the definition of a WasmPlugin.
fn parts() -> Result<(PathBuf, PathBuf), String> {
    if let Some(why) = obstacle_to_api_server(Branch::V1_31) {
        return Err(why);
    }
    let helm = PathBuf::from(std::env::var("FAULTLINE_HELM").unwrap_or_else(|_| "helm".to_owned()));
    let answers =
        Command::new(&helm).arg("version").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !answers {
        return Err("helm is neither on PATH nor named by FAULTLINE_HELM".to_owned());
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/crds");
    let folder = std::env::var_os("FAULTLINE_CRDS").map_or(beside, PathBuf::from);
    let definition = folder.join("wasmplugins.extensions.istio.io.yaml");
    match definition.is_file() {
        true => Ok((helm, definition)),
        false => Err(format!("there is no {}; FAULTLINE_CRDS names another folder", definition.display())),
    }
}

/// A release manager's terminal.
struct Terminal<'s> {
    server: &'s ApiServer,
    account: Account,
    helm: PathBuf,
}

impl Terminal<'_> {
    /// Runs Helm on the release; true if it exits with 0.
    fn helm(&self, words: &[&str]) -> Result<bool> {
        let all = [&["--namespace", NAMESPACE], words].concat();
        Ok(self.server.run(&self.helm, &all, &self.account)?.wait()?.success())
    }

    /// The same, which must succeed.
    fn types(&self, words: &[&str]) -> Result<()> {
        let log = self.server.log("helm");
        ensure!(self.helm(words)?, "helm {}: {}", words.join(" "), fs::read_to_string(log)?);
        Ok(())
    }

    /// The digest that proxies are told to run.
    fn digest(&self) -> Result<String> {
        let plugin = self.server.get(&format!("{PLUGINS}/faultline"))?;
        let url = plugin["spec"]["url"].as_str().context("no URL")?;
        let digest = url.rsplit('@').next().context("no digest in the URL")?;
        ensure!(url.starts_with(&format!("oci://{REPOSITORY}:")), "{url}");
        ensure!(plugin["spec"]["failStrategy"] == "FAIL_OPEN", "{plugin:#}");
        Ok(digest.to_owned())
    }
}

/// An API server that knows WasmPlugins, and an account that may do everything.
fn server(definition: &Path) -> Result<(ApiServer, Account)> {
    let server = ApiServer::start(Branch::V1_31)?;
    let all: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(definition)?)?;
    for object in all.iter().filter(|object| object["kind"] == "CustomResourceDefinition") {
        server.apply(object)?;
    }
    server.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}))?;
    let metadata = json!({"name": "release-manager", "namespace": NAMESPACE});
    server.apply(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}))?;
    server.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "release-manager"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "release-manager", "namespace": NAMESPACE}],
    }))?;
    eventually("the API server knows WasmPlugins", || Ok(server.get(PLUGINS).ok()))?;
    let account = server.account(NAMESPACE, "release-manager")?;
    Ok((server, account))
}

#[test]
fn helm_installs_upgrades_and_rolls_back_by_digest() -> Result<()> {
    let (helm, definition) = match parts() {
        Ok(parts) => parts,
        Err(why) => {
            skip("the chart in a real API server", Tool::Optional, &why);
            return Ok(());
        }
    };
    let _machine = crate::machine();
    let (server, account) = server(&definition)?;
    let terminal = Terminal { server: &server, account, helm };
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/helm/faultline");
    let chart = chart.to_str().context("the chart's path")?;
    let (repository, ones, twos) =
        (format!("image.repository={REPOSITORY}"), format!("image.digest={ONES}"), format!("image.digest={TWOS}"));

    terminal.types(&["install", "faultline", chart, "--set", &repository, "--set", &ones])?;
    assert_eq!(terminal.digest()?, ONES);
    terminal.types(&["upgrade", "faultline", chart, "--reuse-values", "--set", &twos])?;
    assert_eq!(terminal.digest()?, TWOS);
    let cut = ["upgrade", "faultline", chart, "--reuse-values", "--set", "image.digest=sha256:22"];
    assert!(!terminal.helm(&cut)?, "a digest that is cut is refused");
    assert_eq!(terminal.digest()?, TWOS, "and what runs stays");
    terminal.types(&["rollback", "faultline", "1"])?;
    assert_eq!(terminal.digest()?, ONES);
    terminal.types(&["uninstall", "faultline"])?;
    let left = server.get(PLUGINS)?;
    assert_eq!(left["items"], json!([]));
    Ok(())
}
