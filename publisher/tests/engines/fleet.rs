//! A small fleet's events: all proxies of two Kubernetes clusters lose the endpoints of one zone, and get them back.

use serde_json::{Value, json};

/// When it begins, in milliseconds: 2026-11-20T12:00:00Z.
pub(crate) const BEGIN: u64 = 1_795_176_000_000;

/// The time range that holds all of it, as arguments.
pub(crate) const RANGE: [&str; 4] = ["--since", "2026-11-20T11:55:00Z", "--until", "2026-11-20T12:30:00Z"];

pub(crate) const CLUSTER: &str = "outbound|8000||cart.shop.svc.cluster.local";

/// Endpoints in the zone that fails.
pub(crate) const ENDPOINTS: u64 = 3;

/// One line of a proxy's log.
pub(crate) struct Line {
    /// Milliseconds.
    pub(crate) at: u64,
    pub(crate) kubernetes_cluster: String,
    pub(crate) pod: String,
    pub(crate) event: Value,
}

impl Line {
    /// As Istio's proxy writes it.
    pub(crate) fn text(&self) -> String {
        let time = time(self.at);
        format!("{time}\twarning\tenvoy wasm external/x.cc:1198\twasm log faultline: {}\tthread=22", self.event)
    }
}

/// RFC 3339, of this day.
pub(crate) fn time(at: u64) -> String {
    let of_day = (at - BEGIN) + 12 * 3_600_000;
    let (h, m, s, ms) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60, of_day % 1000);
    format!("2026-11-20T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

/// The events of so many proxies, half of them in `east` and half in `west`, in which pods have the same names. The
/// last proxy's failover does not end.
pub(crate) fn lines(proxies: u64) -> Vec<Line> {
    let mut all = Vec::new();
    for n in 0..proxies {
        let kubernetes_cluster = if n % 2 == 0 { "east" } else { "west" }.to_owned();
        let pod = format!("front-{}", n / 2);
        let mut add = |at: u64, name: &str, more: Value| {
            let mut event = json!({"faultline": name, "v": 1, "ts": time(at), "cluster": CLUSTER});
            event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all.push(Line { at, kubernetes_cluster: kubernetes_cluster.clone(), pod: pod.clone(), event });
        };
        let begin = BEGIN + n * 10;
        let of =
            |e: u64| json!({"endpoint": format!("10.0.0.{e}:8000"), "locality": "eu/eu-a", "workload": "cart.shop"});
        for e in 0..ENDPOINTS {
            let mut more = of(e);
            more["reason"] = "consecutive_5xx".into();
            add(begin + e, "endpoint_ejected", more);
        }
        let route = json!({"from": "eu/eu-a", "to": "eu/eu-b", "tier": "same_region", "basis": "witnessed",
            "share": (500 + n) as f64 / 1000.0, "cause": "ejected", "healthy_at_home": 0, "endpoints_at_home": 3});
        add(begin + 5, "failover_started", route);
        for e in 0..ENDPOINTS {
            let mut more = of(e);
            more["ejected_seconds"] = 300.0.into();
            add(begin + 300_000 + e, "endpoint_returned", more);
        }
        if n + 1 < proxies {
            let end = json!({"from": "eu/eu-a", "to": "eu/eu-b", "seconds": 300.0,
                "requests_away": 100, "errors_away": 2, "because": "recovered"});
            add(begin + 300_100, "failover_ended", end);
        }
    }
    all.sort_by_key(|line| line.at);
    all
}

/// The fleet's numbers without what only an engine adds.
pub(crate) fn numbers(told: &Value) -> Value {
    let mut fleet = told["fleet"].clone();
    let keys = fleet.as_object_mut().unwrap();
    keys.remove("link");
    keys.remove("timelineOf");
    for incident in fleet["incidents"].as_array_mut().unwrap() {
        incident.as_object_mut().unwrap().remove("link");
    }
    fleet
}
