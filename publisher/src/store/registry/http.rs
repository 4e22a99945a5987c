//! One HTTP exchange with a registry: sends, authenticates, checks the status, and retries if that may help.
//!
//! It uses `reqwest` and not the client of oci-client, which requests `GET /v2/` again for each scope, reads challenges
//! from no other response, does not expose `Retry-After`, and gives up an upload whose response has no `Location`.
//! oci-client is used for its manifest and error types.
//!
//! Credentials are sent only to their registry and to the token service that it names, never to another server that a
//! `Location`, a `Link` or a redirect leads to. Errors repeat a server's message with our secrets removed.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::time::{Instant, SystemTime};

use anyhow::Context;
use futures_util::stream;
use indicatif::ProgressBar;
use reqwest::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, Version};
use tokio::sync::mpsc;

use super::access::Access;
use super::cause::{ErrorCause, RequestError};
use super::challenge::Challenge;
use super::client::{Redirects, client};
use super::error::RegistryError;
use super::exchange;
use super::istio_agent::RefusedRealm;
use super::proxy::Proxy;
use super::retry;
use super::token::{self, Realm};
use crate::content::Content;
use crate::credentials::Credentials;
use crate::reference::RegistryRef;
use crate::terminal::escape;

/// How many bytes are handed to the connection at once, which is also the step of the progress bar.
const PIECE: usize = 64 * 1024;

/// The most bytes of an error's body that are read.
const MOST_OF_AN_ERROR: usize = 16 * 1024;

/// The most bytes of a token service's answer that are read. Tokens have a few thousand.
const MOST_OF_A_TOKEN: usize = 256 * 1024;

/// The statuses with which a request succeeds, from the distribution specification and what registries really answer.
/// Anything else in 200..300 comes from something that is no registry: a sign-in page, a proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Success {
    /// Something is read or is there: 200.
    Read,
    /// Content is read, of whatever type it is stored as: 200.
    Blob,
    /// An upload begins: 202.
    Begun,
    /// Content is mounted, or an upload begins instead: 201, 202.
    Mounted,
    /// A piece is taken: 202; `crane registry serve` says 204, others 201.
    Taken,
    /// Content is stored: 201.
    Stored,
    /// A manifest is stored: 201; 202 is seen in the wild.
    Published,
    /// Something is removed: 202, or 200 and 204.
    Removed,
}

impl Success {
    fn includes(self, status: StatusCode) -> bool {
        let statuses: &[u16] = match self {
            Self::Read | Self::Blob => &[200],
            Self::Begun => &[202],
            Self::Mounted | Self::Published => &[201, 202],
            Self::Taken => &[201, 202, 204],
            Self::Stored => &[201],
            Self::Removed => &[200, 202, 204],
        };
        statuses.contains(&status.as_u16())
    }
}

/// A request.
pub(crate) struct Call<'a> {
    /// The method: GET, HEAD and so on.
    pub(crate) method: Method,
    /// The URL.
    pub(crate) url: Url,
    /// How it succeeds.
    pub(crate) success: Success,
    /// Headers in addition to those that every request has.
    pub(crate) headers: Vec<(HeaderName, String)>,
    /// The body, and the progress bar for sending it.
    pub(crate) body: Option<(Part<'a>, &'a ProgressBar)>,
}

/// A part of some content.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    /// The content.
    pub(crate) of: &'a Content,
    /// Where it begins, in bytes.
    pub(crate) start: u64,
    /// Its size in bytes.
    pub(crate) size: u64,
}

impl<'a> Part<'a> {
    /// All of it.
    pub(crate) fn whole(of: &'a Content) -> Self {
        Self { of, start: 0, size: of.size() }
    }
}

impl Call<'_> {
    /// A request without a body.
    pub(crate) fn new(method: Method, url: Url, success: Success) -> Self {
        Self { method, url, success, headers: Vec::new(), body: None }
    }
}

/// How requests are authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Authentication {
    /// Not at all: the registry has not asked for anything yet.
    None,
    /// User name and password.
    Basic,
    /// With this token.
    Bearer(String),
}

/// The connection to one registry, for one repository.
pub(crate) struct Http {
    /// What the user named; the repository is empty if only the registry is meant.
    pub(crate) reference: RegistryRef,
    /// The credentials to present.
    pub(crate) credentials: Credentials,
    /// Whether the first token is requested with write access.
    pub(crate) writing: Cell<bool>,
    client: Client,
    access: Access,
    base: Url,
    authentication: RefCell<Authentication>,
    /// A realm in the answer to a reading request that Istio's agent refuses.
    pub(super) refused_realm: RefCell<Option<RefusedRealm>>,
    retries: u32,
    on_retry: fn(&str),
}

impl Http {
    /// Sets up the client; nothing is sent yet.
    ///
    /// # Errors
    /// When the certificate file cannot be read, or https cannot be set up.
    pub(crate) fn new(reference: RegistryRef, credentials: Credentials, access: &Access) -> anyhow::Result<Self> {
        let scheme = if access.is_plain_http(&reference) { "http" } else { "https" };
        // Docker Hub's registry has another host name than its images' references.
        let docker_hub = matches!(reference.authority.as_str(), "docker.io" | "index.docker.io");
        let authority = if docker_hub { "registry-1.docker.io" } else { &reference.authority };
        let base = Url::parse(&format!("{scheme}://{authority}/v2/"))
            .with_context(|| format!("`{}` is not a valid host", reference.authority))?;
        let client = client(&reference, access, Redirects::Followed)?;
        let authentication = RefCell::new(Authentication::None);
        Ok(Self {
            reference,
            credentials,
            writing: Cell::new(false),
            client,
            access: access.clone(),
            base,
            authentication,
            refused_realm: RefCell::new(None),
            retries: access.retries,
            on_retry: access.on_retry,
        })
    }

    /// The URL of a path below `/v2/`, such as `mesh/faultline/tags/list`.
    pub(crate) fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{path}"));
        url
    }

    /// Resolves a `Location` or `Link` against the URL that answered. A registry behind a proxy that terminates TLS may
    /// write `http` even though clients use https.
    pub(crate) fn follow(&self, from: &Url, to: &str) -> Result<Url, ErrorCause> {
        let mut url = from.join(to).map_err(|_| ErrorCause::Answer("it leads to what is no URL".into()))?;
        let same_name = url.host_str() == self.base.host_str();
        if same_name && url.scheme() == "http" && self.base.scheme() == "https" {
            url.set_scheme("https").map_err(|()| ErrorCause::Answer("it leads to what is no URL".into()))?;
            let _ = url.set_port(self.base.port());
        }
        Ok(url)
    }

    /// Sends a request. If the registry answers 401, it authenticates as the challenge asks and sends the request once
    /// more.
    ///
    /// # Errors
    /// When no response comes, or an unsuccessful one.
    pub(crate) async fn send(&self, call: &Call<'_>) -> Result<Response, RequestError> {
        let before = self.authentication.borrow().clone();
        let sent = self.send_once(call).await?;
        // Another server's challenge is not answered, because our credentials are not for it.
        if sent.status() != StatusCode::UNAUTHORIZED || !self.is_own(sent.url()) {
            return self.error_for_status(sent, call.success).await;
        }
        // Who may pull anonymously is asked for nothing when reading.
        if matches!(call.method, Method::GET | Method::HEAD)
            && let Some(refused) = RefusedRealm::find(sent.headers())
        {
            self.refused_realm.replace(Some(refused));
        }
        // If another request has been asked at the same time, its answer counts for this one too.
        if *self.authentication.borrow() == before {
            let again = self.authenticate(sent.headers()).await?;
            self.authentication.replace(again);
        }
        self.error_for_status(self.send_once(call).await?, call.success).await
    }

    /// Tries the credentials on `/v2/`. Returns whether the registry asked for any.
    ///
    /// # Errors
    /// When the registry refuses them, or cannot be reached.
    pub(crate) async fn probe_auth(&self) -> Result<bool, RegistryError> {
        let call = Call::new(Method::GET, self.base.clone(), Success::Read);
        self.with_retries(&format!("log in to `{}`", self.reference.authority), async || self.send(&call).await)
            .await?;
        Ok(!matches!(*self.authentication.borrow(), Authentication::None))
    }

    async fn send_once(&self, call: &Call<'_>) -> Result<Response, RequestError> {
        let mut request = self.client.request(call.method.clone(), call.url.clone());
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if self.is_own(&call.url) {
            let authentication = self.authentication.borrow().clone();
            request = match (authentication, &self.credentials) {
                (Authentication::Basic, Credentials::Basic { username, password, .. }) => {
                    request.basic_auth(username, Some(password))
                }
                (Authentication::Bearer(token), _) => request.header(AUTHORIZATION, format!("Bearer {token}")),
                _ => request,
            };
        }
        let begun = Instant::now();
        let answered = match call.body {
            Some((part, bar)) => send_streamed(request, part, bar).await,
            None if matches!(call.method, Method::GET | Method::HEAD) => request.send().await.map_err(Into::into),
            None => request.header(CONTENT_LENGTH, "0").send().await.map_err(Into::into),
        };
        self.show(&call.method, &call.url, begun, &answered);
        answered
    }

    /// Tells of an exchange, if the user wants to see it.
    fn show(&self, method: &Method, url: &Url, begun: Instant, answered: &Result<Response, RequestError>) {
        if let Some(tell) = self.access.on_exchange {
            let line = exchange::line(method, url, begun.elapsed(), answered);
            tell(&self.without_secrets(&escape::one_line(&line)));
        }
    }

    /// Answers a challenge: with a token from the service that it names, or with user name and password.
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Authentication, RequestError> {
        let offered = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let before = self.authentication.borrow().clone();
        match (Challenge::choose(offered), before, &self.credentials) {
            (Some(Challenge::Bearer { realm, service, scope }), ..) => Ok(Authentication::Bearer(
                self.token(&Realm { url: &realm, service: service.as_deref(), scope: scope.as_deref() }).await?,
            )),
            (Some(Challenge::Basic), Authentication::None | Authentication::Bearer(_), Credentials::Basic { .. }) => {
                Ok(Authentication::Basic)
            }
            _ => Err(ErrorCause::Unauthorized(String::new()).into()),
        }
    }

    /// Fetches a token that covers the refused request and everything else that this command will do.
    async fn token(&self, realm: &Realm<'_>) -> Result<String, RequestError> {
        let scopes = token::scopes(realm.scope, &self.reference.repository, self.writing.get());
        let url = token::url(realm, &self.credentials, &self.base)?;
        let request = match &self.credentials {
            // Its secret is in the body, which a redirect would carry to wherever it leads.
            Credentials::IdentityToken { .. } => {
                let client = client(&self.reference, &self.access, Redirects::WithinOrigin);
                let client = client.map_err(|error| ErrorCause::Refused(format!("{error:#}")))?;
                token::request(&client, url, realm, &scopes, &self.credentials)
            }
            _ => token::request(&self.client, url, realm, &scopes, &self.credentials),
        };
        let begun = Instant::now();
        let (client, request) = request.build_split();
        let request = request.map_err(RequestError::from)?;
        let (method, url) = (request.method().clone(), request.url().clone());
        let answered = client.execute(request).await.map_err(RequestError::from);
        self.show(&method, &url, begun, &answered);
        let answered = answered?;
        if answered.status().is_redirection() && matches!(self.credentials, Credentials::IdentityToken { .. }) {
            let status = answered.status().as_u16();
            let why =
                format!("its token service answers {status}, a redirect that is not followed with the identity token");
            return Err(ErrorCause::Refused(why).into());
        }
        let answer = self.error_for_status(answered, Success::Read).await?;
        Ok(token::read(&body(answer, MOST_OF_A_TOKEN).await?)?)
    }

    /// Whether a URL belongs to the registry itself.
    pub(crate) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Turns an unsuccessful response into its cause.
    ///
    /// # Errors
    /// When the response is unsuccessful.
    async fn error_for_status(&self, mut response: Response, success: Success) -> Result<Response, RequestError> {
        let status = response.status();
        if status.is_success() {
            let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
            let is_page = kind.trim_start().to_ascii_lowercase().starts_with("text/html");
            return match (success.includes(status), is_page) {
                (true, false) => Ok(response),
                (true, true) if matches!(success, Success::Blob) => Ok(response),
                (_, true) => Err(ErrorCause::Answer(format!("{} with an HTML page", status.as_u16())).into()),
                (false, false) => Err(ErrorCause::Answer(format!("an unexpected {}", status.as_u16())).into()),
            };
        }
        if status.is_redirection() {
            return Err(ErrorCause::Answer(format!("a {} that is not followed", status.as_u16())).into());
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| retry::retry_after(value, SystemTime::now()));
        let mut body = Vec::new();
        // If the connection breaks within the body, the status still tells what the error is.
        while let Ok(Some(piece)) = response.chunk().await {
            body.extend_from_slice(&piece);
            if body.len() > MOST_OF_AN_ERROR {
                break;
            }
        }
        // Go's HTTP server answers in HTTP/1.0 only if it expected TLS. The response to HEAD has no body that could say
        // so.
        let is_tls = response.status() == StatusCode::BAD_REQUEST && response.version() == Version::HTTP_10;
        if is_tls && response.url().scheme() == "http" {
            return Err(ErrorCause::OnlyTls.into());
        }
        let words = self.without_secrets(&String::from_utf8_lossy(&body));
        Err(RequestError { cause: ErrorCause::of_answer(response.status().as_u16(), &words), retry_after })
    }

    fn without_secrets(&self, text: &str) -> String {
        let mut secrets = self.credentials.secrets();
        if let Authentication::Bearer(token) = &*self.authentication.borrow() {
            secrets.push(token.clone());
        }
        secrets
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
    }

    /// Runs `attempt`, and again after a pause as long as the cause is temporary.
    ///
    /// # Errors
    /// The last failure, once no tries are left or another one cannot help.
    pub(crate) async fn with_retries<T>(
        &self,
        doing: &str,
        mut attempt: impl AsyncFnMut() -> Result<T, RequestError>,
    ) -> Result<T, RegistryError> {
        let mut tries = 1;
        loop {
            let RequestError { cause, retry_after } = match attempt().await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let pause = retry_after.unwrap_or_else(|| retry::pause(tries));
            if tries > self.retries || !cause.is_passing() || pause > retry::MOST_PATIENCE {
                let proxy = match &cause {
                    ErrorCause::Unreachable(why) if !self.reference.is_loopback() => {
                        Proxy::on_the_way_to(&self.base).filter(|proxy| proxy.may_be_why(why))
                    }
                    _ => None,
                };
                let error = RegistryError::new(doing, cause, tries, &self.reference, &self.credentials);
                return Err(match (retry_after, proxy) {
                    (Some(pause), _) if pause > retry::MOST_PATIENCE => {
                        error.with_remedy(format!("; it asks to be left alone for {} s", pause.as_secs()))
                    }
                    (_, Some(proxy)) => error.with_remedy(proxy.remedy()),
                    _ => error,
                });
            }
            (self.on_retry)(&format!("{}; trying again in {} ms", cause.what(), pause.as_millis()));
            tokio::time::sleep(pause).await;
            tries += 1;
        }
    }
}

/// The body of a response, up to a limit in bytes.
///
/// # Errors
/// When the connection breaks, or there is more.
pub(super) async fn body(mut response: Response, most: usize) -> Result<Vec<u8>, RequestError> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if bytes.len() + piece.len() > most {
            return Err(ErrorCause::Answer(format!("more than {most} bytes")).into());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Sends the body as a stream of pieces, so that it need not be in memory.
async fn send_streamed(request: RequestBuilder, part: Part<'_>, bar: &ProgressBar) -> Result<Response, RequestError> {
    let (sender, receiver) = mpsc::channel::<io::Result<Vec<u8>>>(1);
    let pieces = stream::unfold(receiver, async |mut receiver| receiver.recv().await.map(|piece| (piece, receiver)));
    let request = request.header(CONTENT_LENGTH, part.size).body(reqwest::Body::wrap_stream(pieces));
    let feed = async {
        let mut left = part.size;
        let mut reader = part.of.reader_from(part.start);
        while left > 0 {
            let piece = reader.as_mut().map_err(|error| error.kind().into()).and_then(|reader| piece(reader, left));
            let read = piece.as_ref().map_or(0, Vec::len) as u64;
            // The server may answer before it has read everything; the receiver is then gone. If reading fails, the
            // connection is closed and the content stays incomplete.
            if sender.send(piece).await.is_err() || read == 0 {
                break;
            }
            left -= read;
            bar.inc(read);
        }
        drop(sender);
    };
    let (answer, ()) = tokio::join!(request.send(), feed);
    Ok(answer?)
}

/// The next piece of a body. Reading a file blocks, for as long as it takes to copy this little from the page cache.
fn piece(reader: &mut impl Read, left: u64) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE).min(PIECE)];
    reader.read_exact(&mut piece)?;
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::registry::access::CredentialSource;

    fn http(authority: &str, plain_http: bool) -> Http {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let reference =
            RegistryRef { authority: authority.into(), repository: "a/b".into(), tag: Some("1".into()), digest: None };
        let access = Access {
            plain_http,
            insecure: !plain_http,
            ca_file: None,
            retries: 0,
            cert_file: None,
            key_file: None,
            on_exchange: None,
            credentials: CredentialSource::Files(None),
            on_retry: |_| {},
        };
        Http::new(reference, Credentials::Anonymous, &access).expect("it can be set up")
    }

    #[test]
    fn a_registry_that_believes_to_be_spoken_to_in_plain_http_is_not() {
        let followed = |http: &Http, to: &str| http.follow(&http.url("a/b/x"), to).map(String::from).expect("a URL");
        let tls = http("registry.test:5000", false);
        assert_eq!(followed(&tls, "y?z=1"), "https://registry.test:5000/v2/a/b/y?z=1");
        assert_eq!(followed(&tls, "/y"), "https://registry.test:5000/y");
        assert_eq!(followed(&tls, "http://registry.test/y"), "https://registry.test:5000/y");
        assert_eq!(followed(&tls, "http://other.test/y"), "http://other.test/y");
        let plain = http("registry.test", true);
        assert_eq!(followed(&plain, "http://registry.test:80/y"), "http://registry.test/y");
    }

    #[test]
    fn only_the_same_scheme_host_and_port_are_the_registrys_own() {
        let tls = http("registry.test", false);
        let own = |url: &str| tls.is_own(&Url::parse(url).expect("a URL"));
        assert!(own("https://registry.test/v2/") && own("https://registry.test:443/x?y"));
        for other in ["http://registry.test/", "https://registry.test:444/", "https://registry.test.evil/"] {
            assert!(!own(other), "{other}");
        }
    }
}
