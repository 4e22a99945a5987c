//! What `hot-switch check` says of meshes, and that the examples on the pages of its rules are true.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use hot_switch::check::finding::Severity;
use hot_switch::check::report::{Report, Verdict};
use hot_switch::check::{Options, judge, rules, sarif, text};
use hot_switch_core::standing::Mode;
use mesh::Mesh;

fn judged(text: &str, mode: Option<Mode>) -> Report {
    judge(&Mesh::of_text(text), &Options { domain: "cluster.local".into(), mode })
}

/// The codes of a report's findings that are at least this bad.
fn codes(report: &Report, severity: Severity) -> Vec<&'static str> {
    let mut codes: Vec<_> = report.findings().filter(|it| it.severity >= severity).map(|it| it.code).collect();
    codes.sort_unstable();
    codes
}

fn pages() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/hot-switch/rules")
}

/// The example under a heading of a page.
fn example(page: &str, heading: &str) -> String {
    let below = page.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no {heading}:\n{page}"));
    below.split("```yaml\n").nth(1).and_then(|it| it.split("```").next()).expect("an example").to_owned()
}

#[test]
fn the_wrong_example_of_each_page_has_its_finding_and_the_right_one_has_not() {
    for rule in rules::ALL {
        let found = |heading| codes(&judged(&example(rule.page, heading), None), Severity::Note);
        let (wrong, right) = (found("Wrong"), found("Right"));
        assert!(wrong.contains(&rule.code), "{}: {wrong:?}", rule.code);
        assert!(!right.contains(&rule.code), "{}: {right:?}", rule.code);
    }
}

#[test]
fn each_page_has_the_title_of_its_rule_and_stands_in_the_list_with_the_severities_that_it_has() {
    let list = std::fs::read_to_string(pages().join("README.md")).expect("there is a list");
    for rule in rules::ALL {
        let (code, title) = (rule.code, rule.title);
        assert!(rule.page.starts_with(&format!("# {code}: {title}\n")), "{code}");
        let row = format!("| [{code}]({code}.md) | {title} | ");
        let row = list.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("{code} is not listed"));
        let report = judged(&example(rule.page, "Wrong"), None);
        let found = report.findings().find(|it| it.code == code).expect("as above");
        assert!(row.contains(found.severity.name()), "{row}: {}", found.severity.name());
    }
    let files = std::fs::read_dir(pages()).expect("there are pages").count();
    assert_eq!(files, rules::ALL.len() + 1, "a page without a rule, or a rule without a page");
}

const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  template:
    metadata:
      labels: {app: web}
      annotations: {hot-switch.faultline.dev/mode: act, hot-switch.faultline.dev/allow-unprotected: 'true'}
    spec:
      containers:
      - {name: web, ports: [{name: http, containerPort: 8080}], readinessProbe: {httpGet: {port: http}}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{name: cart}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{port: 80, targetPort: 8080}, {port: 81, targetPort: 9000}]}
";

#[test]
fn a_permissive_mesh_is_brought_back_whole() {
    let report = judged(SHOP, None);
    let web = &report.workloads[0];
    assert_eq!((web.inbound.verdict, web.outbound.verdict), (Verdict::All, Verdict::All));
    assert_eq!((web.refused.len(), report.count(Severity::Error), report.count(Severity::Warning)), (0, 0, 0));
    assert!(web.outbound.restored[0].starts_with("2 of 2 ports"), "{:?}", web.outbound.restored);
    // The other one is switched on by nobody: it is told of, and asks nothing.
    let cart = &report.workloads[1];
    assert!(cart.refused.contains(&"HS501") && cart.findings.iter().all(|it| it.severity == Severity::Note));
}

#[test]
fn a_strict_port_of_a_peer_is_lost_and_no_other() {
    let policy = "
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: cart, namespace: shop}
spec: {selector: {matchLabels: {app: cart}}, portLevelMtls: {9000: {mode: STRICT}}}
";
    let report = judged(&format!("{SHOP}{policy}"), None);
    let web = &report.workloads[0];
    let lost = web.findings.iter().find(|it| it.code == "HS301").expect("one peer is strict");
    assert_eq!(lost.affects, ["cart.shop:81"]);
    assert_eq!(lost.because[0].resource, "PeerAuthentication shop/cart");
    assert!(web.outbound.restored[0].starts_with("1 of 2 ports"), "{:?}", web.outbound.restored);
    assert_eq!(web.inbound.verdict, Verdict::All);
}

#[test]
fn a_rule_that_only_some_callers_get_is_told_with_their_namespaces() {
    let rule = "
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: front}
spec: {host: web.shop.svc.cluster.local, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec: {host: web, trafficPolicy: {loadBalancer: {simple: RANDOM}}}
";
    let report = judged(&format!("{SHOP}{rule}"), None);
    let web = &report.workloads[0];
    let lost = web.findings.iter().find(|it| it.code == "HS201").expect("one namespace insists");
    assert_eq!(lost.affects, ["web.shop:80 (from front)"]);
    assert_eq!(web.inbound.verdict, Verdict::Part);
    assert!(web.inbound.restored.iter().any(|it| it.starts_with("other callers in the mesh")));
}

#[test]
fn callers_by_a_subset_or_with_certain_labels_may_insist_on_mtls_too() {
    let subset = "
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec:
  host: web
  subsets: [{name: all, labels: {app: web}, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}]
";
    let route = |subset: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: web, namespace: shop}}\n\
             spec: {{hosts: [web], http: [{{route: [{{destination: {{host: web, subset: {subset}}}}}]}}]}}\n"
        )
    };
    let selected = "
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec:
  host: web
  workloadSelector: {matchLabels: {app: cart}}
  trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}
";
    let of = |more: &str| {
        let web = judged(&format!("{SHOP}{more}"), None).workloads.swap_remove(0);
        (web.findings.iter().any(|it| it.code == "HS201"), web.inbound.verdict)
    };
    assert_eq!(of(&format!("{subset}{}", route("all"))), (true, Verdict::Part));
    assert_eq!(of(&format!("{subset}{}", route("other"))), (false, Verdict::All), "no route leads there");
    assert_eq!(of(selected), (true, Verdict::Part));
}

#[test]
fn what_hot_switch_wrote_itself_is_known_and_templates_may_have_spaces() {
    let text = SHOP.replace("mode: act,", "mode: act, hot-switch.faultline.dev/original-tunnel: http,");
    assert!(!codes(&judged(&text, None), Severity::Note).contains(&"HS108"));
    let templates = "mode: act, inject.istio.io/templates: 'sidecar, gateway',";
    let web = judged(&SHOP.replace("mode: act,", templates), None).workloads.swap_remove(0);
    assert!(!web.refused.is_empty(), "a gateway is never bypassed");
}

#[test]
fn where_mtls_is_required_and_insisted_on_nothing_comes_back() {
    let rule = "
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: all, namespace: istio-system}
spec: {host: '*.local', trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
";
    let report = judged(&format!("{SHOP}{rule}"), None);
    let web = &report.workloads[0];
    assert_eq!((web.inbound.verdict, web.outbound.verdict), (Verdict::None, Verdict::Part));
    assert_eq!(codes(&report, Severity::Error), ["HS201"]);
}

#[test]
fn a_direction_that_is_not_asked_for_is_not_judged() {
    let text = SHOP.replace("mode: act", "mode: act, hot-switch.faultline.dev/directions: outbound");
    let strict = "
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
";
    let report = judged(&format!("{text}{strict}"), None);
    let web = &report.workloads[0];
    assert_eq!((web.inbound.verdict, web.outbound.verdict), (Verdict::Off, Verdict::Part));
    assert!(!web.findings.iter().any(|it| ["HS201", "HS401"].contains(&it.code)), "{:?}", web.findings);
}

#[test]
fn a_sidecar_resource_narrows_what_is_called() {
    let scope = "
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: web, namespace: shop}
spec: {workloadSelector: {labels: {app: web}}, egress: [{hosts: ['other/*']}]}
";
    let report = judged(&format!("{SHOP}{scope}"), None);
    assert!(!report.workloads[0].outbound.restored[0].contains("ports of Services"), "nothing of it is known");
}

#[test]
fn the_second_word_is_asked_for_where_a_policy_would_be_lost_and_names_it() {
    let text = SHOP.replace(", hot-switch.faultline.dev/allow-unprotected: 'true'", "");
    let of = |text: &str| {
        let web = judged(text, None).workloads.swap_remove(0);
        let because = web.findings.into_iter().find(|it| it.code == "HS107").map(|it| it.because.len());
        (web.refused, because)
    };
    assert_eq!(of(&text), (Vec::new(), None), "nothing would be lost");
    let tokens = "
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec: {}
";
    assert_eq!(of(&format!("{text}{tokens}")), (vec!["HS107"], Some(1)));
}

#[test]
fn what_is_missing_is_assumed_and_counted() {
    let report = judged(SHOP.split("---\n").nth(1).expect("the Deployment"), None);
    let assumed: Vec<String> = report.assumed.iter().map(|it| format!("{} {}", it.count, it.what)).collect();
    for part in ["without any Service", "PeerAuthentication", "whose namespace is not among the files", "MeshConfig"] {
        assert!(assumed.iter().any(|it| it.starts_with("1 ") && it.contains(part)), "{part}: {assumed:?}");
    }
    let other = "\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\n";
    let report = judged(&format!("{SHOP}{other}"), None);
    assert!(text::summary(&report).contains("not looked into: 1 Secret"), "{}", text::summary(&report));
}

#[test]
fn mode_act_judges_all_as_if_they_were_switched_on() {
    let text = SHOP.replace("hot-switch.faultline.dev/mode: act, ", "");
    assert_eq!(judged(&text, None).count(Severity::Error), 0);
    assert_eq!(codes(&judged(&text, Some(Mode::Act)), Severity::Error), ["HS501"]);
}

#[test]
fn every_result_of_sarif_names_a_rule_and_a_line() {
    let report = judged(&example(findings::rule::find(rules::ALL, "hs107").expect("any case").page, "Wrong"), None);
    let sarif = sarif::report(&report);
    let results = sarif["runs"][0]["results"].as_array().expect("results");
    assert!(!results.is_empty());
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("small");
        assert_eq!(rules::ALL[index].code, result["ruleId"]);
        assert!(result["locations"][0]["physicalLocation"]["region"]["startLine"].as_u64() >= Some(1));
    }
}

/// Runs the program with a text on its standard input.
fn check(args: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hot-switch"));
    command.arg("check").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

#[test]
fn the_exit_code_tells_whether_a_workload_that_is_switched_on_has_findings() {
    assert_eq!(check(&["-"], SHOP).status.code(), Some(0));
    assert_eq!(check(&["-", "--mode", "act"], SHOP).status.code(), Some(3));
    assert_eq!(check(&["-"], "a: [1\n").status.code(), Some(3));
    assert_eq!(check(&["no-such-file.yaml"], "").status.code(), Some(1));
    assert_eq!(check(&["--explain", "HS999"], "").status.code(), Some(1));
    let page = check(&["--explain", "hs101"], "");
    assert!(String::from_utf8_lossy(&page.stdout).starts_with("# HS101: "));
    let none = check(&["-"], "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n");
    assert_eq!(none.status.code(), Some(1), "nothing was judged, which is no good news");
}

#[test]
fn a_hostile_name_reaches_no_terminal() {
    let text = SHOP.replace("name: web, namespace", "name: \"w\\e[2J\\u202e\", namespace");
    for args in [["-", "--output", "text"], ["-", "--output", "json"], ["-", "--output", "sarif"]] {
        let out = check(&args, &text);
        assert!(!out.stdout.contains(&0x1b) && !String::from_utf8_lossy(&out.stdout).contains('\u{202e}'), "{args:?}");
    }
}

#[test]
fn annotations_that_are_nobodys_are_found_wherever_they_are() {
    let found = |text: &str| codes(&judged(text, None), Severity::Error).contains(&"HS108");
    let namespace = |annotation: &str| {
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: a, annotations: {{{annotation}}}}}\n")
    };
    assert!(found(&namespace("hot-switch.faultline.dev/mode: acting")));
    assert!(found(&namespace("hot-switch.faultline.dev/mod: act")));
    assert!(!found(&namespace("hot-switch.faultline.dev/mode: act")));
    let deployment = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: a, annotations: {hot-switch.faultline.dev/mode: act}}
spec: {template: {spec: {containers: [{name: web}]}}}
";
    assert!(found(deployment), "nobody reads it there");
}

#[test]
fn who_was_refused_before_is_not_said_to_be_brought_back() {
    let strict =
        "\n---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: web, namespace: shop}\n";
    let names = |text: String| {
        let report = judged(&text, None);
        let restored = &report.workloads[0].inbound.restored;
        restored.iter().find(|it| it.contains("without a proxy")).cloned()
    };
    assert_eq!(names(SHOP.to_owned()).as_deref(), Some("callers without a proxy, by web.shop"));
    // With mTLS required they were no callers; with one port left open, they are brought back there.
    assert_eq!(names(format!("{SHOP}{strict}spec: {{mtls: {{mode: STRICT}}}}\n")), None);
    let two =
        SHOP.replace("[{port: 80, targetPort: http}]", "[{port: 80, targetPort: http}, {port: 81, targetPort: 9000}]");
    let open =
        "spec: {selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}, portLevelMtls: {9000: {mode: DISABLE}}}\n";
    assert_eq!(names(format!("{two}{strict}{open}")).as_deref(), Some("callers without a proxy, by web.shop:81"));
    // Nor were they where everybody is asked who they are.
    let asks = "\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: \
                {name: web, namespace: shop}\n\
                spec: {rules: [{from: [{source: {namespaces: [front]}}]}]}\n";
    assert_eq!(names(format!("{SHOP}{asks}")), None);
    let told = text::report(&judged(
        &format!(
            "{}{strict}spec: {{mtls: {{mode: STRICT}}}}\n",
            SHOP.split("---\napiVersion: v1\nkind: Service").next().unwrap()
        ),
        None,
    ));
    assert!(told.contains("inbound: a bypass brings back nobody that is known\n"), "{told}");
}

#[test]
fn callers_in_the_mesh_are_in_namespaces_with_sidecars() {
    let outside = "\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: legacy}\n---\napiVersion: apps/v1\nkind: \
                   Deployment\nmetadata: {name: old, namespace: legacy}\nspec: {template: {spec: {containers: [{name: \
                   old}]}}}\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web, \
                   namespace: shop}\nspec: {host: web, exportTo: ['.'], trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}\n";
    let report = judged(&format!("{SHOP}{outside}"), None);
    let insisting = report.findings().find(|it| it.code == "HS201").expect("it is told");
    assert!(!insisting.problem.contains("(from shop)"), "all that have a proxy do: {}", insisting.problem);
}

#[test]
fn what_the_mesh_does_not_take_is_told() {
    let unquoted = SHOP.replace("allow-unprotected: 'true'", "allow-unprotected: true");
    let report = judged(&unquoted, None);
    let found = report.findings().find(|it| it.code == "HS003").expect("it is told");
    assert!(found.problem.contains("allow-unprotected: got true, wanted a text"), "{}", found.problem);
    let rule = "\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: web, \
                namespace: shop}\nspec: {host: web, trafficPolicy: {tls: {mode: istio_mutual}}}\n";
    assert!(codes(&judged(&format!("{SHOP}{rule}"), None), Severity::Error).contains(&"HS003"));
    assert!(!codes(&judged(SHOP, None), Severity::Note).contains(&"HS003"));
}

#[test]
fn the_help_of_every_command_has_its_exit_codes() {
    let help = |args: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_hot-switch")).args(args).output().expect("it runs");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    assert!(help(&["--help"]).contains("Exit codes:") && help(&["--help"]).contains("Examples:"));
    for command in ["agent", "controller", "stand-in", "status", "bypass", "restore", "check"] {
        assert!(help(&[command, "--help"]).contains("Exits with "), "{command}");
    }
}

#[test]
fn a_route_that_is_delegated_is_told_with_its_own_host() {
    let routes = "
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root, namespace: shop}
spec: {hosts: [cart], http: [{delegate: {name: leaf, namespace: team}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: leaf, namespace: team}
spec: {http: [{route: [{destination: {host: other}}]}]}
";
    let report = judged(&format!("{SHOP}{routes}"), None);
    let found: Vec<&str> =
        report.workloads[0].findings.iter().filter(|it| it.code == "HS305").map(|it| it.problem.as_str()).collect();
    assert_eq!(found, ["a route sends cart.shop (to other.team) elsewhere"]);
}

#[test]
fn a_sidecar_resource_takes_hosts_out_again() {
    let scope = |hosts: &str| {
        let text = format!(
            "{SHOP}\n---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: a, namespace: \
             shop}}\nspec: \
             {{egress: [{{hosts: [{hosts}]}}]}}\n"
        );
        judged(&text, None).workloads[0].outbound.restored[0].clone()
    };
    assert!(scope("'*/*'").starts_with("2 of 2 ports"), "{}", scope("'*/*'"));
    assert!(!scope("'*/*', '~shop/*'").contains("ports of Services"), "{}", scope("'*/*', '~shop/*'"));
}
