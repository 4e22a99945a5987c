//! A sidecar dies, hangs and crash-loops, and the service goes on: the program `hot-switch` with a real Envoy and
//! Istio's own rules, a network namespace for each pod.
//!
//! Callers call all the time, directly, through a sidecar of their own, and from the application outwards; a kubelet
//! probes. Each act breaks the proxy, waits until the service is back, repairs the proxy, and waits until traffic goes
//! through it again. Then every way in which Istio's rules capture traffic is bypassed and restored by hand
//! ([`ways`]). Needs root.

mod agent;
mod application;
mod callers;
mod capture;
mod resolver;
mod sidecar;
mod stage;
pub mod ways;

use std::process::Command;

use anyhow::{Result, bail};

use super::Screen;
use crate::istio::attempt;
use crate::wait::eventually;
use stage::{Broken, INTERVAL, Stage};

/// The service has to be back within this many of the agent's probes.
const WITHIN: u32 = 5;

/// Whether it is wrong that the service comes back late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// It is: the drill on a machine that has time for it.
    Judged,
    /// It is only told: a test, whose machine may be busy.
    Told,
}

/// Why it cannot be played on this machine, if it cannot.
pub fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("the drill hot-switch makes network namespaces and rules in them: run it as root".to_owned());
    }
    let programs = ["ip", "setpriv", "iptables-nft-restore", "iptables-nft-save"];
    if let Some(missing) = programs.iter().find(|program| Command::new(program).arg("--version").output().is_err()) {
        return Some(format!("{missing} is not installed: install iptables, iproute2 and util-linux"));
    }
    // Root in a container may lack the capabilities.
    let error = format!("{:#}", attempt().err()?);
    Some(format!("this machine makes no network namespaces: {}", error.trim().replace('\n', " ")))
}

/// Plays it.
///
/// # Errors
/// If it cannot be played to its end: there is no root, no Envoy or no iptables, or something expected did not come.
pub fn play(screen: &Screen, times: Times) -> Result<Vec<String>> {
    if let Some(why) = obstacle() {
        bail!("{why}");
    }
    let mut wrong = Vec::new();
    screen.heading("A pod with a sidecar, its callers, a kubelet, and hot-switch's agent");
    let mut stage = Stage::set(screen)?;
    stage.calm()?;
    for broken in Broken::ALL {
        act(&mut stage, broken, times, screen, &mut wrong)?;
    }
    Ok(wrong)
}

fn act(stage: &mut Stage, broken: Broken, times: Times, screen: &Screen, wrong: &mut Vec<String>) -> Result<()> {
    screen.heading(broken.heading());
    let rules = stage.rules()?;
    let began = stage.break_proxy(broken)?;
    let bypassed = stage.agent.event("proxy_bypassed", began)?;
    screen.note(&format!("hot-switch: {bypassed}"));
    for caller in stage.callers.all() {
        let back =
            eventually(&format!("{} is served past the proxy", caller.name), || Ok(caller.first_direct(began.at)))?;
        let counts = caller.since(began.at);
        let intervals = back.as_secs_f64() / INTERVAL.as_secs_f64();
        screen.note(&format!("{}: served again after {intervals:.1} probe intervals; {counts}", caller.name));
        if times == Times::Judged && back > INTERVAL * WITHIN {
            wrong.push(format!("{}: {} came back after {intervals:.1} probe intervals", broken.name(), caller.name));
        }
    }
    if broken == Broken::Killed {
        let killed = stage.replace_agent()?;
        let adopted = stage.agent.event("bypass_adopted", killed)?;
        screen.note(&format!("the agent is killed and started again: {adopted}"));
    }
    let steady = stage.goes_on(broken, screen)?;
    wrong.extend(steady.into_iter().map(|what| format!("{}: in bypass, {what}", broken.name())));

    let repaired = stage.repair(broken)?;
    let restored = stage.agent.event("proxy_restored", repaired)?;
    screen.note(&format!("the proxy is repaired; hot-switch: {restored}"));
    for caller in stage.callers.all() {
        eventually(&format!("{} goes through the proxy again", caller.name), || Ok(caller.first_through(repaired.at)))?;
    }
    stage.after_the_cut()?;
    for caller in stage.callers.all() {
        let counts = caller.since(repaired.at);
        screen.note(&format!("{}: since the repair {counts}", caller.name));
        if counts.failed > 0 {
            wrong.push(format!("{}: at the restore, {} of {}", broken.name(), counts, caller.name));
        }
    }
    if let Some(killed) = stage.kubelet.would_have_killed() {
        wrong.push(format!("{}: kubelet would have killed the application: {killed}", broken.name()));
    }
    let now = stage.rules()?;
    if now == rules {
        screen.note("the rules are byte for byte what they were");
    } else {
        wrong.push(format!("{}: the rules were\n{rules}\nand are\n{now}", broken.name()));
    }
    Ok(())
}
