//! Compiles a module and checks that Envoy would load it.
//!
//! Compilation is slow: compile once and share the `Module` among harnesses and threads.

use crate::host;
use crate::process::LogLine;
use crate::state::VmState;
use std::fmt;
use std::sync::LazyLock;
use wasmtime::{Config, Engine, InstancePre, Linker};

/// Why a module or a configuration was rejected. Envoy would reject the listener.
#[derive(Debug)]
pub struct LoadError {
    /// The step that failed.
    pub stage: Stage,
    /// Why it failed.
    pub message: String,
    /// What the module had logged before it failed.
    pub logs: Vec<LogLine>,
}

/// Steps of loading, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Not wasm, or wasm that does not validate.
    Compile,
    /// No ABI marker that Envoy knows, or no allocator.
    Abi,
    /// An import that Envoy does not have.
    Link,
    /// `_initialize`, `main` or `_start` trapped.
    Start,
    /// `proxy_on_vm_start` returned false or trapped.
    VmStart,
    /// `proxy_on_configure` returned false or trapped.
    Configure,
}

impl LoadError {
    pub(crate) fn new(stage: Stage, message: impl fmt::Display) -> Self {
        LoadError { stage, message: message.to_string(), logs: Vec::new() }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the module was not loaded ({:?}): {}", self.stage, self.message)?;
        for line in &self.logs {
            write!(f, "\n  {:?} {:?}: {}", line.vm, line.level, line.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut config = Config::new();
    config.consume_fuel(true);
    // Fails only for options that this build of wasmtime lacks, and every build has fuel.
    Engine::new(&config).expect("wasmtime takes this configuration")
});

/// A compiled module. It is cheap to clone and can be shared between threads.
#[derive(Clone)]
pub struct Module {
    pub(crate) pre: InstancePre<VmState>,
    pub(crate) callbacks: Vec<&'static str>,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("callbacks", &self.callbacks).finish()
    }
}

/// Every export that Envoy looks for, except the allocator.
const CALLBACKS: [&str; 24] = [
    "_initialize",
    "main",
    "_start",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_tick",
    "proxy_on_queue_ready",
    "proxy_on_http_call_response",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_log",
    "proxy_on_done",
    "proxy_on_delete",
    "proxy_on_new_connection",
    "proxy_on_downstream_data",
    "proxy_on_upstream_data",
    "proxy_on_downstream_connection_close",
    "proxy_on_upstream_connection_close",
    "proxy_on_foreign_function",
];

/// ABI markers that are accepted. Envoy also accepts 0.1.0, whose callbacks differ; no current SDK builds it.
const ABI_MARKERS: [&str; 2] = ["proxy_abi_version_0_2_1", "proxy_abi_version_0_2_0"];

impl Module {
    /// Compiles wasm, binary or text, and resolves its imports.
    ///
    /// # Errors
    /// If Envoy would not load it: stages `Compile`, `Abi` and `Link`.
    pub fn compile(wasm: &[u8]) -> Result<Module, LoadError> {
        let compiled = wasmtime::Module::new(&ENGINE, wasm);
        let module = compiled.map_err(|error| LoadError::new(Stage::Compile, format!("{error:#}")))?;
        let exports = |name: &str| module.get_export(name).is_some();
        if !ABI_MARKERS.iter().any(|marker| exports(marker)) {
            let message = "it exports neither proxy_abi_version_0_2_1 nor proxy_abi_version_0_2_0";
            return Err(LoadError::new(Stage::Abi, message));
        }
        if !exports("malloc") && !exports("proxy_on_memory_allocate") {
            let message = "it exports neither malloc nor proxy_on_memory_allocate";
            return Err(LoadError::new(Stage::Abi, message));
        }
        let link = || {
            let mut linker = Linker::new(&ENGINE);
            host::link(&mut linker)?;
            linker.instantiate_pre(&module)
        };
        let pre = link().map_err(|error| LoadError::new(Stage::Link, format!("{error:#}")))?;
        let callbacks = CALLBACKS.into_iter().filter(|name| exports(name)).collect();
        Ok(Module { pre, callbacks })
    }

    /// Names of the callbacks that it exports and Envoy would find.
    pub fn callbacks(&self) -> &[&'static str] {
        &self.callbacks
    }
}
