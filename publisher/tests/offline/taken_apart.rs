//! Tests that events are found whose keys became columns, attributes or keys with a prefix, and lines that the kubelet
//! wrote in parts.

use serde_json::{Value, json};

use crate::support::run_with_input;

/// What `events` prints, and its exit code.
fn events(log: &str) -> (Vec<Value>, i32) {
    let dir = tempfile::tempdir().unwrap();
    let ran = run_with_input(dir.path(), &["events"], log.as_bytes());
    (ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), ran.code)
}

/// An event, as the filter writes it.
fn event() -> Value {
    json!({"faultline": "failover_ended", "v": 1, "ts": "2026-11-20T16:59:18.419Z", "cluster": "outbound|80||web",
        "from": "r/a", "to": "r/b", "seconds": 12.5, "requests_away": 7, "errors_away": 0,
        "destinations": [{"to": "r/b", "seconds": 12.5, "requests": 7, "errors": 0}], "because": "recovered"})
}

#[track_caller]
fn is_whole(log: &str, pod: &str) {
    let (found, code) = events(log);
    assert_eq!((found.len(), code), (1, 0), "{log}");
    assert_eq!(found[0]["pod"], pod, "{log}");
    let dir = tempfile::tempdir().unwrap();
    let told = run_with_input(dir.path(), &["report", "--output", "json"], log.as_bytes()).exits(0).json();
    let failover = &told["services"][0]["failovers"][0];
    assert_eq!(failover["destinations"][0]["requests"], 7, "{told}");
    assert_eq!(told["last"], "2026-11-20T16:59:18.419Z", "{told}");
}

/// A value of OpenTelemetry's, with its type around it.
fn typed(value: &Value) -> Value {
    match value {
        Value::String(text) => json!({"stringValue": text}),
        Value::Number(number) if number.is_f64() => json!({"doubleValue": number}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
        Value::Array(items) => json!({"arrayValue": {"values": items.iter().map(typed).collect::<Vec<_>>()}}),
        _ => json!({"kvlistValue": {"values": pairs(value)}}),
    }
}

fn pairs(object: &Value) -> Vec<Value> {
    object.as_object().unwrap().iter().map(|(key, value)| json!({"key": key, "value": typed(value)})).collect()
}

#[test]
fn the_collector_s_parsed_records_hold_events() {
    let export = |record: Value| {
        json!({"resourceLogs": [{"resource": {"attributes": pairs(&json!({"k8s.pod.name": "p1"}))},
            "scopeLogs": [{"logRecords": [record]}]}]})
        .to_string()
    };
    is_whole(&export(json!({"timeUnixNano": "1795189389567000000", "body": typed(&event())})), "p1");
    is_whole(&export(json!({"attributes": pairs(&event()), "body": {"stringValue": "wasm log"}})), "p1");
}

#[test]
fn keys_with_a_prefix_and_columns_are_put_together() {
    let with = |prefix: &str| {
        let mut record = json!({"kubernetes.pod_name": "p1", "time": "2026-11-20T17:00:00Z"});
        for (key, value) in event().as_object().unwrap() {
            record[format!("{prefix}{key}")] = value.clone();
        }
        record
    };
    for prefix in ["log.", "json_", "attributes/"] {
        is_whole(&format!("{}\n", with(prefix)), "p1");
    }
    for prefix in ["", "parsed."] {
        let record = with(prefix);
        let record = record.as_object().unwrap();
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(record.keys()).unwrap();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        table.write_record(record.values().map(text)).unwrap();
        is_whole(&String::from_utf8(table.into_inner().unwrap()).unwrap(), "p1");
    }
    // What only has the name is none.
    let (found, code) = events("{\"labels_faultline\":\"enabled\",\"pod\":\"p1\"}\n");
    assert_eq!((found.len(), code), (0, 0));
}

#[test]
fn parts_of_one_stream_come_between_those_of_the_other() {
    let text = event().to_string();
    let (first, second) = text.split_at(60);
    let at = "2026-11-20T16:59:19.1Z";
    let log = format!(
        "{at} stderr P {first}\n{at} stdout P GET /\n{at} stdout F  200\n{at} stderr F {second}\n{at} stdout F x\n"
    );
    let (found, code) = events(&log);
    assert_eq!((found.len(), code), (1, 0));
}
