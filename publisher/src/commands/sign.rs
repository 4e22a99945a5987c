//! `faultline sign`: signs an artifact and stores the signature beside it.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use crate::commands::generate_key_pair::password;
use crate::commands::options::{self, Transport, WrongUsage};
use crate::commands::outcome::Outcome;
use crate::reference::Reference;
use crate::reference::digest::Digest;
use crate::signature::{self, key};
use crate::store::Store;
use crate::store::manifest::RawManifest;
use crate::terminal::output::{self, Format};

/// The end of the help.
pub(crate) const HELP: &str = "\
Puts a signature beside the artifact, under the tag sha256-….sig, that cosign 2 and 3 verify:
  cosign verify --key cosign.pub --insecure-ignore-tlog REF
The key is cosign's (its password in COSIGN_PASSWORD, else by a pipe, else it is asked for) or an unencrypted one of \
openssl (ECDSA on P-256). Of an index, the image that a mesh runs is signed too. What is signed by the same key \
already is left as it is. No transparency log is written to.

Signatures are read, added to and written as one, and registries offer no way to do that safely while others do it \
too. It is looked again a moment later, and the signature is added again if another program has overwritten it. A \
signature of theirs that comes between reading and writing is lost only if they do not look again.

Examples:
  faultline sign ghcr.io/acme/faultline:0.1.0 --key cosign.key
  faultline sign ghcr.io/acme/faultline:0.1.0@sha256:… --key cosign.key < password.txt
  faultline sign oci:out:0.1.0 --key cosign.key --image ghcr.io/acme/faultline:0.1.0";

/// `faultline sign`
#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// What to sign: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// The private key; env://NAME takes it from an environment variable.
    #[arg(long, value_name = "FILE|env://NAME")]
    pub(crate) key: PathBuf,
    /// The name under which what is in a layout directory will be pulled; it becomes part of the signature.
    #[arg(long, value_name = "registry/repo:tag")]
    pub(crate) image: Option<String>,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// Signs an artifact, unless the same key has already signed it.
///
/// # Errors
/// When the key cannot be used, or the store cannot be read or written.
pub(crate) async fn run(args: Sign, format: Format) -> anyhow::Result<Outcome> {
    let reference = options::reference(&args.reference)?;
    let identity = identity(&reference, args.image.as_deref())?;
    let key = key::private(&args.key, || password(args.transport.password_stdin))?;
    let store = Store::open(&reference, &args.transport.access())?.for_writing();
    let image = store.named(&reference).await?;
    let mut added = signature::add(&store, &image.digest, &identity, &key).await?;
    // What is deployed is the image in an index: a mesh compares with its digest.
    let child = child(&store, &reference, &image).await?;
    if let Some(child) = &child {
        added |= signature::add(&store, child, &identity, &key).await?;
    }
    let pinned = reference.with_digest(&image.digest).to_string();
    let tag = signature::tag(&image.digest);
    match format {
        Format::Text => output::result(&pinned)?,
        Format::Json => output::json(&json!({
            "reference": pinned,
            "digest": image.digest,
            "signatureTag": tag,
            "identity": identity,
            "image": child,
            "unchanged": !added,
        }))?,
    }
    if let Some(child) = &child {
        output::note(&format!(
            "it is an index; its image for linux/amd64, which a mesh runs, is signed too: {}",
            reference.untagged(child)
        ));
    }
    output::note(&if added {
        format!("signed; the signature is under the tag {tag}")
    } else {
        "it is signed with this key already; nothing was changed".to_owned()
    });
    Ok(Outcome::Done)
}

/// The image in an index that a mesh would run; `None` if it is no index, or has none, which is said.
async fn child(store: &Store, reference: &Reference, named: &RawManifest) -> anyhow::Result<Option<Digest>> {
    if !named.is_index() {
        return Ok(None);
    }
    match store.resolve(&reference.with_digest(&named.digest)).await {
        Ok(image) => Ok(Some(image.digest)),
        Err(error) => {
            output::note(&format!("warning: only the index is signed: {error:#}"));
            Ok(None)
        }
    }
}

/// The repository that a signature names.
fn identity(reference: &Reference, image: Option<&str>) -> anyhow::Result<String> {
    let named = match (reference, image) {
        (Reference::Registry(_), Some(_)) => {
            return Err(
                WrongUsage(anyhow!("--image is for layout directories; a registry's REF says it itself")).into()
            );
        }
        (reference, None) => reference.clone(),
        (Reference::Layout(_), Some(image)) => options::reference(image)?,
    };
    match named {
        Reference::Registry(r) => Ok(format!("{}/{}", r.authority, r.repository)),
        Reference::Layout(_) => Err(WrongUsage(anyhow!(
            "a signature names the repository; for a layout directory say it with --image registry/repo:tag"
        ))
        .into()),
    }
}
