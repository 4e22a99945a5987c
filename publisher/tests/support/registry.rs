//! A fake registry that misbehaves on command. It keeps blobs and manifests in memory, logs every request, and first
//! calls a hook, which may answer instead.
//!
//! Each connection has one thread and carries one request. The fake checks what a real registry checks of an upload
//! (the digest, where a piece starts, and that a manifest's blobs exist) and nothing else. [`Contents`] holds the ways
//! in which registries differ by design; the hook is for failures.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha2::Digest as _;

/// A request that came in.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// The `Authorization` header.
    pub(crate) authorization: Option<String>,
    /// The `Content-Range` header.
    pub(crate) range: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// The response to send.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Close the connection after this many bytes of the body.
    pub(crate) cut: Option<usize>,
}

impl Reply {
    /// No response: the connection is closed.
    pub(crate) fn none() -> Self {
        Self::new(0, "")
    }

    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut: None }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }
}

type Hook = Box<dyn FnMut(&Request, &mut Contents) -> Option<Reply> + Send>;

/// What the registry holds, and which features it has. Names are those of `mesh/faultline`, the only repository that
/// most tests use. Names of another repository are prefixed with it: `mesh/other/1.0`.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) blobs: HashMap<String, Vec<u8>>,
    /// Media type and bytes, by tag and by digest.
    pub(crate) manifests: HashMap<String, (String, Vec<u8>)>,
    /// It implements the referrers API, and returns the referrers one per page.
    pub(crate) referrers: bool,
    /// It mounts blobs from its other repositories.
    pub(crate) mounts: bool,
    /// It reads `sha256-<hex>` as the digest, as GitLab does.
    pub(crate) tags_are_digests: bool,
    /// The uploads in progress, by their number.
    uploads: HashMap<String, Vec<u8>>,
    /// How many were begun.
    begun: usize,
}

#[derive(Default)]
struct State {
    contents: Contents,
    hook: Option<Hook>,
    log: Vec<String>,
}

/// A running fake registry. It serves until the test process ends.
pub(crate) struct FakeRegistry {
    host: String,
    state: Arc<Mutex<State>>,
}

/// `sha256:…` of these bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

impl FakeRegistry {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let host = listener.local_addr().expect("it is bound").to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { host, state }
    }

    /// A REF in this registry.
    pub(crate) fn reference(&self, tag: &str) -> String {
        format!("{}/mesh/faultline:{tag}", self.host)
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Calls this hook before every request from now on.
    pub(crate) fn answer_with(&self, hook: impl FnMut(&Request, &mut Contents) -> Option<Reply> + Send + 'static) {
        self.state.lock().expect("no thread panicked").hook = Some(Box::new(hook));
    }

    /// The requests since the last call, each as `METHOD path`.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().expect("no thread panicked").log)
    }

    /// The digest that a tag points to.
    pub(crate) fn tag(&self, tag: &str) -> Option<String> {
        let state = self.state.lock().expect("no thread panicked");
        state.contents.manifests.get(tag).map(|(_, bytes)| digest(bytes))
    }

    /// The size in bytes of the manifest with this digest.
    pub(crate) fn size_of(&self, digest: &str) -> usize {
        self.with(|contents| contents.manifests[digest].1.len())
    }

    /// Gives access to the contents and features, to read or to change them.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Contents) -> T) -> T {
        change(&mut self.state.lock().expect("no thread panicked").contents)
    }

    /// Stores a blob and returns its descriptor.
    pub(crate) fn put_blob(&self, media_type: &str, bytes: &[u8]) -> serde_json::Value {
        let digest = digest(bytes);
        self.state.lock().expect("no thread panicked").contents.blobs.insert(digest.clone(), bytes.to_vec());
        serde_json::json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Stores a manifest under a tag and returns its digest.
    pub(crate) fn put_manifest(&self, tag: &str, media_type: &str, manifest: &serde_json::Value) -> String {
        let bytes = serde_json::to_vec(manifest).expect("it is JSON");
        self.state.lock().expect("no thread panicked").contents.put(tag, media_type, bytes)
    }
}

impl Contents {
    fn put(&mut self, tag: &str, media_type: &str, bytes: Vec<u8>) -> String {
        let digest = digest(&bytes);
        for key in [tag, &digest] {
            self.manifests.insert(key.to_owned(), (media_type.to_owned(), bytes.clone()));
        }
        digest
    }

    fn handle(&mut self, request: &Request) -> Reply {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let Some(rest) = path.strip_prefix("/v2/") else { return Reply::new(404, "") };
        if rest.is_empty() {
            return Reply::new(200, "{}");
        }
        let parts: Vec<&str> = rest.splitn(4, '/').collect();
        let [team, name, kind, key] = parts[..] else { return Reply::new(404, "") };
        let repository = format!("{team}/{name}");
        let named = |name: &str| scoped(&repository, name);
        match (request.method.as_str(), kind, key) {
            ("GET" | "HEAD", "manifests", key) => self.manifest(&named(key)),
            ("GET" | "HEAD", "blobs", key) => match self.blobs.get(&named(key)) {
                Some(bytes) => Reply::new(200, bytes.clone()),
                None => Reply::new(404, r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}"#),
            },
            ("POST", "blobs", "uploads/") => {
                let from = parameter(query, "from").zip(parameter(query, "mount"));
                if let Some((from, digest)) = from.filter(|_| self.mounts)
                    && let Some(bytes) = self.blobs.get(&scoped(&from, &digest)).cloned()
                {
                    self.blobs.insert(named(&digest), bytes);
                    return Reply::new(201, "");
                }
                self.begun += 1;
                let n = self.begun;
                Reply::new(202, "").header("Location", format!("/v2/{repository}/blobs/uploads/{n}?state=x"))
            }
            ("PATCH", "blobs", session) => {
                let upload = self.uploads.entry(session.to_owned()).or_default();
                let start = request.range.as_deref().and_then(|range| range.split('-').next()?.parse().ok());
                if start != Some(upload.len()) {
                    return Reply::new(416, "");
                }
                upload.extend_from_slice(&request.body);
                Reply::new(202, "").header("Location", format!("/v2/{repository}/blobs/{session}?state={start:?}"))
            }
            ("PUT", "blobs", session) => {
                let bytes = [self.uploads.remove(session).unwrap_or_default(), request.body.clone()].concat();
                let wanted = parameter(query, "digest").unwrap_or_default();
                if wanted != digest(&bytes) {
                    return Reply::new(400, r#"{"errors":[{"code":"DIGEST_INVALID","message":"digest invalid"}]}"#);
                }
                self.blobs.insert(named(&wanted), bytes);
                Reply::new(201, "").header("Location", format!("/v2/{repository}/blobs/{wanted}"))
            }
            ("DELETE", "blobs", _) => Reply::new(204, ""),
            ("PUT", "manifests", key) => self.take(&repository, key, &request.body),
            ("GET", "tags", "list") => self.tags(&repository, query),
            ("GET", "referrers", subject) if self.referrers => self.attached_to(&repository, subject, query),
            _ => Reply::new(404, "404 page not found"),
        }
    }

    fn manifest(&self, key: &str) -> Reply {
        let digested = key.replace("sha256-", "sha256:");
        let key = if self.tags_are_digests && digested.len() == 71 { &digested } else { key };
        match self.manifests.get(key) {
            Some((media_type, bytes)) => Reply::new(200, bytes.clone())
                .header("Content-Type", media_type)
                .header("Docker-Content-Digest", digest(bytes)),
            None => Reply::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
        }
    }

    fn take(&mut self, repository: &str, key: &str, body: &[u8]) -> Reply {
        let manifest: serde_json::Value = serde_json::from_slice(body).expect("a manifest is JSON");
        let list = |name: &str| manifest[name].as_array().cloned().unwrap_or_default();
        let known = |name: &serde_json::Value| {
            let name = scoped(repository, name["digest"].as_str().unwrap_or_default());
            self.blobs.contains_key(&name) || self.manifests.contains_key(&name)
        };
        let config = manifest.get("config").cloned();
        if !list("layers").iter().chain(&list("manifests")).chain(&config).all(known) {
            return Reply::new(400, r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}"#);
        }
        let media_type = manifest["mediaType"].as_str().expect("it has a media type").to_owned();
        let digest = digest(body);
        for name in [key, &digest] {
            self.manifests.insert(scoped(repository, name), (media_type.clone(), body.to_vec()));
        }
        let reply = Reply::new(201, "").header("Location", format!("/v2/{repository}/manifests/{digest}"));
        match manifest["subject"]["digest"].as_str() {
            Some(subject) if self.referrers => reply.header("OCI-Subject", subject),
            _ => reply,
        }
    }

    /// Lists the tags, two per page.
    fn tags(&self, repository: &str, query: &str) -> Reply {
        let names = self.manifests.keys().filter_map(|key| match key.rsplit_once('/') {
            Some((of, name)) => (of == repository).then_some(name),
            None => (repository == DEFAULT).then_some(key.as_str()),
        });
        let mut tags: Vec<&str> = names.filter(|name| !name.starts_with("sha256:")).collect();
        tags.sort_unstable();
        let last = parameter(query, "last").unwrap_or_default();
        let page: Vec<&str> = tags.iter().filter(|tag| **tag > last.as_str()).take(2).copied().collect();
        let reply = Reply::new(200, serde_json::json!({"name": repository, "tags": page}).to_string());
        match page.last() {
            Some(last) if Some(last) != tags.last() => {
                reply.header("Link", format!("</v2/{repository}/tags/list?n=2&last={last}>; rel=\"next\""))
            }
            _ => reply,
        }
    }

    fn attached_to(&self, repository: &str, subject: &str, query: &str) -> Reply {
        let mut found: Vec<serde_json::Value> = Vec::new();
        for (key, (media_type, bytes)) in &self.manifests {
            let manifest: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
            let own = scoped(repository, &digest(bytes)) == *key;
            if own && manifest["subject"]["digest"] == subject {
                found.push(serde_json::json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len(),
                    "artifactType": manifest["artifactType"], "annotations": manifest["annotations"]}));
            }
        }
        found.sort_by_key(|entry| entry["digest"].to_string());
        let page = parameter(query, "page").and_then(|page| page.parse().ok()).unwrap_or(0usize);
        let index = "application/vnd.oci.image.index.v1+json";
        let body = serde_json::json!({"schemaVersion": 2, "mediaType": index, "manifests": found.get(page).as_slice()});
        let reply = Reply::new(200, body.to_string()).header("Content-Type", index);
        if page + 1 < found.len() {
            return reply.header("Link", format!("</v2/{repository}/referrers/{subject}?page={}>; rel=next", page + 1));
        }
        reply
    }
}

/// The repository that most tests use.
const DEFAULT: &str = "mesh/faultline";

fn scoped(repository: &str, name: &str) -> String {
    if repository == DEFAULT { name.to_owned() } else { format!("{repository}/{name}") }
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.replace("%3A", ":").replace("%2F", "/"))
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    // A TLS handshake is answered as by a server that does not speak TLS.
    let mut first = [0];
    if stream.peek(&mut first).is_ok() && first == [0x16] {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    let Some(request) = read(&stream) else { return };
    let head = request.method == "HEAD";
    let reply = {
        let mut state = state.lock().expect("no thread panicked");
        let path = request.target.split('?').next().unwrap_or_default();
        state.log.push(format!("{} {path}", request.method));
        let State { contents, hook, .. } = &mut *state;
        hook.as_mut().and_then(|hook| hook(&request, contents)).unwrap_or_else(|| contents.handle(&request))
    };
    if reply.status == 0 {
        return;
    }
    let mut text =
        format!("HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let sent = if head { &[][..] } else { &reply.body[..reply.cut.unwrap_or(reply.body.len())] };
    // The client may have closed the connection, which is not the fake's concern.
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(sent));
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut parts = line.split_whitespace();
    let (method, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let (mut length, mut authorization, mut range) = (0, None, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => authorization = Some(value.to_owned()),
            "content-range" => range = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, target, authorization, range, body })
}
