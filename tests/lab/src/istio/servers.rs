//! The servers of a mesh: etcd, kube-apiserver, the registry and istiod, each a process in the mesh's namespace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::api::Api;
use super::netns::Namespace;
use super::parts::Parts;
use crate::net::authority::Authority;
use crate::net::http::Client;
use crate::wait::SAFETY_NET;

/// The address of the machine that runs the servers: the bridge to which all pods are connected.
pub(crate) const NODE: &str = "10.66.0.1";

/// The name of the registry, as the documents have it.
pub(crate) const REGISTRY: &str = "registry.example.com";

/// What a token of the API server's administrator is; whoever reaches it is in the mesh's namespace.
const TOKEN: &str = "administrator";

/// A process of the mesh.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Server {
    fn start(name: &'static str, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join("logs").join(format!("{name}.log"));
        let child = Namespace::start(command.current_dir(folder), &log)?;
        Ok(Self { name, child, log })
    }

    /// Waits until `is_ready`.
    ///
    /// # Errors
    /// If the process ends, or is not ready in time; the message has the end of its log.
    fn until(mut self, is_ready: impl Fn() -> bool) -> Result<Self> {
        let started = Instant::now();
        while !is_ready() {
            if self.child.try_wait()?.is_some() || started.elapsed() > SAFETY_NET {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(10).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                bail!("{} does not answer; the end of its log:\n{}", self.name, last.join("\n"));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(self)
    }

    /// Ends the process at once.
    ///
    /// # Errors
    /// If it cannot be ended.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

/// Whether a server in `namespace` answers a GET of `path` with 200.
fn answers(namespace: &Namespace, address: &str, path: &str) -> bool {
    let asked = namespace.inside(|| Ok(Client::new(address.parse()?, "localhost").get(path)?.status == 200));
    asked.unwrap_or(false)
}

/// Starts etcd.
pub(crate) fn etcd(namespace: &Namespace, parts: &Parts, folder: &Path) -> Result<Server> {
    let mut command = namespace.command(parts.etcd());
    command.arg("--data-dir").arg(folder.join("etcd"));
    for option in ["listen-client-urls", "advertise-client-urls"] {
        command.arg(format!("--{option}=http://127.0.0.1:2379"));
    }
    command.arg("--listen-peer-urls=http://127.0.0.1:2380").arg("--unsafe-no-fsync");
    Server::start("etcd", &mut command, folder)?.until(|| answers(namespace, "127.0.0.1:2379", "/health"))
}

/// Who may do what at the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// Everybody everything: what is tested is another thing.
    All,
    /// What roles say.
    ByRole,
}

/// Starts the API server, and makes its client and a configuration for kubectl and istiod.
pub(crate) fn api_server(
    namespace: &Namespace,
    parts: &Parts,
    folder: &Path,
    authority: &Authority,
    rights: Rights,
) -> Result<(Server, Api)> {
    let write = |name: &str, text: &str| -> Result<String> {
        let file = folder.join(name);
        fs::write(&file, text)?;
        Ok(file.display().to_string())
    };
    let (certificate, key) = authority.issue_for(&[NODE, "kubernetes.default.svc"])?;
    let accounts = rcgen::KeyPair::generate()?;
    let options = [
        ("etcd-servers", "http://127.0.0.1:2379".to_owned()),
        ("bind-address", NODE.to_owned()),
        ("advertise-address", NODE.to_owned()),
        ("secure-port", "6443".to_owned()),
        ("cert-dir", folder.join("certs").display().to_string()),
        ("tls-cert-file", write("api-server.pem", &certificate)?),
        ("tls-private-key-file", write("api-server.key", &key)?),
        ("service-account-issuer", "https://kubernetes.default.svc".to_owned()),
        ("service-account-key-file", write("accounts.pub", &accounts.public_key_pem())?),
        ("service-account-signing-key-file", write("accounts.key", &accounts.serialize_pem())?),
        ("api-audiences", "https://kubernetes.default.svc,istio-ca".to_owned()),
        ("token-auth-file", write("tokens.csv", &format!("{TOKEN},admin,admin,\"system:masters\"\n"))?),
        ("authorization-mode", if rights == Rights::All { "AlwaysAllow" } else { "RBAC" }.to_owned()),
        ("service-cluster-ip-range", "10.96.0.0/16".to_owned()),
        // Webhooks are called at the endpoints of their services, because nothing routes a service's address.
        ("enable-aggregator-routing", "true".to_owned()),
        ("allow-privileged", "true".to_owned()),
    ];
    let mut command = namespace.command(parts.kube_apiserver());
    command.args(options.iter().map(|(option, value)| format!("--{option}={value}")));
    let url = format!("https://{NODE}:6443");
    let api = Api::new(namespace, &url, &authority.pem(), TOKEN)?;
    let server = Server::start("kube-apiserver", &mut command, folder)?.until(|| api.is_ready())?;
    write("kubeconfig", &kubeconfig(authority, TOKEN))?;
    Ok((server, api))
}

/// A configuration with the contexts of the documents, which all mean this API server, for whoever has this token.
pub(crate) fn kubeconfig(authority: &Authority, token: &str) -> String {
    let (url, authority) = (format!("https://{NODE}:6443"), STANDARD.encode(authority.pem()));
    let contexts: String = ["lab", "ap", "hangzhou"]
        .iter()
        .map(|name| format!("- {{name: {name}, context: {{cluster: lab, user: admin}}}}\n"))
        .collect();
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: lab\n\
         clusters:\n- {{name: lab, cluster: {{server: '{url}', certificate-authority-data: {authority}}}}}\n\
         users:\n- {{name: admin, user: {{token: {token}}}}}\ncontexts:\n{contexts}"
    )
}

/// Starts the registry, which speaks TLS at the port of https.
pub(crate) fn registry(namespace: &Namespace, parts: &Parts, folder: &Path, authority: &Authority) -> Result<Server> {
    let (certificate, key) = authority.issue_for(&[REGISTRY])?;
    let files = ["registry.pem", "registry.key", "registry.yml"].map(|name| folder.join(name));
    fs::write(&files[0], certificate)?;
    fs::write(&files[1], key)?;
    let config = format!(
        "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\n\
         http: {{addr: '{NODE}:443', tls: {{certificate: '{}', key: '{}'}}}}\n",
        folder.join("registry").display(),
        files[0].display(),
        files[1].display(),
    );
    fs::write(&files[2], config)?;
    let mut command = namespace.command(parts.registry());
    command.arg("serve").arg(&files[2]);
    let is_open = || {
        let connected = namespace.inside(|| Ok(std::net::TcpStream::connect((NODE, 443))?));
        connected.is_ok()
    };
    Server::start("registry", &mut command, folder)?.until(is_open)
}

/// Starts istiod with the environment of its Deployment.
pub(crate) fn istiod(namespace: &Namespace, parts: &Parts, folder: &Path) -> Result<Server> {
    let kubeconfig = folder.join("kubeconfig");
    let mut command = namespace.command(parts.pilot_discovery());
    command
        .args(["discovery", "--monitoringAddr=:15014", "--log_output_level=default:info", "--domain=cluster.local"])
        .args(["--keepaliveMaxServerConnectionAge=30m", "--kubeconfig"])
        .arg(&kubeconfig)
        .env("KUBECONFIG", &kubeconfig)
        .envs([("REVISION", "default"), ("PILOT_CERT_PROVIDER", "istiod"), ("CLUSTER_ID", "Kubernetes")])
        .envs([("POD_NAME", "istiod-lab"), ("POD_NAMESPACE", "istio-system"), ("SERVICE_ACCOUNT", "istiod")])
        // The stock Envoy has none of Istio's own filters.
        .envs([("PILOT_ENABLE_METADATA_EXCHANGE", "false"), ("PILOT_ENABLE_ALPN_FILTER", "false")])
        .envs([("PILOT_ENABLE_ANALYSIS", "false"), ("ISTIOD_CUSTOM_HOST", "")]);
    Server::start("istiod", &mut command, folder)?
        .until(|| answers(namespace, "127.0.0.1:8080", "/ready"))
        .context("istiod")
}
