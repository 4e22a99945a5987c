//! Tests that proxies are told apart where one text holds the logs of several, that rotated files are one proxy's, and
//! that what was split or packed on its way is whole again.

use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use crate::log_shapes::{Line, THREE, each, jsonl, lines, report, tells_the_same, text};
use crate::support::{run, run_with_input};

/// The pods, in order.
fn pods() -> Vec<&'static str> {
    let mut pods: Vec<_> = lines().iter().map(|line| line.pod).collect();
    pods.dedup();
    pods
}

/// A pod's proxy's own lines.
fn log_of(pod: &str) -> String {
    let own = |line: &&Line| line.pod == pod && line.container == "istio-proxy";
    lines().iter().filter(own).map(|line| format!("{}\n", line.text)).collect()
}

/// The sections of all pods, by what stands before and after each.
fn sections(around: impl Fn(&str) -> [String; 2]) -> Vec<u8> {
    let section = |pod: &&str| {
        let [before, after] = around(pod);
        format!("{before}{}{after}", log_of(pod))
    };
    pods().iter().map(section).collect::<String>().into_bytes()
}

#[test]
fn proxies_are_told_apart_by_headers_of_files_and_of_syslog() {
    for (shape, input) in [
        (
            "RFC 5424, the pod as the machine",
            text(|l| format!("<14>1 2026-11-20T15:43:09.5Z {} {} 7 - - {}", l.pod, l.container, l.text)),
        ),
        (
            "RFC 5424 with lengths",
            text(|l| format!("97 <14>1 2026-11-20T15:43:09.5Z {} {} - - - {}", l.pod, l.container, l.text)),
        ),
        ("RFC 3164", text(|l| format!("<14>Nov 20 15:43:09 {} {}[7]: {}", l.pod, l.container, l.text))),
        (
            "RFC 3164 with a time that has a zone",
            text(|l| format!("<14>2026-11-20T15:43:09+00:00 {} {}[7]: {}", l.pod, l.container, l.text)),
        ),
        ("tail", sections(|pod| [format!("==> logs/{pod}.log <==\n"), "\n".to_owned()])),
        (
            "kubectl cluster-info dump",
            sections(|pod| {
                ["START", "END"].map(|word| format!("==== {word} logs for container istio-proxy of pod n/{pod} ====\n"))
            }),
        ),
        (
            "the journal's export",
            text(|l| {
                let name = format!("k8s_{}_{}_n_u_0", l.container, l.pod);
                format!("__CURSOR=s=1;i=2\n_HOSTNAME=h\nCONTAINER_NAME={name}\nMESSAGE={}\n", l.text)
            }),
        ),
        (
            "base64 beside names",
            jsonl(each(|l| json!({"pod": l.pod, "container": l.container, "data": packed(l.text)}))),
        ),
    ] {
        tells_the_same(shape, &input);
    }
}

/// The same headline and gaps; where lines of the third pod are left, it may be said that nothing tells whether it is a
/// proxy.
#[track_caller]
fn same_story(shape: &str, told: &Value, wanted: &Value) {
    let is_doubt = |gap: &&Value| gap.as_str().is_some_and(|gap| gap.starts_with("1 pod or machine named without"));
    let gaps = |told: &Value| -> Vec<Value> {
        told["gaps"].as_array().unwrap().iter().filter(|gap| !is_doubt(gap)).cloned().collect()
    };
    assert_eq!((&told["headline"], gaps(told)), (&wanted["headline"], gaps(wanted)), "{shape}");
}

/// What tells of the two pods that saw something: the third has no line left.
#[track_caller]
fn tells_of_two(shape: &str, input: &[u8]) {
    let told = report(input).exits(0).json();
    let wanted = report(THREE.as_bytes()).exits(0).json();
    same_story(shape, &told, &wanted);
    assert_eq!(told["proxies"], json!(pods()[..2]), "{shape}");
}

#[test]
fn proxies_are_told_apart_where_only_their_events_are_left() {
    let grep = |sign: &str| text(|l| format!("logs/{}.log{sign}{}", l.pod, l.text));
    tells_of_two("grep -r", &grep(":"));
    tells_of_two("grep -rn", &grep(":12:"));
    tells_of_two("grep -rC1", &grep("-"));
    tells_of_two("grep of rotated files", &text(|l| format!("{}.log.1:{}", l.pod, l.text)));
    tells_of_two(
        "RFC 5424, the pod as the application",
        &text(|l| format!("<14>1 2026-11-20T15:43:09Z n {} - - - {}", l.pod, l.text)),
    );
    tells_of_two(
        "RFC 3164, the pod as the program",
        &text(|l| format!("<14>Nov 20 15:43:09 n {}[1]: {}", l.pod, l.text)),
    );
}

#[test]
fn proxies_are_told_apart_by_what_more_tools_write() {
    let id = "a".repeat(64);
    let file = |l: &Line| format!("containers.{}_n_{}-{id}.log", l.pod, l.container);
    tells_the_same("more", &sections(|pod| [format!("::::::::::::::\n{pod}.log\n::::::::::::::\n"), String::new()]));
    tells_the_same("rg --heading", &sections(|pod| [format!("logs/{pod}.log\n"), "\n".to_owned()]));
    tells_of_two("a loop over pods", &sections(|pod| [format!("=== pod/{pod} ===\n"), String::new()]));
    tells_of_two("a loop over names", &sections(|pod| [format!("{pod}\n"), String::new()]));
    for (shape, input) in [
        ("Fluentd", text(|l| format!("2026-11-20T15:43:09Z\tkube.var.log.{}\t{}", file(l), json!({"log": l.text})))),
        ("aws logs tail", text(|l| format!("2026-11-20T15:43:09+00:00 n-application.{} {}", file(l), l.text))),
        ("k9s", text(|l| format!("{}:{} {}", l.pod, l.container, l.text))),
        ("a template for stern", text(|l| format!("n/{}/{} {}", l.pod, l.container, l.text))),
        ("nerdctl", text(|l| format!("{} |{}", l.pod, l.text))),
        ("journalctl -o short-full", text(|l| format!("Fri 2026-11-20 15:43:09 UTC {} envoy[7]: {}", l.pod, l.text))),
        ("journalctl -o short-unix", text(|l| format!("1795189389.567 {} envoy[7]: {}", l.pod, l.text))),
        (
            "Elastic's common schema",
            jsonl(each(|l| {
                let pod = json!({"resource": {"name": l.pod, "type": "pod"}, "namespace": "n"});
                let container = json!({"name": l.container});
                json!({"message": l.text, "orchestrator": pod, "container": container, "host": {"name": "h"}})
            })),
        ),
    ] {
        tells_of_at_least_two(shape, &input);
    }
    // The numbers of one file's lines name nobody.
    let numbered: String =
        log_of(pods()[0]).lines().enumerate().map(|(n, line)| format!("{}:{line}\n", n + 1)).collect();
    assert_eq!(report(numbered.as_bytes()).exits(0).json()["proxies"], json!(["stdin"]));
}

/// The same, where quiet lines may tell of the third as well.
#[track_caller]
fn tells_of_at_least_two(shape: &str, input: &[u8]) {
    let told = report(input).exits(0).json();
    let wanted = report(THREE.as_bytes()).exits(0).json();
    same_story(shape, &told, &wanted);
    let proxies = told["proxies"].as_array().unwrap();
    assert_eq!(proxies[..], wanted["proxies"].as_array().unwrap()[..proxies.len()], "{shape}");
    assert!(proxies.len() >= 2, "{shape}");
}

/// What tells of the two machines that saw something, called as machines are.
#[track_caller]
fn tells_of_machines(shape: &str, input: &[u8]) {
    let mut named = String::from_utf8(input.to_owned()).unwrap();
    for (index, pod) in pods().iter().enumerate() {
        named = named.replace(pod, &format!("web{}", index + 1));
    }
    let told = report(named.as_bytes()).exits(0).json();
    same_story(shape, &told, &report(THREE.as_bytes()).exits(0).json());
    // Where the program is named, the third machine's is a proxy that saw nothing.
    assert_eq!(told["proxies"].as_array().unwrap()[..2], ["web1", "web2"], "{shape}");
}

#[test]
fn machines_are_told_apart_by_what_runs_a_command_on_many() {
    let rule = "---------------";
    tells_of_machines("clush", &text(|l| format!("{}: {}", l.pod, l.text)));
    tells_of_machines("parallel --tag", &text(|l| format!("{}\t{}", l.pod, l.text)));
    let ansible = sections(|pod| [format!("{pod} | CHANGED | rc=0 >>\n"), "\n".to_owned()]);
    tells_of_machines("ansible", &ansible);
    tells_of_machines("pssh", &sections(|pod| [format!("[1] 15:43:09 [SUCCESS] {pod}\n"), String::new()]));
    tells_of_machines("dshbak", &sections(|pod| [format!("{rule}\n{pod}\n{rule}\n"), String::new()]));
    tells_of_machines("salt", &sections(|pod| [format!("{pod}:\n"), String::new()]));
    let frame = |message: String| format!("{} {message}", message.len());
    // The lengths are those of messages with the machines' names.
    let caught = lines().iter().fold(String::new(), |all, l| {
        let index = pods().iter().position(|pod| *pod == l.pod).unwrap() + 1;
        all + &frame(format!("<14>1 2026-11-20T15:43:09Z web{index} envoy 7 - - {}", l.text))
    });
    tells_of_machines("syslog as TCP carries it", caught.as_bytes());
    let verbose = text(|l| {
        let head = "Fri 2026-11-20 15:43:09.567000 UTC [s=1;i=2;b=3;m=4;t=5;x=6]";
        format!("{head}\n    _HOSTNAME={}\n    SYSLOG_IDENTIFIER=envoy\n    MESSAGE={}", l.pod, l.text)
    });
    tells_of_machines("journalctl -o verbose", &verbose);
    // A program's name, or a level, names nobody.
    for tag in ["envoy", "istio-proxy", "WARN"] {
        let tagged: String = log_of(pods()[0]).lines().map(|line| format!("{tag}: {line}\n")).collect();
        assert_eq!(report(tagged.as_bytes()).exits(0).json()["proxies"], json!(["stdin"]), "{tag}");
    }
}

fn packed(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

#[test]
fn records_in_base64_are_unpacked() {
    let record = |l: &Line| json!({"log": l.text, "kubernetes": {"pod_name": l.pod, "container_name": l.container}});
    let firehose = each(|l| json!({"recordId": "1", "data": packed(&record(l).to_string())}));
    tells_of_two("Firehose", json!({"records": firehose}).to_string().as_bytes());
    let kinesis =
        each(|l| json!({"kinesis": {"data": packed(&format!("[pod/{}/{}] {}\n", l.pod, l.container, l.text))}}));
    tells_of_two("Kinesis", &serde_json::to_vec_pretty(&json!({"Records": kinesis})).unwrap());
    tells_of_two("lines of base64", &text(|l| packed(&record(l).to_string())));
    let url_safe = base64::prelude::BASE64_URL_SAFE_NO_PAD;
    tells_of_two("URL-safe", &text(|l| format!("data={}", url_safe.encode(record(l).to_string()))));
}

#[test]
fn a_line_that_docker_split_is_whole_again() {
    let long = "x".repeat((16 << 10) - 300);
    let log: String = log_of(pods()[0])
        .lines()
        .filter(|line| line.contains("\"faultline\""))
        .flat_map(|line| {
            let whole = format!("{long} {line}\n");
            let (first, rest) = whole.split_at(16 << 10);
            [first, rest]
                .map(|part| json!({"log": part, "stream": "stdout", "time": "2026-11-20T15:43:09Z"}).to_string() + "\n")
        })
        .collect();
    let told = report(log.as_bytes()).exits(0).json();
    assert_eq!((&told["events"], &told["gaps"]), (&5.into(), &json!([])));
    // The last part is missing: that is said.
    let cut: String = log.lines().take(log.lines().count() - 1).map(|line| format!("{line}\n")).collect();
    let told = report(cut.as_bytes()).json();
    assert_eq!(told["events"], 4);
    assert!(told["gaps"].to_string().contains("1 event could not be read"), "{told}");
}

#[test]
fn rotated_files_are_one_proxys_and_numbered_pods_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of(pods()[0]);
    let lines: Vec<&str> = log.lines().collect();
    let write = |name: &str, lines: &[&str]| std::fs::write(dir.path().join(name), lines.join("\n")).unwrap();
    write("z.log", &lines[3..]);
    for rotated in ["z.1.log", "z.log.1", "z-20261129.log", "z.2026-11-29.log", "z-2026-11-29T15-10-00.000.log"] {
        write(rotated, &lines[..3]);
        let told = run(dir.path(), &["report", "--output", "json", "z.log", rotated]).exits(0).json();
        assert_eq!((&told["proxies"], &told["gaps"]), (&json!(["z"]), &json!([])), "{rotated}");
        let events = run(dir.path(), &["events", "z.log", rotated]).exits(0).stdout;
        assert!(events.lines().count() == 5 && events.lines().all(|line| line.contains(r#""pod":"z""#)), "{events}");
    }
    write("z-1.log", &lines[..3]);
    let told = run(dir.path(), &["report", "--output", "json", "z.log", "z-1.log"]).exits(0).json();
    assert_eq!(told["proxies"], json!(["z", "z-1"]));
}

/// A tar archive of a file for each pod.
fn archive(path: impl Fn(&str) -> String) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for pod in pods() {
        let log = log_of(pod);
        let mut header = tar::Header::new_ustar();
        header.set_size(log.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, path(pod), log.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn the_events_of_an_archive_name_the_pods_as_the_report_does() {
    let names = |input: &[u8]| {
        let ran = run_with_input(Path::new("."), &["events"], input).exits(0);
        let pod = |line: &str| serde_json::from_str::<Value>(line).unwrap()["pod"].clone();
        let mut pods: Vec<Value> = ran.stdout.lines().map(pod).collect();
        pods.dedup();
        Value::from(pods)
    };
    for path in [
        |pod: &str| format!("logs/{pod}/proxy.log"),
        |pod: &str| format!("dump/shop/{pod}/logs.txt"),
        |pod: &str| format!("bug-report/proxies/shop/{pod}/istio-proxy.log"),
        |pod: &str| format!("q/namespaces/shop/pods/{pod}/istio-proxy/istio-proxy/logs/current.log"),
        |pod: &str| format!("pods/shop_{pod}_u/istio-proxy/0.log"),
    ] {
        let input = archive(path);
        assert_eq!(names(&input), json!(pods()[..2]), "{}", path("POD"));
        let told = report(&input).exits(0).json();
        assert_eq!(told["proxies"].as_array().unwrap()[..2], names(&input).as_array().unwrap()[..], "{}", path("POD"));
    }
    // A collection that names the container names those that saw nothing, too.
    let told = report(&archive(|pod| format!("proxies/shop/{pod}/istio-proxy.log"))).exits(0).json();
    assert_eq!(told["proxies"], json!(pods()));
    // Files of one name in several folders are not one proxy's.
    let same = archive(|pod| format!("{}/z.log", &pod[pod.len() - 5..]));
    assert_eq!(names(&same), json!(["z", "m2wlp/z"]));
}

#[test]
fn nothing_that_turns_the_direction_of_writing_is_printed_as_it_is() {
    let log = THREE.replace("mockb.default", "mo\u{202e}ck\u{2066}b\u{200b}.default").replace("UF", "U\u{61c}F");
    assert!(log.contains('\u{202e}') && log.contains('\u{61c}'));
    for command in [&["report"][..], &["report", "--details"], &["report", "--output", "json"], &["events"], &["watch"]]
    {
        let ran = run_with_input(Path::new("."), command, log.as_bytes()).exits(0);
        let steers = |c: char| "\u{202e}\u{2066}\u{200b}\u{61c}".contains(c);
        assert!(!ran.stdout.contains(steers) && !ran.stderr.contains(steers), "{command:?}: {ran:?}");
        assert!(!ran.stdout.is_empty(), "{command:?}");
    }
    let events = run_with_input(Path::new("."), &["events"], log.as_bytes()).exits(0).stdout;
    let event: Value = serde_json::from_str(events.lines().next().unwrap()).unwrap();
    assert!(event["cluster"].as_str().unwrap().contains("mo\u{202e}ck"), "as JSON it is what was logged: {event}");
}
