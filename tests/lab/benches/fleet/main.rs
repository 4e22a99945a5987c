//! A fleet of 10,000 simulated proxies against what operators run: whether a real Prometheus evaluates the shipped
//! rules within their intervals, and what a real Alertmanager answers and sends when the whole fleet notifies it.
//!
//! `cargo bench -p lab --bench fleet -- rules 1000` measures one part, with that many proxies. Figures over budget are
//! marked and make the bench fail. Not here: the costs of one proxy (the bench `budgets`).

#![expect(clippy::print_stdout, reason = "the figures are what this program is run for")]

mod metrics;
mod posts;
mod receiver;
mod rules;
mod turns;

use std::process::ExitCode;

use anyhow::Result;

/// The number of proxies.
const PROXIES: u32 = 10_000;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let proxies = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(PROXIES);
    let parts: Vec<&String> = arguments.iter().filter(|argument| argument.parse::<u32>().is_err()).collect();
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|named| *named == part);
    let mut over = false;
    if wants("notify") {
        turns::print(proxies);
        over |= posts::measure(proxies)?;
    }
    if wants("rules") {
        over |= rules::measure(proxies)?;
    }
    Ok(if over { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
