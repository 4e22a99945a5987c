//! A registry small enough to misbehave on command: it keeps blobs and manifests in memory, notes every request, and asks a
//! hook first, which may answer in its place.
//!
//! One thread for each connection, one request for each connection. It checks what a real registry checks of an upload (the
//! digest, and that a manifest's blobs are there), and nothing else.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use sha2::Digest as _;

/// What came in.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    pub body: Vec<u8>,
}

/// What goes out.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Close the connection after so many bytes of the body.
    pub cut: Option<usize>,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut: None }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes);
        self
    }
}

type Hook = Box<dyn FnMut(&Request, &mut Contents) -> Option<Reply> + Send>;

/// What the registry holds. Manifests are kept by tag and by digest.
#[derive(Default)]
pub struct Contents {
    pub blobs: HashMap<String, Vec<u8>>,
    pub manifests: HashMap<String, (String, Vec<u8>)>,
}

#[derive(Default)]
struct State {
    contents: Contents,
    hook: Option<Hook>,
    log: Vec<String>,
}

/// A running fake. It serves until the test process ends.
pub struct FakeRegistry {
    host: String,
    state: Arc<Mutex<State>>,
}

/// `sha256:…` of these bytes.
pub fn digest(bytes: &[u8]) -> String {
    let hex: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

impl FakeRegistry {
    pub fn start() -> Self {
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
    pub fn reference(&self, tag: &str) -> String {
        format!("{}/mesh/faultline:{tag}", self.host)
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// From now on asks this first.
    pub fn answer_with(&self, hook: impl FnMut(&Request, &mut Contents) -> Option<Reply> + Send + 'static) {
        self.state.lock().expect("no thread panicked").hook = Some(Box::new(hook));
    }

    /// The requests since the last call, as `METHOD path`.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().expect("no thread panicked").log)
    }

    /// The digest that a tag stands for.
    pub fn tag(&self, tag: &str) -> Option<String> {
        let state = self.state.lock().expect("no thread panicked");
        state.contents.manifests.get(tag).map(|(_, bytes)| digest(bytes))
    }

    /// Puts a blob there and returns a descriptor of it.
    pub fn put_blob(&self, media_type: &str, bytes: &[u8]) -> serde_json::Value {
        let digest = digest(bytes);
        self.state.lock().expect("no thread panicked").contents.blobs.insert(digest.clone(), bytes.to_vec());
        serde_json::json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Puts a manifest there under a tag and returns its digest.
    pub fn put_manifest(&self, tag: &str, media_type: &str, manifest: &serde_json::Value) -> String {
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
        let Some(rest) = rest.strip_prefix("mesh/faultline/") else { return Reply::new(404, "") };
        match (request.method.as_str(), rest.split_once('/')) {
            ("GET" | "HEAD", Some(("manifests", key))) => match self.manifests.get(key) {
                Some((media_type, bytes)) => Reply::new(200, bytes.clone())
                    .header("Content-Type", media_type)
                    .header("Docker-Content-Digest", digest(bytes)),
                None => Reply::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
            },
            ("GET" | "HEAD", Some(("blobs", key))) => match self.blobs.get(key) {
                Some(bytes) => Reply::new(200, bytes.clone()),
                None => Reply::new(404, r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}"#),
            },
            ("POST", Some(("blobs", "uploads/"))) => {
                Reply::new(202, "").header("Location", "/v2/mesh/faultline/blobs/uploads/1?state=x")
            }
            ("PUT", Some(("blobs", _))) => {
                let wanted =
                    query.split('&').find_map(|p| p.strip_prefix("digest=")).unwrap_or_default().replace("%3A", ":");
                if wanted != digest(&request.body) {
                    return Reply::new(400, r#"{"errors":[{"code":"DIGEST_INVALID","message":"digest invalid"}]}"#);
                }
                self.blobs.insert(wanted.clone(), request.body.clone());
                Reply::new(201, "").header("Location", format!("/v2/mesh/faultline/blobs/{wanted}"))
            }
            ("PUT", Some(("manifests", tag))) => {
                let manifest: serde_json::Value = serde_json::from_slice(&request.body).expect("a manifest is JSON");
                let layers = manifest["layers"].as_array().expect("it has layers").iter();
                if layers
                    .chain([&manifest["config"]])
                    .any(|d| !self.blobs.contains_key(d["digest"].as_str().unwrap_or("")))
                {
                    return Reply::new(
                        400,
                        r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}"#,
                    );
                }
                let media_type = manifest["mediaType"].as_str().expect("it has a media type").to_owned();
                let digest = self.put(tag, &media_type, request.body.clone());
                Reply::new(201, "").header("Location", format!("/v2/mesh/faultline/manifests/{digest}"))
            }
            _ => Reply::new(405, ""),
        }
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    // A TLS handshake: answered as servers that do not speak it do.
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
    let mut text =
        format!("HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let sent = if head { &[][..] } else { &reply.body[..reply.cut.unwrap_or(reply.body.len())] };
    // The other side may have gone: that is its business.
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.write_all(sent));
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut parts = line.split_whitespace();
    let (method, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, target, authorization, body })
}
