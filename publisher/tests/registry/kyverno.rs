//! Kyverno's own command line applies the policy of `deploy/policy` to what `faultline manifest` writes, and verifies
//! what `faultline sign` signed: whoever has that program names it in `FAULTLINE_KYVERNO`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::skip::{Tool, skip};
use crate::support::registry::FakeRegistry;
use crate::support::{faultline, run, workplace};

/// As much of Istio's definitions as names the kinds.
fn definitions() -> String {
    let one = |kind: &str, plural: &str| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
             metadata: {{name: {plural}.extensions.istio.io}}\nspec:\n  group: extensions.istio.io\n  \
             scope: Namespaced\n  \
             names: {{kind: {kind}, listKind: {kind}List, plural: {plural}, singular: x{plural}}}\n  \
             versions:\n  - name: v1alpha1\n    served: true\n    storage: true\n    schema:\n      \
             openAPIV3Schema: {{type: object, x-kubernetes-preserve-unknown-fields: true}}\n"
        )
    };
    [one("WasmPlugin", "wasmplugins"), one("TrafficExtension", "trafficextensions")].join("---\n")
}

/// The policy as it is shipped, for this registry and key.
fn policy(registry: &str, key: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/policy/kyverno.yaml");
    let text = std::fs::read_to_string(file).unwrap().replace("registry.example.com/", &format!("{registry}/"));
    let (before, rest) = text.split_once("          -----BEGIN").expect("it has a key");
    let (_, after) = rest.split_once("END PUBLIC KEY-----\n").expect("it has a key");
    let key: String = key.lines().map(|line| format!("          {line}\n")).collect();
    format!("{before}{key}{after}")
}

fn signs(dir: &Path, args: &[&str]) {
    let ran: crate::support::Ran = faultline(dir, args).env("COSIGN_PASSWORD", "x").output().unwrap().into();
    ran.exits(0);
}

#[test]
fn kyverno_admits_what_is_signed_and_refuses_the_rest() {
    let Some(kyverno) = std::env::var_os("FAULTLINE_KYVERNO").map(PathBuf::from) else {
        return skip("kyverno", Tool::Optional, "FAULTLINE_KYVERNO names no command line of Kyverno 1.19");
    };
    let (place, registry) = (workplace(), FakeRegistry::start());
    let dir = place.path();
    for (tag, key) in [("signed", "ours"), ("unsigned", "theirs")] {
        let reference = registry.reference(tag);
        run(dir, &["push", &reference, "--wasm", "plugin.wasm", "--annotation", &format!("tag={tag}")]).exits(0);
        signs(dir, &["generate-key-pair", "--output-key-prefix", key]);
    }
    // One has our signature, the other that of a stranger.
    signs(dir, &["sign", &registry.reference("signed"), "--key", "ours.key"]);
    signs(dir, &["sign", &registry.reference("unsigned"), "--key", "theirs.key"]);
    let key = std::fs::read_to_string(dir.join("ours.pub")).unwrap();
    std::fs::write(dir.join("policy.yaml"), policy(registry.host(), &key)).unwrap();
    std::fs::write(dir.join("crds.yaml"), definitions()).unwrap();
    for kind in ["WasmPlugin", "TrafficExtension"] {
        for (tag, told) in [("signed", "pass: 1, fail: 0"), ("unsigned", "pass: 0, fail: 1")] {
            let args = ["manifest", &registry.reference(tag), "--kind", kind, "--namespace", "default"];
            std::fs::write(dir.join("resource.yaml"), run(dir, &args).exits(0).stdout).unwrap();
            let args =
                ["apply", "policy.yaml", "--resource", "resource.yaml", "--registry", "--crd-paths", "crds.yaml"];
            let ran = Command::new(&kyverno).args(args).current_dir(dir).output().expect("it runs");
            let said = [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
            assert!(said.contains(told) && said.contains("error: 0"), "{kind} {tag}: {said}");
        }
    }
}
