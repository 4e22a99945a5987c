//! A token service like that of a cloud registry: it issues tokens (JWT, ES256, the certificate in `x5c`) to one user,
//! by GET with a password and by OAuth2's POST with an identity token.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, DnType, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use super::user::User;

/// The credentials that the service accepts.
struct Admitted {
    basic: String,
    identity: String,
}

/// A running service. It serves until the test process ends.
#[derive(Debug)]
pub struct TokenService {
    address: SocketAddr,
    certificate: String,
    asked: Arc<AtomicUsize>,
}

/// The key and certificate that sign tokens.
struct Signer {
    key: EcdsaKeyPair,
    certificate: Vec<u8>,
}

impl TokenService {
    /// The name of the service and of the registry behind it.
    pub const NAME: &'static str = "faultline-tests";

    /// Starts a service that knows one user, who may present `identity` instead of the password.
    ///
    /// # Errors
    /// If no port is free.
    pub fn start(user: User<'_>, identity: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, Self::NAME);
        let certificate = params.self_signed(&key)?;
        let random = SystemRandom::new();
        let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der(), &random);
        let signer =
            Signer { key: signer.ok().context("a key to sign with")?, certificate: certificate.der().to_vec() };
        let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", user.name, user.password)));
        let admitted = Admitted { basic, identity: identity.to_owned() };

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                // A client that has gone is not a failure here.
                let _ = serve(stream, &admitted, &signer);
            }
        });
        Ok(Self { address, certificate: certificate.pem(), asked })
    }

    /// Where clients get tokens.
    pub fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// The certificate with which a registry checks tokens, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// How many requests it has had so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn serve(mut stream: TcpStream, admitted: &Admitted, signer: &Signer) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let (mut length, mut authorization) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse()?,
            "authorization" => value.clone_into(&mut authorization),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let form = String::from_utf8(body)?;
    let query = target.split_once('?').map_or(form.as_str(), |(_, query)| query);
    let pairs: Vec<(String, String)> = query.split('&').filter_map(|pair| pair.split_once('=')).map(decoded).collect();
    let has = |name: &str, value: &str| pairs.iter().any(|(n, v)| n == name && v == value);

    let by_identity = has("grant_type", "refresh_token") && has("refresh_token", &admitted.identity);
    let (status, body) = if authorization == admitted.basic || by_identity {
        let scopes = pairs.iter().filter(|(name, _)| name == "scope").flat_map(|(_, scope)| scope.split([' ', '+']));
        ("200 OK", json!({"token": signer.token(scopes)?, "expires_in": 300}))
    } else {
        ("401 Unauthorized", json!({"details": "incorrect username or password"}))
    };
    let body = body.to_string();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())?;
    Ok(())
}

/// Decodes the escapes of scopes.
fn decoded((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.replace("%3A", ":").replace("%2F", "/").replace("%2C", ","))
}

impl Signer {
    fn token<'a>(&self, scopes: impl Iterator<Item = &'a str>) -> Result<String> {
        let access: Vec<Value> = scopes
            .filter_map(|scope| scope.strip_prefix("repository:")?.rsplit_once(':'))
            .map(|(name, actions)| {
                json!({"type": "repository", "name": name, "actions": actions.split(',').collect::<Vec<_>>()})
            })
            .collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(&self.certificate)]});
        let claims = json!({"iss": TokenService::NAME, "aud": TokenService::NAME, "sub": "", "jti": "1",
            "nbf": now - 60, "iat": now, "exp": now + 300, "access": access});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).ok().context("a signature")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
