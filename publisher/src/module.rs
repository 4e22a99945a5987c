//! Looks into a wasm module: is it one, is it whole, and is it a proxy-wasm plugin that a proxy can start.
//!
//! Every module is checked before it is shipped: a proxy that is told to fetch a broken one answers 403, or serves without the
//! plugin, and says so only in its own log. What the plugin does is not looked at.

use serde::Serialize;
use wasmparser::{ExternalKind, Parser, Payload, Validator, WasmFeatures};

/// The first eight bytes of a core module, version 1.
const HEADER: [u8; 8] = *b"\0asm\x01\0\0\0";

/// The modules whose functions a proxy provides to a plugin; an import from any other cannot be resolved.
const HOST_MODULES: [&str; 3] = ["env", "wasi_snapshot_preview1", "wasi_unstable"];

/// A version of the interface between proxy and plugin, which a plugin states by exporting a function of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Abi {
    /// `proxy_abi_version_0_1_0`
    #[serde(rename = "0.1.0")]
    V0_1_0,
    /// `proxy_abi_version_0_2_0`
    #[serde(rename = "0.2.0")]
    V0_2_0,
    /// `proxy_abi_version_0_2_1`
    #[serde(rename = "0.2.1")]
    V0_2_1,
}

impl Abi {
    fn exported_as(name: &str) -> Option<Self> {
        match name {
            "proxy_abi_version_0_1_0" => Some(Self::V0_1_0),
            "proxy_abi_version_0_2_0" => Some(Self::V0_2_0),
            "proxy_abi_version_0_2_1" => Some(Self::V0_2_1),
            _ => None,
        }
    }

    /// `0.2.1`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_2_1 => "0.2.1",
        }
    }
}

/// What a valid module imports and exports.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Module {
    /// The newest proxy-wasm ABI it states, if any.
    pub abi: Option<Abi>,
    /// `module.name` of each import, in the module's order.
    pub imports: Vec<String>,
    /// Names of the exports, in the module's order.
    pub exports: Vec<String>,
}

/// Why bytes are not a module, or not one that a proxy can start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// No bytes at all.
    #[error("it is empty; build the filter again (`cargo xtask build`)")]
    Empty,
    /// It does not begin as a module does.
    #[error("it is not a WebAssembly module: it is {0}; give the .wasm file itself")]
    NotWasm(&'static str),
    /// A component, which proxies cannot run.
    #[error(
        "it is a WebAssembly component; proxies run core modules, so build for wasm32-unknown-unknown or wasm32-wasip1"
    )]
    Component,
    /// It ends early.
    #[error("it is truncated: it ends at byte {0} in the middle of a section; copy or build it again")]
    Truncated(usize),
    /// It breaks WebAssembly's rules.
    #[error("it is not valid WebAssembly: {message} (at byte {offset}); build it again")]
    Invalid {
        /// Byte offset of the fault.
        offset: usize,
        /// The validator's words.
        message: String,
    },
    /// A valid module, but no proxy-wasm plugin.
    #[error(
        "it is not a proxy-wasm plugin: it exports no function `proxy_abi_version_0_2_1`; build it with a proxy-wasm SDK"
    )]
    NoAbi,
    /// A plugin for an interface that is too old.
    #[error("it is a plugin for proxy-wasm ABI 0.1.0; build it with an SDK for 0.2.0 or 0.2.1")]
    OldAbi,
    /// It imports what no proxy provides.
    #[error("it imports `{0}`, which no proxy provides; build it without that import")]
    Import(String),
}

impl Module {
    /// Reads and validates a module, whatever it is for.
    ///
    /// # Errors
    /// When the bytes are not one whole, valid core module.
    pub fn read(bytes: &[u8]) -> Result<Self, ModuleError> {
        if bytes.is_empty() {
            return Err(ModuleError::Empty);
        }
        if !bytes.starts_with(&HEADER[..4]) {
            return Err(ModuleError::NotWasm(looks_like(bytes)));
        }
        if bytes.len() < HEADER.len() {
            return Err(ModuleError::Truncated(bytes.len()));
        }
        if Parser::is_component(bytes) {
            return Err(ModuleError::Component);
        }
        Self::parse(bytes).map_err(|error| {
            if error.message().contains("unexpected end") {
                ModuleError::Truncated(bytes.len())
            } else {
                ModuleError::Invalid { offset: error.offset(), message: error.message().to_owned() }
            }
        })
    }

    fn parse(bytes: &[u8]) -> Result<Self, wasmparser::BinaryReaderError> {
        // First the structure alone, so that a module cut anywhere is called truncated and not invalid.
        let mut module = Self { abi: None, imports: Vec::new(), exports: Vec::new() };
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        module.imports.push(format!("{}.{}", import.module, import.name));
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        if export.kind == ExternalKind::Func {
                            module.abi = module.abi.max(Abi::exported_as(export.name));
                        }
                        module.exports.push(export.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Validator::new_with_features(WasmFeatures::default()).validate_all(bytes)?;
        Ok(module)
    }

    /// What would keep a proxy from starting this module, if anything.
    ///
    /// # Errors
    /// When it states no proxy-wasm ABI of 0.2.0 or later, or imports what no proxy provides.
    pub fn startable(&self) -> Result<(), ModuleError> {
        match self.abi {
            None => return Err(ModuleError::NoAbi),
            Some(Abi::V0_1_0) => return Err(ModuleError::OldAbi),
            Some(Abi::V0_2_0 | Abi::V0_2_1) => {}
        }
        let provided = |import: &&String| {
            !HOST_MODULES.iter().any(|host| import.strip_prefix(host).is_some_and(|rest| rest.starts_with('.')))
        };
        match self.imports.iter().find(provided) {
            Some(import) => Err(ModuleError::Import(import.clone())),
            None => Ok(()),
        }
    }
}

/// Names what was given instead of a module, by its first bytes.
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
        wat::parse_str(format!(
            r#"(module (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
                 (memory (export "memory") 1) (data (i32.const 0) "0123456789")
                 (func (export "{abi}")) (func (export "malloc") (param i32) (result i32) (i32.const 0)))"#
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
        assert_eq!(Module::read(&plugin("proxy_abi_version_0_2_0")).unwrap().startable(), Ok(()));
    }

    #[test]
    fn a_module_cut_within_a_section_is_called_truncated() {
        let whole = plugin("proxy_abi_version_0_2_1");
        // A cut between two sections leaves what may be a valid, smaller module: nothing in the format tells.
        let ends: Vec<usize> = Parser::new(0)
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
        assert_eq!(read(r#"(module (func (export "proxy_abi_version_0_1_0")))"#), Err(ModuleError::OldAbi));
        assert_eq!(
            read(r#"(module (import "__wbindgen" "f" (func)) (func (export "proxy_abi_version_0_2_1")))"#),
            Err(ModuleError::Import("__wbindgen.f".into()))
        );
    }
}
