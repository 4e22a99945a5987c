//! What to write so that the gate is on or off and probes are taken over or returned: rules in, text out.
//!
//! A text is for one backend and is applied as one transaction. `None` means that nothing has to be done, so doing
//! something twice is doing it once.

use std::fmt::Write;

use hot_switch_core::standing::Directions;

use super::rules::{Backend, Chain, Mark, Rule, Rules, Table, Way};
use crate::names::{AGENT_PORT, HEALTH_PORT, STAND_IN_PORT};

/// The gate goes on in Istio's chains of these directions, and off in the others; `since` is in milliseconds since
/// 1970.
#[must_use]
pub fn gate_on(rules: &Rules, directions: Directions, since: u64) -> Option<String> {
    let mark = Mark::Gate(since);
    let mut text = Text::new(rules.backend);
    for (table, chain) in rules.chains() {
        let wanted = match chain.way() {
            Some(Way::In) => directions.inbound(),
            Some(Way::Out) => directions.outbound(),
            None => false,
        };
        if wanted && chain.gate().is_none() {
            // One that is not at the head does not help.
            for old in chain.ours(|mark| matches!(mark, Mark::Gate(_))) {
                text.delete(table, chain, old);
            }
            text.insert(table, chain, &mark);
        } else if !wanted {
            // Its owner chose other directions meanwhile.
            for old in chain.ours(|mark| matches!(mark, Mark::Gate(_))) {
                text.delete(table, chain, old);
            }
        }
    }
    text.finish()
}

/// The gate goes off.
#[must_use]
pub fn gate_off(rules: &Rules) -> Option<String> {
    delete(rules, |mark| matches!(mark, Mark::Gate(_)))
}

/// kubelet's probes of the application go to the stand-in. Loopback is not concerned: the proxy itself is still seen
/// there.
#[must_use]
pub fn take_probes(rules: &Rules) -> Option<String> {
    take(rules, Mark::Probes)
}

/// kubelet's question whether the sidecar is ready goes to the stand-in too.
#[must_use]
pub fn take_ready(rules: &Rules) -> Option<String> {
    take(rules, Mark::Ready)
}

fn take(rules: &Rules, mark: Mark) -> Option<String> {
    if !rules.capture() || rules.have(mark) {
        return None;
    }
    let mut text = Text::new(rules.backend);
    let hook = if rules.backend == Backend::Native { "prerouting" } else { "PREROUTING" };
    let is_nat = |table: &Table| table.name == "nat" || table.name.ends_with("-nat");
    let mut hooks = rules.chains().filter(|(table, chain)| is_nat(table) && chain.name == hook);
    let (table, chain) = hooks.next()?;
    text.insert(table, chain, &mark);
    text.finish()
}

/// kubelet's probes go to the proxy again.
#[must_use]
pub fn return_probes(rules: &Rules) -> Option<String> {
    delete(rules, |mark| matches!(mark, Mark::Probes | Mark::Ready))
}

fn delete(rules: &Rules, is: impl Fn(Mark) -> bool + Copy) -> Option<String> {
    let mut text = Text::new(rules.backend);
    for (table, chain) in rules.chains() {
        for rule in chain.ours(is) {
            text.delete(table, chain, rule);
        }
    }
    text.finish()
}

/// A rule of ours as iptables writes it.
fn words(mark: Mark, comment: &str) -> String {
    let comment = format!("-m comment --comment {comment}");
    match port(mark) {
        None => format!("{comment} -j RETURN"),
        Some(port) => format!("-p tcp -m tcp --dport {port} {comment} -j REDIRECT --to-ports {STAND_IN_PORT}"),
    }
}

/// The port whose probes a rule takes over, if it does.
fn port(mark: Mark) -> Option<u16> {
    match mark {
        Mark::Gate(_) => None,
        Mark::Probes => Some(AGENT_PORT),
        Mark::Ready => Some(HEALTH_PORT),
    }
}

/// A transaction being written.
struct Text {
    backend: Backend,
    text: String,
    table: Option<String>,
}

impl Text {
    fn new(backend: Backend) -> Self {
        Self { backend, text: String::new(), table: None }
    }

    fn enter(&mut self, table: &Table) {
        if self.table.as_ref() != Some(&table.name) {
            if self.table.is_some() {
                self.text.push_str("COMMIT\n");
            }
            let _ = writeln!(self.text, "*{}", table.name);
            self.table = Some(table.name.clone());
        }
    }

    fn insert(&mut self, table: &Table, chain: &Chain, mark: &Mark) {
        let (table_name, name) = (&table.name, &chain.name);
        if self.backend == Backend::Native {
            let what = match port(*mark) {
                None => "return".to_owned(),
                Some(port) => format!("tcp dport {port} redirect to :{STAND_IN_PORT}"),
            };
            let _ = writeln!(self.text, "insert rule inet {table_name} {name} {what} comment \"{mark}\"");
            return;
        }
        self.enter(table);
        let _ = writeln!(self.text, "-I {name} 1 {}", words(*mark, &mark.to_string()));
    }

    fn delete(&mut self, table: &Table, chain: &Chain, rule: &Rule) {
        let (table_name, chain) = (&table.name, &chain.name);
        if self.backend == Backend::Native {
            let _ = writeln!(self.text, "delete rule inet {table_name} {chain} handle {}", rule.name);
            return;
        }
        let Some(mark) = rule.mark else { return };
        self.enter(table);
        let _ = writeln!(self.text, "-D {chain} {}", words(mark, &rule.name));
    }

    fn finish(mut self) -> Option<String> {
        if self.table.is_some() {
            self.text.push_str("COMMIT\n");
        }
        (!self.text.is_empty()).then_some(self.text)
    }
}
