//! `faultline verify`: checks that an artifact is signed with a key, or that a statement about it is.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::commands::options::{self, Transport};
use crate::commands::outcome::Outcome;
use crate::reference::Reference;
use crate::reference::digest::Digest;
use crate::signature::attestation::{self, SIGNED, whole_type};
use crate::signature::public_key::PublicKey;
use crate::signature::{self, key};
use crate::store::Store;
use crate::terminal::escape;
use crate::terminal::output::{self, Format};

/// The end of the help.
pub(crate) const HELP: &str = "\
Looks for signatures under the tag sha256-….sig, where `faultline sign` and `cosign sign` (2) put them, and for the \
bundles that cosign 3 attaches. One that was made with this key and is for this very digest is enough. With \
--attestation a statement of that type is wanted, as `cosign attest` makes it. Exits with 3 if there is none. No \
transparency log is asked.

Prints the reference by digest: deploy that one, because tags move. Of an index it is the image for linux/amd64 in it, \
which a mesh runs and compares with; it counts as signed if it or the index is.

Examples:
  faultline verify ghcr.io/acme/faultline:0.1.0 --key cosign.pub
  faultline verify ghcr.io/acme/faultline:0.1.0 --key env://COSIGN_PUBLIC_KEY
  faultline verify ghcr.io/acme/faultline:0.1.0 --key cosign.pub --attestation slsaprovenance1
  faultline verify oci:out:0.1.0 --key cosign.pub --output json";

/// `faultline verify`
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// What to verify: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// The public key, PEM: cosign.pub, or what openssl writes with -pubout; ECDSA on P-256 or P-384, RSA or Ed25519.
    /// env://NAME takes it from an environment variable.
    #[arg(long, value_name = "FILE|env://NAME")]
    pub(crate) key: PathBuf,
    /// A statement of this type is wanted, not a signature: its URI, or cosign's name for it, such as slsaprovenance1,
    /// spdx, cyclonedx or custom.
    #[arg(long, value_name = "TYPE")]
    pub(crate) attestation: Option<String>,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// One signature or statement.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    /// The digest that it is stored for.
    digest: Digest,
    valid: bool,
    /// The repository that a signature names.
    identity: Option<String>,
    /// The type of a statement.
    #[serde(skip_serializing_if = "Option::is_none")]
    predicate_type: Option<String>,
    problem: Option<String>,
}

/// What is verified.
struct Subject {
    /// What the REF names.
    named: Digest,
    /// What a mesh would run.
    deployed: Digest,
}

/// Checks every signature of an artifact and says why each invalid one is invalid.
///
/// # Errors
/// When the key cannot be used or the store cannot be read. Having no valid signature is a finding, not an error.
pub(crate) async fn run(args: Verify, format: Format) -> anyhow::Result<Outcome> {
    let reference = options::reference(&args.reference)?;
    let key = key::public(&args.key)?;
    let store = Store::open(&reference, &args.transport.access())?;
    let subject = subject(&store, &reference).await?;
    let mut found = found(&store, &key, &subject.deployed).await?;
    if subject.named != subject.deployed {
        found.extend(self::found(&store, &key, &subject.named).await?);
    }
    let wanted = args.attestation.as_deref().map(whole_type);
    let counts = |it: &&Found| match (wanted, it.predicate_type.as_deref()) {
        (None, kind) => kind.is_none() || kind == Some(SIGNED),
        (Some(wanted), kind) => kind == Some(wanted),
    };
    let verified = found.iter().filter(|it| it.valid).find(counts);
    let pinned = reference.with_digest(&subject.deployed).to_string();
    match format {
        Format::Text if verified.is_some() => output::result(&pinned)?,
        Format::Text => {}
        Format::Json => output::json(&json!({
            "reference": pinned,
            "digest": subject.deployed,
            "index": Some(&subject.named).filter(|named| **named != subject.deployed),
            "verified": verified.is_some(),
            "signatures": found,
        }))?,
    }
    if let Some(verified) = verified {
        told(verified, &subject);
        return Ok(Outcome::Done);
    }
    missed(&pinned, wanted, &found);
    Ok(Outcome::Findings)
}

/// What the REF names, and the image in it that a mesh would run.
async fn subject(store: &Store, reference: &Reference) -> anyhow::Result<Subject> {
    let named = store.named(reference).await?;
    let deployed = match named.is_index() {
        false => named.digest.clone(),
        true => store.resolve(&reference.with_digest(&named.digest)).await?.digest,
    };
    Ok(Subject { named: named.digest, deployed })
}

/// All signatures and statements of one digest, checked.
async fn found(store: &Store, key: &PublicKey, digest: &Digest) -> anyhow::Result<Vec<Found>> {
    let new = |valid| Found { digest: digest.clone(), valid, identity: None, predicate_type: None, problem: None };
    let mut found = Vec::new();
    for signature in signature::all(store, digest).await? {
        found.push(match signature.check(key, digest) {
            Ok(claim) => Found { identity: Some(claim.identity), ..new(true) },
            Err(error) => Found { problem: Some(format!("{error:#}")), ..new(false) },
        });
    }
    let (statements, remark) = match attestation::all(store, digest).await {
        Ok(read) => read,
        // A registry that does not say what is attached leaves what is under the tag.
        Err(error) => (Vec::new(), Some(format!("{error:#}"))),
    };
    if let Some(remark) = remark {
        output::note(&format!("warning: there may be more attached to {digest}: {remark}"));
    }
    for statement in statements {
        found.push(match statement.check(key, digest) {
            Ok(statement) => Found { predicate_type: Some(statement.predicate_type), ..new(true) },
            Err(error) => Found { problem: Some(format!("{error:#}")), ..new(false) },
        });
    }
    Ok(found)
}

/// Says what was verified.
fn told(verified: &Found, subject: &Subject) {
    output::note(&match (&verified.identity, &verified.predicate_type) {
        (Some(identity), _) => format!("verified: signed for {}", escape::one_line(identity)),
        (None, Some(kind)) if kind != SIGNED => format!("verified: there is a statement `{}`", escape::one_line(kind)),
        _ => "verified: signed, in a bundle of cosign 3".to_owned(),
    });
    if subject.named != subject.deployed {
        let signed = if verified.digest == subject.named { "the index is signed" } else { "the image in it is signed" };
        output::note(&format!(
            "it is an index ({}), and {signed}; the reference is that of its image for linux/amd64, which a mesh runs",
            subject.named
        ));
    }
}

/// Says that nothing was verified, and why.
fn missed(pinned: &str, wanted: Option<&str>, found: &[Found]) {
    match wanted {
        None => output::note(&format!("`{pinned}` has no valid signature of this key")),
        Some(wanted) => output::note(&format!("`{pinned}` has no valid statement `{wanted}` of this key")),
    }
    for (number, it) in found.iter().enumerate() {
        let kind = it.predicate_type.as_ref().map(|kind| format!("it is a statement `{kind}`"));
        let why = it.problem.clone().or(kind).unwrap_or_else(|| "it is a signature".to_owned());
        output::note(&format!(
            "  {} {}: {}",
            if it.identity.is_some() { "signature" } else { "signature or statement" },
            number + 1,
            escape::one_line(&why)
        ));
    }
    if found.is_empty() {
        output::note("  it has no signature at all; `faultline sign` makes one");
    }
}
