//! The exchange of credentials for a token, at the service that the registry names in its challenge.
//!
//! User name and password, or nothing, by GET; an identity token by OAuth2's POST with `grant_type=refresh_token`. A token is
//! kept for the rest of the command only.

use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderValue};

use crate::auth::Credentials;
use crate::fault::{Cause, Failure};
use crate::registry::challenge::join_scopes;
use crate::registry::http::Http;

impl Http {
    /// Fetches a token that is good for what was refused, and for all that this command is going to do.
    ///
    /// # Errors
    /// When the service cannot be reached, or refuses the credentials.
    pub(super) async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
    ) -> Result<String, Failure> {
        let mut url = Url::parse(realm).map_err(|_| Cause::Answer("its token service has no valid URL".into()))?;
        let has_secret = !matches!(self.credentials, Credentials::Anonymous);
        if has_secret && self.is_https() && url.scheme() != "https" {
            return Err(Cause::Answer("it wants the password sent to its token service in plain http".into()).into());
        }
        let standing = match (self.reference.repository.as_str(), self.writing.get()) {
            ("", _) => String::new(),
            (repository, false) => format!("repository:{repository}:pull"),
            (repository, true) => format!("repository:{repository}:pull,push"),
        };
        let scopes = join_scopes([scope.unwrap_or_default(), &standing]);
        let request = match &self.credentials {
            Credentials::IdentityToken { token, .. } => {
                let mut form =
                    vec![("grant_type", "refresh_token"), ("client_id", "faultline"), ("refresh_token", token)];
                let scope = scopes.join(" ");
                form.extend(service.map(|service| ("service", service)));
                form.extend((!scope.is_empty()).then_some(("scope", scope.as_str())));
                let content = HeaderValue::from_static("application/x-www-form-urlencoded");
                self.client.post(url).header(CONTENT_TYPE, content).body(encoded(&form))
            }
            other => {
                url.query_pairs_mut()
                    .extend_pairs(service.map(|service| ("service", service)))
                    .extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
                match other {
                    Credentials::Basic { username, password, .. } => {
                        self.client.get(url).basic_auth(username, Some(password))
                    }
                    _ => self.client.get(url),
                }
            }
        };
        let answer = self.judged(request.send().await?).await?.bytes().await?;
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
        // Both names are in use, with the same meaning.
        let token = ["token", "access_token"].iter().find_map(|name| answer[*name].as_str().filter(|t| !t.is_empty()));
        token.map(str::to_owned).ok_or_else(|| Cause::Answer("its token service gave no token".into()).into())
    }
}

/// The form encoding of these pairs, which is that of a URL's query.
fn encoded(pairs: &[(&str, &str)]) -> String {
    let Ok(mut url) = Url::parse("form:") else { return String::new() };
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}
