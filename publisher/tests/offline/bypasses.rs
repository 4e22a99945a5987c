//! Tests what `faultline report` and `watch` tell of hot-switch: in the same story as ejections and failovers.

use serde_json::json;

use crate::support::{run, run_with_input};

/// An agent's log by `kubectl logs --prefix`, with the log of a bypassed pod's proxy: the filter in it tells an
/// ejection just before the proxy dies.
const LOG: &str = r#"[pod/cart-1/istio-proxy] 2026-11-20T15:42:50.000Z warning envoy wasm external/envoy/source/extensions/common/wasm/context.cc:1198 wasm log faultline: {"faultline":"endpoint_ejected","v":1,"ts":"2026-11-20T15:42:50.000Z","cluster":"outbound|80||pay.shop.svc.cluster.local","endpoint":"10.0.0.9:80","locality":"r/a","basis":"witnessed","reason":"consecutive_5xx","ejection":1,"ejected_endpoints":1,"endpoints":3}
[pod/hot-switch-agent-x7/agent] {"faultline":"proxy_suspected","v":1,"ts":"2026-11-20T15:43:00.000Z","pod":"shop/cart-1","workload":"shop/cart","node":"n1","why":"proxy_dead"}
[pod/hot-switch-agent-x7/agent] {"faultline":"proxy_bypassed","v":1,"ts":"2026-11-20T15:43:02.000Z","pod":"shop/cart-1","workload":"shop/cart","node":"n1","why":"proxy_dead","detected_seconds":3.021,"directions":"inbound","unprotected":["inbound_mtls","authorization"]}
[pod/hot-switch-agent-x7/agent] {"faultline":"bypass_refused","v":1,"ts":"2026-11-20T15:43:05.000Z","pod":"shop/cart-2","workload":"shop/cart","node":"n1","reason":"budget","why":"proxy_hung","would":"nothing"}
[pod/hot-switch-agent-x7/agent] {"faultline":"proxy_restored","v":1,"ts":"2026-11-20T15:43:44.000Z","pod":"shop/cart-1","workload":"shop/cart","node":"n1","seconds":42.0}
"#;

fn told(args: &[&str], input: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    run_with_input(dir.path(), args, input.as_bytes()).exits(0).stdout
}

#[test]
fn a_report_tells_bypasses_in_the_story_of_the_services() {
    let dir = tempfile::tempdir().unwrap();
    let json = run_with_input(dir.path(), &["report", "--output", "json"], LOG.as_bytes()).exits(0).json();
    let headline = json["headline"].as_str().unwrap();
    assert!(
        headline.starts_with("pay.shop in a had trouble") || headline.starts_with("pay.shop in a failed"),
        "{headline}"
    );
    assert!(
        headline.ends_with(
            "The proxy of shop/cart-1 was bypassed for 42.0 s. The proxy of shop/cart-2 failed and was not bypassed."
        ),
        "{headline}"
    );
    let services: Vec<&str> =
        json["services"].as_array().unwrap().iter().filter_map(|of| of["name"].as_str()).collect();
    assert_eq!(services, ["pay.shop"], "a bypass is about no service of Envoy's");
    assert_eq!(
        json["bypasses"],
        json!([{"pod": "shop/cart-1", "workload": "cart.shop", "why": "proxy_dead", "directions": "inbound",
            "unprotected": ["inbound_mtls", "authorization"], "detectedSeconds": 3.021, "overdue": false, "open": false,
            "beganEarlier": false, "start": "2026-11-20T15:43:02.000Z", "end": "2026-11-20T15:43:44.000Z"}])
    );
    assert_eq!(json["bypassesRefused"][0]["reason"], "budget");
    let events: Vec<&str> = json["timeline"].as_array().unwrap().iter().filter_map(|of| of["event"].as_str()).collect();
    assert_eq!(events, ["endpoint_ejected", "proxy_suspected", "proxy_bypassed", "bypass_refused", "proxy_restored"]);
    // The filter in the pod's proxy and the agent tell of one proxy.
    assert_eq!(json["proxies"], json!(["cart-1", "cart-2"]));

    // Lines are broken where they are full.
    let text = told(&["report"], LOG).split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "Proxies that failed, and hot-switch",
        "shop/cart-1: traffic to it went past the proxy from 15:43:02.000 for 42.0 s",
        "shop/cart-2: not bypassed at 15:43:05.000, although the proxy hangs: as many pods",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn a_page_has_the_bypasses_and_trusts_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let hostile = LOG.replace("shop/cart-2", "shop/<script>");
    run_with_input(dir.path(), &["report", "--html", "page.html"], hostile.as_bytes()).exits(0);
    let page = std::fs::read_to_string(dir.path().join("page.html")).unwrap();
    assert!(page.contains("Proxies that failed, and hot-switch") && page.contains("shop/&lt;script"), "{page}");
    assert!(!page.contains("<script"));
}

#[test]
fn a_log_of_bypasses_alone_is_a_story_and_what_is_open_stays_open() {
    let open: String =
        LOG.lines().filter(|line| line.contains("agent") && !line.contains("restored")).collect::<Vec<_>>().join("\n");
    let text = told(&["report"], &open);
    assert!(text.contains("The proxy of shop/cart-1 was bypassed for 3.0 s, and still is."), "{text}");
    // Only the end is in the log: the beginning is reckoned from it.
    let end: String = LOG.lines().filter(|line| line.contains("restored")).collect();
    let text = told(&["report"], &end);
    assert!(text.contains("went past the proxy from before 15:43:02.000 for 42.0 s"), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let one = run_with_input(dir.path(), &["report", "--cluster", "pay*", "--output", "json"], LOG.as_bytes()).json();
    assert_eq!(one["bypasses"], json!([]), "--cluster asks for one service");
    let one = run_with_input(dir.path(), &["report", "--cluster", "cart.*", "--output", "json"], LOG.as_bytes()).json();
    assert_eq!(
        (one["bypasses"].as_array().map(Vec::len), one["services"].as_array().map(Vec::len)),
        (Some(1), Some(0))
    );
}

#[test]
fn watch_tells_each_and_says_what_is_bypassed_now() {
    let dir = tempfile::tempdir().unwrap();
    let lines: Vec<&str> = LOG.lines().collect();
    let ran = run_with_input(dir.path(), &["watch"], lines[..4].join("\n").as_bytes()).exits(0);
    assert!(
        ran.stdout.contains("shop/cart-1                   proxy bypassed    shop/cart-1: the proxy is dead for 3.0 s"),
        "{}",
        ran.stdout
    );
    assert!(ran.stderr.contains("bypassed: shop/cart-1"), "{}", ran.stderr);
    let ran = run_with_input(dir.path(), &["watch"], LOG.as_bytes()).exits(0);
    assert!(!ran.stderr.contains("bypassed:"), "{}", ran.stderr);
    // What `watch` writes as JSON, `report` reads.
    let json = told(&["watch", "--output", "json"], LOG);
    assert_eq!(
        told(&["report"], &json).lines().skip(3).collect::<Vec<_>>(),
        told(&["report"], LOG).lines().skip(3).collect::<Vec<_>>()
    );
}

#[test]
fn an_event_that_was_taken_apart_is_put_together() {
    let columns = "pod,log.faultline,log.v,log.ts,log.pod,log.workload,log.node,log.why,log.detected_seconds,\
        log.directions,log.unprotected";
    let row = "hot-switch-agent-x7,proxy_bypassed,1,2026-11-20T15:43:02.000Z,shop/cart-1,shop/cart,n1,proxy_hung,3.0,\
        both,\"[\"\"inbound_mtls\"\"]\"";
    let flat = format!("{columns}\n{row}\n");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("flat.csv"), flat).unwrap();
    let json = run(dir.path(), &["report", "--output", "json", "flat.csv"]).exits(0).json();
    assert_eq!(json["bypasses"][0]["pod"], "shop/cart-1");
    assert_eq!(json["bypasses"][0]["unprotected"], json!(["inbound_mtls"]));
}

#[test]
fn values_of_wrong_types_are_told_as_unread() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = LOG.replace("\"why\":\"proxy_hung\"", "\"why\":{}");
    let ran = run_with_input(dir.path(), &["report", "--output", "json"], wrong.as_bytes()).exits(3).json();
    assert!(ran["gaps"][0].as_str().unwrap().contains("malformed"), "{ran}");
}
