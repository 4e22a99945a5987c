//! How a report speaks: times, durations, names of services and places, and what Envoy's flags mean.

use std::collections::{BTreeMap, BTreeSet};

use filter_core::time::{Millis, rfc3339};

use super::event::Last;

/// `15:43:09.567`, in UTC.
pub fn clock(at: Millis) -> String {
    rfc3339(at).get(11..23).unwrap_or_default().to_owned()
}

/// `15:43:09`, in UTC.
pub fn clock_seconds(at: Millis) -> String {
    rfc3339(at).get(11..19).unwrap_or_default().to_owned()
}

/// `2026-11-20`, in UTC.
pub fn day(at: Millis) -> String {
    rfc3339(at).get(..10).unwrap_or_default().to_owned()
}

/// `380 ms`, `12.7 s`, `4 min 9 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(millis: Millis) -> String {
    let seconds = (millis + 500) / 1000;
    let pair = |big: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {small_unit}"),
    };
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..59_950 => format!("{:.1} s", millis as f64 / 1000.0),
        _ if seconds < 3600 => pair(seconds / 60, "min", seconds % 60, "s"),
        _ if seconds < 86_400 => pair(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// `1 proxy`, `3 proxies`, `2 events`.
pub fn count(n: u64, what: &str) -> String {
    match (n, what.strip_suffix('y')) {
        (1, _) => format!("1 {what}"),
        (_, Some(stem)) => format!("{n} {stem}ies"),
        _ => format!("{n} {what}s"),
    }
}

/// `2 of 3 proxies`; of one there is nothing to count.
pub fn of_proxies(some: usize, all: usize) -> String {
    if all <= 1 { "1 proxy".to_owned() } else { format!("{some} of {}", count(all as u64, "proxy")) }
}

/// `once`, `3 times`
pub fn times(n: usize) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

/// `100 %`; what is more than nothing is not written as nothing, nor less than all as all.
pub fn percent(share: f64) -> String {
    let percent = (share * 100.0).clamp(0.0, 100.0);
    match percent.round() {
        0.0 if percent > 0.0 => "under 1 %".to_owned(),
        100.0 if percent < 100.0 => "over 99 %".to_owned(),
        whole => format!("{whole} %"),
    }
}

/// The part of a locality that people call it by: `ap-northeast-1a` of `ap-northeast-1/ap-northeast-1a`.
pub fn place(locality: &str) -> &str {
    let mut slashes = locality.match_indices('/').map(|(at, _)| at + 1);
    match slashes.next() {
        _ if locality.is_empty() => "an unknown locality",
        // Of region, zone and subzone, the last two: a subzone alone says little.
        Some(zone) => locality.get(zone..).filter(|rest| !rest.is_empty()).unwrap_or(locality),
        None => locality,
    }
}

/// What an ejection was for, in words, by its reasons; empty if they do not say.
pub fn reason(reasons: &BTreeSet<String>) -> &'static str {
    let mut causes = reasons.iter().map(String::as_str).filter(|reason| *reason != "other");
    match (causes.next(), causes.next()) {
        (Some("consecutive_5xx"), None) => "answered 5xx, or not at all",
        (Some("consecutive_gateway_failure"), None) => "answered 502, 503 or 504, or not at all",
        (Some("consecutive_local_origin_failure"), None) => "could not be reached, or did not answer",
        _ => "",
    }
}

/// Short names of clusters: `mockb.default` of `outbound|8000||mockb.default.svc.cluster.local`, if no other has the same.
pub fn names<'a>(clusters: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let clusters: BTreeSet<&str> = clusters.collect();
    let mut bearers: BTreeMap<&str, usize> = BTreeMap::new();
    for cluster in &clusters {
        *bearers.entry(short(cluster)).or_default() += 1;
    }
    let name = |cluster: &str| match bearers.get(short(cluster)) {
        _ if cluster.is_empty() => "(no cluster)".to_owned(),
        Some(1) => short(cluster).to_owned(),
        _ => cluster.to_owned(),
    };
    clusters.iter().map(|cluster| ((*cluster).to_owned(), name(cluster))).collect()
}

/// The service's name in an Istio cluster's, without Kubernetes' domain; other clusters are called as they are.
pub fn short(cluster: &str) -> &str {
    host(cluster).split_once(".svc.").map_or(host(cluster), |(name, _)| name)
}

/// The host in an Istio cluster's name, `direction|port|subset|host`; of another cluster, its name.
pub fn host(cluster: &str) -> &str {
    cluster.splitn(4, '|').nth(3).filter(|host| !host.is_empty()).unwrap_or(cluster)
}

/// What an attempt failed of, in few words, for within a sentence.
pub fn cause(kind: &str, last: &Last) -> String {
    meaning(kind, last).0
}

/// What to look for where an attempt failed like this.
pub fn advice(kind: &str, last: &Last) -> &'static str {
    meaning(kind, last).1
}

fn meaning(kind: &str, last: &Last) -> (String, &'static str) {
    let has = |flag: &str| last.flags.split(',').any(|f| f.trim() == flag);
    let said = format!("{} {}", last.transport_failure, last.details).to_lowercase().replace('_', " ");
    let says = |words: &str| said.contains(words);
    let plain = |cause: &str, advice: &'static str| (cause.to_owned(), advice);
    if says("connection refused") {
        plain("connection refused", "nothing listens there: is the process up, and on that port?")
    } else if says("tls") || says("certificate") || says("ssl") {
        plain("TLS handshake failed", "the two do not agree on TLS: certificates, their age, or plain text on one side")
    } else if says("no route to host") || says("network is unreachable") {
        plain("no route to the host", "the address leads nowhere: is the node gone, or the network cut?")
    } else if has("UF") && (says("timeout") || says("timed out")) {
        plain(
            "no connection in time",
            "nobody answers at that address: node down, firewall or network policy, or a listener that is swamped",
        )
    } else if has("UF") {
        plain("connection failed", "no connection could be made: see the endpoint's port and the network on the way")
    } else if has("UT") {
        plain(
            "no answer in time",
            "it accepts requests and does not answer: look for what it waits for (locks, its database)",
        )
    } else if has("UC") {
        plain(
            "connection closed before the answer",
            "it closed connections under way: did it crash, or restart without draining?",
        )
    } else if has("UR") {
        plain("connection reset by the endpoint", "it reset streams under way: did it crash, or refuse work?")
    } else if has("UPE") {
        plain("protocol error in the answer", "what it answered is no valid HTTP: is it the right port and protocol?")
    } else if has("LR") {
        plain("connection reset by the proxy", "the proxy gave the attempt up: see the details in the log line")
    } else if kind == "local_origin" {
        plain("could not be reached", "no answer came from it: see the details in the log line")
    } else {
        match last.code {
            502..=504 => (
                format!("answered {}", last.code),
                "it answers that what it needs is not there: look at its own dependencies and its load",
            ),
            500.. => {
                (format!("answered {}", last.code), "the application itself answers with errors: look at its own log")
            }
            200 => {
                plain("answered with a gRPC error", "the application itself answers with errors: look at its own log")
            }
            _ => plain("answered with an error", "the application itself answers with errors: look at its own log"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_units_that_people_use() {
        let wanted = [
            (0, "0 ms"),
            (999, "999 ms"),
            (12_712, "12.7 s"),
            (59_940, "59.9 s"),
            (59_960, "1 min"),
            (249_000, "4 min 9 s"),
            (3_599_700, "1 h"),
            (7_500_000, "2 h 5 min"),
            (273_600_000, "3 d 4 h"),
        ];
        for (millis, text) in wanted {
            assert_eq!(duration(millis), text);
        }
        assert_eq!(
            [percent(1.0), percent(0.998), percent(0.468), percent(0.001)],
            ["100 %", "over 99 %", "47 %", "under 1 %"]
        );
    }

    #[test]
    fn services_and_places_are_called_as_people_call_them() {
        assert_eq!(short("outbound|8000||mockb.default.svc.cluster.local"), "mockb.default");
        assert_eq!(short("outbound|80||mydb.com"), "mydb.com");
        assert_eq!(short("backend"), "backend");
        let two = ["outbound|1||b.d.svc.cluster.local", "outbound|2||b.d.svc.cluster.local"];
        assert_eq!(names(two.into_iter())[two[0]], two[0]);
        assert_eq!(["r/z", "r/z/s", "r", "", "/z"].map(place), ["z", "z/s", "r", "an unknown locality", "z"]);
    }

    #[test]
    fn envoys_flags_become_words() {
        let last = |code, flags: &str, details: &str| Last {
            code,
            flags: flags.into(),
            details: details.into(),
            ..Last::default()
        };
        let cause = |kind: &str, last: Last| super::cause(kind, &last);
        assert_eq!(
            cause("local_origin", last(503, "UF", "upstream_reset{delayed_connect_error:_Connection_refused}")),
            "connection refused"
        );
        assert_eq!(
            cause("local_origin", last(503, "UF,URX", "upstream_reset{connection_timeout}")),
            "no connection in time"
        );
        assert_eq!(cause("local_origin", last(504, "UT", "response_timeout")), "no answer in time");
        assert_eq!(
            cause("local_origin", last(503, "UC", "upstream_reset{connection_termination}")),
            "connection closed before the answer"
        );
        assert_eq!(cause("5xx", last(500, "", "via_upstream")), "answered 500");
        assert_eq!(cause("gateway_error", last(503, "URX", "via_upstream")), "answered 503");
        assert_eq!(cause("local_origin", Last::default()), "could not be reached");
        let tls = Last {
            flags: "UF".into(),
            transport_failure: "TLS_error:|268435581:SSL routines:CERTIFICATE_VERIFY_FAILED".into(),
            ..Last::default()
        };
        assert_eq!(cause("local_origin", tls), "TLS handshake failed");
    }
}
