//! `faultline copy`: an artifact from one registry or layout to another, byte for byte, with what belongs to it.
//!
//! What belongs to it: the children of an index; cosign's signatures, attestations and SBOMs, which are tagged with its digest;
//! and all that is attached to it, to its children, and to what is attached. The tag is given last. What is there already is not
//! sent, what is elsewhere in the same registry is taken over there. One blob at a time is in memory.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};
use clap::Args;
use oci_distribution::manifest::OciDescriptor;
use serde_json::json;

use crate::commands::options::{self, Transport};
use crate::commands::outcome::Outcome;
use crate::digest::Digest;
use crate::reference::Reference;
use crate::store::{Name, RawManifest, Store};
use crate::terminal::output::{self, Format};
use crate::terminal::progress;

/// The end of the help.
pub const HELP: &str = "\
Prints registry/repo:tag@sha256:… of the copy: the digest is that of the original. Signatures and attached documents come \
along, of whatever kind and wherever the registry keeps them.

Examples:
  faultline copy ghcr.io/acme/faultline:0.1.0 registry.example.com/mesh/faultline:0.1.0
  faultline copy ghcr.io/acme/faultline:0.1.0 oci:out:0.1.0
  faultline copy oci:out:0.1.0 localhost:5000/faultline:0.1.0 --no-attached
  printenv TOKEN | faultline copy oci:out:0.1.0 ghcr.io/acme/faultline:0.1.0 --to-username acme --to-password-stdin";

/// What cosign adds to the tag that names a digest.
const COSIGN: [&str; 3] = ["sig", "att", "sbom"];

/// How deep attached documents may be attached to attached documents.
const DEEPEST: usize = 8;

/// `faultline copy`
#[derive(Debug, Args)]
pub struct Copy {
    /// From where: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "SRC")]
    pub from: String,
    /// Where to: registry/repo:tag or oci:DIR:TAG.
    #[arg(value_name = "DST")]
    pub to: String,
    /// Leave signatures and attached documents behind.
    #[arg(long)]
    pub no_attached: bool,
    /// How often to try again when a registry is busy or the connection breaks.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10))]
    pub retries: u32,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub source: From,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub destination: To,
}

/// How to reach one side: the flags of every other command with the side in front, which clap cannot add to a group.
macro_rules! side {
    ($name:ident, $doc:literal, $heading:literal, $plain:ident, $insecure:ident, $ca:ident, $user:ident, $password:ident) => {
        #[doc = $doc]
        #[derive(Debug, Args)]
        #[command(next_help_heading = $heading)]
        pub struct $name {
            /// Speak http, not https. The default for localhost, unless a CA file or insecure is given.
            #[arg(long, conflicts_with_all = [stringify!($ca), stringify!($insecure)])]
            $plain: bool,
            /// Accept any certificate.
            #[arg(long)]
            $insecure: bool,
            /// Trust these authorities too, PEM.
            #[arg(long, value_name = "FILE")]
            $ca: Option<std::path::PathBuf>,
            /// User name; the default is what docker or podman have for the registry.
            #[arg(long, value_name = "USERNAME", requires = stringify!($password))]
            $user: Option<String>,
            /// Read the password from standard input; for one side only.
            #[arg(long, requires = stringify!($user))]
            $password: bool,
        }

        impl $name {
            fn transport(&self, retries: u32) -> Transport {
                Transport {
                    plain_http: self.$plain,
                    insecure: self.$insecure,
                    ca_file: self.$ca.clone(),
                    username: self.$user.clone(),
                    password_stdin: self.$password,
                    retries,
                }
            }
        }
    };
}

side!(
    From,
    "How to reach the source.",
    "Source registry",
    from_plain_http,
    from_insecure,
    from_ca_file,
    from_username,
    from_password_stdin
);
side!(
    To,
    "How to reach the destination.",
    "Destination registry",
    to_plain_http,
    to_insecure,
    to_ca_file,
    to_username,
    to_password_stdin
);

/// Runs it.
///
/// # Errors
/// When there is no such artifact, or the destination does not take it; its tag is then where it was.
pub async fn run(args: Copy, format: Format) -> anyhow::Result<Outcome> {
    let (from, to) = (options::reference(&args.from)?, options::reference(&args.to)?);
    if args.source.from_password_stdin && args.destination.to_password_stdin {
        return Err(options::WrongUsage(anyhow::anyhow!(
            "one password can come on standard input: give it for one side, and log in to the other with `faultline login`"
        ))
        .into());
    }
    let source = Store::open(&from, &args.source.transport(args.retries))?;
    let destination = Store::open(&to, &args.destination.transport(args.retries))?.for_writing();
    let shared = match (&from, &to) {
        (Reference::Registry(a), Reference::Registry(b)) if a.host == b.host => Some(a.repository.clone()),
        _ => None,
    };
    let mut copier = Copier { source, destination, shared, done: BTreeSet::new(), sent: Sent::default() };

    let root = copier.source.manifest(from.digest()).await?;
    if let Some(expected) = to.digest() {
        ensure!(
            *expected == root.digest,
            "`{from}` is {}, not the {expected} of `{to}`; leave the digest off",
            root.digest
        );
    }
    let tag = match &to {
        Reference::Registry(r) => &r.tag,
        Reference::Layout(l) => &l.tag,
    };
    let tagged = copier.destination.head(Name::Tag(tag)).await?.as_ref() == Some(&root.digest);
    let subjects = if tagged { copier.subjects(&root).await? } else { copier.content(&root).await? };
    if !args.no_attached {
        // Some registries take nothing for a subject that they do not have.
        let mut stored = tagged;
        for subject in subjects {
            copier.attached(&subject, &root, &mut stored, 0).await?;
        }
    }
    if !tagged {
        copier.destination.put(&root, Some(tag)).await?;
    }
    report(&to, &root, &copier.sent, tagged, format)
}

/// What was sent.
#[derive(Debug, Default)]
struct Sent {
    blobs: usize,
    bytes: u64,
    attached: usize,
}

struct Copier {
    source: Store,
    destination: Store,
    /// The source's repository, where both are in the same registry.
    shared: Option<String>,
    /// The manifests that were dealt with, so that what is attached in a circle ends.
    done: BTreeSet<String>,
    sent: Sent,
}

impl Copier {
    /// Copies all that a manifest consists of, but not itself. Returns the digests that something may be attached to.
    async fn content(&mut self, manifest: &RawManifest) -> anyhow::Result<Vec<Digest>> {
        let mut subjects = vec![manifest.digest.clone()];
        for child in children(manifest)? {
            let digest = child.digest.parse::<Digest>().context("the index is malformed")?;
            let Some(child) = self.source.fetch(Name::Digest(&digest)).await? else {
                bail!(
                    "the index {} names {digest}, which is not there; copy one of its images by its own digest",
                    manifest.digest
                )
            };
            ensure!(children(&child)?.is_empty(), "{} is an index of indexes, which no mesh follows", manifest.digest);
            if self.destination.head(Name::Digest(&digest)).await?.is_none() {
                self.blobs(&child).await?;
                self.destination.put(&child, None).await?;
            }
            subjects.push(digest);
        }
        self.blobs(manifest).await?;
        Ok(subjects)
    }

    /// The digests that something may be attached to, where there is nothing to copy.
    async fn subjects(&self, manifest: &RawManifest) -> anyhow::Result<Vec<Digest>> {
        let children = children(manifest)?.into_iter().map(|child| child.digest.parse::<Digest>());
        let children = children.collect::<Result<Vec<_>, _>>().context("the index is malformed")?;
        Ok([manifest.digest.clone()].into_iter().chain(children).collect())
    }

    /// Copies the blobs that an image's manifest names.
    async fn blobs(&mut self, manifest: &RawManifest) -> anyhow::Result<()> {
        let content = manifest.json();
        let named = content["layers"].as_array().into_iter().flatten().chain(content.get("config"));
        for descriptor in named {
            let descriptor: OciDescriptor =
                serde_json::from_value(descriptor.clone()).context("the manifest is malformed")?;
            // What may not be passed on is fetched from where it says, by those who may.
            if descriptor.urls.as_ref().is_some_and(|urls| !urls.is_empty()) {
                continue;
            }
            let digest = descriptor.digest.parse::<Digest>().context("the manifest is malformed")?;
            if self.destination.has_blob(&digest).await? {
                continue;
            }
            if let (Some(repository), Store::Registry(registry)) = (&self.shared, &self.destination)
                && registry.mount(&digest, repository).await?
            {
                self.sent.blobs += 1;
                continue;
            }
            let size = descriptor.size.unsigned_abs();
            let bar = progress::bytes("fetching", size);
            let bytes = self.source.blob(&descriptor, &bar).await?;
            drop(bar);
            let bar = progress::bytes("uploading", size);
            self.destination.put_blob(&digest, &bytes, &bar).await?;
            self.sent.blobs += 1;
            self.sent.bytes += size;
        }
        Ok(())
    }

    /// Copies what is attached to `subject`, and what is attached to that.
    async fn attached(
        &mut self,
        subject: &Digest,
        root: &RawManifest,
        stored: &mut bool,
        depth: usize,
    ) -> anyhow::Result<()> {
        if depth > DEEPEST || !self.done.insert(subject.to_string()) {
            return Ok(());
        }
        for kind in COSIGN {
            let tag = format!("sha256-{}.{kind}", subject.hex());
            let Some(manifest) = self.source.fetch(Name::Tag(&tag)).await? else { continue };
            if self.destination.head(Name::Tag(&tag)).await?.as_ref() != Some(&manifest.digest) {
                self.content(&manifest).await?;
                self.destination.put(&manifest, Some(&tag)).await?;
                self.sent.attached += 1;
            }
        }
        let referrers = self.source.referrers(subject).await?;
        let known = if referrers.is_empty() { Vec::new() } else { self.destination_referrers(subject).await? };
        for referrer in referrers {
            let digest = referrer.digest.parse::<Digest>().context("the list of what is attached is malformed")?;
            if !known.contains(&referrer.digest) {
                let manifest = self.source.fetch(Name::Digest(&digest)).await?;
                // A list may name what was deleted since.
                let Some(manifest) = manifest else { continue };
                if !*stored {
                    self.destination.put(root, None).await?;
                    *stored = true;
                }
                self.content(&manifest).await?;
                self.destination.attach(&manifest).await?;
                self.sent.attached += 1;
            }
            Box::pin(self.attached(&digest, root, stored, depth + 1)).await?;
        }
        Ok(())
    }

    async fn destination_referrers(&self, subject: &Digest) -> anyhow::Result<Vec<String>> {
        Ok(self.destination.referrers(subject).await?.into_iter().map(|descriptor| descriptor.digest).collect())
    }
}

/// The manifests that an index names; none for an image.
fn children(manifest: &RawManifest) -> anyhow::Result<Vec<OciDescriptor>> {
    let content = manifest.json();
    let entries = content["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let read = |entry: &serde_json::Value| serde_json::from_value(entry.clone()).context("the index is malformed");
    entries.iter().map(read).collect()
}

fn report(to: &Reference, root: &RawManifest, sent: &Sent, tagged: bool, format: Format) -> anyhow::Result<Outcome> {
    let pinned = to.with_digest(&root.digest).to_string();
    match format {
        Format::Text => output::result(&pinned)?,
        Format::Json => output::json(&json!({
            "reference": pinned,
            "digest": root.digest,
            "mediaType": root.media_type,
            "blobs": sent.blobs,
            "bytes": sent.bytes,
            "attached": sent.attached,
            "unchanged": tagged && sent.attached == 0,
        }))?,
    }
    output::note(&match (tagged, sent.attached) {
        (true, 0) => "it is there already; nothing was sent".to_owned(),
        (true, attached) => format!("it is there already; attached {attached}"),
        (false, attached) => format!("copied {}, attached {attached}", output::size(sent.bytes)),
    });
    Ok(Outcome::Done)
}
