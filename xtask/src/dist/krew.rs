//! The manifest with which krew, kubectl's manager of plugins, installs `kubectl faultline`.

use super::target::Target;

/// The manifest, in YAML. `archives`: for each target the name and the SHA-256 of its archive, which is at
/// `download_url/NAME`.
pub(crate) fn manifest(download_url: &str, archives: &[(Target, String, String)]) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(
        "# For krew: kubectl krew install --manifest=FILE\n\
         apiVersion: krew.googlecontainertools.github.com/v1alpha2\n\
         kind: Plugin\n\
         metadata:\n  name: faultline\n\
         spec:\n  version: v{version}\n  shortDescription: Ship the faultline filter, and read what it reports\n  \
         description: |\n    \
         Packages the faultline filter as an OCI artifact, pushes it to any registry, writes the\n    \
         manifests that put it into a mesh, checks the mesh's rules and tells incidents from logs.\n  \
         platforms:\n"
    );
    let url = download_url.trim_end_matches('/');
    for (target, name, digest) in archives {
        text += &format!(
            "  - selector:\n      matchLabels: {{os: linux, arch: {}}}\n    \
             uri: {url}/{name}\n    sha256: {digest}\n    \
             files:\n    - {{from: faultline, to: .}}\n    - {{from: LICENSE, to: .}}\n    bin: faultline\n",
            target.architecture()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_archive_is_named_by_its_address_and_digest() {
        let archives = [(Target::Arm64, "f-arm64.tar.gz".to_owned(), "ab12".to_owned())];
        let text = manifest("https://example.com/v1/", &archives);
        let expected = "  platforms:\n  - selector:\n      matchLabels: {os: linux, arch: arm64}\n    \
                        uri: https://example.com/v1/f-arm64.tar.gz\n    sha256: ab12\n    files:\n";
        assert!(text.contains(expected), "{text}");
        assert!(text.ends_with("    bin: faultline\n"));
    }
}
