//! `faultline copy`: copies an artifact from one registry or layout to another, byte for byte, with what is attached to
//! it.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::commands::options;
use crate::commands::outcome::Outcome;
use crate::reference::Reference;
use crate::store::Store;
use crate::store::copy::{Attachments, Copied, Copier};
use crate::store::platform::Platform;
use crate::store::registry::access::Access;
use crate::terminal::output::{self, Format};
use crate::terminal::progress;

/// The end of the help.
pub(crate) const HELP: &str = "\
Prints registry/repo:tag@sha256:… of the copy: the digest is that of the original. Signatures and attached documents \
come along, of whatever kind and wherever the registry keeps them.

Examples:
  faultline copy ghcr.io/acme/faultline:0.1.0 registry.example.com/mesh/faultline:0.1.0
  faultline copy ghcr.io/acme/faultline:0.1.0 oci:out:0.1.0
  faultline copy oci:out:0.1.0 localhost:5000/faultline:0.1.0 --no-attached
  printenv TOKEN | faultline copy oci:out:0.1.0 ghcr.io/acme/faultline:0.1.0 --to-username acme --to-password-stdin";

/// `faultline copy`
#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// From where: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "SRC")]
    pub(crate) from: String,
    /// Where to: registry/repo:tag or oci:DIR:TAG.
    #[arg(value_name = "DST")]
    pub(crate) to: String,
    /// Leave signatures and attached documents behind.
    #[arg(long)]
    pub(crate) no_attached: bool,
    /// Of an index, only the image for this platform.
    #[arg(long, value_name = "OS/ARCH")]
    pub(crate) platform: Option<Platform>,
    /// How often to try again when a registry is busy or the connection breaks.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10))]
    pub(crate) retries: u32,
    /// Take credentials from this config.json of docker's, or the one in this directory, and from nowhere else.
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) registry_config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) source: From,
    #[command(flatten)]
    pub(crate) destination: To,
}

/// Options for reaching one side: the flags of every other command, prefixed with the side. clap cannot prefix a group.
macro_rules! side {
    (
        $name:ident, $doc:literal, $heading:literal,
        $plain:ident, $insecure:ident, $ca:ident, $cert:ident, $key:ident, $user:ident, $password:ident
    ) => {
        #[doc = $doc]
        #[derive(Debug, Args)]
        #[command(next_help_heading = $heading)]
        pub(crate) struct $name {
            /// Speak http, not https. The default for localhost, unless a CA file or insecure is given.
            #[arg(long, conflicts_with_all = [stringify!($ca), stringify!($insecure)])]
            $plain: bool,
            /// Accept any certificate.
            #[arg(long)]
            $insecure: bool,
            /// Trust these authorities too, PEM.
            #[arg(long, value_name = "FILE")]
            $ca: Option<std::path::PathBuf>,
            /// Show this certificate to the registry, PEM.
            #[arg(long, value_name = "FILE", requires = stringify!($key))]
            $cert: Option<std::path::PathBuf>,
            /// Its private key, PEM.
            #[arg(long, value_name = "FILE", requires = stringify!($cert))]
            $key: Option<std::path::PathBuf>,
            /// User name; the default is what docker or podman have for the registry.
            #[arg(long, value_name = "USERNAME", requires = stringify!($password))]
            $user: Option<String>,
            /// Read the password from standard input; for one side only.
            #[arg(long, requires = stringify!($user))]
            $password: bool,
        }

        impl $name {
            fn access(&self, retries: u32, registry_config: Option<&Path>) -> Access {
                Access {
                    plain_http: self.$plain,
                    insecure: self.$insecure,
                    ca_file: self.$ca.clone(),
                    retries,
                    cert_file: self.$cert.clone(),
                    key_file: self.$key.clone(),
                    on_exchange: output::on_exchange(),
                    credentials: options::source_of(self.$user.as_deref(), registry_config),
                    on_retry: output::note,
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
    from_cert_file,
    from_key_file,
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
    to_cert_file,
    to_key_file,
    to_username,
    to_password_stdin
);

/// Copies an artifact and, unless told otherwise, what is attached to it.
///
/// # Errors
/// When there is no such artifact, or the destination does not accept it; the destination's tag is then unchanged.
pub(crate) async fn run(args: Copy, format: Format) -> anyhow::Result<Outcome> {
    let (from, to) = (options::reference(&args.from)?, options::tagged_reference(&args.to)?);
    if args.source.from_password_stdin && args.destination.to_password_stdin {
        return Err(options::WrongUsage(anyhow::anyhow!(
            "one password can come on standard input: give it for one side, and log in to the other with `faultline \
                login`"
        ))
        .into());
    }
    let config = args.registry_config.as_deref();
    let source = Store::open(&from, &args.source.access(args.retries, config))?;
    let destination = Store::open(&to, &args.destination.access(args.retries, config))?.for_writing();
    let from = match &args.platform {
        Some(platform) => from.with_digest(&source.resolve_for(&from, platform).await?.digest),
        None => from,
    };
    let copier = Copier::new(source, destination, shared_repository(&from, &to), progress::bytes);
    let attachments = if args.no_attached { Attachments::LeftBehind } else { Attachments::Along };
    let copied = copier.copy(&from, &to, attachments).await?;
    report(&to, &copied, format)
}

/// The source's repository, if both are in the same registry.
fn shared_repository(from: &Reference, to: &Reference) -> Option<String> {
    match (from, to) {
        (Reference::Registry(a), Reference::Registry(b)) if a.authority == b.authority => Some(a.repository.clone()),
        _ => None,
    }
}

fn report(to: &Reference, copied: &Copied, format: Format) -> anyhow::Result<Outcome> {
    let Copied { root, sent, tagged } = copied;
    let pinned = to.with_digest(&root.digest).to_string();
    output::warn(&sent.remarks);
    match format {
        Format::Text => output::result(&pinned)?,
        Format::Json => output::json(&json!({
            "reference": pinned,
            "digest": root.digest,
            "mediaType": root.media_type,
            "blobs": sent.blobs,
            "bytes": sent.bytes,
            "attached": sent.attached,
            "warnings": sent.remarks,
            "unchanged": *tagged && sent.attached == 0,
        }))?,
    }
    output::note(&match (tagged, sent.attached) {
        (true, 0) => "it is there already; nothing was sent".to_owned(),
        (true, attached) => format!("it is there already; attached {attached}"),
        (false, attached) => format!("copied {}, attached {attached}", output::size(sent.bytes)),
    });
    Ok(Outcome::Done)
}
