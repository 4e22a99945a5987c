//! Tests that nothing of a log is lost in silence: events in another form than JSON are counted, and of several files
//! the one that cannot be read is named while the others are told.

use std::io::Write;

use serde_json::Value;

use crate::log_shapes::{THREE, tells_the_same};
use crate::support::{Ran, run, run_with_input};

/// The ten events, each as its own JSON.
fn events() -> Vec<Value> {
    let of_line = |line: &str| {
        let json = line.get(line.find("{\"faultline\"")?..)?;
        serde_json::Deserializer::from_str(json).into_iter().next()?.ok()
    };
    THREE.lines().filter_map(of_line).collect()
}

/// Writes an event in some form.
type Writer<'w> = &'w dyn Fn(&Value) -> String;

fn report(input: &[u8]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    run_with_input(dir.path(), &["report", "--output", "json"], input)
}

#[test]
fn events_that_are_not_written_as_json_are_counted() {
    let quoted = |quote: &'static str| move |event: &Value| event.to_string().replace('"', quote);
    let pairs = |event: &Value, join: &str, between: &str| -> String {
        let fields = event.as_object().unwrap().iter().map(|(key, value)| format!("{key}{join}{value}"));
        fields.collect::<Vec<_>>().join(between)
    };
    let forms: [(&str, Writer<'_>); 7] = [
        ("Python's repr", &quoted("'")),
        ("no quotes", &quoted("")),
        ("typographic quotes", &quoted("\u{201d}")),
        ("Go's map", &|event| format!("map[{}]", pairs(event, ":", " ").replace('"', ""))),
        ("logfmt", &|event| pairs(event, "=", " ")),
        ("YAML", &|event| format!("---\n{}", pairs(event, ": ", "\n"))),
        ("percent signs", &|event| event.to_string().replace('"', "%22").replace(':', "%3A").replace(' ', "%20")),
    ];
    for (form, write) in forms {
        let text: String = events().iter().map(|event| write(event) + "\n").collect();
        let ran = report(text.as_bytes()).exits(3);
        let wanted = "What happened is not known: 10 events could not be read: they are not written as JSON.";
        assert_eq!(ran.json()["headline"], wanted, "{form}");
        let dir = tempfile::tempdir().unwrap();
        for command in ["events", "watch"] {
            let ran = run_with_input(dir.path(), &[command], text.as_bytes()).exits(3);
            assert!(
                ran.stderr.contains("10 events could not be read: they are not written as JSON."),
                "{form}: {ran:?}"
            );
        }
    }
}

#[test]
fn labels_beside_an_event_and_words_about_events_are_none() {
    let event = &events()[0];
    for line in [
        format!("{{faultline=\"error_streak\", pod=\"a\", ts=\"2026-11-20T15:43:09.567Z\", v=\"1\"}} {event}\n"),
        format!("{event}\nquery: {{app=\"x\"}} | json | faultline=\"error_streak\"\n"),
        format!("{event}\njq 'select(.faultline == \"error_streak\" and .v == 1)' ts: 2026-11-20\n"),
    ] {
        let told = report(line.as_bytes()).exits(0).json();
        assert_eq!((&told["events"], &told["gaps"]), (&1.into(), &Value::Array(Vec::new())), "{line}");
    }
}

#[test]
fn what_powershell_and_log_rotation_leave_in_a_file_is_read() {
    // `>>` of PowerShell adds UTF-16 to what another shell began.
    let (first, rest) = THREE.split_at(THREE.find("\n[pod/mocka-7d9c6b5f4-m2wlp").unwrap() + 1);
    let utf16: Vec<u8> = rest.encode_utf16().flat_map(u16::to_le_bytes).collect();
    tells_the_same("UTF-16 behind UTF-8", &[first.as_bytes(), &utf16].concat());
    // A log that was emptied while its writer went on where it was begins with a hole.
    tells_the_same("a hole", &[&[0; 70_000], THREE.as_bytes()].concat());
    tells_the_same("a small hole", &[&[0; 300], THREE.as_bytes()].concat());
    let escaped = THREE.replace('"', "\\u0022");
    tells_the_same("escaped quotes", escaped.as_bytes());
}

#[test]
fn of_several_files_the_one_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(THREE.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    write("a.log", THREE.as_bytes());
    write("cut.gz", &packed[..6]);
    write("secret.bin", &(0..4_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>());
    std::fs::create_dir(dir.path().join("old")).unwrap();
    let files = ["a.log", "cut.gz", "secret.bin", "old"];
    let ran = run(dir.path(), &[&["report"], &files[..]].concat()).exits(3);
    assert!(ran.stdout.contains("10 events of 3 proxies"), "{ran:?}");
    let plain = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "`cut.gz` was not read: is cut or damaged",
        "`secret.bin` was not read: is no text",
        "`old` was not read: is a directory",
    ] {
        assert!(plain.contains(words), "{words}: {ran:?}");
    }
    let ran = run(dir.path(), &[&["events"], &files[..]].concat()).exits(3);
    assert_eq!(ran.stdout.lines().count(), 10, "{ran:?}");
    assert!(ran.stderr.contains("`cut.gz` was not read: is cut or damaged"), "{ran:?}");
    for command in ["events", "report"] {
        run(dir.path(), &[command, "cut.gz"]).fails_with(&["`cut.gz`", "is cut or damaged"]);
        run(dir.path(), &[command, "cut.gz", "old"])
            .fails_with(&["cannot read any of the 2 logs", "`old` is a directory"]);
        let ran = run(dir.path(), &[command, "a.log", "b.log"]).exits(1);
        assert!(ran.stderr.contains("cannot read the log `b.log`"), "{ran:?}");
    }
}

#[test]
fn of_an_archive_the_files_behind_a_damaged_one_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut archive = tar::Builder::new(std::fs::File::create(dir.path().join("all.tar")).unwrap());
    let mut add = |path: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        archive.append_data(&mut header, path, bytes).unwrap();
    };
    add("old/a.log.gz", b"\x1f\x8b\x08\0\0\0");
    add("b.log", THREE.as_bytes());
    archive.finish().unwrap();
    let ran = run(dir.path(), &["events", "all.tar"]).exits(3);
    assert_eq!(ran.stdout.lines().count(), 10, "{ran:?}");
    assert!(ran.stderr.contains("`all.tar:old/a.log.gz` was not read to its end"), "{ran:?}");
}
