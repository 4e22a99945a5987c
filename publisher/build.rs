//! Puts the filter's module into the program, so that `faultline push` needs no file: the one that the environment variable
//! `FAULTLINE_WASM` names, else the one that `cargo xtask build` leaves in the workspace. Without one the program still builds;
//! `push` then asks for `--wasm`.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed=FAULTLINE_WASM");
    let manifest_dir = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let named = env::var_os("FAULTLINE_WASM").filter(|path| !path.is_empty()).map(PathBuf::from);
    let path = named.clone().unwrap_or_else(|| manifest_dir.join("../target/faultline.wasm"));
    println!("cargo::rerun-if-changed={}", path.display());

    let source = match fs::read(&path) {
        Ok(module) => {
            fs::write(out_dir.join("embedded.wasm"), module).expect("OUT_DIR can be written to");
            r#"pub const MODULE: Option<&[u8]> = Some(include_bytes!(concat!(env!("OUT_DIR"), "/embedded.wasm")));"#
        }
        Err(error) if named.is_some() => {
            panic!("FAULTLINE_WASM names `{}`, which cannot be read: {error}", path.display())
        }
        Err(_) => "pub const MODULE: Option<&[u8]> = None;",
    };
    fs::write(out_dir.join("embedded.rs"), source).expect("OUT_DIR can be written to");
}
