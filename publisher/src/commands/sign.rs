//! `faultline sign`, and `faultline generate-key-pair`, which makes the keys for it.

use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use serde_json::json;

use crate::commands::options::{self, Transport, WrongUsage};
use crate::commands::outcome::Outcome;
use crate::files;
use crate::reference::Reference;
use crate::signature::{self, key};
use crate::store::{Name, RawManifest, Store};
use crate::terminal::output::{self, Format};
use crate::terminal::prompt;
use crate::terminal::prompt::Interrupted;

/// Examples and what is worth knowing.
pub const HELP: &str = "\
Puts a signature beside the artifact, under the tag sha256-….sig, that cosign 2 and 3 verify:
  cosign verify --key cosign.pub --insecure-ignore-tlog REF
The key is cosign's (its password in COSIGN_PASSWORD, else it is asked for) or an unencrypted one of openssl (ECDSA on P-256). What \
is signed by the same key already is left as it is. No transparency log is written to.

Examples:
  faultline sign ghcr.io/acme/faultline:0.1.0 --key cosign.key
  faultline sign ghcr.io/acme/faultline:0.1.0@sha256:… --key cosign.key
  faultline sign oci:out:0.1.0 --key cosign.key --image ghcr.io/acme/faultline:0.1.0";

/// `faultline sign`
#[derive(Debug, Args)]
pub struct Sign {
    /// What to sign: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The private key.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The name under which what is in a layout directory will be pulled; it becomes part of the signature.
    #[arg(long, value_name = "registry/repo:tag")]
    pub image: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub transport: Transport,
}

/// Runs it.
///
/// # Errors
/// When the key cannot be used, or the store not read or written.
pub async fn run(args: Sign, format: Format) -> anyhow::Result<Outcome> {
    let reference = options::reference(&args.reference)?;
    let identity = identity(&reference, args.image.as_deref())?;
    let key = key::private(&args.key, password)?;
    let store = Store::open(&reference, &args.transport)?.for_writing();
    let image = named(&store, &reference).await?;
    let added = signature::add(&store, &image.digest, &identity, &key).await?;
    let pinned = reference.with_digest(&image.digest).to_string();
    let tag = signature::tag(&image.digest);
    match format {
        Format::Text => output::result(&pinned)?,
        Format::Json => output::json(&json!({
            "reference": pinned,
            "digest": image.digest,
            "signatureTag": tag,
            "identity": identity,
            "unchanged": !added,
        }))?,
    }
    output::note(&if added {
        format!("signed; the signature is under the tag {tag}")
    } else {
        "it is signed with this key already; nothing was changed".to_owned()
    });
    Ok(Outcome::Done)
}

/// The repository that a signature names.
fn identity(reference: &Reference, image: Option<&str>) -> anyhow::Result<String> {
    let named = match (reference, image) {
        (Reference::Registry(_), Some(_)) => {
            return Err(WrongUsage(anyhow::anyhow!(
                "--image is for layout directories; a registry's REF says it itself"
            ))
            .into());
        }
        (reference, None) => reference.clone(),
        (Reference::Layout(_), Some(image)) => options::reference(image)?,
    };
    match named {
        Reference::Registry(r) => Ok(format!("{}/{}", r.host, r.repository)),
        Reference::Layout(_) => Err(WrongUsage(anyhow::anyhow!(
            "a signature names the repository; for a layout directory say it with --image registry/repo:tag"
        ))
        .into()),
    }
}

/// The manifest or index that a REF names: what signatures and attached documents are about.
///
/// # Errors
/// When it is not there.
pub async fn named(store: &Store, reference: &Reference) -> anyhow::Result<RawManifest> {
    let tag = match reference {
        Reference::Registry(r) => &r.tag,
        Reference::Layout(l) => &l.tag,
    };
    let name = reference.digest().map_or(Name::Tag(tag), Name::Digest);
    store
        .fetch(name)
        .await?
        .with_context(|| format!("`{reference}` is not there; check tag and digest, or push it first"))
}

fn password() -> anyhow::Result<String> {
    match std::env::var(key::PASSWORD_VARIABLE) {
        Ok(password) => Ok(password),
        Err(_) => prompt::password("password for the private key: ").map_err(|error| match error.is::<Interrupted>() {
            true => error,
            false => anyhow!("the key needs a password, and none came from a terminal; set {}", key::PASSWORD_VARIABLE),
        }),
    }
}

/// Examples and what is worth knowing.
pub const KEY_HELP: &str = "\
Writes cosign.key, encrypted with the password in COSIGN_PASSWORD or one that is asked for, and cosign.pub. cosign can use both. \
Files that are there already are not overwritten.

Examples:
  faultline generate-key-pair
  COSIGN_PASSWORD=$(cat password.txt) faultline generate-key-pair --output-key-prefix release";

/// `faultline generate-key-pair`
#[derive(Debug, Args)]
pub struct GenerateKeyPair {
    /// Names of the files, without .key and .pub.
    #[arg(long, value_name = "PREFIX", default_value = "cosign")]
    pub output_key_prefix: PathBuf,
}

/// Runs it.
///
/// # Errors
/// When a file is there already or cannot be written, or two passwords that were typed differ.
pub fn generate(args: &GenerateKeyPair, format: Format) -> anyhow::Result<Outcome> {
    let [private_file, public_file] = ["key", "pub"].map(|end| {
        let mut name = args.output_key_prefix.clone().into_os_string();
        name.push(format!(".{end}"));
        PathBuf::from(name)
    });
    for file in [&private_file, &public_file] {
        ensure!(
            !file.exists(),
            "`{}` is there already; move it away, or choose another --output-key-prefix",
            file.display()
        );
    }
    let password = new_password()?;
    let (private, public) = key::generate(&password)?;
    files::write_private(&private_file, private.as_bytes())?;
    files::write(&public_file, public.as_bytes())?;
    match format {
        Format::Text => output::result(&format!("{}\n{}", private_file.display(), public_file.display()))?,
        Format::Json => output::json(&json!({"privateKey": private_file, "publicKey": public_file}))?,
    }
    Ok(Outcome::Done)
}

fn new_password() -> anyhow::Result<String> {
    if std::env::var_os(key::PASSWORD_VARIABLE).is_some() {
        return password();
    }
    let first = password()?;
    let second = prompt::password("the same again: ")?;
    ensure!(first == second, "the passwords differ; run it again");
    Ok(first)
}
