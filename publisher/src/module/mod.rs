//! Parses a wasm module and checks that it is complete, valid, and a proxy-wasm plugin that a proxy can start.
//!
//! Every module is checked before it is published: a proxy that is told to fetch a broken one answers 403, or serves
//! without the plugin, and says so only in its own log. What the plugin does is not examined; [`checks`] decides
//! whether it is faultline's.

pub(crate) mod build_info;
pub(crate) mod checks;
pub(crate) mod embedded;
pub(crate) mod envoy_imports;
pub(crate) mod scan;

use std::collections::BTreeMap;

use serde::Serialize;
use wasmparser::TypeRef;

use build_info::BuildInfo;
use envoy_imports::{Abi, Offer};

/// The first eight bytes of a core module, version 1.
pub(crate) const HEADER: [u8; 8] = *b"\0asm\x01\0\0\0";

/// The most bytes that a mesh unpacks (default of `ISTIO_WASM_MAX_BINARY_SIZE_BYTES`).
pub(crate) const MAX_SIZE: u64 = 256 * 1024 * 1024;

/// The exports through which a proxy allocates memory in a plugin; it needs one of them.
const ALLOCATORS: [&str; 2] = ["malloc", "proxy_on_memory_allocate"];

/// What a valid module imports, exports and says about its build.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Module {
    /// The newest proxy-wasm ABI it declares, if any.
    pub(crate) abi: Option<Abi>,
    /// `module.name` of each import, in the module's order.
    pub(crate) imports: Vec<String>,
    /// Names of the exports, in the module's order.
    pub(crate) exports: Vec<String>,
    /// The build information that the filter's own build wrote into it.
    pub(crate) build: Option<BuildInfo>,
    /// The exported functions.
    #[serde(skip)]
    functions: Vec<String>,
    #[serde(skip)]
    has_memory: bool,
    /// The first import that no proxy provides.
    #[serde(skip)]
    unprovided: Option<String>,
    /// The first import that only newer proxies provide.
    #[serde(skip)]
    pub(crate) recent: Option<String>,
}

/// Why bytes are not a module, or not one that a proxy can start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ModuleError {
    /// No bytes at all.
    #[error("it is empty; build the filter again (`cargo xtask build`)")]
    Empty,
    /// It does not begin with the header of a module.
    #[error("it is not a WebAssembly module: it is {0}; give the .wasm file itself")]
    NotWasm(&'static str),
    /// A component, which proxies cannot run.
    #[error(
        "it is a WebAssembly component; proxies run core modules, so build for wasm32-unknown-unknown or wasm32-wasip1"
    )]
    Component,
    /// It ends in the middle of a section.
    #[error("it is truncated: it ends at byte {0} in the middle of a section; copy or build it again")]
    Truncated(usize),
    /// It breaks WebAssembly's rules.
    #[error("it is not valid WebAssembly: {message} (at byte {offset}); build it again")]
    Invalid {
        /// Byte offset of the error.
        offset: usize,
        /// The validator's message.
        message: String,
    },
    /// A valid module, but not a proxy-wasm plugin.
    #[error(
        "it is not a proxy-wasm plugin: it exports no function `proxy_abi_version_0_2_1`; build it with a proxy-wasm \
            SDK"
    )]
    NoAbi,
    /// It imports something that no proxy provides.
    #[error("it imports `{0}`, which no proxy provides to a plugin of its ABI; build it without that import")]
    Import(String),
    /// It exports no memory, so a proxy could not pass it any data.
    #[error("it exports no memory, so a proxy cannot hand it anything; build it with a proxy-wasm SDK")]
    NoMemory,
    /// It exports no allocator, so a proxy could not allocate memory in it.
    #[error(
        "it exports neither `malloc` nor `proxy_on_memory_allocate`, which a proxy needs; build it with a proxy-wasm \
            SDK"
    )]
    NoAllocator,
    /// Larger than a mesh unpacks.
    #[error("it has {0} bytes; a mesh accepts no more than {most} MiB", most = MAX_SIZE >> 20)]
    TooLarge(usize),
}

impl ModuleError {
    /// The message with which the mesh's agent or the proxy reports it, if they do.
    pub(crate) fn proxy_says(&self, reference: &str) -> Option<String> {
        match self {
            Self::Empty | Self::NotWasm(_) => Some(format!("fetched Wasm binary from oci://{reference} is invalid")),
            Self::NoAbi => Some("Wasm VM failed Missing or unknown Proxy-Wasm ABI version".to_owned()),
            Self::Import(name) => Some(format!("Failed to load Wasm module due to a missing import: {name}")),
            Self::NoAllocator => Some("Wasm VM failed Wasm module is missing malloc function.".to_owned()),
            _ => None,
        }
    }
}

impl Module {
    /// Parses and validates a module, whatever its purpose, in small pieces.
    ///
    /// # Errors
    /// When the bytes are not one complete, valid core module.
    #[cfg(test)]
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, ModuleError> {
        let mut scan = scan::Scan::new();
        // Pieces of other sizes give the same.
        bytes.chunks(bytes.len().clamp(1, 7)).for_each(|piece| scan.push(piece));
        scan.finish().module
    }

    /// Checks that a proxy can start this module.
    ///
    /// # Errors
    /// When it declares no proxy-wasm ABI, imports what no proxy provides, or lacks an export that a proxy needs.
    pub(crate) fn startable(&self) -> Result<(), ModuleError> {
        if self.abi.is_none() {
            return Err(ModuleError::NoAbi);
        }
        if let Some(import) = &self.unprovided {
            return Err(ModuleError::Import(import.clone()));
        }
        if !self.has_memory {
            return Err(ModuleError::NoMemory);
        }
        if !self.functions.iter().any(|name| ALLOCATORS.contains(&name.as_str())) {
            return Err(ModuleError::NoAllocator);
        }
        Ok(())
    }

    /// The manifest annotations that follow from its content.
    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        let mut all = self.build.as_ref().map(BuildInfo::annotations).unwrap_or_default();
        all.extend(self.abi.map(|abi| ("io.faultline.abi".to_owned(), abi.as_str().to_owned())));
        all
    }
}

/// What was found in a module.
#[derive(Default)]
struct Found {
    imports: Vec<(String, String, TypeRef)>,
    exports: Vec<String>,
    functions: Vec<String>,
    has_memory: bool,
    build: Option<BuildInfo>,
}

impl Found {
    /// The module, with what follows from its ABI.
    fn into_module(self) -> Module {
        let abi = self.functions.iter().filter_map(|name| Abi::exported_as(name)).max();
        let mut module = Module {
            abi,
            imports: Vec::new(),
            exports: self.exports,
            build: self.build,
            functions: self.functions,
            has_memory: self.has_memory,
            unprovided: None,
            recent: None,
        };
        for (of, name, kind) in self.imports {
            let offer = match (kind, abi) {
                (TypeRef::Func(_) | TypeRef::FuncExact(_), Some(abi)) => envoy_imports::offers(abi, &of, &name),
                // Proxies provide imported memories and tables; without an ABI, nothing can be said about functions.
                (TypeRef::Memory(_) | TypeRef::Table(_), _) | (_, None) => Offer::Always,
                _ => Offer::Never,
            };
            let name = format!("{of}.{name}");
            match offer {
                Offer::Always => {}
                Offer::Since1_39 => module.recent = module.recent.or_else(|| Some(name.clone())),
                Offer::Never => module.unprovided = module.unprovided.or_else(|| Some(name.clone())),
            }
            module.imports.push(name);
        }
        module
    }
}

/// Describes what was given instead of a module, judged by its first bytes.
fn looks_like(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x1f, 0x8b, ..] => "gzip-compressed data",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [0x7f, b'E', b'L', b'F', ..] => "an ELF binary",
        [b'!', b'<', b'a', b'r', ..] => "a static library",
        _ if bytes.get(257..262) == Some(b"ustar") => "a tar archive",
        _ if bytes.trim_ascii_start().starts_with(b"(module") => "WebAssembly text",
        _ if bytes.iter().take(64).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) => "text",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(abi: &str) -> Vec<u8> {
        let build = r#"{\"name\":\"faultline\",\"version\":\"1.2.3\",\"licenses\":\"MIT\",\"configSchema\":1,\"x\":0}"#;
        wat::parse_str(format!(
            r#"(module (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
                 (memory (export "memory") 1) (data (i32.const 0) "0123456789")
                 (func (export "{abi}")) (func (export "malloc") (param i32) (result i32) (i32.const 0))
                 (@custom "io.faultline" "{build}"))"#
        ))
        .unwrap()
    }

    #[test]
    fn a_plugin_is_read_and_can_be_started() {
        let module = Module::read(&plugin("proxy_abi_version_0_2_1")).unwrap();
        assert_eq!(module.abi, Some(Abi::V0_2_1));
        assert_eq!(module.imports, ["env.proxy_log"]);
        assert_eq!(module.exports, ["memory", "proxy_abi_version_0_2_1", "malloc"]);
        assert_eq!(module.startable(), Ok(()));
        for abi in ["proxy_abi_version_0_2_0", "proxy_abi_version_0_1_0"] {
            assert_eq!(Module::read(&plugin(abi)).unwrap().startable(), Ok(()));
        }
    }

    #[test]
    fn what_its_build_wrote_into_it_becomes_annotations() {
        let annotations = Module::read(&plugin("proxy_abi_version_0_2_1")).unwrap().annotations();
        assert_eq!(annotations["org.opencontainers.image.version"], "1.2.3");
        assert_eq!(annotations["org.opencontainers.image.licenses"], "MIT");
        assert_eq!(annotations["io.faultline.abi"], "0.2.1");
        assert_eq!(annotations["io.faultline.config-schema"], "1");
        assert!(!annotations.contains_key("org.opencontainers.image.revision"));
    }

    #[test]
    fn a_module_cut_within_a_section_is_called_truncated() {
        let whole = plugin("proxy_abi_version_0_2_1");
        // A cut between two sections may leave a valid, smaller module; nothing in the format reveals it.
        let ends: Vec<usize> = wasmparser::Parser::new(0)
            .parse_all(&whole)
            .filter_map(|p| p.unwrap().as_section().map(|(_, range)| range.end))
            .collect();
        for cut in (4..whole.len()).filter(|cut| *cut != HEADER.len() && !ends.contains(cut)) {
            assert_eq!(Module::read(&whole[..cut]), Err(ModuleError::Truncated(cut)));
        }
    }

    #[test]
    fn what_is_no_plugin_is_named() {
        assert_eq!(Module::read(b""), Err(ModuleError::Empty));
        assert_eq!(Module::read(b"\x1f\x8b\x08\0"), Err(ModuleError::NotWasm("gzip-compressed data")));
        assert_eq!(Module::read(b"(module)"), Err(ModuleError::NotWasm("WebAssembly text")));
        assert_eq!(Module::read(b"hello"), Err(ModuleError::NotWasm("text")));
        assert_eq!(Module::read(b"\0asm\x0d\0\x01\0"), Err(ModuleError::Component));
        assert!(matches!(Module::read(b"\0asm\x01\0\0\0\xff\x01\0"), Err(ModuleError::Invalid { .. })));
        let read = |wat: &str| Module::read(&wat::parse_str(wat).unwrap()).unwrap().startable();
        assert_eq!(read("(module)"), Err(ModuleError::NoAbi));
        assert_eq!(read(r#"(module (memory (export "proxy_abi_version_0_2_1") 1))"#), Err(ModuleError::NoAbi));
        let lacking = |rest: &str| read(&format!(r#"(module {rest} (func (export "proxy_abi_version_0_2_1")))"#));
        let memory = r#"(memory (export "memory") 1)"#;
        assert_eq!(lacking(memory), Err(ModuleError::NoAllocator));
        assert_eq!(lacking(r#"(func (export "malloc"))"#), Err(ModuleError::NoMemory));
        for (module, name) in [("__wbindgen", "f"), ("env", "proxy_nope"), ("wasi_snapshot_preview1", "proc_raise")] {
            let import = format!(r#"(import "{module}" "{name}" (func))"#);
            assert_eq!(lacking(&import), Err(ModuleError::Import(format!("{module}.{name}"))));
        }
        assert_eq!(lacking(r#"(import "env" "g" (global i32))"#), Err(ModuleError::Import("env.g".into())));
    }
}
