//! Modules for the tests, written as WebAssembly text: each callback makes host calls and logs what they returned.
//!
//! A logged line reads `label status value`; the value is missing if the host returned a null pointer. The tests need
//! no toolchain for wasm, and there is no SDK between them and the ABI.

use std::collections::BTreeMap;
use std::fmt::Write;
use wasm_harness::{Harness, Module};

/// Every callback with its number of parameters and, if it returns something, the default.
const CALLBACKS: [(&str, usize, Option<u32>); 15] = [
    ("proxy_on_context_create", 2, None),
    ("proxy_on_vm_start", 2, Some(1)),
    ("proxy_on_configure", 2, Some(1)),
    ("proxy_on_tick", 1, None),
    ("proxy_on_queue_ready", 2, None),
    ("proxy_on_http_call_response", 5, None),
    ("proxy_on_request_headers", 3, Some(0)),
    ("proxy_on_request_body", 3, Some(0)),
    ("proxy_on_request_trailers", 2, Some(0)),
    ("proxy_on_response_headers", 3, Some(0)),
    ("proxy_on_response_body", 3, Some(0)),
    ("proxy_on_response_trailers", 2, Some(0)),
    ("proxy_on_log", 1, None),
    ("proxy_on_done", 1, Some(1)),
    ("proxy_on_delete", 1, None),
];

/// Host functions that a probe uses, with their parameters.
const IMPORTS: [(&str, &str); 22] = [
    ("proxy_log", "i32 i32 i32"),
    ("proxy_get_property", "i32 i32 i32 i32"),
    ("proxy_set_property", "i32 i32 i32 i32"),
    ("proxy_get_header_map_value", "i32 i32 i32 i32 i32"),
    ("proxy_get_header_map_pairs", "i32 i32 i32"),
    ("proxy_replace_header_map_value", "i32 i32 i32 i32 i32"),
    ("proxy_get_buffer_bytes", "i32 i32 i32 i32 i32"),
    ("proxy_send_local_response", "i32 i32 i32 i32 i32 i32 i32 i32"),
    ("proxy_define_metric", "i32 i32 i32 i32"),
    ("proxy_increment_metric", "i32 i64"),
    ("proxy_get_metric", "i32 i32"),
    ("proxy_get_shared_data", "i32 i32 i32 i32 i32"),
    ("proxy_set_shared_data", "i32 i32 i32 i32 i32"),
    ("proxy_set_tick_period_milliseconds", "i32"),
    ("proxy_get_current_time_nanoseconds", "i32"),
    ("proxy_http_call", "i32 i32 i32 i32 i32 i32 i32 i32 i32 i32"),
    ("proxy_get_status", "i32 i32 i32"),
    ("proxy_call_foreign_function", "i32 i32 i32 i32 i32 i32"),
    ("proxy_set_effective_context", "i32"),
    ("proxy_done", ""),
    ("proxy_register_shared_queue", "i32 i32 i32"),
    ("proxy_enqueue_shared_queue", "i32 i32 i32"),
];

/// Where a probe's strings start. Result words are below (a returned pointer at 240, its size at 244); the report
/// buffer and the heap are above.
const DATA: usize = 1024;

/// Fixed functions: the bump allocator, and the report with its value raw or in hex.
const SUPPORT: &str = r#"
  (func (export "proxy_abi_version_0_2_1"))
  (global $heap (mut i32) (i32.const 65536))
  (func $malloc (export "malloc") (param $size i32) (result i32) (local $at i32)
    (if (i32.gt_u (i32.add (global.get $heap) (local.get $size)) (i32.const 1000000))
      (then (global.set $heap (i32.const 65536))))
    (local.set $at (global.get $heap))
    (global.set $heap (i32.add (global.get $heap) (local.get $size)))
    (local.get $at))
  (func $clear (i64.store (i32.const 240) (i64.const 0)) (i64.store (i32.const 16) (i64.const 0)))
  (func $digit (param $n i32) (result i32)
    (i32.add (local.get $n) (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $n) (i32.const 10)))))
  (func $report (param $label i32) (param $length i32) (param $status i32) (param $hex i32)
    (local $to i32) (local $from i32) (local $end i32)
    (memory.copy (i32.const 32768) (local.get $label) (local.get $length))
    (local.set $to (i32.add (i32.const 32768) (local.get $length)))
    (i32.store8 (local.get $to) (i32.const 32))
    (local.set $to (i32.add (local.get $to) (i32.const 1)))
    (if (i32.ge_u (local.get $status) (i32.const 10)) (then
      (i32.store8 (local.get $to) (call $digit (i32.div_u (local.get $status) (i32.const 10))))
      (local.set $to (i32.add (local.get $to) (i32.const 1)))))
    (i32.store8 (local.get $to) (call $digit (i32.rem_u (local.get $status) (i32.const 10))))
    (local.set $to (i32.add (local.get $to) (i32.const 1)))
    (local.set $from (i32.load (i32.const 240)))
    (local.set $end (i32.add (local.get $from) (i32.load (i32.const 244))))
    (if (local.get $from) (then
      (i32.store8 (local.get $to) (i32.const 32))
      (local.set $to (i32.add (local.get $to) (i32.const 1)))
      (block $done (loop $next
        (br_if $done (i32.ge_u (local.get $from) (local.get $end)))
        (if (local.get $hex)
          (then
            (i32.store8 (local.get $to) (call $digit (i32.shr_u (i32.load8_u (local.get $from)) (i32.const 4))))
            (i32.store8 offset=1 (local.get $to) (call $digit (i32.and (i32.load8_u (local.get $from)) (i32.const 15))))
            (local.set $to (i32.add (local.get $to) (i32.const 2))))
          (else
            (i32.store8 (local.get $to) (i32.load8_u (local.get $from)))
            (local.set $to (i32.add (local.get $to) (i32.const 1)))))
        (local.set $from (i32.add (local.get $from) (i32.const 1)))
        (br $next)))))
    (drop (call $proxy_log (i32.const 4) (i32.const 32768) (i32.sub (local.get $to) (i32.const 32768)))))
"#;

/// How a report shows a value.
#[derive(Clone, Copy)]
enum Show {
    Text = 0,
    Hex = 1,
}

/// A module under construction.
#[derive(Default)]
pub(crate) struct Probe {
    data: Vec<u8>,
    bodies: BTreeMap<&'static str, String>,
    returns: BTreeMap<&'static str, u32>,
    extra: String,
    body: String,
}

impl Probe {
    pub(crate) fn new() -> Self {
        Probe::default()
    }

    /// Adds host calls to a callback. Callbacks without any are not exported.
    pub(crate) fn on(mut self, callback: &'static str, act: impl FnOnce(&mut Probe)) -> Self {
        act(&mut self);
        let body = std::mem::take(&mut self.body);
        self.bodies.entry(callback).or_default().push_str(&body);
        self
    }

    /// Makes every callback log its own name.
    pub(crate) fn chatty(mut self) -> Self {
        for (callback, ..) in CALLBACKS {
            self = self.on(callback, |probe| probe.say(callback));
        }
        self
    }

    pub(crate) fn returns(mut self, callback: &'static str, value: u32) -> Self {
        self.returns.insert(callback, value);
        self.on(callback, |_| ())
    }

    /// Adds text to the module unchanged.
    pub(crate) fn extra(mut self, wat: &str) -> Self {
        self.extra.push_str(wat);
        self
    }

    /// Address and length of a string.
    fn text(&mut self, text: &str) -> String {
        let at = DATA + self.data.len();
        self.data.extend(text.as_bytes());
        format!("(i32.const {at}) (i32.const {})", text.len())
    }

    fn act(&mut self, label: &str, function: &str, arguments: &str, show: Show) {
        let label = self.text(label);
        let hex = show as u32;
        let call = format!("(call $report {label} (call ${function} {arguments}) (i32.const {hex}))");
        let _ = writeln!(self.body, "    (call $clear) {call}");
    }

    pub(crate) fn say(&mut self, text: &str) {
        let text = self.text(text);
        let _ = writeln!(self.body, "    (drop (call $proxy_log (i32.const 4) {text}))");
    }

    pub(crate) fn log_at(&mut self, level: u32, text: &str) {
        let text = self.text(text);
        let _ = writeln!(self.body, "    (drop (call $proxy_log (i32.const {level}) {text}))");
    }

    pub(crate) fn property(&mut self, path: &str) {
        let parts = self.text(&path.replace('.', "\0"));
        self.act(path, "proxy_get_property", &format!("{parts} (i32.const 240) (i32.const 244)"), Show::Text);
    }

    pub(crate) fn property_hex(&mut self, path: &str) {
        let parts = self.text(&path.replace('.', "\0"));
        self.act(path, "proxy_get_property", &format!("{parts} (i32.const 240) (i32.const 244)"), Show::Hex);
    }

    pub(crate) fn set_property(&mut self, path: &str, value: &str) {
        let arguments = [self.text(path), self.text(value)].join(" ");
        self.act("set", "proxy_set_property", &arguments, Show::Text);
    }

    pub(crate) fn header(&mut self, map: u32, name: &str) {
        let arguments = format!("(i32.const {map}) {} (i32.const 240) (i32.const 244)", self.text(name));
        self.act(name, "proxy_get_header_map_value", &arguments, Show::Hex);
    }

    pub(crate) fn pairs(&mut self, map: u32) {
        let arguments = format!("(i32.const {map}) (i32.const 240) (i32.const 244)");
        self.act("pairs", "proxy_get_header_map_pairs", &arguments, Show::Hex);
    }

    pub(crate) fn replace_header(&mut self, map: u32, name: &str, value: &str) {
        let arguments = format!("(i32.const {map}) {} {}", self.text(name), self.text(value));
        self.act("replace", "proxy_replace_header_map_value", &arguments, Show::Text);
    }

    pub(crate) fn buffer(&mut self, kind: u32) {
        let arguments = format!("(i32.const {kind}) (i32.const 0) (i32.const 4096) (i32.const 240) (i32.const 244)");
        self.act("buffer", "proxy_get_buffer_bytes", &arguments, Show::Text);
    }

    pub(crate) fn reply(&mut self, code: u32, details: &str) {
        let none = "(i32.const 0) (i32.const 0)";
        let arguments = format!("(i32.const {code}) {} {none} {none} (i32.const -1)", self.text(details));
        self.act("reply", "proxy_send_local_response", &arguments, Show::Text);
    }

    /// Defines a metric and keeps its id in one of 16 slots.
    pub(crate) fn define(&mut self, kind: u32, name: &str, slot: u32) {
        let at = 64 + slot * 4;
        let arguments = format!("(i32.const {kind}) {} (i32.const {at})", self.text(name));
        self.act("define", "proxy_define_metric", &arguments, Show::Text);
    }

    pub(crate) fn increment(&mut self, slot: u32, offset: i64) {
        let at = 64 + slot * 4;
        let arguments = format!("(i32.load (i32.const {at})) (i64.const {offset})");
        self.act("increment", "proxy_increment_metric", &arguments, Show::Text);
    }

    pub(crate) fn get_metric(&mut self, slot: u32) {
        let at = 64 + slot * 4;
        let arguments = format!("(i32.load (i32.const {at})) (i32.const 16)");
        self.act("get", "proxy_get_metric", &arguments, Show::Text);
    }

    pub(crate) fn get_shared(&mut self, key: &str) {
        let arguments = format!("{} (i32.const 240) (i32.const 244) (i32.const 8)", self.text(key));
        self.act(key, "proxy_get_shared_data", &arguments, Show::Text);
    }

    /// Writes with the compare-and-swap number of the last read.
    pub(crate) fn swap_shared(&mut self, key: &str, value: &str) {
        let arguments = format!("{} {} (i32.load (i32.const 8))", self.text(key), self.text(value));
        self.act("swap", "proxy_set_shared_data", &arguments, Show::Text);
    }

    pub(crate) fn tick_every(&mut self, milliseconds: u32) {
        let arguments = format!("(i32.const {milliseconds})");
        self.act("tick_every", "proxy_set_tick_period_milliseconds", &arguments, Show::Text);
    }

    /// The wall clock in hex, as eight bytes.
    pub(crate) fn time(&mut self) {
        let call = "(drop (call $proxy_get_current_time_nanoseconds (i32.const 24)))";
        let point = "(i32.store (i32.const 240) (i32.const 24)) (i32.store (i32.const 244) (i32.const 8))";
        let label = self.text("time");
        let _ = writeln!(self.body, "    {call} {point} (call $report {label} (i32.const 0) (i32.const 1))");
    }

    pub(crate) fn http_call(&mut self, cluster: &str, headers: &[(&str, &str)], timeout_ms: u32) {
        let mut pairs = (headers.len() as u32).to_le_bytes().to_vec();
        for (name, value) in headers {
            pairs.extend((name.len() as u32).to_le_bytes());
            pairs.extend((value.len() as u32).to_le_bytes());
        }
        for (name, value) in headers {
            pairs.extend(format!("{name}\0{value}\0").as_bytes());
        }
        let pairs = self.text(std::str::from_utf8(&pairs).expect("short test headers"));
        let none = "(i32.const 0) (i32.const 0)";
        let cluster = self.text(cluster);
        let arguments = format!("{cluster} {pairs} {none} {none} (i32.const {timeout_ms}) (i32.const 16)");
        self.act("http_call", "proxy_http_call", &arguments, Show::Text);
    }

    pub(crate) fn status(&mut self) {
        self.act("status", "proxy_get_status", "(i32.const 32) (i32.const 240) (i32.const 244)", Show::Text);
    }

    /// Calls a foreign function with a text argument; the result is in hex. The last result of `expr_create` is kept as
    /// the token.
    pub(crate) fn foreign(&mut self, name: &str, argument: &str) {
        let arguments = format!("{} {} (i32.const 240) (i32.const 244)", self.text(name), self.text(argument));
        self.act(name, "proxy_call_foreign_function", &arguments, Show::Hex);
        if name == "expr_create" {
            let token = "(i32.load (i32.load (i32.const 240)))";
            let keep = format!("(if (i32.load (i32.const 240)) (then (i32.store (i32.const 40) {token})))");
            let _ = writeln!(self.body, "    {keep}");
        }
    }

    /// Calls `expr_evaluate` or `expr_delete` with the kept token.
    pub(crate) fn with_token(&mut self, name: &str) {
        let function = self.text(name);
        let arguments = format!("{function} (i32.const 40) (i32.const 4) (i32.const 240) (i32.const 244)");
        self.act(name, "proxy_call_foreign_function", &arguments, Show::Hex);
    }

    pub(crate) fn effective(&mut self, context: u32) {
        let arguments = format!("(i32.const {context})");
        self.act("effective", "proxy_set_effective_context", &arguments, Show::Text);
    }

    pub(crate) fn say_done(&mut self) {
        self.act("proxy_done", "proxy_done", "", Show::Text);
    }

    pub(crate) fn register_queue(&mut self, name: &str) {
        let arguments = format!("{} (i32.const 48)", self.text(name));
        self.act("register", "proxy_register_shared_queue", &arguments, Show::Text);
    }

    pub(crate) fn enqueue(&mut self, text: &str) {
        let arguments = format!("(i32.load (i32.const 48)) {}", self.text(text));
        self.act("enqueue", "proxy_enqueue_shared_queue", &arguments, Show::Text);
    }

    pub(crate) fn trap(&mut self) {
        self.body.push_str("    unreachable\n");
    }

    /// The module as text.
    pub(crate) fn wat(&self) -> String {
        let mut wat = String::from("(module\n");
        for (name, parameters) in IMPORTS {
            let _ = writeln!(wat, r#"  (import "env" "{name}" (func ${name} (param {parameters}) (result i32)))"#);
        }
        wat.push_str("  (memory (export \"memory\") 16)\n");
        wat.push_str(SUPPORT);
        for (name, body) in &self.bodies {
            let known = CALLBACKS.iter().find(|(callback, ..)| callback == name);
            let (_, parameters, result) = known.copied().unwrap_or((name, 0, None));
            let parameters = "i32 ".repeat(parameters);
            let result = result.map(|default| self.returns.get(name).copied().unwrap_or(default));
            let (declared, value) = match result {
                Some(value) => ("(result i32)", format!("(i32.const {value})")),
                None => ("", String::new()),
            };
            let _ = writeln!(wat, "  (func (export \"{name}\") (param {parameters}) {declared}\n{body}    {value})");
        }
        let escaped: String = self.data.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let _ = writeln!(wat, "  (data (i32.const {DATA}) \"{escaped}\")\n{})", self.extra);
        wat
    }

    pub(crate) fn module(&self) -> Module {
        Module::compile(self.wat().as_bytes()).unwrap_or_else(|error| panic!("{error}\n{}", self.wat()))
    }

    /// Starts a proxy with one worker and otherwise default settings.
    pub(crate) fn start(&self) -> Harness {
        Harness::builder().build(&self.module()).expect("the probe starts")
    }
}

/// The lines logged since the last call.
pub(crate) fn said(proxy: &mut Harness) -> Vec<String> {
    proxy.take_logs().into_iter().map(|line| line.message).collect()
}

/// The lines logged since the last call, each with its VM: `C`, `M`, `0`, `1` …
pub(crate) fn said_by(proxy: &mut Harness) -> Vec<String> {
    let lines = proxy.take_logs().into_iter().map(|line| {
        let vm = match line.vm {
            wasm_harness::VmId::Canary => "C".to_string(),
            wasm_harness::VmId::Main => "M".to_string(),
            wasm_harness::VmId::Worker(n) => n.to_string(),
        };
        format!("{vm} {}", line.message)
    });
    lines.collect()
}
