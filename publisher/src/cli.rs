//! The command line: what can be typed, as plain data, with help and examples.
//!
//! REFs stay strings here and are parsed by the commands with [`reference`], so that a malformed one is reported in the words of
//! [`crate::reference`], and never with a password that was written into it, as the parser of the command line would.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::output::Format;
use crate::reference::{Reference, RegistryRef};

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
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
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
    #[command(after_help = PUSH)]
    Push(Push),
    /// Fetch an artifact's module into a file, verified.
    #[command(after_help = PULL)]
    Pull(Pull),
    /// Show what an artifact is, and whether Istio would load it.
    #[command(after_help = INSPECT)]
    Inspect(Inspect),
    /// Write the Kubernetes manifest that puts an artifact into an Istio mesh.
    #[command(after_help = MANIFEST)]
    Manifest(Box<Manifest>),
    /// Check plugin configurations.
    #[command(after_help = VALIDATE)]
    Validate(Validate),
    /// Print the JSON Schema of the plugin configuration.
    #[command(after_help = "Example:\n  faultline config-schema > faultline.schema.json")]
    ConfigSchema,
    /// Print a shell's completion script.
    #[command(after_help = "Example:\n  faultline completions bash > /etc/bash_completion.d/faultline")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

const PUSH: &str = "\
Prints registry/repo:tag@sha256:… of what the tag now stands for. The same module gives the same digest, always; if it is \
there already nothing is sent. SOURCE_DATE_EPOCH sets the times in it, which are left out otherwise. A push that fails \
leaves the tag where it was.

Examples:
  faultline push ghcr.io/acme/faultline:0.1.0
  printenv TOKEN | faultline push ghcr.io/acme/faultline:0.1.0 --username acme --password-stdin
  faultline push localhost:5000/faultline:dev --wasm target/faultline.wasm
  faultline push oci:out:0.1.0";

/// `faultline push`
#[derive(Debug, Args)]
pub struct Push {
    /// Where to: registry/repo:tag or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The module to publish, instead of the one this program was built with.
    #[arg(long, value_name = "FILE")]
    pub wasm: Option<PathBuf>,
    /// Another annotation for the manifest; can be given more than once.
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = pair)]
    pub annotations: Vec<(String, String)>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub transport: Transport,
}

const PULL: &str = "\
Works for any image that Istio accepts. The file appears whole or not at all.

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

const INSPECT: &str = "\
Exits with 3 if Istio would not load it.

Examples:
  faultline inspect ghcr.io/acme/faultline:0.1.0
  faultline inspect oci:out:0.1.0 --output json";

/// `faultline inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// Of what: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub reference: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub transport: Transport,
}

const MANIFEST: &str = "\
The digest is asked for at the registry, so that the mesh runs exactly what is there now. --offline writes without \
asking: with the digest in REF, or without one. For a layout directory, say with --image under which name the mesh will \
pull it.

Examples:
  faultline manifest ghcr.io/acme/faultline:0.1.0 --namespace istio-system > faultline.yaml
  faultline manifest ghcr.io/acme/faultline:0.1.0 --selector app=checkout --config faultline.json
  faultline manifest ghcr.io/acme/faultline:0.1.0 --namespace shop --waypoint
  faultline manifest ghcr.io/acme/faultline:0.1.0 --kind TrafficExtension
  faultline manifest oci:out:0.1.0 --image registry.example.com/mesh/faultline:0.1.0";

/// `faultline manifest`
#[derive(Debug, Args)]
pub struct Manifest {
    /// Of what: registry/repo:tag[@digest] or oci:DIR:TAG.
    #[arg(value_name = "REF")]
    pub reference: String,
    /// The kind of resource; TrafficExtension needs Istio 1.30 or later.
    #[arg(long, value_enum, default_value_t = Kind::WasmPlugin, ignore_case = true)]
    pub kind: Kind,
    /// Name of the resource.
    #[arg(long, default_value = "faultline")]
    pub name: String,
    /// Namespace of the resource; Istio's root namespace (istio-system) means the whole mesh.
    #[arg(long)]
    pub namespace: Option<String>,
    /// Only workloads with this label; can be given more than once.
    #[arg(long = "selector", value_name = "KEY=VALUE", value_parser = pair, conflicts_with_all = ["target_refs", "waypoint"])]
    pub selector: Vec<(String, String)>,
    /// Attach to this resource: Gateway, GatewayClass, Service or ServiceEntry; can be given more than once.
    #[arg(long = "target-ref", value_name = "KIND/NAME")]
    pub target_refs: Vec<String>,
    /// Attach to a waypoint proxy, by the name of its Gateway.
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "waypoint")]
    pub waypoint: Option<String>,
    /// The plugin configuration, JSON; it is validated first.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Pull secret, of type kubernetes.io/dockerconfigjson, in the same namespace.
    #[arg(long, value_name = "NAME")]
    pub pull_secret: Option<String>,
    /// Place in the filter chain; the default is last before the router.
    #[arg(long, value_enum, ignore_case = true)]
    pub phase: Option<Phase>,
    /// Order among plugins of the same phase, higher first.
    #[arg(long, allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// The name under which the mesh will pull what is in a layout directory.
    #[arg(long, value_name = "registry/repo:tag")]
    pub image: Option<String>,
    /// Do not ask the registry for the digest.
    #[arg(long)]
    pub offline: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub transport: Transport,
}

/// A kind of resource that carries a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// `extensions.istio.io/v1alpha1`, every Istio.
    #[value(name = "WasmPlugin")]
    WasmPlugin,
    /// `extensions.istio.io/v1alpha1`, Istio 1.30 and later.
    #[value(name = "TrafficExtension")]
    TrafficExtension,
}

/// A place in Istio's filter chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)] // Istio's own names
pub enum Phase {
    Authn,
    Authz,
    Stats,
}

const VALIDATE: &str = "\
Prints one line for each thing found wrong, and exits with 3 if there is any. `-` is standard input.

Examples:
  faultline validate faultline.json
  kubectl get wasmplugin faultline -o jsonpath='{.spec.pluginConfig}' | faultline validate -";

/// `faultline validate`
#[derive(Debug, Args)]
pub struct Validate {
    /// Plugin configurations, JSON.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
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

fn pair(text: &str) -> Result<(String, String), String> {
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
