//! The command line: what can be typed, as plain data, with help and examples.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::options::WrongUsage;
use crate::commands::outcome::Outcome;
use crate::commands::{
    attach, completions, config, config_schema, copy, delete, digest, events, generate_key_pair, inspect, list, login,
    logout, man, manifest, pull, push, report, sign, sign_blob, tag, validate, verify, verify_blob, watch,
};
use crate::terminal::output::{self, Written};

const AFTER: &str = "\
REF is registry/repo:tag, registry/repo@digest or both; a short name is Docker Hub's. An OCI image layout is \
oci:DIR:TAG, its tar archive oci-archive:FILE:TAG.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 something was found wrong with what was checked.

Examples:
  faultline push ghcr.io/acme/faultline:0.1.0
  faultline manifest ghcr.io/acme/faultline:0.1.0 --namespace istio-system | kubectl apply -f -
  faultline inspect ghcr.io/acme/faultline:0.1.0";

/// Packages the faultline filter, pushes it to any registry, and writes the manifests that put it into a mesh.
#[derive(Debug, Parser)]
#[command(name = "faultline", version, after_help = AFTER, max_term_width = 110)]
pub(crate) struct Cli {
    /// How results are written to stdout.
    #[arg(long, global = true, value_enum, default_value_t = Written::Text)]
    pub(crate) output: Written,
    /// Show every request to a registry and its answer on stderr, without secrets.
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish the filter as an OCI artifact.
    #[command(after_help = push::HELP)]
    Push(push::Push),
    /// Fetch an artifact's module into a file, verified.
    #[command(after_help = pull::HELP)]
    Pull(pull::Pull),
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
    #[command(after_help = generate_key_pair::HELP)]
    GenerateKeyPair(generate_key_pair::GenerateKeyPair),
    /// Sign a file with a private key, as `cosign sign-blob` does.
    #[command(after_help = sign_blob::HELP)]
    SignBlob(sign_blob::SignBlob),
    /// Check the signature of a file, with a public key.
    #[command(after_help = verify_blob::HELP)]
    VerifyBlob(verify_blob::VerifyBlob),
    /// Put a document beside an artifact, such as the list of what is in it.
    #[command(after_help = attach::HELP)]
    Attach(attach::Attach),
    /// Copy an artifact between registries and layouts, with signatures and attached documents.
    #[command(after_help = copy::HELP, visible_alias = "cp")]
    Copy(Box<copy::Copy>),
    /// Give an artifact further tags.
    #[command(after_help = tag::HELP)]
    Tag(tag::Tag),
    /// List the tags of a repository.
    #[command(after_help = list::HELP, visible_alias = "ls")]
    List(list::List),
    /// Print the digest that a tag stands for.
    #[command(after_help = digest::HELP)]
    Digest(digest::Digest),
    /// Remove a tag or a manifest.
    #[command(after_help = delete::HELP, visible_alias = "rm")]
    Delete(delete::Delete),
    /// Keep credentials for a registry, once it has accepted them.
    #[command(after_help = login::HELP)]
    Login(login::Login),
    /// Forget the credentials for a registry.
    #[command(after_help = logout::HELP)]
    Logout(logout::Logout),
    /// Write the manifest that puts an artifact into a mesh, a gateway or a plain Envoy.
    #[command(after_help = manifest::HELP)]
    Manifest(Box<manifest::Manifest>),
    /// Derive the plugin configuration from the mesh's own rules.
    #[command(after_help = config::HELP)]
    Config(config::Config),
    /// Check plugin configurations and the mesh's rules.
    #[command(after_help = validate::HELP)]
    Validate(Box<validate::Validate>),
    /// Tell an incident from proxies' logs: a timeline, a picture, what to look at first.
    #[command(after_help = report::HELP)]
    Report(Box<report::Args>),
    /// Print just the events that logs hold, as JSON lines, for jq and everything else.
    #[command(after_help = events::HELP)]
    Events(Box<events::Args>),
    /// Follow proxies' logs and say what happens as it happens.
    #[command(after_help = watch::HELP)]
    Watch(Box<watch::Args>),
    /// Print the JSON Schema of the plugin configuration.
    #[command(after_help = config_schema::HELP)]
    ConfigSchema,
    /// Print the manual page, or write one for each command.
    #[command(after_help = man::HELP)]
    Man(man::Manual),
    /// Print a shell's completion script.
    #[command(after_help = completions::HELP, visible_alias = "completion")]
    Completions(completions::Completions),
}

impl Command {
    /// What is true when Ctrl-C ends this command: the rest of the sentence that begins with "interrupted".
    pub(crate) fn when_interrupted(&self) -> &'static str {
        match self {
            // The tag is given by the last request.
            Self::Push(_) | Self::Copy(_) | Self::Sign(_) | Self::Attach(_) => {
                "; no tag was moved and no file was left half written"
            }
            Self::Tag(_) => "; some of the tags may have been given, and no file was left half written",
            Self::Pull(_)
            | Self::SignBlob(_)
            | Self::GenerateKeyPair(_)
            | Self::Login(_)
            | Self::Logout(_)
            | Self::Man(_)
            | Self::Report(_) => "; no file was left half written",
            Self::Inspect(_)
            | Self::Verify(_)
            | Self::VerifyBlob(_)
            | Self::List(_)
            | Self::Digest(_)
            | Self::Delete(_)
            | Self::Manifest(_)
            | Self::Config(_)
            | Self::Validate(_)
            | Self::Events(_)
            | Self::Watch(_)
            | Self::ConfigSchema
            | Self::Completions(_) => "",
        }
    }
}

/// The command line. Where `--config` means nothing else, it is another name of `--registry-config`, as in docker.
pub(crate) fn command() -> clap::Command {
    let has = |command: &clap::Command, name: &str| command.get_arguments().any(|it| it.get_long() == Some(name));
    let mut cli = Cli::command();
    let names: Vec<_> = cli
        .get_subcommands()
        .filter(|command| has(command, "registry-config") && !has(command, "config"))
        .map(|command| command.get_name().to_owned())
        .collect();
    for name in names {
        cli = cli.mut_subcommand(name, |it| it.mut_arg("registry_config", |config| config.visible_alias("config")));
    }
    cli
}

/// The name of the program's file by which kubectl finds it as a plugin.
const PLUGIN: &str = "kubectl-faultline";

/// Parses the command line; ends the program if it asks for help or is wrong. Run by kubectl, help says what is typed
/// there.
pub(crate) fn parse() -> Cli {
    let program = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let is_plugin = program.file_stem().is_some_and(|name| name == PLUGIN);
    let mut command = if is_plugin { of_kubectl(command()) } else { command() };
    let matches = command.clone().get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}

/// The command line as kubectl's plugin: usage and examples begin with `kubectl faultline`.
fn of_kubectl(command: clap::Command) -> clap::Command {
    let in_examples = |command: clap::Command| {
        let Some(help) = command.get_after_help().map(ToString::to_string) else { return command };
        // Where a command begins: on a line of its own, behind a pipe or in the text.
        let help = ["\n  ", "| ", "&& ", "`"].iter().fold(help, |help, before| {
            help.replace(&format!("{before}faultline "), &format!("{before}kubectl faultline "))
        });
        command.after_help(help)
    };
    in_examples(command.bin_name("kubectl faultline")).mut_subcommands(in_examples)
}

/// Runs the command that was typed.
///
/// # Errors
/// When the command fails, or cannot do what was typed.
pub(crate) async fn dispatch(cli: Cli) -> anyhow::Result<Outcome> {
    let written = cli.output;
    if cli.verbose {
        output::be_verbose();
    }
    let format = match &cli.command {
        Command::Validate(_) => output::Format::Text, // it reads `written`
        _ => written.format().ok_or_else(|| WrongUsage(anyhow!("--output sarif is for `faultline validate` only")))?,
    };
    match cli.command {
        Command::Push(args) => push::run(args, format).await,
        Command::Pull(args) => pull::run(args, format).await,
        Command::Inspect(args) => inspect::run(args, format).await,
        Command::Sign(args) => sign::run(args, format).await,
        Command::Verify(args) => verify::run(args, format).await,
        Command::SignBlob(args) => sign_blob::run(&args, format),
        Command::VerifyBlob(args) => verify_blob::run(&args, format),
        Command::GenerateKeyPair(args) => generate_key_pair::run(&args, format),
        Command::Attach(args) => attach::run(args, format).await,
        Command::Man(args) => man::run(&args, command()),
        Command::Copy(args) => copy::run(*args, format).await,
        Command::Tag(args) => tag::run(args, format).await,
        Command::List(args) => list::run(args, format).await,
        Command::Digest(args) => digest::run(args, format).await,
        Command::Delete(args) => delete::run(args, format).await,
        Command::Login(args) => login::run(args, format).await,
        Command::Logout(args) => logout::run(&args, format),
        Command::Manifest(args) => manifest::run(*args, format).await,
        Command::Config(args) => config::run(&args),
        Command::Validate(args) => validate::run(*args, written).await,
        Command::Report(args) => report::run(*args, format).await,
        Command::Events(args) => events::run(*args).await,
        Command::Watch(args) => watch::run(*args, format).await,
        Command::ConfigSchema => config_schema::run(),
        Command::Completions(args) => completions::run(&args, command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_every_command_has_examples() {
        let cli = command();
        cli.clone().debug_assert();
        for command in cli.get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("faultline "), "{} has no example", command.get_name());
        }
    }
}
