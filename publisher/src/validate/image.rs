//! Rules for the image that a plugin names (FL301 to FL303, FL308).
//!
//! They apply to any plugin. Istio's agent fetches by the URL alone and compares the digest of what came with the one
//! that is pinned, in the URL or in `sha256`.

use super::finding::{Draft, Severity};
use super::rules;
use mesh::yaml::node::Node;

/// Every finding about the image that `code` names.
pub(super) fn check(code: &Node, path: &str) -> Vec<Draft> {
    let mut found = Vec::new();
    let Some(url) = code.text("url") else { return found };
    found.extend(no_scheme(url, path));
    let (scheme, rest) = url.split_once("://").unwrap_or(("oci", url));
    if scheme != "oci" {
        return found;
    }
    let (name, digest) = rest.split_once('@').map_or((rest, None), |(name, digest)| (name, Some(digest)));
    let in_url = digest.and_then(|digest| digest.strip_prefix("sha256:"));
    let sha256 = code.text("sha256").filter(|hex| !hex.is_empty());
    if let (Some(in_url), Some(sha256)) = (in_url, sha256)
        && in_url != sha256
    {
        let words = [
            "is another digest than the one in url",
            "the proxy compares with one of them and refuses the module: `checksum mismatch`",
            "keep the one in url; `faultline manifest` asks the registry for it",
        ];
        found.push(Draft::new(rules::FL303, Severity::Error, format!("{path}.sha256"), words));
    }
    found.extend(digest_beside_tag(code, path));
    let tag = name.rsplit_once('/').map_or(name, |(_, last)| last).split_once(':').map(|(_, tag)| tag);
    let policy = code.text("imagePullPolicy");
    let pulled_once = match tag {
        Some("latest") => policy == Some("IfNotPresent"),
        None => policy != Some("Always"),
        Some(_) => false,
    };
    if pulled_once && in_url.is_none() && sha256.is_none() {
        let problem = match tag {
            Some(_) => "the tag `latest`, with imagePullPolicy IfNotPresent and no digest",
            None => "no tag, which is `latest`, with imagePullPolicy IfNotPresent (the default here) and no digest",
        };
        let words = [
            problem,
            "each proxy keeps what it pulled first: after the next push, old and new proxies run different modules",
            "pin the digest in the URL, as `faultline manifest` does, or name a version",
        ];
        found.push(Draft::new(rules::FL302, Severity::Warning, format!("{path}.url"), words));
    }
    found
}

/// FL301: a URL without a scheme.
fn no_scheme(url: &str, path: &str) -> Option<Draft> {
    if url.contains("://") {
        return None;
    }
    let has_port = url.split('/').next().is_some_and(|host| host.contains(':'));
    let (severity, at_run_time) = if has_port {
        (
            Severity::Error,
            "the port is read as part of a scheme: istiod discards the plugin, and says so in its log only",
        )
    } else {
        (Severity::Warning, "Istio takes it for oci://; with a port in it, it would discard the plugin without a word")
    };
    let fix = format!("write `oci://{url}`");
    let problem = format!("`{url}` has no scheme");
    Some(Draft::new(rules::FL301, severity, format!("{path}.url"), [problem.as_str(), at_run_time, &fix]))
}

/// FL308: the digest is pinned beside a tag and not in the URL.
pub(super) fn digest_beside_tag(code: &Node, path: &str) -> Option<Draft> {
    let sha256 = code.text("sha256").filter(|hex| !hex.is_empty())?;
    let url = code.text("url").filter(|url| !url.contains('@'))?;
    let name = url.strip_prefix("oci://").or_else(|| (!url.contains("://")).then_some(url))?;
    let words = [
        "is compared with what the tag in url names at the time",
        "once the tag has moved, every new proxy refuses the module (`checksum … does not match`) and does what \
            failStrategy says, while old proxies run on; nothing tells",
        &format!("write `url: oci://{name}@sha256:{sha256}` and remove `sha256`"),
    ];
    Some(Draft::new(rules::FL308, Severity::Warning, format!("{path}.sha256"), words))
}
