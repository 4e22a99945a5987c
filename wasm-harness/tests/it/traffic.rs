//! Tests of the order of callbacks, header maps and bodies by phase, access logs, local replies and traps.

use crate::probe::{Probe, said};
use wasm_harness::{Exchange, LocalReply, Outcome, Upstream, VmId};

fn endpoint() -> Upstream {
    Upstream::new("outbound|80||shop", "10.0.0.7:8080").locality("eu/a/rack1").endpoints(3)
}

#[test]
fn callbacks_come_in_envoys_order() {
    let mut proxy = Probe::new().chatty().start();
    said(&mut proxy);
    let exchange = Exchange::ok(&endpoint())
        .request_body(&[b"a", b"b"])
        .request_trailer("x", "y")
        .response_body(&[b"c"])
        .response_trailer("x", "y");
    assert_eq!(proxy.exchange(0, &exchange), Outcome::Continue);
    let expected = [
        "proxy_on_context_create",
        "proxy_on_request_headers",
        "proxy_on_request_body",
        "proxy_on_request_body",
        "proxy_on_request_trailers",
        "proxy_on_response_headers",
        "proxy_on_response_body",
        "proxy_on_response_trailers",
        "proxy_on_log",
        "proxy_on_done",
        "proxy_on_delete",
    ];
    assert_eq!(said(&mut proxy), expected);
}

#[test]
fn a_request_without_an_answer_is_only_logged() {
    let mut proxy = Probe::new().chatty().start();
    said(&mut proxy);
    proxy.exchange(0, &Exchange::client_cancel(&endpoint()));
    let expected =
        ["proxy_on_context_create", "proxy_on_request_headers", "proxy_on_log", "proxy_on_done", "proxy_on_delete"];
    assert_eq!(said(&mut proxy), expected);
}

#[test]
fn a_stream_no_filter_saw_begin_gets_its_context_with_the_log() {
    let mut proxy = Probe::new().chatty().start();
    said(&mut proxy);
    let stream = proxy.open(0, proxy.root(), &Exchange::no_route());
    assert_eq!(proxy.response_headers(stream), Outcome::Continue);
    assert!(said(&mut proxy).is_empty(), "nothing is called for a context that was never created");
    proxy.finish(stream);
    let expected = ["proxy_on_context_create", "proxy_on_log", "proxy_on_done", "proxy_on_delete"];
    assert_eq!(said(&mut proxy), expected);
}

#[test]
fn streams_interleave_and_may_end_in_any_order() {
    let mut proxy = Probe::new().on("proxy_on_log", |probe| probe.property("upstream.address")).start();
    let root = proxy.root();
    let one = proxy.open(0, root, &Exchange::ok(&endpoint()));
    let two = proxy.open(0, root, &Exchange::ok(&Upstream::new("c", "10.0.0.9:1")));
    proxy.request_headers(one);
    proxy.request_headers(two);
    proxy.response_headers(two);
    proxy.response_headers(one);
    proxy.finish(two);
    proxy.delete(one);
    assert_eq!(said(&mut proxy), ["upstream.address 0 10.0.0.9:1"]);
}

#[test]
fn header_maps_are_raw_bytes_and_only_there_in_their_own_callback_and_the_log() {
    let reads = |probe: &mut Probe| {
        probe.header(0, "X-Raw"); // names match in any case
        probe.header(2, ":status");
        probe.header(0, "absent");
        probe.property("request.path");
    };
    let mut proxy = Probe::new()
        .on("proxy_on_request_headers", reads)
        .on("proxy_on_response_headers", reads)
        .on("proxy_on_log", reads)
        .start();
    proxy.exchange(0, &Exchange::status(&endpoint(), 500).request_header("x-raw", [0xff, 0x00, 0x41]));
    let expected = [
        "X-Raw 0 ff0041",
        ":status 2",
        "absent 1",
        "request.path 0 /", //
        "X-Raw 2",
        ":status 0 353030",
        "absent 2",
        "request.path 1", //
        "X-Raw 0 ff0041",
        ":status 0 353030",
        "absent 1",
        "request.path 0 /",
    ];
    assert_eq!(said(&mut proxy), expected);
    // Without a response, the log phase returns NotFound where a callback would return BadArgument.
    proxy.exchange(0, &Exchange::client_cancel(&endpoint()));
    assert_eq!(said(&mut proxy)[5], ":status 1");
}

#[test]
fn a_map_that_is_not_there_reads_as_no_pairs_at_all() {
    let mut proxy = Probe::new()
        .on("proxy_on_request_headers", |probe| probe.pairs(2))
        .on("proxy_on_response_headers", |probe| {
            probe.pairs(2);
            probe.pairs(9);
        })
        .start();
    proxy.exchange(0, &Exchange::ok(&endpoint()).response_body(&[]));
    let lines = said(&mut proxy);
    assert_eq!(lines[0], "pairs 0");
    assert!(lines[1].starts_with("pairs 0 0200000007000000030000000c0000000a000000"), "{lines:?}");
    assert_eq!(lines[2], "pairs 2");
}

#[test]
fn a_header_can_be_changed_in_its_callback_only() {
    let mut proxy = Probe::new()
        .on("proxy_on_request_headers", |probe| {
            probe.replace_header(0, "x-a", "b");
            probe.replace_header(2, "x-a", "b");
            probe.header(0, "x-a");
        })
        .on("proxy_on_log", |probe| probe.replace_header(0, "x-a", "c"))
        .start();
    proxy.exchange(0, &Exchange::ok(&endpoint()));
    assert_eq!(said(&mut proxy), ["replace 0", "replace 2", "x-a 0 62", "replace 2"]);
}

#[test]
fn bodies_are_readable_in_their_callback_and_empty_elsewhere() {
    let mut proxy = Probe::new()
        .on("proxy_on_request_body", |probe| [0, 1].into_iter().for_each(|kind| probe.buffer(kind)))
        .on("proxy_on_response_body", |probe| probe.buffer(1))
        .on("proxy_on_log", |probe| [1, 7, 4, 9].into_iter().for_each(|kind| probe.buffer(kind)))
        .start();
    proxy.exchange(0, &Exchange::ok(&endpoint()).request_body(&[b"in"]).response_body(&[b"out"]));
    let expected = ["buffer 0 in", "buffer 0", "buffer 0 out", "buffer 0", "buffer 1", "buffer 1", "buffer 2"];
    assert_eq!(said(&mut proxy), expected);
}

#[test]
fn the_upstream_log_runs_on_the_root_with_the_attempts_own_info() {
    let mut proxy = Probe::new()
        .on("proxy_on_log", |probe| {
            probe.property("upstream.address");
            probe.property_hex("response.code");
            probe.property_hex("response.flags");
            probe.property("response.code_details");
            probe.property_hex("upstream.request_attempt_count");
            probe.header(0, ":method");
        })
        .on("proxy_on_tick", |probe| probe.property("upstream.address"))
        .start();
    let root = proxy.root();
    let none = "0000000000000000";
    proxy.upstream_log(0, root, &Exchange::status(&endpoint(), 503).attempts(2));
    let code = "response.code 0 f701000000000000".to_string();
    let rest = |flags: &str| {
        [
            format!("response.flags 0 {flags}"),
            "response.code_details 1".into(),
            format!("upstream.request_attempt_count 0 {none}"),
            ":method 0 474554".into(),
        ]
    };
    let address = "upstream.address 0 10.0.0.7:8080".to_string();
    assert_eq!(said(&mut proxy), [vec![address.clone(), code], rest(none).to_vec()].concat());
    proxy.upstream_log(0, root, &Exchange::connect_refused(&endpoint()));
    let no_code = "response.code 1".to_string();
    assert_eq!(said(&mut proxy), [vec![address.clone(), no_code.clone()], rest("2000000000000000").to_vec()].concat());
    // A route timeout and a client disconnect look the same here.
    for alike in [Exchange::timeout(&endpoint()), Exchange::client_cancel(&endpoint())] {
        proxy.upstream_log(0, root, &alike);
        assert_eq!(said(&mut proxy), [vec![address.clone(), no_code.clone()], rest(none).to_vec()].concat());
    }
}

#[test]
fn a_local_reply_of_the_module_goes_through_the_response_callbacks() {
    let mut proxy = Probe::new()
        .on("proxy_on_request_headers", |probe| probe.reply(429, "too many"))
        .returns("proxy_on_request_headers", 1)
        .on("proxy_on_response_headers", |probe| {
            probe.header(2, ":status");
            probe.property("response.code_details");
        })
        .start();
    let reply = LocalReply { code: 429, details: "too_many".into(), body: vec![], headers: vec![] };
    assert_eq!(proxy.exchange(0, &Exchange::ok(&endpoint())), Outcome::LocalReply(reply));
    assert_eq!(said(&mut proxy), ["reply 0", ":status 0 343239", "response.code_details 0 too_many"]);
}

#[test]
fn a_paused_stream_is_only_logged() {
    let mut proxy = Probe::new().chatty().returns("proxy_on_request_headers", 1).start();
    said(&mut proxy);
    assert_eq!(proxy.exchange(0, &Exchange::ok(&endpoint())), Outcome::Pause);
    let lines = said(&mut proxy);
    assert_eq!(lines[2..], ["proxy_on_log", "proxy_on_done", "proxy_on_delete"]);
}

#[test]
fn a_trap_ends_its_own_vm_and_no_other() {
    let module = Probe::new()
        .on("proxy_on_request_body", |probe| probe.trap())
        .on("proxy_on_response_headers", |probe| probe.say("answered"))
        .on("proxy_on_tick", |probe| probe.say("tick"))
        .on("proxy_on_configure", |probe| probe.tick_every(1000))
        .module();
    let mut proxy = wasm_harness::Harness::builder().workers(2).build(&module).unwrap();
    said(&mut proxy);
    let open = proxy.open(0, proxy.root(), &Exchange::ok(&endpoint()));
    proxy.request_headers(open);
    let fatal = Exchange::ok(&endpoint()).request_body(&[b"x"]);
    assert_eq!(proxy.exchange(0, &fatal), Outcome::VmFailed);
    assert!(proxy.failure(VmId::Worker(0)).unwrap().contains("proxy_on_request_body"));
    assert!(said(&mut proxy).is_empty(), "no callback follows, not even the log");
    assert_eq!(proxy.response_headers(open), Outcome::VmFailed, "streams that were open fail too");
    assert_eq!(proxy.finish(open), Outcome::VmFailed);
    assert_eq!(proxy.exchange(0, &Exchange::ok(&endpoint())), Outcome::VmFailed);
    assert_eq!(proxy.exchange(1, &Exchange::ok(&endpoint())), Outcome::Continue);
    assert_eq!(said(&mut proxy), ["answered"]);
    proxy.advance(std::time::Duration::from_secs(1));
    assert_eq!(said(&mut proxy), ["tick", "tick"], "main thread and worker 1");
    assert_eq!(proxy.failure(VmId::Worker(1)), None);
}
