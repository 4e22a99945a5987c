//! Tests that `validate` finds subsets that no endpoint is in, and finds none where the files do not tell.

use crate::rules_as_istiod::{entry, found, rule, service};

fn subset(host: &str, labels: &str) -> String {
    rule("shop/rule", &format!("host: {host}, subsets: [{{name: v9, labels: {{{labels}}}}}]"))
}

const EMPTY: &str = "spec.subsets[0].labels";

#[test]
fn a_service_entry_lists_its_endpoints() {
    let pay = entry("STATIC", &[", labels: {version: v1}", ", labels: {version: v2, tier: a}"]);
    let of = |labels: &str| found(&(pay.clone() + &subset("pay.example.com", labels)));
    assert_eq!(of("version: v9"), [format!("FL121 warning {EMPTY}")]);
    assert_eq!(of("version: v1, tier: a"), [format!("FL121 warning {EMPTY}")], "no endpoint has both");
    assert_eq!(of("version: v2"), [""; 0]);
    assert_eq!(of(""), [""; 0], "every endpoint");
    // istiod adds these to what it is told.
    assert_eq!(of("topology.istio.io/cluster: c1"), [""; 0]);
    assert_eq!(of("version: v9, topology.istio.io/cluster: c1"), [format!("FL121 warning {EMPTY}")]);
    // A name that is looked up has no labels at all.
    let looked_up = entry("DNS", &[]);
    assert_eq!(found(&(looked_up + &subset("pay.example.com", "version: v1"))), [format!("FL121 warning {EMPTY}")]);
    assert_eq!(found(&subset("absent.example.com", "version: v1")), [""; 0]);
}

#[test]
fn pods_tell_and_workloads_where_there_are_none_yet() {
    let web = service("shop/web", "selector: {app: web}, ");
    let deployment = |name: &str, labels: &str| {
        format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\nspec: \
             {{template: {{metadata: {{labels: {{{labels}}}}}}}}}\n"
        )
    };
    let all =
        web.clone() + &deployment("web-v1", "app: web, version: v1") + &deployment("other", "app: b, version: v9");
    let note = [format!("FL121 note {EMPTY}")];
    assert_eq!(found(&(all.clone() + &subset("web", "version: v9"))), note, "another service's");
    assert_eq!(found(&(all.clone() + &subset("web", "version: v1"))), [""; 0]);
    assert_eq!(found(&(all + &subset("web", "pod-template-hash: abc"))), [""; 0]);
    assert_eq!(found(&(web.clone() + &subset("web", "version: v9"))), [""; 0], "nothing is known");

    let pod = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: web-1, namespace: shop, labels: {app: web, version: \
               v1}}\n";
    let slice = "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-x, namespace: shop, \
                 labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nendpoints: [{addresses: [192.0.2.1], \
                 targetRef: {kind: Pod, name: web-1}}]\n";
    let running = format!("{web}{pod}{slice}");
    assert_eq!(found(&(running.clone() + &subset("web", "version: v9"))), note);
    assert_eq!(found(&(running + &subset("web", "version: v1"))), [""; 0]);
}
