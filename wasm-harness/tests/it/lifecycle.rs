//! Tests of modules that do not load, plugins that share a VM, new configurations, reloads and rebuilt VMs.

use crate::probe::{Probe, said, said_by};
use std::time::Duration;
use wasm_harness::{Exchange, Harness, Module, Outcome, RootConfig, Stage, Upstream, VmId};

fn ok() -> Exchange {
    Exchange::ok(&Upstream::new("outbound|80||shop", "10.0.0.7:8080"))
}

/// Logs each callback with its configuration and context id.
fn named() -> Probe {
    Probe::new()
        .on("proxy_on_configure", |probe| {
            probe.buffer(7);
            probe.tick_every(1000);
        })
        .on("proxy_on_request_headers", |probe| probe.property("plugin_name"))
        .on("proxy_on_done", |probe| {
            probe.say("done");
            probe.property("plugin_name");
        })
        .on("proxy_on_delete", |probe| probe.say("deleted"))
        .on("proxy_on_tick", |probe| probe.property("plugin_name"))
}

fn stage(wat: &str) -> Stage {
    Module::compile(wat.as_bytes()).expect_err("it must not load").stage
}

#[test]
fn what_envoy_would_not_load_does_not_load() {
    let abi = r#"(func (export "proxy_abi_version_0_2_1"))"#;
    let malloc = r#"(func (export "malloc") (param i32) (result i32) i32.const 0)"#;
    assert_eq!(stage("not wasm"), Stage::Compile);
    assert_eq!(stage(&format!("(module {malloc})")), Stage::Abi);
    assert_eq!(stage(&format!("(module {abi})")), Stage::Abi);
    let unknown = r#"(import "env" "proxy_nonsense" (func))"#;
    assert_eq!(stage(&format!("(module {unknown} {abi} {malloc})")), Stage::Link);
    let wasi = r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#;
    assert_eq!(stage(&format!("(module {wasi} {abi} {malloc})")), Stage::Link);
}

#[test]
fn either_allocator_export_serves() {
    let probe = Probe::new().on("proxy_on_configure", |probe| probe.buffer(7));
    let wat = probe.wat().replace("\"malloc\"", "\"proxy_on_memory_allocate\"");
    let module = Module::compile(wat.as_bytes()).unwrap();
    let mut proxy = Harness::builder().config("{}").build(&module).unwrap();
    assert_eq!(said(&mut proxy), ["buffer 0 {}"; 3]);
}

#[test]
fn a_compiled_module_is_shared_between_threads() {
    let module = named().module();
    let run = |module: Module| std::thread::spawn(move || Harness::builder().build(&module).unwrap().logs().len());
    let threads = [run(module.clone()), run(module)];
    assert_eq!(threads.map(|thread| thread.join().unwrap()), [6, 6]);
}

#[test]
fn a_refused_start_names_the_step_and_keeps_the_logs() {
    for (callback, expected) in [("proxy_on_vm_start", Stage::VmStart), ("proxy_on_configure", Stage::Configure)] {
        let module = Probe::new().on(callback, |probe| probe.say("no")).returns(callback, 0).module();
        let error = Harness::builder().build(&module).expect_err("it is refused");
        assert_eq!(error.stage, expected);
        assert_eq!(error.logs.len(), 1);
        assert_eq!(error.logs[0].vm, VmId::Canary, "nothing but the canary has run");
        assert!(error.to_string().contains("returned false"), "{error}");
    }
    let module = Probe::new().on("proxy_on_configure", |probe| probe.trap()).module();
    let error = Harness::builder().build(&module).expect_err("it is refused");
    assert_eq!(error.stage, Stage::Configure);
    assert!(error.message.contains("unreachable"), "{error}");
}

#[test]
fn start_functions_run_first_and_may_only_log() {
    let initialise =
        r#"(func (export "_initialize") (drop (call $proxy_log (i32.const 4) (i32.const 0) (i32.const 0))))"#;
    let module = Probe::new().extra(initialise).on("proxy_on_vm_start", |probe| probe.say("start")).module();
    let mut proxy = Harness::builder().workers(0).build(&module).unwrap();
    assert_eq!(said_by(&mut proxy), ["C ", "C start", "M ", "M start"]);

    let forbidden = r#"(func (export "_start") (drop (call $proxy_done)))"#;
    let error = Harness::builder().build(&Probe::new().extra(forbidden).module()).err().unwrap();
    assert_eq!(error.stage, Stage::Start);
}

#[test]
fn plugins_with_the_same_code_share_a_vm_and_have_roots_of_their_own() {
    let count = r#"(global $n (mut i32) (i32.const 0))"#;
    let module = named().extra(count).module();
    let first = RootConfig::new("{1}").name("first");
    let mut proxy = Harness::builder().root(first).build(&module).unwrap();
    said(&mut proxy);
    let second = RootConfig::new("{2}").name("second");
    let other = proxy.add_root(second.clone()).unwrap();
    assert_eq!(said_by(&mut proxy).iter().filter(|line| line.contains("{2}")).count(), 3);
    proxy.exchange_on(0, other, &ok());
    proxy.exchange(0, &ok());
    let names: Vec<_> = said(&mut proxy).into_iter().filter(|line| line.contains("name")).collect();
    assert_eq!(names[0], "plugin_name 0 second");
    assert_eq!(names[2], "plugin_name 0 first");
    proxy.advance(Duration::from_secs(1));
    assert_eq!(
        said_by(&mut proxy),
        ["M plugin_name 0 first", "0 plugin_name 0 first", "M plugin_name 0 second", "0 plugin_name 0 second"],
        "each root ticks in each VM"
    );
    assert_eq!(proxy.add_root(second).unwrap(), other, "an equal plugin is the same one");
    assert!(said(&mut proxy).is_empty());
    let inbound = RootConfig::new("{2}").name("second").listener("inbound");
    assert_ne!(proxy.add_root(inbound).unwrap(), other);
}

#[test]
fn a_new_configuration_waits_for_the_old_roots_last_stream() {
    let mut proxy = named().start();
    let root = proxy.root();
    let stream = proxy.open(0, root, &ok());
    proxy.request_headers(stream);
    said(&mut proxy);
    proxy.reconfigure(root, "{2}").unwrap();
    let lines = said_by(&mut proxy);
    let new = ["C buffer 0 {2}", "M buffer 0 {2}", "0 buffer 0 {2}"];
    assert_eq!(lines.iter().filter(|line| line.contains("{2}")).collect::<Vec<_>>(), new.iter().collect::<Vec<_>>());
    assert!(lines.contains(&"M deleted".to_string()) && !lines.contains(&"0 deleted".to_string()), "{lines:?}");
    proxy.finish(stream);
    let lines = said(&mut proxy);
    let ends: Vec<_> = lines.iter().filter(|line| !line.contains("plugin")).collect();
    assert_eq!(ends, ["done", "deleted", "done", "deleted"], "the stream, then its root");
    proxy.advance(Duration::from_secs(1));
    assert_eq!(said(&mut proxy).len(), 2, "old roots tick no more");
}

#[test]
fn a_refused_configuration_leaves_the_old_one_in_force() {
    // Rejects an empty configuration: the second parameter is its size.
    let module = Probe::new()
        .on("proxy_on_request_headers", |probe| probe.say("serving"))
        .extra(
            r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
                 (i32.lt_u (local.get 1) (i32.const 5)))"#,
        )
        .module();
    let mut proxy = Harness::builder().config("good").build(&module).unwrap();
    let root = proxy.root();
    assert_eq!(proxy.reconfigure(root, "much too long").unwrap_err().stage, Stage::Configure);
    assert_eq!(proxy.exchange(0, &ok()), Outcome::Continue);
    assert_eq!(said(&mut proxy), ["serving"]);
}

#[test]
fn a_root_that_is_not_done_is_deleted_when_it_says_so() {
    let mut proxy = Probe::new()
        .on("proxy_on_configure", |probe| probe.tick_every(1000))
        .on("proxy_on_request_headers", |probe| probe.say_done())
        .on("proxy_on_tick", |probe| probe.say_done())
        .on("proxy_on_delete", |probe| probe.say("deleted"))
        .returns("proxy_on_done", 0)
        .start();
    proxy.exchange(0, &ok());
    assert!(said(&mut proxy).contains(&"proxy_done 1".to_string()), "nobody had asked");
    proxy.remove_root(proxy.root());
    assert!(said(&mut proxy).is_empty());
    proxy.advance(Duration::from_secs(1));
    assert_eq!(said_by(&mut proxy), ["M proxy_done 0", "M deleted", "0 proxy_done 0", "0 deleted"]);
    proxy.advance(Duration::from_secs(1));
    assert!(said(&mut proxy).is_empty());
}

#[test]
fn a_reload_keeps_metrics_and_shared_data_and_drains_the_old_vms() {
    let counting = |name: &'static str| {
        Probe::new()
            .on("proxy_on_configure", |probe| probe.define(0, "requests", 0))
            .on("proxy_on_request_headers", |probe| probe.increment(0, 1))
            .on("proxy_on_log", |probe| probe.say(name))
            .on("proxy_on_delete", |probe| probe.say(name))
            .module()
    };
    let mut proxy = Harness::builder().build(&counting("old")).unwrap();
    proxy.set_shared_data("k", b"v");
    let stream = proxy.open(0, proxy.root(), &ok());
    proxy.request_headers(stream);
    said(&mut proxy);
    proxy.reload(&counting("new")).unwrap();
    assert_eq!(said_by(&mut proxy), ["C define 0", "M define 0", "0 define 0", "M old"]);
    proxy.exchange(0, &ok());
    assert_eq!(said(&mut proxy), ["increment 0", "new", "new"]);
    proxy.finish(stream);
    assert_eq!(said(&mut proxy), ["old", "old", "old"], "log, stream deleted, root deleted");
    assert_eq!(proxy.counter("requests"), Some(2));
    assert_eq!(proxy.shared_data("k"), Some(b"v".to_vec()));

    let refused = Probe::new().returns("proxy_on_configure", 0).module();
    assert!(proxy.reload(&refused).is_err());
    assert_eq!(proxy.exchange(0, &ok()), Outcome::Continue);
    assert_eq!(said(&mut proxy), ["increment 0", "new", "new"], "the old module stays");
}

#[test]
fn a_failed_vm_is_rebuilt_with_an_empty_memory() {
    let mut proxy = Probe::new()
        .on("proxy_on_configure", |probe| probe.say("configured"))
        .on("proxy_on_request_body", |probe| probe.trap())
        .start();
    said(&mut proxy);
    assert_eq!(proxy.exchange(0, &ok().request_body(&[b"x"])), Outcome::VmFailed);
    proxy.rebuild(VmId::Worker(0)).unwrap();
    assert_eq!(said_by(&mut proxy), ["0 configured"], "without a canary");
    assert_eq!(proxy.exchange(0, &ok()), Outcome::Continue);
    assert_eq!(proxy.failure(VmId::Worker(0)), None);
}
