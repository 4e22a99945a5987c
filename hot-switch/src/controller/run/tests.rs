//! A round of the controller at an API server that refuses a part.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::*;
use crate::cluster::lease::micro_time;
use crate::cluster::words::Answer;
use crate::names::{COMPONENT, GRANTED_AT};

/// An API server that lists no namespaces, and denies changes of pods called so. What is asked of it comes out.
fn api_server() -> (Client, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let (heard, all) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let heard = heard.clone();
            thread::spawn(move || serve(stream.unwrap(), &heard));
        }
    });
    (Client::try_from(kube::Config::new(uri)).unwrap(), all)
}

fn serve(mut stream: TcpStream, heard: &Sender<String>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if lines.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut asked = vec![0; length.unwrap_or(0)];
        lines.read_exact(&mut asked).unwrap();
        let first = head.lines().next().unwrap_or_default();
        let _ = heard.send(format!("{first}\n{}", String::from_utf8_lossy(&asked)));
        let renewed = micro_time(OffsetDateTime::now_utc()).unwrap();
        let leader = json!({"metadata": {"name": LEADER, "annotations": {ALL_FAILED: "x"}},
            "spec": {"holderIdentity": "c1", "renewTime": renewed}});
        let node = json!({"metadata": {"name": "n1", "labels": {COMPONENT.0: COMPONENT.1}},
            "spec": {"renewTime": renewed}});
        let (status, body) = if first.contains("/namespaces?") || first.contains("/pods/denied") {
            ("403 Forbidden", json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403}))
        } else if first.contains("/leases?") {
            ("200 OK", json!({"metadata": {}, "items": [node]}))
        } else if first.contains("/leases/") {
            ("200 OK", leader)
        } else {
            ("200 OK", json!({"metadata": {"name": "cart-1"}}))
        };
        let body = body.to_string();
        let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    }
}

#[test]
fn restores_and_a_persons_word_do_not_wait_for_what_cannot_be_listed() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (went, limits) = (Arc::new(Mutex::new(Metrics::default())), Limits::default());
    let error = runtime.block_on(async {
        let (client, all) = api_server();
        let (store, mut writer) = reflector::store();
        let notes = json!({GRANTED_AT: "7", REVISION: "canary"});
        let pod = json!({"metadata": {"namespace": "shop", "name": "cart-1", "annotations": notes},
            "spec": {"nodeName": "n1", "containers": [{"name": "cart"}, {"name": "istio-proxy", "image": "i"}]}});
        writer.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value(pod).unwrap()));
        let mut controller = Controller::new(client, store, options(limits));
        let error = controller.round(&went).await.unwrap_err();
        assert!(!controller.all_failed, "it was heard");
        let revisions = controller.revisions();
        assert_eq!(revisions, BTreeSet::from(["canary".to_owned()]));
        let of = Configurations::Of(&revisions);
        live::read(&controller.client, std::iter::empty(), of).await.unwrap();
        let asked: Vec<String> = all.try_iter().collect();
        for name in ["istio", "istio-canary"] {
            let path = format!("/api/v1/namespaces/istio-system/configmaps/{name}");
            assert!(asked.iter().any(|line| line.split(['?', ' ']).nth(1) == Some(&path)), "{asked:#?}");
        }
        let release = asked.iter().any(|line| line.starts_with("PATCH /api/v1/namespaces/shop/pods/cart-1"));
        assert!(release, "{asked:#?}");
        error
    });
    assert!(error.to_string().contains("namespaces cannot be listed"), "and it is said: {error:#}");
}

#[test]
fn a_change_that_is_denied_is_a_refusal_and_not_a_controller_that_is_away() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let told = runtime.block_on(async {
        let (client, all) = api_server();
        let mut controller = Controller::new(client, reflector::store().0, options(Limits::default()));
        let answer = |pod: &str| Answer { pod: pod.to_owned(), since: 7, refused: None };
        let pods = ["shop/denied-1", "shop/cart-1"];
        let done = Done {
            grants: pods.map(|pod| (pod.to_owned(), json!({}))).to_vec(),
            answers: BTreeMap::from([("n1".to_owned(), pods.map(answer).to_vec())]),
            ..Done::default()
        };
        assert!(controller.carry_out(done).await.is_err(), "it is said as well");
        all.try_iter().find(|asked| asked.contains("/leases/n1")).unwrap()
    });
    let answers = |pod, refused| format!(r#"{{\"pod\":\"{pod}\",\"since\":7,\"refused\":{refused}}}"#);
    for expected in [answers("shop/denied-1", r#"\"denied\""#), answers("shop/cart-1", "null")] {
        assert!(told.contains(&expected), "{told} lacks {expected}");
    }
}

fn options(limits: Limits) -> Options {
    Options { name: "c1".into(), namespace: "hs".into(), stand_in: None, limits }
}
