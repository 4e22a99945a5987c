//! Tests of the harness with a real SDK module: the baseline filter.
//!
//! `BASELINE_WASM` names the file; the default is `target/baseline.wasm`. If the file does not exist, these tests are
//! skipped, but fail in CI. The other tests need no wasm target.

use crate::skip::{Tool, skip};
use std::path::PathBuf;
use wasm_harness::{Exchange, Harness, Module, Outcome, RootConfig, Upstream};

fn baseline() -> Option<Vec<u8>> {
    if let Some(named) = std::env::var_os("BASELINE_WASM") {
        let bytes = std::fs::read(&named);
        return Some(bytes.unwrap_or_else(|error| panic!("BASELINE_WASM={}: {error}", PathBuf::from(named).display())));
    }
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/baseline.wasm");
    let found = std::fs::read(beside).ok();
    if found.is_none() {
        skip("the harness with an SDK module", Tool::FromSetUp, "there is no baseline module: run `cargo xtask build`");
    }
    found
}

#[test]
fn the_baseline_filter_lives_a_whole_life() {
    let Some(wasm) = baseline() else { return };
    let module = Module::compile(&wasm).unwrap();
    let mut proxy = Harness::builder().workers(2).build(&module).unwrap();
    let endpoint = Upstream::new("outbound|80||shop", "10.0.0.7:8080");
    let exchange = Exchange::ok(&endpoint).request_body(&[b"x"]).response_trailer("a", "b");
    for worker in [0, 1] {
        assert_eq!(proxy.exchange(worker, &exchange), Outcome::Continue);
    }
    assert_eq!(proxy.costs().last_exchange.host_calls, 0, "it asks the host for nothing");
    let root = proxy.add_root(RootConfig::new("{}").name("logger")).unwrap();
    assert_eq!(proxy.upstream_log(0, root, &Exchange::connect_refused(&endpoint)), Outcome::Continue);
    proxy.reconfigure(root, "{2}").unwrap();
    proxy.reload(&module).unwrap();
    assert_eq!(proxy.exchange(0, &exchange), Outcome::Continue);
    assert!(proxy.logs().is_empty());
}

#[test]
fn the_sdk_takes_a_stream_that_ends_without_a_log() {
    let Some(wasm) = baseline() else { return };
    let mut proxy = Harness::builder().build(&Module::compile(&wasm).unwrap()).unwrap();
    let stream = proxy.open(0, proxy.root(), &Exchange::no_route());
    proxy.request_headers(stream);
    proxy.delete(stream);
    let healthy = Exchange::ok(&Upstream::new("c", "10.0.0.7:8080"));
    assert_eq!(proxy.exchange(0, &healthy), Outcome::Continue);
}
