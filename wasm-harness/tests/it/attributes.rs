//! Tests of attributes: which exist in which phase, with which bytes and status, and how an ending shows in them.

use crate::probe::{Probe, said};
use wasm_harness::{Exchange, Flags, Outcome, Phase, Upstream, Value};

fn endpoint() -> Upstream {
    Upstream::new("outbound|80||shop", "10.0.0.7:8080").locality("eu/a/rack1").endpoints(3)
}

#[test]
fn attributes_appear_as_the_request_moves_on() {
    let paths = ["xds.cluster_name", "upstream.address", "response.code_details", "upstream.local_address"];
    let mut probe = Probe::new();
    for callback in ["proxy_on_request_headers", "proxy_on_request_body", "proxy_on_response_headers"] {
        probe = probe.on(callback, |probe| {
            probe.say(callback);
            paths.into_iter().for_each(|path| probe.property(path));
            probe.property_hex("request.duration");
        });
    }
    probe = probe.on("proxy_on_log", |probe| probe.property_hex("request.duration"));
    let mut proxy = probe.start();
    proxy.exchange(0, &Exchange::ok(&endpoint()).request_body(&[b"x"]));
    let expected = [
        "proxy_on_request_headers",
        "xds.cluster_name 0 outbound|80||shop",
        "upstream.address 1",
        "response.code_details 1",
        "upstream.local_address 1",
        "request.duration 1",
        "proxy_on_request_body",
        "xds.cluster_name 0 outbound|80||shop",
        "upstream.address 0 10.0.0.7:8080",
        "response.code_details 1",
        "upstream.local_address 1",
        "request.duration 1",
        "proxy_on_response_headers",
        "xds.cluster_name 0 outbound|80||shop",
        "upstream.address 0 10.0.0.7:8080",
        "response.code_details 0 via_upstream",
        "upstream.local_address 0 10.0.0.1:50000",
        "request.duration 1",
        "request.duration 0 404b4c0000000000", // 5 ms in ns, little endian
    ];
    assert_eq!(said(&mut proxy), expected);
}

#[test]
fn each_kind_of_attribute_has_its_bytes_and_its_status() {
    let mut proxy = Probe::new()
        .on("proxy_on_response_headers", |probe| {
            probe.property_hex("response.code");
            probe.property_hex("upstream.request_attempt_count");
            probe.property_hex("upstream.locality");
            probe.property("upstream.locality.zone");
            probe.property("upstream.transport_failure_reason"); // empty: null pointer, Ok
            probe.property("xds.upstream_host_metadata"); // null: SerializationFailure
            probe.property("xds.upstream_host_metadata.filter_metadata.istio.workload");
            probe.property("upstream"); // cannot be listed
            probe.property("xds");
            probe.property("upstream.nonsense");
            probe.property("nonsense");
            probe.property("cluster_name"); // removed from Envoy in 1.33
        })
        .start();
    proxy.exchange(0, &Exchange::ok(&endpoint()).attempts(2));
    let expected = [
        "response.code 0 c800000000000000",
        "upstream.request_attempt_count 0 0200000000000000",
        "upstream.locality 0 0a02657512016\
         11a057261636b31",
        "upstream.locality.zone 0 a",
        "upstream.transport_failure_reason 0",
        "xds.upstream_host_metadata 3",
        "xds.upstream_host_metadata.filter_metadata.istio.workload 1",
        "upstream 3",
        "xds 3",
        "upstream.nonsense 1",
        "nonsense 1",
        "cluster_name 1",
    ];
    assert_eq!(said(&mut proxy), expected);
    let known = endpoint().workload("shop-v1;default");
    proxy.exchange(0, &Exchange::ok(&known));
    let lines = said(&mut proxy);
    assert!(lines[5].starts_with("xds.upstream_host_metadata 0 \n"), "{lines:?}");
    assert!(lines[6].ends_with(" 0 shop-v1;default"), "{lines:?}");
}

/// How an ending appears in the log phase.
struct Ending {
    exchange: Exchange,
    details: &'static str,
    flags: i64,
    code: Option<i64>,
    address: Option<&'static str>,
    local_address: Option<&'static str>,
}

const ADDRESS: Option<&str> = Some("10.0.0.7:8080");
const LOCAL: Option<&str> = Some("10.0.0.1:50000");
const REFUSED: &str =
    "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}";
const CLOSED: &str = "upstream_reset_before_response_started{connection_termination}";
const CUT_SHORT: &str = "upstream_reset_after_response_started{protocol_error}";
const OVERFLOW: &str = "upstream_reset_before_response_started{overflow}";

#[rustfmt::skip] // one row for each ending
fn endings() -> [Ending; 10] {
    let to = endpoint();
    let retried = Exchange::connect_refused(&to).retries_exhausted();
    let row = |exchange, details, flags, code, address, local_address| {
        Ending { exchange, details, flags, code, address, local_address }
    };
    [
        row(Exchange::connect_refused(&to), REFUSED, Flags::UF, Some(503), ADDRESS, None),
        row(Exchange::closed_before_headers(&to), CLOSED, Flags::UC, Some(503), ADDRESS, LOCAL),
        row(Exchange::no_healthy_upstream(&to), "no_healthy_upstream", Flags::UH, Some(503), None, None),
        row(Exchange::timeout(&to), "response_timeout", Flags::UT, Some(504), ADDRESS, LOCAL),
        row(Exchange::timeout_before_connect(&to), "response_timeout", Flags::UT, Some(504), ADDRESS, None),
        row(Exchange::reset_after_headers(&to, 200), CUT_SHORT, Flags::UPE, Some(200), ADDRESS, LOCAL),
        row(Exchange::client_cancel(&to), "downstream_remote_disconnect", Flags::DC, None, ADDRESS, LOCAL),
        row(retried, REFUSED, Flags::UF | Flags::URX, Some(503), ADDRESS, None),
        row(Exchange::overflow(&to), OVERFLOW, Flags::UO, Some(503), None, None),
        row(Exchange::no_route(), "route_not_found", Flags::NR, Some(404), None, None),
    ]
}

#[test]
fn endings_carry_the_flags_details_and_addresses_envoy_gives_them() {
    let mut proxy = Probe::new()
        .on("proxy_on_log", |probe| {
            probe.property("response.code_details");
            probe.property_hex("response.flags");
            probe.property_hex("response.code");
            probe.property("upstream.address");
            probe.property("upstream.local_address");
        })
        .start();
    let hex = |number: i64| -> String { number.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect() };
    let found = |value: Option<&str>| value.map_or(" 1".into(), |value| format!(" 0 {value}"));
    for ending in endings() {
        assert_eq!(proxy.exchange(0, &ending.exchange), Outcome::Continue);
        let expected = [
            format!("response.code_details 0 {}", ending.details),
            format!("response.flags 0 {}", hex(ending.flags)),
            format!("response.code{}", found(ending.code.map(hex).as_deref())),
            format!("upstream.address{}", found(ending.address)),
            format!("upstream.local_address{}", found(ending.local_address)),
        ];
        assert_eq!(said(&mut proxy), expected);
    }
}

#[test]
fn a_late_reset_shows_in_the_log_and_not_before() {
    let both = |probe: &mut Probe| {
        probe.property("response.code_details");
        probe.property_hex("response.flags");
    };
    let mut proxy = Probe::new().on("proxy_on_response_headers", both).on("proxy_on_log", both).start();
    proxy.exchange(0, &Exchange::reset_after_headers(&endpoint(), 200));
    let lines = said(&mut proxy);
    assert_eq!(lines[0], "response.code_details 0 via_upstream");
    assert_eq!(lines[1], "response.flags 0 0000000000000000");
    assert!(lines[2].contains("upstream_reset_after_response_started"));
    assert_eq!(lines[3], "response.flags 0 0000800000000000");
}

#[test]
fn what_envoy_knows_can_be_overridden_and_changed_between_phases() {
    let mut proxy = Probe::new()
        .on("proxy_on_response_headers", |probe| probe.property("upstream.address"))
        .on("proxy_on_log", |probe| probe.property("upstream.address"))
        .start();
    proxy.exchange(0, &Exchange::ok(&endpoint()).remove("upstream.address"));
    proxy.exchange(0, &Exchange::ok(&endpoint()).set("upstream.address", Value::Null));
    let later = Exchange::ok(&endpoint()).set_from(Phase::Log, "upstream.address", "other");
    proxy.exchange(0, &later);
    let expected = ["1", "1", "3", "3", "0 10.0.0.7:8080", "0 other"];
    assert_eq!(said(&mut proxy), expected.map(|end| format!("upstream.address {end}")));

    let stream = proxy.open(0, proxy.root(), &Exchange::ok(&endpoint()));
    proxy.request_headers(stream);
    proxy.response_headers(stream);
    proxy.update(stream, |exchange| exchange.set("upstream.address", "moved"));
    proxy.finish(stream);
    assert_eq!(said(&mut proxy), ["upstream.address 0 10.0.0.7:8080", "upstream.address 0 moved"]);
}

#[test]
fn properties_set_by_the_module_live_with_the_stream() {
    let mut proxy = Probe::new()
        .on("proxy_on_configure", |probe| probe.set_property("mine", "x"))
        .on("proxy_on_request_headers", |probe| probe.set_property("mine", "yes"))
        .on("proxy_on_log", |probe| probe.property("mine"))
        .start();
    assert_eq!(said(&mut proxy), ["set 1", "set 1", "set 1"], "a root has no stream to set it on");
    proxy.exchange(0, &Exchange::ok(&endpoint()));
    assert_eq!(said(&mut proxy), ["set 0", "mine 0 yes"]);
}
