//! Golden digests: the same module packs to the same digest on any machine and with any build of this program.
//!
//! If this fails, users can no longer reproduce what they have pushed: an encoder, a header, a field order or an
//! annotation has changed. Only a deliberate change that is in the change log may alter these digests.

use crate::support::{self, plugin, workplace};
use sha2::Digest;

/// Digests without SOURCE_DATE_EPOCH, and with 1735689600.
const GOLDEN: [(&str, &str, &str); 4] = [
    (
        "oci",
        "7a74201ce7c279b6f0aff4a0d144298838c12203399d52505fb99d67d75f39e4",
        "4903b2a4090d51e16e56806bd73fd6f8e939a8907af0dd505e773d7786e074cc",
    ),
    (
        "docker",
        "19fe6c0f93936f7e2248ed35a1ce7bef07d11f30f26b960d0e7931443b9e67b4",
        "fbfc404d9524ff131e7d178f4784153f601ad4e354d6beff5e881b44b60f3c4e",
    ),
    (
        "solo",
        "283000a0951edfbf248207f570e38c547968f50c1a2112c0bc183b42c1641a89",
        "7884738e2b31932ed6afb260b65cb845903e2c4285e10781dc336202e1194187",
    ),
    (
        "cncf",
        "4e04200e98c54527ea5911e345a01efbf21c02664c73c84b3f5d95bb02231d21",
        "3d1928a09c4a2dd73094720187b51415afd13d827bc5b31d374fb40bc5cdfc52",
    ),
];

const MODULE: &str = "83a099695801d6781a107a94029981d28e5bbbb6baae0f8ae66833ca30c40809";

#[test]
fn the_same_module_gives_the_same_digest_in_every_form() {
    let module: String = sha2::Sha256::digest(plugin()).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(module, MODULE, "the module to be packed is another one: not the packing is what changed");

    let dir = workplace();
    let digest = |form: &str, epoch: Option<&str>| {
        let target = format!("oci:out:{form}");
        let args = ["push", &target, "--wasm", "plugin.wasm", "--format", form, "--output", "json"];
        let mut command = support::faultline(dir.path(), &args);
        command.envs(epoch.map(|epoch| ("SOURCE_DATE_EPOCH", epoch)));
        let report = support::Ran::from(command.output().expect("faultline runs")).exits(0).json();
        report["digest"].as_str().expect("it is text").trim_start_matches("sha256:").to_owned()
    };
    let packed = GOLDEN.map(|(form, ..)| (form, digest(form, None), digest(form, Some("1735689600"))));
    let wanted = GOLDEN.map(|(form, plain, dated)| (form, plain.to_owned(), dated.to_owned()));
    assert_eq!(packed, wanted);
}
