//! The operator's terminal: a machine that reaches API server and registry, with `kubectl`, `faultline` and a copy of
//! `deploy`. What the documents type is run there word for word.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::netns::Namespace;
use super::parts::Parts;
use super::root::Root;
use super::servers::{NODE, REGISTRY};
use crate::programs::run::output_of;
use crate::programs::tools::Tool;

/// Where the programs are in the operator's root directory.
const PROGRAMS: &str = "/opt/programs";

/// The folder in which the operator is: a copy of what is needed of the repository.
const WORK: &str = "/opt/faultline";

/// How long a line may take, in seconds: a rollout of many pods on a slow machine.
const LIMIT: &str = "600";

/// The operator's terminal.
#[derive(Debug)]
pub(crate) struct Operator {
    root: Root,
    net: Namespace,
}

impl Operator {
    /// A terminal on the machine `net`, whose files are in `folder`.
    pub(crate) fn new(net: &Namespace, parts: &Parts, folder: &Path, authority: &str) -> Result<Self> {
        let mut root = Root::create(&folder.join("operator"))?;
        root.write("etc/hosts", &format!("127.0.0.1 localhost\n{NODE} {REGISTRY}\n"))?;
        root.write("etc/ssl/certs/ca-certificates.crt", authority)?;
        root.write("root/.kube/config", &fs::read_to_string(folder.join("kubeconfig"))?)?;
        let faultline = Tool::Publisher.path()?;
        for (name, file) in [("kubectl", parts.kubectl()), ("istioctl", parts.istioctl()), ("faultline", &faultline)] {
            root.mount(file, &Path::new(PROGRAMS).join(name))?;
        }
        copy(&repository().join("deploy/istio"), &root.path(Path::new(WORK)).join("deploy/istio"))?;
        Ok(Self { root, net: net.clone() })
    }

    /// Runs a line of the shell and returns what it writes to stdout.
    ///
    /// # Errors
    /// If it fails; the message has what it wrote to stderr.
    pub(crate) fn types(&self, line: &str) -> Result<String> {
        let script = format!("set -euo pipefail\ncd {WORK}\n{line}");
        let words = ["/usr/bin/timeout", LIMIT, "/bin/bash", "-c", &script].map(str::to_owned);
        let path = format!("{PROGRAMS}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
        let environment = [("HOME", "/root"), ("PATH", &path)].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut command = self.root.command(&self.net, 0, &environment.into(), &words);
        let output = output_of(&mut command, "").with_context(|| format!("$ {line}"))?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "$ {line}\n{}: {complaint}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Where a file of the operator's folder is on this machine.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.path(&Path::new(WORK).join(name))
    }
}

/// The folder of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("{} cannot be read", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
