//! `watch --logs`: what comes into an engine is told as it comes, and once.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::fleet::lines;
use crate::stub::Stub;
use crate::support::faultline;

#[test]
fn what_comes_is_told_once_although_it_is_asked_for_again() {
    let rounds = AtomicUsize::new(1);
    let stub = Stub::answering(move |asked| {
        if asked.body.contains("stats") {
            return (200, r#"{"records":"0"}"#.to_owned());
        }
        let round = rounds.fetch_add(1, Ordering::Relaxed);
        let record = |line: &crate::fleet::Line| {
            json!({"_msg": line.text(), "k8s.pod.name": line.pod,
             "k8s.cluster.name": line.kubernetes_cluster})
        };
        let lines = lines(2);
        let body = lines.iter().take(round).map(|line| format!("{}\n", record(line))).collect();
        (200, body)
    });
    let logs = format!("victorialogs+http://{}", stub.host);
    let mut command = faultline(Path::new("."), &["watch", "--logs", &logs, "--output", "json"]);
    let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let told = BufReader::new(watch.stdout.take().expect("it is piped")).lines().take(3);
    let told: Vec<Value> = told.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    watch.kill().expect("it runs");
    watch.wait().expect("it ends");
    let wanted: Vec<Value> = lines(2).into_iter().take(3).map(|line| line.event["ts"].clone()).collect();
    assert_eq!(told.iter().map(|event| event["ts"].clone()).collect::<Vec<_>>(), wanted);
    assert_eq!(told[0]["proxy"], "east/front-0");
}
