//! Puts the filter's module and the list of what is in it into the program, so that `faultline push` and `attach
//! --sbom` need no file: the module that the environment variable `FAULTLINE_WASM` names, else the one that `cargo
//! xtask build` leaves in cargo's target directory, and the list beside it. Without a module the program still builds;
//! `push` then asks for `--wasm`.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-env-changed=FAULTLINE_WASM");
    let manifest_dir = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let named = env::var_os("FAULTLINE_WASM").filter(|path| !path.is_empty()).map(PathBuf::from);
    // Cargo's target directory, which may be elsewhere, is some levels above this one.
    let above = out_dir.ancestors().skip(1).take(5).map(|folder| folder.join("faultline.wasm"));
    let built = above.into_iter().find(|path| path.is_file());
    let path = named.clone().or(built).unwrap_or_else(|| manifest_dir.join("../target/faultline.wasm"));

    let module = embed(&path, "MODULE", "The module this program was built with.", &out_dir);
    if let (Err(error), Some(path)) = (&module, named) {
        panic!("FAULTLINE_WASM names `{}`, which cannot be read: {error}", path.display());
    }
    if module.is_err() {
        println!(
            "cargo::warning=there is no `{}`, so the program has no filter inside: \
            run `cargo xtask build` first, or name the module with FAULTLINE_WASM",
            path.display()
        );
    }
    let sbom = embed(&path.with_extension("cdx.json"), "SBOM", "What is in that module, CycloneDX JSON.", &out_dir);
    let source = [(module, "MODULE"), (sbom, "SBOM")].map(|(found, name)| {
        found.unwrap_or_else(|_| format!("/// Not built in.\npub(crate) const {name}: Option<&[u8]> = None;\n"))
    });
    fs::write(out_dir.join("embedded.rs"), source.concat()).expect("OUT_DIR can be written to");
}

/// Copies a file to where the compiler finds it, and returns the constant that holds it.
fn embed(file: &Path, name: &str, about: &str, out_dir: &Path) -> std::io::Result<String> {
    println!("cargo::rerun-if-changed={}", file.display());
    fs::write(out_dir.join(name), fs::read(file)?)?;
    Ok(format!(
        "/// {about}\npub(crate) const {name}: Option<&[u8]> = \
            Some(include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\")));\n"
    ))
}
