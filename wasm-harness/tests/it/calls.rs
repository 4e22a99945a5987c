//! Tests of HTTP calls, foreign functions, effective contexts and injected faults.

use crate::probe::{Probe, said, said_by};
use std::time::Duration;
use wasm_harness::{Cluster, Exchange, Fault, Harness, Outcome, Status, Upstream, Value, VmId};

const GET: [(&str, &str); 3] = [(":method", "GET"), (":path", "/clusters"), (":authority", "admin")];

fn ok() -> Exchange {
    Exchange::ok(&Upstream::new("outbound|80||shop", "10.0.0.7:8080"))
}

fn caller(cluster: &str, headers: &[(&str, &str)], timeout_ms: u32) -> Harness {
    let module = Probe::new()
        .on("proxy_on_request_headers", |probe| probe.http_call(cluster, headers, timeout_ms))
        .on("proxy_on_http_call_response", |probe| {
            probe.header(6, ":status");
            probe.header(6, "x-a");
            probe.buffer(4);
            probe.status();
        })
        .on("proxy_on_log", |probe| probe.buffer(4))
        .module();
    let builder = Harness::builder().cluster("admin");
    builder.build(&module).unwrap()
}

#[test]
fn a_call_waits_for_the_tests_answer_which_is_readable_in_its_callback() {
    let mut proxy = caller("admin", &GET, 500);
    proxy.exchange(0, &ok());
    assert_eq!(said(&mut proxy), ["http_call 0", "buffer 1"]);
    let calls = proxy.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].vm, calls[0].path()), (VmId::Worker(0), "/clusters"));
    assert_eq!(calls[0].timeout, Some(Duration::from_millis(500)));
    let answered = proxy.answer(calls[0].id, 200, &[("x-a", "b")], b"{}");
    assert_eq!(answered, Some(Outcome::Continue));
    assert_eq!(said(&mut proxy), [":status 0 323030", "x-a 0 62", "buffer 0 {}", "status 0"]);
    assert_eq!(proxy.answer(calls[0].id, 200, &[], b""), None, "it waits no more");
    proxy.advance(Duration::from_secs(1));
    assert!(said(&mut proxy).is_empty(), "nor does it time out");
}

#[test]
fn an_unanswered_call_times_out_as_a_local_reply() {
    let mut proxy = caller("admin", &GET, 500);
    proxy.exchange(0, &ok());
    said(&mut proxy);
    proxy.advance(Duration::from_millis(499));
    assert!(said(&mut proxy).is_empty());
    proxy.advance(Duration::from_millis(1));
    assert_eq!(said(&mut proxy), [":status 0 353034", "x-a 1", "buffer 0 upstream request timeout", "status 0"]);
    assert!(proxy.calls().is_empty());
}

#[test]
fn a_reset_call_has_no_headers_and_says_reset() {
    let mut proxy = caller("admin", &GET, 0);
    proxy.exchange(0, &ok());
    said(&mut proxy);
    proxy.advance(Duration::from_secs(3600)); // 0 is no timeout
    proxy.reset_call(proxy.calls()[0].id);
    assert_eq!(said(&mut proxy), [":status 2", "x-a 2", "buffer 1", "status 0 reset"]);
}

#[test]
fn a_call_that_cannot_be_made_says_why() {
    for (cluster, headers, status) in [("nowhere", &GET[..], 2), ("admin", &GET[..2], 2)] {
        let mut proxy = caller(cluster, headers, 500);
        proxy.exchange(0, &ok());
        assert_eq!(said(&mut proxy)[0], format!("http_call {status}"));
        assert!(proxy.calls().is_empty());
    }
    let mut proxy = caller("admin", &GET, 500);
    proxy.set_cluster("admin", Some(Cluster::NoEndpoint));
    proxy.exchange(0, &ok());
    assert_eq!(said(&mut proxy)[0], "http_call 10");
    proxy.set_cluster("admin", None);
    proxy.exchange(0, &ok());
    assert_eq!(said(&mut proxy)[0], "http_call 2");
}

#[test]
fn calls_of_the_canary_and_of_dead_vms_are_gone() {
    let module = Probe::new()
        .on("proxy_on_configure", |probe| probe.http_call("admin", &GET, 0))
        .on("proxy_on_request_headers", |probe| probe.trap())
        .module();
    let mut proxy = Harness::builder().cluster("admin").build(&module).unwrap();
    let callers = |proxy: &Harness| proxy.calls().iter().map(|call| call.vm).collect::<Vec<_>>();
    assert_eq!(callers(&proxy), [VmId::Main, VmId::Worker(0)]);
    proxy.exchange(0, &ok());
    assert_eq!(callers(&proxy), [VmId::Main]);
}

#[test]
fn an_expression_reads_several_attributes_at_once() {
    let mut proxy = Probe::new()
        .on("proxy_on_configure", |probe| {
            probe.foreign("expr_create", "[xds.cluster_name, response.code]");
            probe.with_token("expr_evaluate");
        })
        .on("proxy_on_request_headers", |probe| probe.with_token("expr_evaluate"))
        .on("proxy_on_log", |probe| probe.with_token("expr_evaluate"))
        .on("proxy_on_delete", |probe| {
            probe.with_token("expr_delete");
            probe.with_token("expr_evaluate");
        })
        .start();
    let lines = said(&mut proxy);
    assert_eq!(lines[..2], ["expr_create 0 00000000", "expr_evaluate 10"], "tokens start at 0; no stream, no value");
    proxy.exchange(0, &Exchange::status(&Upstream::new("ab", "10.0.0.7:80"), 503));
    let two = "02000000" // elements
        .to_string() + "0200000000000000" + "0800000000000000" // length of key and of value, each
        + "616200" + "00" // "ab", NUL, the empty value's NUL
        + "f701000000000000" + "00" + "00";
    let expected = [
        "expr_evaluate 10".to_string(), // the code is not known yet
        format!("expr_evaluate 0 {two}"),
        "expr_delete 0".to_string(),
        "expr_evaluate 1".to_string(), // no such token any more
    ];
    assert_eq!(said(&mut proxy), expected);
}

#[test]
fn expressions_fail_with_envoys_statuses() {
    let mut proxy = Probe::new()
        .on("proxy_on_response_headers", |probe| {
            probe.foreign("expr_create", "[a, b");
            probe.foreign("expr_create", "response.code + 1"); // valid CEL, not this subset
            probe.foreign("expr_evaluate", "xyz");
            probe.foreign("expr_evaluate", "none");
            probe.foreign("compress", "abc");
            probe.foreign("expr_create", "[xds.upstream_host_metadata]");
            probe.with_token("expr_evaluate");
        })
        .start();
    proxy.exchange(0, &ok());
    let expected = [
        "expr_create 2",
        "expr_create 2",
        "expr_evaluate 2",
        "expr_evaluate 1",
        "compress 1",
        "expr_create 0 00000000",
        "expr_evaluate 3",
    ];
    assert_eq!(said(&mut proxy), expected);
    let error = ok().set("xds.upstream_host_metadata", Value::Error);
    proxy.exchange(0, &error);
    assert_eq!(said(&mut proxy)[5..], ["expr_create 0 01000000", "expr_evaluate 10"]);
}

#[test]
fn an_effective_context_lasts_for_one_callback() {
    let mut proxy = Probe::new()
        .on("proxy_on_configure", |probe| probe.tick_every(1000))
        .on("proxy_on_tick", |probe| {
            probe.effective(77);
            probe.effective(2); // the first stream of the worker
            probe.property("xds.cluster_name");
            probe.effective(0);
            probe.property("xds.cluster_name");
            probe.effective(2);
        })
        .start();
    let stream = proxy.open(0, proxy.root(), &ok());
    proxy.request_headers(stream);
    said(&mut proxy);
    proxy.advance(Duration::from_secs(1));
    let lines = said_by(&mut proxy);
    let worker: Vec<_> = lines.iter().filter(|line| line.starts_with('0')).collect();
    assert_eq!(
        worker,
        [
            "0 effective 2",
            "0 effective 0",
            "0 xds.cluster_name 0 outbound|80||shop",
            "0 effective 0",
            "0 xds.cluster_name 1",
            "0 effective 0",
        ]
    );
}

#[test]
fn any_host_call_can_be_made_to_fail() {
    let mut proxy = Probe::new()
        .on("proxy_on_log", |probe| {
            probe.property("upstream.address");
            probe.property("xds.cluster_name");
            probe.swap_shared("k", "v");
        })
        .start();
    proxy.fault(Fault::new("proxy_get_property", Status::InternalFailure).of("upstream.address"));
    proxy.fault(Fault::new("proxy_set_shared_data", Status(77)).once());
    proxy.fault(Fault::new("proxy_get_property", Status::Ok).of("xds.cluster_name").on(VmId::Worker(0)).once());
    proxy.exchange(0, &ok());
    assert_eq!(said(&mut proxy), ["upstream.address 10", "xds.cluster_name 0", "swap 77"]);
    assert_eq!(proxy.shared_data("k"), None, "a call that failed has done nothing");
    proxy.exchange(0, &ok());
    let second = ["upstream.address 10", "xds.cluster_name 0 outbound|80||shop", "swap 0"];
    assert_eq!(said(&mut proxy), second);
    proxy.heal();
    proxy.exchange(0, &ok());
    assert_eq!(said(&mut proxy)[0], "upstream.address 0 10.0.0.7:8080");
}
