//! Support for the tests: running `faultline` without this machine's credentials, modules to publish, and the fake
//! registry.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod registry;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// `faultline` with these arguments in this directory. The only credentials it can find are in its `docker` folder.
pub(crate) fn faultline(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_faultline"));
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command.env("DOCKER_CONFIG", dir.join("docker")).env("REGISTRY_AUTH_FILE", dir.join("no-auth.json"));
    for proxy in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    command.env("XDG_CACHE_HOME", dir.join("cache"));
    command.env_remove("SOURCE_DATE_EPOCH");
    command
}

/// The result of a command: exit code, stdout, stderr.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it was not killed"),
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }
}

/// Runs `faultline` until it exits.
pub(crate) fn run(dir: &Path, args: &[&str]) -> Ran {
    faultline(dir, args).output().expect("faultline runs").into()
}

/// Runs `faultline` with this input on standard input.
pub(crate) fn run_with_input(dir: &Path, args: &[&str], input: &[u8]) -> Ran {
    let mut child = faultline(dir, args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("faultline runs");
    // A command that refuses its arguments may exit before it reads.
    let _ = std::io::Write::write_all(&mut child.stdin.take().expect("it is piped"), input);
    child.wait_with_output().expect("it ends").into()
}

impl Ran {
    /// Asserts an exit code and returns self for further assertions.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Asserts that it failed with one error, only on stderr, that contains these words.
    #[track_caller]
    pub(crate) fn fails_with(self, words: &[&str]) -> Self {
        self.says_why(1, words)
    }

    /// Asserts that it rejected the command line with one error, only on stderr, that contains these words.
    #[track_caller]
    pub(crate) fn refuses_usage_with(self, words: &[&str]) -> Self {
        self.says_why(2, words)
    }

    #[track_caller]
    fn says_why(self, code: i32, words: &[&str]) -> Self {
        let ran = self.exits(code);
        assert_eq!(ran.stdout, "");
        assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
        for word in words {
            assert!(ran.stderr.contains(word), "`{word}` is not in: {}", ran.stderr);
        }
        ran
    }

    /// Stdout as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }
}

/// The build information that the filter's build writes into the module, for a version that never changes.
pub(crate) const BUILD_INFO: &str = concat!(
    r#"{"configSchema":1,"licenses":"Apache-2.0","name":"faultline","#,
    r#""revision":"0123456789abcdef0123456789abcdef01234567","version":"1.2.3"}"#
);

/// A small plugin that a proxy could start, padded so that its layer is sent in several pieces.
pub(crate) fn plugin() -> Vec<u8> {
    let noise: String = (0..150_000u32).map(|i| format!("\\{:02x}", i.wrapping_mul(2_654_435_761) >> 24)).collect();
    module(&format!(
        r#"(import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
           (memory (export "memory") 4) (func (export "proxy_abi_version_0_2_1"))
           (func (export "malloc") (param i32) (result i32) (i32.const 0)) (data (i32.const 0) "{noise}")
           (@custom "io.faultline" "{}")"#,
        BUILD_INFO.replace('"', "\\\"")
    ))
}

/// A module with these parts, in the WebAssembly text format.
pub(crate) fn module(parts: &str) -> Vec<u8> {
    wat::parse_str(format!("(module {parts})")).expect("it is valid")
}

/// A directory that contains `plugin.wasm`.
pub(crate) fn workplace() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("there is room");
    std::fs::write(dir.path().join("plugin.wasm"), plugin()).expect("there is room");
    dir
}

/// Names of the files in a directory, sorted.
pub(crate) fn listing(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .expect("it can be read")
        .map(|entry| entry.expect("it can be read").file_name().into_string().expect("it is text"))
        .collect();
    names.sort();
    names
}
