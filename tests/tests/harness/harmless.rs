//! Tests that no input makes the filter trap: statuses of host calls, values of attributes, headers, configurations,
//! clocks, unusual orders of callbacks. A trap would fail the request and leave the worker without the filter.

use crate::on_harness::{HOME, NEAR, endpoint, module, proxy};
use std::time::Duration;
use wasm_harness::{Exchange, Fault, Harness, Outcome, RootConfig, Status, Value, VmId};

const A: &str = "10.0.1.1:8000";
const B: &str = "10.0.2.1:8000";

const CONFIG: &str = r#"{"outlierDetection": {"consecutive5xxErrors": 1, "maxEjectionPercent": 100, "interval": "1s",
    "baseEjectionTime": "1s"}, "witness": {"cluster": "prometheus_stats"}, "notify": {"cluster": "prometheus_stats"}}"#;

/// Every host function that the filter calls.
const FUNCTIONS: [&str; 15] = [
    "proxy_log",
    "proxy_get_current_time_nanoseconds",
    "proxy_set_tick_period_milliseconds",
    "proxy_get_property",
    "proxy_get_header_map_value",
    "proxy_get_buffer_bytes",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_define_metric",
    "proxy_get_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_set_effective_context",
    "proxy_http_call",
    "proxy_call_foreign_function",
];

fn exchanges() -> Vec<Exchange> {
    let (a, b) = (endpoint(A, HOME), endpoint(B, NEAR));
    vec![
        Exchange::ok(&a),
        Exchange::status(&a, 500),
        Exchange::connect_refused(&a),
        Exchange::ok(&b).attempts(2),
        Exchange::reset_after_headers(&b, 200),
        Exchange::timeout(&a),
        Exchange::timeout_before_connect(&a),
        Exchange::closed_before_headers(&b),
        Exchange::client_cancel(&a),
        Exchange::client_cancel_after_headers(&a),
        Exchange::overflow(&a),
        Exchange::no_healthy_upstream(&a),
        Exchange::no_route(),
        Exchange::direct_response(200),
        Exchange::ok(&a).grpc_headers_only(14),
        Exchange::ok(&a).grpc(0),
    ]
}

/// Traffic of all kinds on all workers, answers to the filter's questions, and time.
fn play(proxy: &mut Harness) {
    for exchange in exchanges() {
        for worker in 0..proxy.workers() {
            proxy.exchange(worker, &exchange);
        }
        let root = proxy.root();
        proxy.upstream_log(0, root, &exchange);
        for call in proxy.calls() {
            proxy.answer(call.id, 200, &[], br#"{"cluster_statuses": []}"#);
        }
        proxy.advance(Duration::from_millis(700));
    }
}

fn assert_alive(proxy: &Harness, when: &str) {
    for vm in [VmId::Main, VmId::Worker(0), VmId::Worker(1)] {
        assert_eq!(proxy.failure(vm), None, "{when}");
    }
}

#[test]
fn every_status_of_every_host_call_is_survived() {
    for attempts in ["final", "upstreamLog"] {
        let config = CONFIG.replacen('{', &format!(r#"{{"attempts": "{attempts}", "#), 1);
        for function in FUNCTIONS {
            for status in (1..=12).chain([99, u32::MAX]) {
                // From the start, and after a period of health.
                let mut builder = Harness::builder().workers(2).config(config.as_str()).cluster("prometheus_stats");
                builder = builder.fault(Fault::new(function, Status(status)));
                let mut sick = builder.build(module()).expect("starts all the same");
                play(&mut sick);
                assert_alive(&sick, &format!("{function} gives {status} from the start, {attempts}"));
                let mut well = proxy(2, &config);
                well.exchange(0, &Exchange::ok(&endpoint(A, HOME)));
                well.fault(Fault::new(function, Status(status)));
                play(&mut well);
                assert_alive(&well, &format!("{function} gives {status} later, {attempts}"));
            }
        }
    }
}

#[test]
fn attributes_of_every_type_and_length_are_survived() {
    let long = "x".repeat(70_000);
    let values = [
        Value::Str(String::new()),
        Value::Str(long.clone()),
        Value::Str("a;.;b\"\n\u{0}ü".into()),
        Value::Bytes(vec![0xff, 0xfe, 0x00, 0x80]),
        Value::Bytes(vec![0xff; 70_000]),
        Value::Message(vec![0x0a, 0xff, 0xff]),
        Value::Int(i64::MIN),
        Value::Int(-1),
        Value::Uint(u64::MAX),
        Value::Double(f64::NAN),
        Value::Bool(true),
        Value::List(vec![]),
        Value::Null,
        Value::Error,
    ];
    let paths = [
        "xds.cluster_name",
        "upstream.address",
        "upstream.local_address",
        "upstream.locality",
        "upstream.num_endpoints",
        "upstream.request_attempt_count",
        "upstream.transport_failure_reason",
        "response.code",
        "response.code_details",
        "response.flags",
        "request.time",
        "xds.upstream_host_metadata.filter_metadata.istio.workload",
    ];
    for config in [CONFIG.to_owned(), CONFIG.replacen('{', r#"{"attempts": "upstreamLog", "#, 1)] {
        let mut proxy = proxy(2, &config);
        for path in paths {
            for value in &values {
                for exchange in exchanges() {
                    let odd = exchange.set(path, value.clone());
                    proxy.exchange(0, &odd);
                    let root = proxy.root();
                    proxy.upstream_log(1, root, &odd);
                }
                assert_alive(&proxy, &format!("{path} is {value:?}"));
            }
            proxy.advance(Duration::from_secs(2));
            assert_alive(&proxy, path);
        }
    }
}

#[test]
fn headers_of_any_bytes_are_survived() {
    let mut proxy = proxy(2, CONFIG);
    for bytes in [&b"\xff\xfe"[..], b"", b"99999999999999999999", b"-1", b"14"] {
        let odd = Exchange::ok(&endpoint(A, HOME)).grpc_headers_only(14).response_header("grpc-status", bytes);
        proxy.exchange(0, &odd.response_header("content-type", b"application/grpc\xff"));
    }
    assert_alive(&proxy, "odd headers");
}

#[test]
fn callbacks_in_any_order_are_survived() {
    let mut proxy = proxy(2, CONFIG);
    let root = proxy.root();
    let refused = Exchange::connect_refused(&endpoint(A, HOME));
    let logged_only = proxy.open(0, root, &refused);
    proxy.log(logged_only);
    let twice = proxy.open(0, root, &refused);
    proxy.response_headers(twice);
    proxy.response_headers(twice);
    proxy.log(twice);
    proxy.log(twice);
    let never_logged = proxy.open(0, root, &Exchange::ok(&endpoint(A, HOME)));
    proxy.response_headers(never_logged);
    proxy.done(never_logged);
    proxy.delete(never_logged);
    let deleted_first = proxy.open(1, root, &refused);
    proxy.delete(deleted_first);
    assert_alive(&proxy, "odd order");
    let other = proxy.add_root(RootConfig::new(CONFIG).listener("another")).expect("a second listener");
    proxy.exchange_on(0, other, &refused);
    proxy.remove_root(root);
    proxy.advance(Duration::from_secs(20));
    proxy.exchange_on(1, other, &Exchange::ok(&endpoint(B, NEAR)));
    assert_alive(&proxy, "the first listener is gone");
    proxy.remove_root(other);
    proxy.advance(Duration::from_secs(20));
    assert_alive(&proxy, "all are gone");
}

#[test]
fn a_clock_that_jumps_is_survived() {
    let mut proxy = proxy(2, CONFIG);
    for seconds in [0, u64::MAX / 2_000_000_000, 1, 1_800_000_000, 1_700_000_000] {
        proxy.set_wall_clock(Duration::from_secs(seconds));
        play(&mut proxy);
        assert_alive(&proxy, &format!("it is {seconds} s after the epoch"));
    }
}

#[test]
fn configurations_of_every_kind_are_survived_and_the_last_good_one_stays() {
    let mut proxy = proxy(2, CONFIG);
    let root = proxy.root();
    let megabyte = format!(r#"{{"logLevel": "{}"}}"#, "x".repeat(1024 * 1024));
    let nested = "[".repeat(100_000);
    let nested_objects = "{\"a\":".repeat(50_000);
    let number = format!(r#"{{"limits": {{"endpoints": {}}}}}"#, "9".repeat(10_000));
    for (config, says) in [
        (r#"{"outlierDetection": {"interval": 5}}"#, "outlierDetection.interval"),
        (r#"{"outlierDetection": {"maxEjectionPercent": 1000}}"#, "maxEjectionPercent"),
        ("not json", "expected ident"),
        ("\u{0}\u{1}", "expected value"),
        (megabyte.as_str(), "bytes"),
        (nested.as_str(), "recursion limit"),
        (nested_objects.as_str(), "recursion limit"),
        (number.as_str(), "a long number"),
    ] {
        proxy.take_logs();
        proxy.reconfigure(root, config).expect("never refused");
        proxy.advance(Duration::from_secs(2));
        let rejected: Vec<_> = crate::on_harness::lines(&proxy)
            .into_iter()
            .filter(|line| line["faultline"] == "config_rejected")
            .collect();
        assert_eq!(rejected.len(), 1, "once per proxy: {says}");
        assert!(rejected[0]["error"].as_str().unwrap().contains(says), "{rejected:?}");
        assert_alive(&proxy, says);
    }
    assert_eq!(proxy.counter("faultline_config_rejected_total"), Some(8));
    proxy.take_logs();
    assert_eq!(proxy.exchange(0, &Exchange::status(&endpoint(A, HOME), 500)), Outcome::Continue);
    // Envoy is asked for its own rule first, and does not answer.
    proxy.advance(Duration::from_secs(4));
    assert_eq!(
        crate::on_harness::events(&proxy)[0],
        "error_streak 10.0.1.1:8000",
        "one error is enough by the last good one"
    );
}
