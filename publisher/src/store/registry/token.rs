//! Exchanges credentials for a token at the service that the registry names in its challenge.
//!
//! User name and password, or nothing, are sent by GET; an identity token by OAuth2's POST with
//! `grant_type=refresh_token`. This file builds the request and reads the response. [`super::http`] sends it and keeps
//! the token only for the rest of the command.

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Url};

use super::cause::ErrorCause;
use super::challenge::join_scopes;
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

/// The scopes to request: those of the refused request, and those that the whole command needs for this repository.
pub(super) fn scopes(refused: Option<&str>, repository: &str, writing: bool) -> Vec<String> {
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
/// When it is invalid, or when a secret would be sent in plain http although the registry itself uses https.
pub(super) fn url(realm: &Realm<'_>, credentials: &Credentials, registry_is_https: bool) -> Result<Url, ErrorCause> {
    let url = Url::parse(realm.url).map_err(|_| ErrorCause::Answer("its token service has no valid URL".into()))?;
    let has_secret = !matches!(credentials, Credentials::Anonymous);
    if has_secret && registry_is_https && url.scheme() != "https" {
        return Err(ErrorCause::Answer("it wants the password sent to its token service in plain http".into()));
    }
    Ok(url)
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
