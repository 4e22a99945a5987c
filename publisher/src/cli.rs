//! The command line: what can be typed, as plain data, with help and examples.
//!
//! REFs stay strings here and are parsed by the commands with [`reference`], so that a malformed one is reported in the words of
//! [`crate::reference`], and never with a password that was written into it, as the parser of the command line would.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::manifest;
use crate::output::Format;
use crate::reference::{Reference, RegistryRef};
use crate::{attach, copy, from, inspect, list, login, man, push, report, sign, tag, validate, verify, watch};

const AFTER: &str = "\
REF is registry/repo:tag[@digest], or oci:DIR:TAG for an OCI image layout directory.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 something was found wrong with what was checked.

Examples:
  faultline push ghcr.io/acme/faultline:0.1.0
  faultline manifest ghcr.io/acme/faultline:0.1.0 --namespace istio-system | kubectl apply -f -
  faultline inspect ghcr.io/acme/faultline:0.1.0";

/// Packages the faultline filter, pushes it to any registry, and writes the manifests that put it into a mesh.
#[derive(Debug, Parser)]
#[command(name = "faultline", version, after_help = AFTER, max_term_width = 110)]
pub struct Cli {
    /// How results are written to stdout.
    #[arg(long, global = true, value_enum, default_value_t = Written::Text)]
    pub output: Written,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How results are written to stdout, as it can be typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Written {
    /// Plain text, one fact a line.
    Text,
    /// One JSON value.
    Json,
    /// SARIF 2.1.0, for code scanning; `validate` only.
    Sarif,
}

impl Written {
    /// The format, for commands that do not know SARIF.
    ///
    /// # Errors
    /// If it is SARIF.
    pub fn format(self) -> Result<Format, WrongUsage> {
        match self {
            Self::Text => Ok(Format::Text),
            Self::Json => Ok(Format::Json),
            Self::Sarif => Err(WrongUsage(anyhow!("--output sarif is for `faultline validate` only"))),
        }
    }
}

/// A value on the command line that cannot be right, whatever is in files and registries.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct WrongUsage(pub anyhow::Error);

/// Reads a REF.
///
/// # Errors
/// When it is malformed.
pub fn reference(text: &str) -> Result<Reference, WrongUsage> {
    text.parse::<Reference>().map_err(|error| WrongUsage(error.into()))
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish the filter as an OCI artifact.
    #[command(after_help = push::HELP)]
    Push(push::Push),
    /// Fetch an artifact's module into a file, verified.
    #[command(after_help = PULL)]
    Pull(Pull),
    /// Show what an artifact is, and who would load it.
    #[command(after_help = inspect::HELP)]
    Inspect(inspect::Inspect),
    /// Sign an artifact with a private key, as cosign does.
    #[command(after_help = sign::HELP)]
    Sign(sign::Sign),
    /// Check that an artifact is signed, with a public key.
    #[command(after_help = verify::HELP)]
    Verify(verify::Verify),
    /// Make a key pair for `sign` and `verify`, in cosign's form.
    #[command(after_help = sign::KEY_HELP)]
    GenerateKeyPair(sign::GenerateKeyPair),
    /// Put a document beside an artifact, such as the list of what is in it.
    #[command(after_help = attach::HELP)]
    Attach(attach::Attach),
    /// Copy an artifact between registries and layouts, with signatures and attached documents.
    #[command(after_help = copy::HELP)]
    Copy(Box<copy::Copy>),
    /// Give an artifact further tags.
    #[command(after_help = tag::HELP)]
    Tag(tag::Tag),
    /// List the tags of a repository.
    #[command(after_help = list::HELP)]
    List(list::List),
    /// Keep credentials for a registry, once it has accepted them.
    #[command(after_help = login::LOGIN)]
    Login(login::Login),
    /// Forget the credentials for a registry.
    #[command(after_help = login::LOGOUT)]
    Logout(login::Logout),
    /// Write the manifest that puts an artifact into a mesh, a gateway or a plain Envoy.
    #[command(after_help = manifest::args::HELP)]
    Manifest(Box<manifest::args::Manifest>),
    /// Derive the plugin configuration from the mesh's own rules.
    #[command(after_help = from::HELP)]
    Config(from::Config),
    /// Check plugin configurations and the mesh's rules.
    #[command(after_help = validate::HELP)]
    Validate(Box<validate::Validate>),
    /// Tell an incident from proxies' logs: a timeline, a picture, what to look at first.
    #[command(after_help = report::HELP)]
    Report(report::Args),
    /// Follow proxies' logs and say what happens as it happens.
    #[command(after_help = watch::HELP)]
    Watch(watch::Args),
    /// Print the JSON Schema of the plugin configuration.
    #[command(after_help = "Example:\n  faultline config-schema > faultline.schema.json")]
    ConfigSchema,
    /// Print the manual page, or write one for each command.
    #[command(after_help = man::HELP)]
    Man(man::Manual),
    /// Print a shell's completion script.
    #[command(after_help = "Example:\n  faultline completions bash > /etc/bash_completion.d/faultline")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

const PULL: &str = "\
Works for any image that Istio accepts, and for the CNCF's form. The file appears whole or not at all.

Examples:
  faultline pull ghcr.io/acme/faultline:0.1.0 -o faultline.wasm
  faultline pull oci:out:0.1.0 -o faultline.wasm";

/// `faultline pull`
#[derive(Debug, Args)]
pub struct Pull {
    /// From where: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The file to write the module to.
    #[arg(short = 'o', long = "file", value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub transport: Transport,
}

/// How to reach a registry.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Registry")]
pub struct Transport {
    /// Speak http, not https. The default for localhost, unless --ca-file or --insecure is given.
    #[arg(long, conflicts_with_all = ["ca_file", "insecure"])]
    pub plain_http: bool,
    /// Accept any certificate.
    #[arg(long)]
    pub insecure: bool,
    /// Trust these authorities too, PEM.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// User name; the default is what docker or podman have for the registry.
    #[arg(long, requires = "password_stdin")]
    pub username: Option<String>,
    /// Read the password from standard input.
    #[arg(long, requires = "username")]
    pub password_stdin: bool,
    /// How often to try again when the registry is busy or the connection breaks.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10))]
    pub retries: u32,
}

impl Transport {
    /// Whether to speak http to this registry.
    pub fn is_plain_http(&self, reference: &RegistryRef) -> bool {
        self.plain_http || (reference.is_loopback() && !self.insecure && self.ca_file.is_none())
    }
}

/// Reads `KEY=VALUE`.
///
/// # Errors
/// When it is something else.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_every_command_has_examples() {
        let cli = Cli::command();
        cli.clone().debug_assert();
        for command in cli.get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("faultline "), "{} has no example", command.get_name());
        }
    }
}
