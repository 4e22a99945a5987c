//! Tests that a log is read in whatever shape people have it: each shape holds the same three pods' lines, and tells
//! the same.

use std::io::Write;

use serde_json::{Value, json};

use crate::support::{Ran, run, run_with_input};

/// The logs of three pods by `kubectl logs --prefix`, one after the other; an application's lines among them.
pub(crate) const THREE: &str = include_str!("../logs/three-proxies.log");

/// A line of a pod, without its prefix.
pub(crate) struct Line {
    pub(crate) pod: &'static str,
    pub(crate) container: &'static str,
    pub(crate) text: &'static str,
}

pub(crate) fn lines() -> Vec<Line> {
    let line = |line: &'static str| {
        let (head, text) = line.strip_prefix("[pod/").unwrap().split_once("] ").unwrap();
        let (pod, container) = head.split_once('/').unwrap();
        Line { pod, container, text }
    };
    THREE.lines().map(line).collect()
}

/// One record for each line.
pub(crate) fn each(record: impl Fn(&Line) -> Value) -> Vec<Value> {
    lines().iter().map(record).collect()
}

pub(crate) fn jsonl(records: Vec<Value>) -> Vec<u8> {
    records.iter().map(|record| format!("{record}\n")).collect::<String>().into_bytes()
}

pub(crate) fn text(line: impl Fn(&Line) -> String) -> Vec<u8> {
    lines().iter().map(|one| line(one) + "\n").collect::<String>().into_bytes()
}

pub(crate) fn report(input: &[u8]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    run_with_input(dir.path(), &["report", "--output", "json"], input)
}

/// What every shape must tell: ten events of two pods, and a third that saw nothing.
#[track_caller]
pub(crate) fn tells_the_same(shape: &str, input: &[u8]) {
    let wanted = report(THREE.as_bytes()).exits(0).json();
    let told = report(input).exits(0).json();
    for key in ["headline", "timeline", "lookFirst", "gaps", "proxies"] {
        assert_eq!(told[key], wanted[key], "{key} of {shape}");
    }
    let events = |input: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        let ran = run_with_input(dir.path(), &["events"], input).exits(0);
        let one = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap();
            json!([event["faultline"], event["ts"], event["pod"], event["last"], event["destinations"]])
        };
        ran.stdout.lines().map(one).collect::<Vec<_>>()
    };
    assert_eq!(events(input), events(THREE.as_bytes()), "the events of {shape}");
}

/// Shapes of text, one line a line.
fn of_text() -> Vec<(&'static str, Vec<u8>)> {
    let quoted = |text: &str| Value::from(text).to_string();
    vec![
        ("kubectl logs --prefix", THREE.into()),
        ("Windows' line ends", THREE.replace('\n', "\r\n").into()),
        ("stern", text(|l| format!("{} {} {}", l.pod, l.container, l.text))),
        ("stern, in colours", text(|l| format!("\u{1b}[36m{}\u{1b}[0m › {} {}", l.pod, l.container, l.text))),
        ("kail", text(|l| format!("shop/{}[{}]: {}", l.pod, l.container, l.text))),
        ("kubetail", text(|l| format!("[{} {}] {}", l.pod, l.container, l.text))),
        (
            "logcli",
            text(|l| format!("2026-11-20T15:43:09Z {{container=\"{}\", pod=\"{}\"}} {}", l.container, l.pod, l.text)),
        ),
        ("logfmt", text(|l| format!("level=warn pod={} container={} msg={}", l.pod, l.container, quoted(l.text)))),
        (
            "Python's own",
            text(|l| format!("{{'pod': '{}', 'container': '{}', 'log': '{}'}}", l.pod, l.container, l.text)),
        ),
        (
            "syslog",
            text(|l| {
                let (pod, container) = (l.pod, l.container);
                format!("<14>1 2026-11-20T15:43:09Z n - - - [k@1 pod=\"{pod}\" container=\"{container}\"] {}", l.text)
            }),
        ),
    ]
}

/// Shapes of JSON, one record a line.
fn of_json_lines() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (
            "logcli -o jsonl",
            jsonl(each(|l| json!({"labels": {"pod": l.pod, "container": l.container}, "line": l.text}))),
        ),
        (
            "stern -o json",
            jsonl(each(
                |l| json!({"message": l.text, "podName": l.pod, "containerName": l.container, "namespace": "n"}),
            )),
        ),
        (
            "Fluent Bit",
            jsonl(each(|l| {
                json!({"log": l.text, "stream": "stdout",
                "kubernetes": {"pod_name": l.pod, "container_name": l.container, "labels": {"faultline": "on"}}})
            })),
        ),
        (
            "Vector",
            jsonl(each(
                |l| json!({"message": l.text, "kubernetes": {"pod_name": l.pod, "container_name": l.container}}),
            )),
        ),
        (
            "Filebeat",
            jsonl(each(|l| {
                let kubernetes = json!({"pod": {"name": l.pod}, "container": {"name": l.container}});
                json!({"message": l.text, "kubernetes": kubernetes})
            })),
        ),
        (
            "flat keys",
            jsonl(each(
                |l| json!({"log": l.text, "kubernetes.pod_name": l.pod, "kubernetes.container_name": l.container}),
            )),
        ),
    ]
}

/// More shapes of JSON, one record a line.
fn of_more_json_lines() -> Vec<(&'static str, Vec<u8>)> {
    let key_values = |l: &Line| {
        json!([{"key": "k8s.pod.name", "value": {"stringValue": l.pod}},
            {"key": "k8s.container.name", "value": {"stringValue": l.container}}])
    };
    vec![
        (
            "VictoriaLogs",
            jsonl(each(|l| json!({"_msg": l.text, "k8s_pod_name": l.pod, "k8s_container_name": l.container}))),
        ),
        (
            "Datadog",
            jsonl(each(|l| {
                let tags = [format!("pod_name:{}", l.pod), format!("container_name:{}", l.container)];
                json!({"attributes": {"message": l.text, "tags": tags}})
            })),
        ),
        (
            "the collector's file exporter",
            jsonl(each(|l| {
                json!({"resourceLogs": [{"resource": {"attributes": key_values(l)},
                "scopeLogs": [{"logRecords": [{"body": {"stringValue": l.text}}]}]}]})
            })),
        ),
        (
            "CloudWatch, the record as a text",
            jsonl(each(|l| {
                let record = json!({"log": l.text, "kubernetes": {"pod_name": l.pod, "container_name": l.container}});
                json!({"logStreamName": "s", "timestamp": 1_795_189_389_567_u64, "message": record.to_string()})
            })),
        ),
        (
            "Splunk",
            jsonl(each(
                |l| json!({"preview": false, "result": {"_raw": l.text, "pod": l.pod, "container_name": l.container}}),
            )),
        ),
        (
            "the journal, the message as bytes",
            jsonl(each(|l| {
                let name = format!("k8s_{}_{}_n_u_0", l.container, l.pod);
                json!({"MESSAGE": l.text.as_bytes(), "CONTAINER_NAME": name, "_HOSTNAME": "h"})
            })),
        ),
        (
            "Docker around a shipper, three texts deep",
            jsonl(each(|l| {
                let inner = json!({"msg": l.text}).to_string();
                let outer = json!({"log": inner, "path": format!("/var/log/pods/n_{}_u/{}/0.log", l.pod, l.container)});
                json!({"log": format!("{outer}\n"), "stream": "stderr"})
            })),
        ),
    ]
}

/// Shapes that are one document.
fn of_documents() -> Vec<(&'static str, Vec<u8>)> {
    let streams = || each(|l| json!({"stream": {"pod": l.pod, "container": l.container}, "values": [["1", l.text]]}));
    let loki = json!({"status": "success", "data": {"resultType": "streams", "result": streams()}});
    let google = || {
        Value::from(each(|l| {
            let labels = json!({"pod_name": l.pod, "container_name": l.container});
            json!({"textPayload": l.text, "resource": {"labels": labels}})
        }))
    };
    let hits = each(|l| {
        let kubernetes = json!({"pod": {"name": l.pod}, "container": {"name": l.container}});
        json!({"_source": {"message": l.text, "kubernetes": kubernetes}})
    });
    let insights = each(|l| {
        json!([{"field": "@message", "value": l.text}, {"field": "kubernetes.pod_name", "value": l.pod},
            {"field": "kubernetes.container_name", "value": l.container}])
    });
    let rows = each(|l| json!([l.pod, l.container, l.text]));
    let table = json!({"tables": [{"columns": [{"name": "PodName"}, {"name": "ContainerName"}, {"name": "LogMessage"}],
        "rows": rows}]});
    let firehose: String = each(|l| json!({"message": l.text, "pod": l.pod, "container": l.container}))
        .iter()
        .map(Value::to_string)
        .collect();
    vec![
        ("Loki's API", loki.to_string().into()),
        ("Loki's API, pretty-printed", serde_json::to_vec_pretty(&loki).unwrap()),
        ("Cloud Logging, one line", google().to_string().into()),
        ("Cloud Logging, pretty-printed", serde_json::to_vec_pretty(&google()).unwrap()),
        ("Elasticsearch", serde_json::to_vec_pretty(&json!({"hits": {"hits": hits}})).unwrap()),
        ("CloudWatch Insights", serde_json::to_vec_pretty(&json!({"results": insights})).unwrap()),
        ("a table of columns and rows", table.to_string().into()),
        ("objects without line ends", firehose.into()),
    ]
}

/// Tables as text.
fn of_rows() -> Vec<(&'static str, Vec<u8>)> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let table = |separator: &str| {
        let head = ["timestamp", "pod", "container", "message"].join(separator);
        let row = |l: &Line| ["1", l.pod, l.container, &quoted(l.text)].join(separator);
        format!("{head}\n{}", lines().iter().map(|l| row(l) + "\n").collect::<String>()).into_bytes()
    };
    let psql: String = lines().iter().map(|l| format!(" {} | {} | {}\n", l.pod, l.container, l.text)).collect();
    let psql = format!(" pod | container | message\n-----+-----+-----\n{psql}");
    let labels = |l: &Line| {
        let labels = format!("{{type=k8s_container, labels={{pod_name={}, container_name={}}}}}", l.pod, l.container);
        format!("{},{}\n", quoted(&labels), quoted(l.text))
    };
    let labels: String = lines().iter().map(labels).collect();
    let labels = format!("resource,textPayload\n{labels}");
    vec![
        ("psql", psql.into()),
        ("labels as a text", labels.into()),
        ("CSV", table(",")),
        ("CSV with semicolons", table(";")),
        ("tabs", table("\t")),
    ]
}

#[test]
fn a_log_tells_the_same_in_every_shape() {
    for (shape, input) in
        of_text().into_iter().chain(of_json_lines()).chain(of_more_json_lines()).chain(of_documents()).chain(of_rows())
    {
        tells_the_same(shape, &input);
    }
}

#[test]
fn a_log_tells_the_same_however_it_is_packed() {
    let gzip = |bytes: &[u8]| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest);
    let utf16 = |order: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
        format!("{mark}{}", THREE.replace('\n', "\r\n")).encode_utf16().flat_map(order).collect()
    };
    let tar = || {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, bytes) in
            [("logs/a.log", THREE.as_bytes()), ("logs/b.png", b"\x89PNG\0\0\0\0\0\0\0\0"), ("c.yaml", b"a: b\n")]
        {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            tar.append_data(&mut header, name, bytes).unwrap();
        }
        tar.into_inner().unwrap()
    };
    let three = THREE.as_bytes();
    tells_the_same("gzip", &gzip(three));
    tells_the_same("zstd", &zstd(three));
    tells_the_same("two frames of zstd", &[zstd(&three[..1000]), zstd(&three[1000..])].concat());
    tells_the_same("zstd in gzip", &gzip(&zstd(three)));
    tells_the_same("UTF-16", &utf16(u16::to_le_bytes, "\u{feff}"));
    tells_the_same("UTF-16 the other way round", &utf16(u16::to_be_bytes, "\u{feff}"));
    tells_the_same("UTF-16 without a mark", &utf16(u16::to_le_bytes, ""));
    tells_the_same("UTF-8 with a mark", &[b"\xef\xbb\xbf", three].concat());
    let packed = report(&gzip(&tar())).exits(0).json();
    assert_eq!(packed["headline"], report(three).json()["headline"]);
    assert!(packed["gaps"].to_string().contains("1 file in archives were left out"), "{}", packed["gaps"]);
}

#[test]
fn one_pods_name_in_two_clusters_is_two_proxies() {
    let both = |cluster: &str| {
        jsonl(each(|l| json!({"labels": {"pod": l.pod, "container": l.container, "cluster": cluster}, "line": l.text})))
    };
    let told = report(&[both("east"), both("west")].concat()).exits(0).json();
    assert_eq!((&told["events"], &told["proxies"].as_array().unwrap().len()), (&20.into(), &6));
    assert!(told["proxies"].to_string().contains("west/mocka-"), "{}", told["proxies"]);
    // The same lines from a store and from kubectl are the same proxies'.
    let told = report(&[both("east"), THREE.into()].concat()).exits(0).json();
    assert_eq!((&told["events"], &told["proxies"].as_array().unwrap().len()), (&10.into(), &3));
}

#[test]
fn what_could_not_be_read_is_said_and_changes_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let cut: String = THREE.lines().map(|line| format!("{}\n", line.chars().take(200).collect::<String>())).collect();
    let ran = report(cut.as_bytes()).exits(3);
    let told = ran.json();
    assert_eq!(told["headline"], "What happened is not known: 10 events could not be read: their lines are cut off.");
    assert_eq!(told["proxies"].as_array().unwrap().len(), 3, "every line names its pod");
    for command in ["report", "events", "watch"] {
        let ran = run_with_input(dir.path(), &[command], cut.as_bytes()).exits(3);
        assert!(format!("{ran:?}").contains("10 events could not be read"), "{command}: {ran:?}");
    }
    // An event that lost its time, and nothing to take one from.
    let timeless = r#"{"faultline":"no_healthy_upstream","v":1,"cluster":"c","endpoints":4}"#;
    let ran = report(format!("{THREE}{timeless}\n").as_bytes()).exits(3).json();
    assert!(ran["headline"].as_str().unwrap().ends_with("Not all is known: 1 event could not be read: malformed."));
    let timed = json!({"time": "2026-11-20T15:43:40Z", "pod": "x", "log": timeless}).to_string();
    for timed in [timed, timeless.replacen('{', r#"{"@timestamp":"2026-11-20T15:43:40Z","#, 1)] {
        let ran = report(timed.as_bytes()).exits(0).json();
        assert!(ran["gaps"].to_string().contains("1 event lost the time on the way"), "{ran}");
        assert_eq!(ran["first"], "2026-11-20T15:43:40.000Z");
    }
    // A compressed file that is cut, and a document.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(THREE.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let ran = report(&gzip[..gzip.len() * 9 / 10]).exits(3).json();
    assert!(ran["gaps"].to_string().contains("cut or damaged"), "{ran}");
    let document = of_documents().remove(1).1;
    let ran = report(&document[..document.len() * 9 / 10]).exits(3).json();
    assert!(ran["gaps"].to_string().contains("a JSON value in it has no end"), "{ran}");
    // What is no text at all.
    std::fs::write(dir.path().join("a.xz"), b"\xfd7zXZ\0rest").unwrap();
    run(dir.path(), &["report", "a.xz"]).fails_with(&["cannot read the log `a.xz`", "xz -dc"]);
    // A program has zeros too, and is no UTF-16.
    let elf = [&b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0"[..], &[0, 0, 7, 0].repeat(100)].concat();
    std::fs::write(dir.path().join("program"), elf).unwrap();
    run(dir.path(), &["report", "program"]).fails_with(&["cannot read the log `program`", "no text"]);
}

#[test]
fn events_are_printed_as_they_were_logged_with_pod_and_source() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("front-1.log"), include_str!("../logs/zone-outage.log")).unwrap();
    let ran = run(dir.path(), &["events", "front-1.log", "front-1.log"]).exits(0);
    assert_eq!(ran.stdout.lines().count(), 23);
    assert!(ran.stdout.lines().all(|line| line.starts_with(r#"{"faultline":""#)), "{}", ran.stdout);
    assert!(
        ran.stdout.lines().all(|line| line.ends_with(r#""pod":"front-1","source":"front-1.log"}"#)),
        "{}",
        ran.stdout
    );
    assert!(ran.stderr.contains("23 events came again"), "{}", ran.stderr);
    // What it prints, `report` reads.
    let again = report(ran.stdout.as_bytes()).exits(0).json();
    assert_eq!(again["proxies"], json!(["front-1"]));
    assert_eq!(again["headline"], run(dir.path(), &["report", "--output", "json", "front-1.log"]).json()["headline"]);
}

#[test]
fn a_log_of_several_days_tells_which_day_and_when_after_a_break() {
    let event = |name: &str, at: &str, endpoint: &str| {
        json!({"faultline": name, "v": 1, "ts": at, "cluster": "outbound|80||web.shop.svc.cluster.local",
            "endpoint": endpoint, "locality": "r/a", "basis": "inferred", "reason": "consecutive_5xx", "ejection": 1,
            "ejected_seconds": 60.0, "ejected_endpoints": 1, "endpoints": 4})
    };
    let log = jsonl(vec![
        event("endpoint_ejected", "2026-11-20T23:50:00Z", "10.0.0.1:80"),
        event("endpoint_returned", "2026-11-21T00:20:00Z", "10.0.0.1:80"),
        event("endpoint_ejected", "2026-11-23T09:00:00Z", "10.0.0.2:80"),
        event("endpoint_returned", "2026-11-23T09:01:00Z", "10.0.0.2:80"),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let text = run_with_input(dir.path(), &["report"], &log).exits(0).stdout;
    assert!(text.contains("failed at 2026-11-20 23:50:00"), "{text}");
    assert!(text.contains("at 2026-11-23 09:00:00"), "{text}");
    let axis = text.lines().find(|line| line.contains('≈')).expect("the quiet days are cut out");
    let (before, after) = axis.split_once('≈').unwrap();
    assert!(before.contains("11-20 23:50:00") && after.contains("11-23 09:0"), "{axis}");
    let watched = run_with_input(dir.path(), &["watch"], &log).exits(0).stdout;
    assert!(watched.contains("\n2026-11-21\n") && watched.contains("\n2026-11-23\n"), "{watched}");
}

#[test]
fn a_long_report_begins_with_a_summary_and_the_service_that_was_hit_worst() {
    let mut events = Vec::new();
    for service in 0..5_u64 {
        let cluster = format!("outbound|80||svc{service}.shop.svc.cluster.local");
        for round in 0..10 {
            let ts = |seconds: u64| format!("2026-11-20T{:02}:{:02}:{seconds:02}Z", 10 + round, service);
            events
                .push(json!({"faultline": "failover_started", "v": 1, "ts": ts(0), "cluster": cluster, "from": "r/a",
                "to": "r/b", "share": 1.0}));
            events.push(json!({"faultline": "failover_ended", "v": 1, "ts": ts(30), "cluster": cluster, "from": "r/a",
                "to": "r/b", "seconds": 10.0 + service as f64, "requests_away": 1_000, "errors_away": 0}));
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let log = jsonl(events);
    let text = run_with_input(dir.path(), &["report"], &log).exits(0).stdout;
    let rows: Vec<&str> =
        text.lines().skip_while(|line| !line.starts_with("Services, hit worst first")).skip(2).collect();
    assert!(rows[0].trim_start().starts_with("svc4.shop") && rows[0].contains("10,000"), "{text}");
    assert!(text.lines().count() < 40 && text.contains("Left out: the bars of 5 services and 100 lines"), "{text}");
    let all = run_with_input(dir.path(), &["report", "--details"], &log).exits(0).stdout;
    assert!(all.lines().count() > 100 && !all.contains("Left out"), "{all}");
}

#[test]
fn what_is_for_an_engine_is_refused_for_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.log"), THREE).unwrap();
    for (command, option) in [
        ("events", ["--since", "10m"]),
        ("events", ["--until", "10m"]),
        ("watch", ["--since", "10m"]),
        ("report", ["--query", "x"]),
        ("report", ["--tenant", "1"]),
        ("events", ["--logs-credentials", "none"]),
    ] {
        let args = [command, "a.log", option[0], option[1]];
        run(dir.path(), &args).refuses_usage_with(&[option[0], "--logs URL"]);
    }
    let args = ["report", "a.log", "--since", "15:40:10", "--until", "15:40:05"];
    run(dir.path(), &args).refuses_usage_with(&["--since", "is not before --until"]);
}

#[test]
fn the_name_of_an_envoy_cluster_names_no_kubernetes_cluster() {
    let event = |pod: &str| {
        let event = json!({
            "faultline": "endpoint_ejected", "v": 1, "ts": "2026-11-20T15:13:59.522Z", "basis": "witnessed",
            "cluster": "outbound|80||web.shop.svc.cluster.local", "endpoint": "10.0.0.1:80", "locality": "r/a",
            "reason": "consecutive_5xx", "ejection": 1, "ejected_endpoints": 1, "endpoints": 3,
        });
        format!("pod={pod} {event}")
    };
    let dir = tempfile::tempdir().unwrap();
    let line = format!("{} {}\n", event("p0"), event("p1"));
    let told = run_with_input(dir.path(), &["events"], line.as_bytes()).stdout;
    assert!(told.contains("endpoint_ejected") && !told.contains("\"outbound\""), "{told}");
}
