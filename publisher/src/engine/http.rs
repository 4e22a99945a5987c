//! One exchange with an engine: sends, checks the status, and says what went wrong in the engine's own words.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use flate2::read::MultiGzDecoder;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use super::access::Access;
use super::address::{Address, Kind};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an engine may think before it goes on.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// The most that an answer which is not streamed may have, unpacked.
const MOST_BYTES: u64 = 256 << 20;

/// As much is read of an answer that says what went wrong.
const MOST_OF_AN_ERROR: usize = 64 << 10;

/// Of an engine's own message as much is repeated.
const MOST_MESSAGE: usize = 400;

/// The way to an engine.
pub(super) struct Http {
    client: Client,
    pub(super) address: Address,
    access: Access,
}

impl Http {
    /// Sets up the way.
    ///
    /// # Errors
    /// When https cannot be set up, or tenant or credentials cannot be sent in a header.
    pub(super) fn new(address: &Address, access: Access) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(authorization) = &access.authorization {
            let mut value = HeaderValue::from_str(authorization)
                .context("the credentials for the logs have characters that no header can have")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        for (name, value) in tenant(address.kind, access.tenant.as_deref())? {
            let value = HeaderValue::from_str(&value).context("--tenant has characters that no header can have")?;
            headers.insert(name, value);
        }
        let mut builder = Client::builder()
            .default_headers(headers)
            // Credentials go to the engine that was named, and to no other.
            .redirect(Policy::none())
            .referer(false)
            .user_agent(concat!("faultline/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT);
        let host = address.base.host_str().unwrap_or_default();
        if ["localhost", "127.0.0.1", "[::1]"].contains(&host) {
            // A proxy would look for the engine on its own machine.
            builder = builder.no_proxy();
        }
        let client = builder.build().context(
            "cannot set up https; if there are no CA certificates on this system, install its package \
             ca-certificates or let SSL_CERT_FILE name a file of them",
        )?;
        Ok(Self { client, address: address.clone(), access })
    }

    pub(super) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.address.at(path))
    }

    pub(super) fn delete(&self, path: &str) -> RequestBuilder {
        self.client.delete(self.address.at(path))
    }

    /// A GET with these parameters.
    pub(super) fn get(&self, path: &str, parameters: &[(&str, &str)]) -> RequestBuilder {
        self.client.get(format!("{}?{}", self.address.at(path), form(parameters)))
    }

    /// Sends a request; `doing` begins the error's sentence.
    ///
    /// # Errors
    /// When there is no connection, and for every status but 2xx.
    pub(super) async fn send(&self, doing: &str, request: RequestBuilder) -> anyhow::Result<Response> {
        let request = request.build()?;
        let (method, url) = (request.method().clone(), request.url().clone());
        let name = self.address.kind.name();
        let answer = self.client.execute(request).await;
        let answer = answer.map_err(|error| {
            let at = &self.address.base;
            anyhow!("cannot {doing}: {name} at `{at}` cannot be reached ({})", cause(&error.without_url()))
        })?;
        let status = answer.status();
        if let Some(told) = self.access.on_exchange {
            told(&format!("{method} {url} -> {status}"));
        }
        if status.is_success() {
            return Ok(answer);
        }
        let message = String::from_utf8_lossy(&beginning(answer).await).trim().to_owned();
        let message: String = message.chars().take(MOST_MESSAGE).collect();
        let said = if message.is_empty() { String::new() } else { format!(": {message}") };
        bail!(
            "cannot {doing}: {name} at `{}` answered {status}{said}{}",
            self.address.base,
            remedy(status, &self.access)
        )
    }

    /// Sends a request and reads its answer, one JSON value.
    ///
    /// # Errors
    /// As [`Http::send`], and for what is not the expected value.
    pub(super) async fn json<T: DeserializeOwned>(&self, doing: &str, request: RequestBuilder) -> anyhow::Result<T> {
        let text = self.text(doing, request).await?;
        serde_json::from_slice(&text).with_context(|| self.not_understood(doing, &text))
    }

    /// Sends a request and reads its answer, a JSON value on each line.
    ///
    /// # Errors
    /// As [`Http::json`].
    pub(super) async fn json_lines<T: DeserializeOwned>(
        &self,
        doing: &str,
        request: RequestBuilder,
    ) -> anyhow::Result<Vec<T>> {
        let text = self.text(doing, request).await?;
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        lines.map(|line| serde_json::from_slice(line).with_context(|| self.not_understood(doing, line))).collect()
    }

    async fn text(&self, doing: &str, request: RequestBuilder) -> anyhow::Result<Vec<u8>> {
        let answer = self.send(doing, request).await?;
        let Address { kind, base, .. } = &self.address;
        body(answer, MOST_BYTES).await.with_context(|| format!("cannot {doing} of {} at `{base}`", kind.name()))
    }

    fn not_understood(&self, doing: &str, text: &[u8]) -> String {
        let begin: String = String::from_utf8_lossy(text).chars().take(80).collect();
        let Address { kind, base, .. } = &self.address;
        format!("cannot {doing}: `{base}` does not answer as {} does, but with `{begin}`", kind.name())
    }
}

/// Parameters as a form has them.
pub(super) fn form(parameters: &[(&str, &str)]) -> String {
    let encoded = |value: &str| {
        let byte = |byte: u8| match byte {
            b'-' | b'_' | b'.' | b'~' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        };
        value.bytes().map(byte).collect::<String>()
    };
    parameters.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect::<Vec<_>>().join("&")
}

/// A request with a JSON body.
pub(super) trait JsonBody {
    /// Sets the body.
    fn json_body(self, value: &serde_json::Value) -> Self;
}

impl JsonBody for RequestBuilder {
    fn json_body(self, value: &serde_json::Value) -> Self {
        self.header(CONTENT_TYPE, "application/json").body(value.to_string())
    }
}

/// The headers that say whose logs are meant.
fn tenant(kind: Kind, tenant: Option<&str>) -> anyhow::Result<Vec<(HeaderName, String)>> {
    let Some(tenant) = tenant else { return Ok(Vec::new()) };
    match kind {
        Kind::VictoriaLogs => {
            let (account, project) = tenant.split_once(':').unwrap_or((tenant, "0"));
            if [account, project].iter().any(|id| id.parse::<u32>().is_err()) {
                bail!("--tenant `{tenant}`: VictoriaLogs has tenants by number; write ACCOUNT or ACCOUNT:PROJECT");
            }
            let name = HeaderName::from_static;
            Ok(vec![(name("accountid"), account.to_owned()), (name("projectid"), project.to_owned())])
        }
        Kind::Loki => Ok(vec![(HeaderName::from_static("x-scope-orgid"), tenant.to_owned())]),
        Kind::OpenSearch | Kind::Elasticsearch => {
            bail!("--tenant: {} has indices and no tenants; name the index at the end of --logs", kind.name())
        }
    }
}

/// What to do about a status, the rest of the error's sentence.
fn remedy(status: StatusCode, access: &Access) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED if access.authorization.is_none() => {
            "; set FAULTLINE_LOGS_TOKEN, or FAULTLINE_LOGS_USER and FAULTLINE_LOGS_PASSWORD, or give \
             --logs-credentials FILE"
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; check the credentials, and --tenant",
        StatusCode::NOT_FOUND => "; check the path in --logs",
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            "; a part of it is down or busy: what is left would be a part of the truth, so nothing is told"
        }
        _ => "",
    }
}

/// What an error comes from: the client's own words around it say nothing that the sentence does not.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

/// The beginning of an answer that says what went wrong, unpacked; whatever comes after it is not waited for.
async fn beginning(mut answer: Response) -> Vec<u8> {
    let packed = is_packed(&answer);
    let mut bytes = Vec::new();
    while bytes.len() < MOST_OF_AN_ERROR
        && let Ok(Some(piece)) = answer.chunk().await
    {
        bytes.extend_from_slice(&piece);
    }
    bytes.truncate(MOST_OF_AN_ERROR);
    if !packed {
        return bytes;
    }
    let mut unpacked = Vec::new();
    // Of what is cut, the beginning comes out all the same.
    let _ = MultiGzDecoder::new(bytes.as_slice()).take(MOST_OF_AN_ERROR as u64).read_to_end(&mut unpacked);
    unpacked
}

fn is_packed(answer: &Response) -> bool {
    answer.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip")
}

/// The body of an answer, unpacked.
///
/// # Errors
/// When it breaks off, or has more bytes.
async fn body(mut answer: Response, most: u64) -> anyhow::Result<Vec<u8>> {
    let too_long = || {
        anyhow!(
            "the answer has more than {most} bytes; ask for a shorter time or less by --query, or check that --logs \
             names the engine"
        )
    };
    let packed = is_packed(&answer);
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await.context("the answer broke off")? {
        if (bytes.len() + piece.len()) as u64 > most {
            return Err(too_long());
        }
        bytes.extend_from_slice(&piece);
    }
    if !packed {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    let decoder = MultiGzDecoder::new(bytes.as_slice());
    decoder.take(most.saturating_add(1)).read_to_end(&mut unpacked).context("the answer is damaged")?;
    if unpacked.len() as u64 > most { Err(too_long()) } else { Ok(unpacked) }
}
