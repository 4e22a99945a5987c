//! `hot-switch`: turns a command's outcome into an exit code.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use hot_switch::check::text;
use hot_switch::cli;
use hot_switch::commands::outcome::Outcome;

fn main() -> ExitCode {
    // TLS to the API server uses the process-wide provider of cryptography. An already installed provider is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli::run(cli::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(3),
        Err(error) => {
            eprintln!("error: {}", text::shown(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}
