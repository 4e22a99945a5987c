//! Exchanges credentials for a token at the service that the registry names in its challenge.
//!
//! User name and password, or nothing, are sent by GET; an identity token by OAuth2's POST with
//! `grant_type=refresh_token`. This file builds the request and reads the response. [`super::http`] sends it and keeps
//! the token only for the rest of the command.

use std::net::{IpAddr, Ipv4Addr};

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Url};

use super::cause::ErrorCause;
use super::challenge::{is_opaque, join_scopes};
use crate::credentials::Credentials;

/// The token service that a challenge names, and the scope that the refused request needs.
pub(super) struct Realm<'a> {
    /// The service's URL.
    pub(super) url: &'a str,
    /// The name by which the service knows the registry.
    pub(super) service: Option<&'a str>,
    /// The scopes, separated by white space.
    pub(super) scope: Option<&'a str>,
}

/// The scopes to request: those of the refused request, and those that the whole command needs for this repository. A
/// service with scopes of its own kind (Amazon's public registry says `aws`) is asked for these alone.
pub(super) fn scopes(refused: Option<&str>, repository: &str, writing: bool) -> Vec<String> {
    if let Some(refused) = refused.filter(|refused| refused.split_whitespace().any(is_opaque)) {
        return join_scopes([refused]);
    }
    let standing = match (repository, writing) {
        ("", _) => String::new(),
        (repository, false) => format!("repository:{repository}:pull"),
        (repository, true) => format!("repository:{repository}:pull,push"),
    };
    join_scopes([refused.unwrap_or_default(), &standing])
}

/// The service's URL.
///
/// # Errors
/// When it is invalid; when it is an address of a private network that is not the registry's own, which only the
/// registry's word would make us send requests, and a password, to; or when a secret would be sent in plain http
/// although the registry itself uses https.
pub(super) fn url(realm: &Realm<'_>, credentials: &Credentials, registry: &Url) -> Result<Url, ErrorCause> {
    let invalid = || ErrorCause::Answer("its token service has no valid URL".into());
    let mut url = Url::parse(realm.url).map_err(|_| invalid())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(invalid());
    }
    // A user name in it would be sent instead of the credentials.
    let _ = (url.set_username(""), url.set_password(None));
    if url.host_str() != registry.host_str() && is_near(&url, registry) {
        return Err(ErrorCause::Refused(format!(
            "it names `{}` as its token service, a private address that is not its own",
            url.host_str().unwrap_or_default()
        )));
    }
    let has_secret = !matches!(credentials, Credentials::Anonymous);
    if has_secret && registry.scheme() == "https" && url.scheme() != "https" {
        return Err(ErrorCause::Refused("it wants the password sent to its token service in plain http".into()));
    }
    Ok(url)
}

/// Whether a URL leads to this machine or its network by its address, or by the name `localhost` if the registry is
/// elsewhere. The parser has brought all ways to write an IPv4 address (`0x7f.1`, `2130706433`) into one.
fn is_near(url: &Url, registry: &Url) -> bool {
    let host = |url: &Url| url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let name = host(url);
    match name.parse::<IpAddr>() {
        Ok(address) => is_near_address(address),
        Err(_) => {
            let name = name.trim_end_matches('.');
            let at_home = host(registry).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            (name == "localhost" || name.ends_with(".localhost")) && !at_home
        }
    }
}

/// Loopback, private, link-local, shared (RFC 6598) and unspecified addresses, also those that IPv6 wraps.
fn is_near_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || a == 0 || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => {
            let [.., high, low] = ip.segments();
            let inner = || IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
            // Mapped and compatible addresses (::/96), and NAT64's (64:ff9b::/96).
            let wraps = matches!(ip.segments(), [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..]);
            ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local()
                || (wraps && is_near_address(inner()))
        }
    }
}

/// The request for a token.
pub(super) fn request(
    client: &Client,
    mut url: Url,
    realm: &Realm<'_>,
    scopes: &[String],
    credentials: &Credentials,
) -> RequestBuilder {
    if let Credentials::IdentityToken { token, .. } = credentials {
        let mut form = vec![("grant_type", "refresh_token"), ("client_id", "faultline"), ("refresh_token", token)];
        let scope = scopes.join(" ");
        form.extend(realm.service.map(|service| ("service", service)));
        form.extend((!scope.is_empty()).then_some(("scope", scope.as_str())));
        let content = HeaderValue::from_static("application/x-www-form-urlencoded");
        return client.post(url).header(CONTENT_TYPE, content).body(encoded(&form));
    }
    url.query_pairs_mut()
        .extend_pairs(realm.service.map(|service| ("service", service)))
        .extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
    match credentials {
        Credentials::Basic { username, password, .. } => client.get(url).basic_auth(username, Some(password)),
        _ => client.get(url),
    }
}

/// Reads the token from the service's response.
///
/// # Errors
/// When the response has no token.
pub(super) fn read(answer: &[u8]) -> Result<String, ErrorCause> {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    // Both names are in use and mean the same.
    let token = ["token", "access_token"].iter().find_map(|name| answer[*name].as_str().filter(|t| !t.is_empty()));
    token.map(str::to_owned).ok_or_else(|| ErrorCause::Answer("its token service gave no token".into()))
}

/// Encodes these pairs as a form, in the same way as a URL's query.
fn encoded(pairs: &[(&str, &str)]) -> String {
    let Ok(mut url) = Url::parse("form:") else { return String::new() };
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(realm: &str, registry: &str) -> bool {
        let realm = Realm { url: realm, service: None, scope: None };
        url(&realm, &Credentials::Anonymous, &Url::parse(registry).expect("a URL")).is_ok()
    }

    #[test]
    fn a_token_service_at_a_private_address_is_the_registrys_own_or_none() {
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[::7f00:1]",
            "[64:ff9b::10.0.0.1]",
            "[fe80::1]",
            "[fd00::1]",
            "localhost",
            "localhost.",
            "auth.localhost",
        ] {
            for registry in ["https://registry.example.com/v2/", "https://203.0.113.7:5000/v2/"] {
                assert!(!followed(&format!("https://{host}:8443/token"), registry), "{host} {registry}");
            }
        }
        for (realm, registry) in [
            ("https://auth.docker.io/token", "https://registry-1.docker.io/v2/"),
            ("https://203.0.113.7/token", "https://registry.example.com/v2/"),
            ("https://[2001:db8::1]/token", "https://registry.example.com/v2/"),
            ("http://127.0.0.1:5001/token", "http://127.0.0.1:5000/v2/"),
            ("https://10.0.0.7/token", "https://10.0.0.7:5000/v2/"),
            ("https://[fd00::1]:5001/token", "https://[fd00::1]/v2/"),
            ("http://localhost:5001/token", "http://127.0.0.1:5000/v2/"),
        ] {
            assert!(followed(realm, registry), "{realm} {registry}");
        }
        assert!(!followed("https://127.0.0.1:1/token", "https://localhost:5000/v2/"));
        for other in ["file:///etc/passwd", "ftp://auth.example.com/", "/token", ""] {
            assert!(!followed(other, "https://registry.example.com/v2/"), "{other}");
        }
    }

    #[test]
    fn scopes_of_another_kind_are_sent_as_they_were_told() {
        assert_eq!(scopes(Some("aws"), "a/b", true), ["aws"]);
        assert_eq!(scopes(Some("https://example.com/.default"), "a/b", false), ["https://example.com/.default"]);
        assert_eq!(scopes(Some("push pull"), "a/b", false), ["push", "pull"]);
        assert_eq!(scopes(Some("repository:a/b:pull"), "a/b", true), ["repository:a/b:pull,push"]);
        assert_eq!(scopes(Some("registry:catalog:*"), "a/b", false), ["registry:catalog:*", "repository:a/b:pull"]);
        assert_eq!(scopes(None, "a/b", false), ["repository:a/b:pull"]);
    }
}
