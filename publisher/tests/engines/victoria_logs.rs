//! A real VictoriaLogs: one, and a cluster of two storage nodes of which one is killed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::json;

use crate::fleet::{self, CLUSTER, ENDPOINTS, RANGE};
use crate::process::{Running, ask, eventually, found, free_port, tools};
use crate::skip::{Tool, skip};
use crate::support::run;

const MODULE: &str = "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs@v1.52.1";

/// The program: as FAULTLINE_VICTORIALOGS names it, on PATH, or by Go.
pub(crate) static PROGRAM: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let known = tools().join("victoria-logs");
    let found = found("FAULTLINE_VICTORIALOGS", "victoria-logs").or_else(|| known.is_file().then_some(known.clone()));
    found.or_else(|| {
        let installed = Command::new("go").args(["install", MODULE]).env("GOBIN", tools()).output().ok()?;
        installed.status.success().then_some(known)
    })
});

pub(crate) fn start(program: &Path, dir: &Path, more: &[String]) -> (Running, u16) {
    let port = free_port();
    let address = format!("-httpListenAddr=127.0.0.1:{port}");
    let mut command = Command::new(program);
    command.args([&address, "-storageDataPath=data", "-retentionPeriod=100y"]).args(more).current_dir(dir);
    let running = Running::start(&mut command);
    eventually("VictoriaLogs answers", || ask(port, "GET", "/health", "", "").0 == 200);
    (running, port)
}

/// Stores the events of so many proxies; `parsed`: taken apart too, as `deploy/otel` does.
pub(crate) fn store(port: u16, proxies: u64, parsed: bool) {
    let record = |line: &fleet::Line| {
        let mut record = json!({"_time": fleet::time(line.at), "k8s.cluster.name": line.kubernetes_cluster,
            "k8s.namespace.name": "shop", "k8s.pod.name": line.pod});
        record["_msg"] = if parsed { line.event.to_string() } else { line.text() }.into();
        for (key, value) in line.event.as_object().unwrap().iter().filter(|_| parsed) {
            let key = if key == "faultline" { "event" } else { key };
            record[format!("faultline.{key}")] = value.clone();
        }
        record.to_string()
    };
    let lines = fleet::lines(proxies);
    let body = lines.iter().map(record).collect::<Vec<_>>().join("\n");
    let target = "/insert/jsonline?_stream_fields=k8s.cluster.name,k8s.namespace.name";
    assert_eq!(ask(port, "POST", target, "application/stream+json", &body).0, 200);
    eventually("all is stored", || {
        let asked =
            ask(port, "POST", "/select/logsql/query", "application/x-www-form-urlencoded", "query=* | count() n");
        asked.1.contains(&format!("\"n\":\"{}\"", lines.len()))
    });
}

fn report(port: u16, more: &[&str]) -> crate::support::Ran {
    let logs = format!("victorialogs+http://127.0.0.1:{port}");
    run(Path::new("."), &[&["report", "--logs", &logs][..], &RANGE, more].concat())
}

#[test]
fn the_numbers_that_it_computes_are_those_of_all_events() {
    let Some(program) = PROGRAM.as_ref() else {
        return skip("victoria_logs", Tool::Optional, "no victoria-logs, and no Go to install it with");
    };
    for parsed in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let (_running, port) = start(program, dir.path(), &[]);
        store(port, 120, parsed);
        let pulled = report(port, &["--output", "json"]).exits(0).json();
        assert_eq!((&pulled["proxyCount"], &pulled["events"]), (&120.into(), &(120 * 8 - 1).into()));
        let east = &pulled["fleet"]["incidents"][0];
        let wanted = (CLUSTER.into(), 60.into(), 6000.into(), 120.into(), ENDPOINTS.into());
        let told =
            ["cluster", "proxies", "requestsAway", "errorsAway", "ejectedEndpoints"].map(|key| east[key].clone());
        assert_eq!((told[0].clone(), told[1].clone(), told[2].clone(), told[3].clone(), told[4].clone()), wanted);
        assert_eq!(pulled["fleet"]["incidents"][1]["open"], 1);

        // Too many to be read: the same numbers, and the whole logs of some.
        let sampled = report(port, &["--output", "json", "--most", "100"]).exits(0).json();
        let (mut some, mut all) = (fleet::numbers(&sampled), fleet::numbers(&pulled));
        for told in [&mut some, &mut all] {
            // Of an even number of shares either of the middle two is a median.
            for incident in told["incidents"].as_array_mut().unwrap() {
                let median = incident["failovers"][0]["medianShare"].take().as_f64().unwrap();
                assert!((0.555..0.565).contains(&median), "{median}");
            }
        }
        assert_eq!(some, all);
        let read = sampled["fleet"]["timelineOf"].as_u64().unwrap();
        assert!((10..=50).contains(&read), "{read}");
        assert_eq!(sampled["proxyCount"], read);
        let text = report(port, &["--most", "100"]).exits(0).stdout;
        assert!(text.contains(&format!("Numbers of all 120 proxies, timeline of {read}.")), "{text}");
        assert!(text.contains("cart.shop in west: seen by 60 of 60 proxies, 12:00:00 to 12:05:01"), "{text}");
        assert!(text.lines().count() < 40, "{text}");

        let logs = format!("victorialogs+http://127.0.0.1:{port}");
        let printed = run(dir.path(), &[&["events", "--logs", &logs][..], &RANGE].concat()).exits(0).stdout;
        assert_eq!(printed.lines().count(), 120 * 8 - 1);
        assert!(printed.lines().all(|line| line.contains(r#""kubernetes_cluster":""#)));
    }
}

#[test]
fn a_cluster_that_lost_a_node_tells_nothing() {
    let Some(program) = PROGRAM.as_ref() else {
        return skip("victoria_logs_cluster", Tool::Optional, "no victoria-logs, and no Go to install it with");
    };
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (_first, one) = start(program, dirs[0].path(), &[]);
    let (second, two) = start(program, dirs[1].path(), &[]);
    let nodes = format!("-storageNode=127.0.0.1:{one},127.0.0.1:{two}");
    let (_front, port) = start(program, dirs[2].path(), &[nodes]);
    store(port, 40, true);
    let told = report(port, &["--output", "json"]).exits(0).json();
    assert_eq!((&told["proxyCount"], &told["events"]), (&40.into(), &(40 * 8 - 1).into()));
    drop(second);
    for most in ["300000", "10"] {
        report(port, &["--most", most]).fails_with(&["answered 502", "a part of it is down", "nothing is told"]);
    }
}
