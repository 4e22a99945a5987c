//! `faultline verify`: checks that an artifact is signed with the private key for a given public key.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::commands::options::{self, Transport};
use crate::commands::outcome::Outcome;
use crate::signature::{self, BUNDLE, key};
use crate::store::{Store, attachments};
use crate::terminal::output::{self, Format};

/// The end of the help.
pub(crate) const HELP: &str = "\
Looks for signatures under the tag sha256-….sig, where `faultline sign` and `cosign sign` (2, or 3 with \
--new-bundle-format=false) put them. One that was made with this key and is for this very digest is enough. Exits with \
3 if there is none. Prints the reference by digest: deploy that one, because tags move. No transparency log is asked.

Examples:
  faultline verify ghcr.io/acme/faultline:0.1.0 --key cosign.pub
  faultline verify oci:out:0.1.0 --key cosign.pub --output json";

/// `faultline verify`
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// What to verify: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub(crate) reference: String,
    /// The public key, PEM: cosign.pub, or what `openssl ec -pubout` writes.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// One signature of the artifact.
#[derive(Debug, Serialize)]
struct Found {
    valid: bool,
    identity: Option<String>,
    problem: Option<String>,
}

/// Checks every signature of an artifact and says why each invalid one is invalid.
///
/// # Errors
/// When the key cannot be used or the store cannot be read. Having no valid signature is a finding, not an error.
pub(crate) async fn run(args: Verify, format: Format) -> anyhow::Result<Outcome> {
    let reference = options::reference(&args.reference)?;
    let key = key::public(&args.key)?;
    let store = Store::open(&reference, &args.transport.access())?;
    let digest = store.named(&reference).await?.digest;
    let mut found = Vec::new();
    for signature in signature::all(&store, &digest).await? {
        found.push(match signature.check(&key, &digest) {
            Ok(claim) => Found { valid: true, identity: Some(claim.identity), problem: None },
            Err(error) => Found { valid: false, identity: None, problem: Some(format!("{error:#}")) },
        });
    }
    let verified = found.iter().any(|signature| signature.valid);
    let pinned = reference.with_digest(&digest).to_string();
    match format {
        Format::Text if verified => output::result(&pinned)?,
        Format::Text => {}
        Format::Json => output::json(&json!({
            "reference": pinned, "digest": digest, "verified": verified, "signatures": found,
        }))?,
    }
    if verified {
        let identity = found.iter().find_map(|signature| signature.identity.as_deref()).unwrap_or_default();
        output::note(&format!("verified: signed for {identity}"));
        return Ok(Outcome::Done);
    }
    output::note(&format!("`{pinned}` has no valid signature of this key"));
    for (number, signature) in found.iter().enumerate() {
        output::note(&format!("  signature {}: {}", number + 1, signature.problem.as_deref().unwrap_or_default()));
    }
    if found.is_empty() {
        let (attached, _) = attachments::list(&store, &digest).await?;
        let bundled = attached.iter().any(|document| document.artifact_type.starts_with(BUNDLE));
        output::note(if bundled {
            "  it has a signature in cosign 3's bundle form, which `cosign verify` reads and this command does not"
        } else {
            "  it has no signature at all; `faultline sign` makes one"
        });
    }
    Ok(Outcome::Findings)
}
