//! Tests that what of a mesh's rules is missing, or in a form that is none, is said: pages of lists, errors of kubectl
//! in a file, what helm and a watch print, files that cannot be read.

use crate::rules_as_istiod::{found, policy, rule};
use crate::support::{run, run_with_input};

const HOST: &str = "host: web.shop.svc.cluster.local";

/// A rule in which nothing is found, as JSON.
fn json(name: &str) -> String {
    let settings = "loadBalancer: {localityLbSetting: {enabled: true}}, outlierDetection: {consecutive5xxErrors: 5, \
                    maxEjectionPercent: 100}";
    let text = rule(name, &format!("{HOST}, trafficPolicy: {{{settings}}}"));
    let mesh = mesh::Mesh::of_text(&text);
    mesh.resources[0].node.json().to_string()
}

fn list(more: &str) -> String {
    format!("{{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{}]{more}}}", json("shop/web"))
}

#[test]
fn a_list_that_lacks_items_is_found() {
    assert_eq!(found(&list("")), [""; 0]);
    assert_eq!(found(&list(", \"metadata\": {\"continue\": \"\", \"resourceVersion\": \"\"}")), [""; 0]);
    for more in [
        "\"metadata\": {\"continue\": \"abc\", \"remainingItemCount\": 500}",
        "\"Error from server (Forbidden)\": \"serviceentries.networking.istio.io is forbidden\"",
        "\"error\": \"the server doesn't have a resource type serviceentrys\"",
    ] {
        assert_eq!(found(&list(&format!(", {more}"))), ["FL007 error ."], "{more}");
        let dir = tempfile::tempdir().unwrap();
        let text = list(&format!(", {more}"));
        let ran = run_with_input(dir.path(), &["config", "-", "--no-witness"], text.as_bytes()).exits(3);
        assert!(ran.stderr.contains("note: not read, or not wholly: -:1 is a list "), "{ran:?}");
    }
}

#[test]
fn json_values_one_after_the_other_are_read_as_kubectl_reads_them() {
    let capped =
        |name: &str| json(&format!("shop/{name}")).replace("100", "5").replace("web.shop", &format!("{name}.shop"));
    for between in ["\n", "", "\n\n"] {
        let text = [capped("a"), capped("b")].join(between);
        assert_eq!(found(&text), ["FL102 warning spec.trafficPolicy.outlierDetection.maxEjectionPercent"; 2], "{text}");
    }
    // Of what is no resource, the filter says what it makes of it.
    assert_eq!(found("{\"witness\": {}}\n{\"witness\": {}}"), ["FL001 error ."]);
}

#[test]
fn what_other_commands_print_is_named() {
    let web = json("shop/web");
    for (text, what) in [
        (format!("[{web}]"), "a list of resources without `kind: List`"),
        (format!("{{\"type\": \"ADDED\", \"object\": {web}}}"), "an event of a watch"),
        (format!("NAME: x\nLAST DEPLOYED: Mon\nHOOKS:\nMANIFEST:\n---\n{web}\n"), "what helm says of a release"),
    ] {
        assert_eq!(found(&text), ["FL007 error ."], "{text}");
        let dir = tempfile::tempdir().unwrap();
        let ran = run_with_input(dir.path(), &["validate", "-"], text.as_bytes());
        assert!(ran.stdout.contains(what), "{ran:?}");
    }
    for text in ["null\n", "---\n---\n# only\n...\n"] {
        assert_eq!(found(text), ["FL006 note ."], "{text}");
    }
}

#[test]
fn templates_among_the_files_make_a_configuration_uncertain() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("web.yaml", &rule("shop/web", &format!("{HOST}, {}", policy(5))));
    run(dir.path(), &["config", ".", "--no-witness"]).exits(0);
    write("other.yaml", "{{- if .Values.x }}\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n{{- end }}\n");
    let ran = run(dir.path(), &["config", ".", "--no-witness"]).exits(3);
    assert!(ran.stderr.contains("note: not read, or not wholly: ./other.yaml:1 is a template"), "{ran:?}");
    run(dir.path(), &["config", "other.yaml"]).fails_with(&["no DestinationRule is in", "other.yaml:1 is a template"]);
}

#[cfg(unix)]
#[test]
fn links_to_nowhere_and_in_a_circle_hide_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let capped = rule("shop/web", &format!("{HOST}, {}", policy(5))).replace("100", "5");
    std::fs::write(dir.path().join("web.yaml"), &capped).unwrap();
    std::os::unix::fs::symlink(".", dir.path().join("again")).unwrap();
    let ran = run(dir.path(), &["validate", "."]);
    assert!(ran.stderr.contains("1 file checked"), "{ran:?}");
    for name in ["a.yaml", "b.yaml"] {
        std::os::unix::fs::symlink("nowhere", dir.path().join(name)).unwrap();
    }
    let with_broken = run(dir.path(), &["validate", "."]).exits(1);
    assert_eq!(with_broken.stdout, ran.stdout);
    assert!(
        with_broken.stderr.contains("2 files cannot be read, the first is: cannot read `./a.yaml`"),
        "{with_broken:?}"
    );
}
