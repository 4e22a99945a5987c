//! Tells when Istio's agent cannot pull from a registry that others can.
//!
//! Since Istio 1.27.9 the agent refuses a 401 if any `realm="…"` in its `WWW-Authenticate` headers is not the URL of a
//! token service on a public host (`validateAllRealms` in `pkg/wasm/imagefetcher.go`). The realm of Basic
//! authentication is a name and no URL, so registries that ask for a password themselves are refused too.

use std::net::IpAddr;

use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

use super::access::Access;

/// A realm that the agent refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RefusedRealm {
    /// The realm, as the registry wrote it.
    realm: String,
    /// Whether it belongs to a challenge for user name and password.
    is_basic: bool,
    /// The agent's own words.
    says: String,
}

/// Which certificates of the registry are accepted here, beyond those that the agent accepts too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// None.
    Usual,
    /// Those of authorities that the user named.
    Own,
    /// Any.
    Anyone,
}

impl Trust {
    /// By the user's options.
    pub(super) fn of(access: &Access) -> Self {
        match access {
            Access { insecure: true, .. } => Self::Anyone,
            Access { ca_file: Some(_), .. } => Self::Own,
            _ => Self::Usual,
        }
    }
}

/// Why the agent cannot pull from this registry, or not without a setting. Plain http needs none: the agent tries it
/// when a registry does not speak https.
pub(super) fn warnings(registry: &str, refused: Option<&RefusedRealm>, trust: Trust) -> Vec<String> {
    let refused = refused.map(|realm| realm.warning(registry));
    let option = match trust {
        Trust::Usual => None,
        Trust::Own => Some("--ca-file"),
        Trust::Anyone => Some("--insecure"),
    };
    let untrusted = option.map(|option| {
        format!(
            "Istio's agent knows nothing of {option}: if `{registry}` needs it, the proxies need \
                WASM_INSECURE_REGISTRIES={registry} in their proxyMetadata, or its authority in their image"
        )
    });
    refused.into_iter().chain(untrusted).collect()
}

impl RefusedRealm {
    /// The first realm in the headers of a 401 that the agent refuses, if there is one.
    pub(super) fn find(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        values.filter_map(first_refused).next()
    }

    /// What it means for a registry, and what to do.
    fn warning(&self, registry: &str) -> String {
        let Self { realm, says, .. } = self;
        let (why, fix) = if self.is_basic {
            (
                format!(
                    "it asks for user name and password (Basic), and the agent takes its realm `{realm}` for a URL"
                ),
                "let it give tokens or allow anonymous pulls, or copy the artifact to a registry that does",
            )
        } else {
            (
                format!("the agent refuses its token service, `{realm}`"),
                "name the token service by http or https and a host name, not by an address of your network",
            )
        };
        format!(
            "Istio's agent (1.27.9 and later) cannot pull from `{registry}`: {why} (`rejected unsafe bearer realm: \
                {says}`); {fix}"
        )
    }
}

fn first_refused(header: &str) -> Option<RefusedRealm> {
    let mut before = "";
    let mut rest = header;
    while let Some((start, tail)) = rest.split_once("realm=\"") {
        let (realm, tail) = tail.split_once('"')?;
        // The scheme is the last word before its first parameter.
        let mut words = start.rsplit([' ', ',']).filter(|word| !word.is_empty() && !word.contains('='));
        before = words.next().unwrap_or(before);
        if let Some(says) = refusal(realm) {
            let is_basic = before.eq_ignore_ascii_case("basic");
            return Some(RefusedRealm { realm: realm.to_owned(), is_basic, says });
        }
        rest = tail;
    }
    None
}

/// Why the agent refuses a realm, in its words; `None` if it does not.
fn refusal(realm: &str) -> Option<String> {
    let scheme = realm.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
    if scheme != "http" && scheme != "https" {
        return Some(format!("realm scheme \"{scheme}\" not allowed"));
    }
    let url = Url::parse(realm).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    if host.is_empty() {
        return Some("realm missing host".to_owned());
    }
    match host {
        "metadata.google.internal" => return Some("realm targets cloud metadata service".to_owned()),
        "localhost" => return Some("realm targets localhost".to_owned()),
        _ => {}
    }
    let near = match host.trim_matches(['[', ']']).parse::<IpAddr>().ok()? {
        IpAddr::V4(ip) => is_near_v4(ip),
        IpAddr::V6(ip) => ip
            .to_ipv4_mapped()
            .map_or_else(|| ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(), is_near_v4),
    };
    near.then(|| "realm targets private/loopback/link-local IP".to_owned())
}

fn is_near_v4(ip: std::net::Ipv4Addr) -> bool {
    ip.is_private() || ip.is_loopback() || ip.is_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn found(headers: &[&'static str]) -> Option<RefusedRealm> {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(WWW_AUTHENTICATE, HeaderValue::from_static(header));
        }
        RefusedRealm::find(&map)
    }

    #[test]
    fn realms_that_are_no_public_token_service_are_refused_as_the_agent_refuses_them() {
        for (header, is_basic, says) in [
            (r#"Basic realm="Registry Realm""#, true, "realm scheme \"\" not allowed"),
            (r#"Bearer realm="ftp://auth.example.com/t""#, false, "realm scheme \"ftp\" not allowed"),
            (r#"Bearer service="x",realm="https://localhost:5001/t""#, false, "realm targets localhost"),
            (r#"Bearer realm="http://10.1.2.3/t""#, false, "realm targets private/loopback/link-local IP"),
            (r#"Bearer realm="http://[::1]:5001/t""#, false, "realm targets private/loopback/link-local IP"),
            (r#"Bearer realm="https://[fe80::1]/t""#, false, "realm targets private/loopback/link-local IP"),
            (r#"Bearer realm="https://""#, false, "realm missing host"),
            (
                r#"Bearer realm="https://a.example.com/t",service="r", Basic realm="r""#,
                true,
                "realm scheme \"\" not allowed",
            ),
        ] {
            let refused = found(&[header]).unwrap_or_else(|| panic!("{header}"));
            assert_eq!((refused.is_basic, refused.says.as_str()), (is_basic, says), "{header}");
        }
        // All headers count, whichever of them a client would answer.
        assert!(found(&[r#"Bearer realm="https://auth.example.com/t""#, r#"Basic realm="r""#]).is_some());
    }

    #[test]
    fn options_that_the_agent_does_not_have_are_named_with_its_setting() {
        let told = |trust| warnings("r.example.com:5000", None, trust);
        assert_eq!(told(Trust::Usual), [""; 0]);
        for (trust, option) in [(Trust::Own, "--ca-file"), (Trust::Anyone, "--insecure")] {
            let [warning] = told(trust).try_into().unwrap_or_else(|all| panic!("{all:?}"));
            assert!(warning.contains(option), "{warning}");
            assert!(
                warning.contains("WASM_INSECURE_REGISTRIES=r.example.com:5000 in their proxyMetadata"),
                "{warning}"
            );
        }
    }

    #[test]
    fn public_token_services_and_realms_that_the_agent_does_not_read_pass() {
        for header in [
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#,
            r#"Bearer realm="http://auth.internal.example.com/token""#,
            r#"Bearer realm="https://192.0.2.1/token""#,
            "Basic",
            "Basic realm=unquoted",
            r#"Basic realm="unfinished"#,
        ] {
            assert_eq!(found(&[header]), None, "{header}");
        }
    }
}
