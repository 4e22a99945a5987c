//! Reads what `iptables-save` prints.

use super::rules::{Backend, Chain, Mark, Rule, Rules, Table, is_plain};

/// Reads the text. Lines that are no table, chain or rule are passed over: comments, counters, `COMMIT`; and so are
/// names that are not plain.
#[must_use]
pub fn read(backend: Backend, text: &str) -> Rules {
    let mut tables: Vec<Table> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            if is_plain(name.trim()) {
                tables.push(Table { name: name.trim().to_owned(), chains: Vec::new() });
            }
        } else if let Some(rest) = line.strip_prefix(':') {
            let name = rest.split_whitespace().next().filter(|name| is_plain(name));
            if let (Some(table), Some(name)) = (tables.last_mut(), name) {
                table.chains.push(Chain { name: name.to_owned(), rules: Vec::new() });
            }
        } else if let Some(rest) = line.strip_prefix("-A ")
            && let Some((name, words)) = rest.split_once(' ')
            && let Some(table) = tables.last_mut()
            && let Some(chain) = table.chains.iter_mut().find(|chain| chain.name == name)
        {
            chain.rules.push(rule(words.trim_end()));
        }
    }
    Rules { backend, tables }
}

fn rule(words: &str) -> Rule {
    let all: Vec<&str> = words.split_whitespace().collect();
    let after = |option: &str| all.iter().position(|word| *word == option).and_then(|at| all.get(at + 1)).copied();
    let comment = after("--comment").map(|comment| comment.trim_matches('"'));
    let port = after("--dport").and_then(|port| port.parse().ok());
    let passes = after("-j") == Some("RETURN") && after("-p") == Some("tcp");
    let mark = comment.and_then(Mark::of_comment);
    let name = comment.filter(|_| mark.is_some()).unwrap_or_default().to_owned();
    Rule { name, mark, passes_port: port.filter(|_| passes) }
}
