//! Reads what `nft --json --handle list ruleset inet` prints, as far as it is in Istio's tables.

use anyhow::{Context, Result};
use serde_json::Value;

use super::rules::{Backend, Chain, Mark, Rule, Rules, Table, is_plain};

/// What the names of Istio's own tables begin with.
const TABLES: &str = "istio-proxy-";

/// Reads the text.
///
/// # Errors
/// If it is not nft's JSON.
pub fn read(text: &str) -> Result<Rules> {
    let value: Value = serde_json::from_str(text).context("what nft prints is not JSON")?;
    let items = value.get("nftables").and_then(Value::as_array).context("what nft prints has no \"nftables\"")?;
    let mut tables: Vec<Table> = Vec::new();
    for item in items {
        if let Some(table) = item.get("table").and_then(|table| word(table, "name")) {
            if table.starts_with(TABLES) && is_plain(table) {
                tables.push(Table { name: table.to_owned(), chains: Vec::new() });
            }
        } else if let Some(chain) = item.get("chain") {
            let name = word(chain, "name").filter(|name| is_plain(name));
            if let (Some(table), Some(name)) = (table_of(&mut tables, chain), name) {
                table.chains.push(Chain { name: name.to_owned(), rules: Vec::new() });
            }
        } else if let Some(found) = item.get("rule")
            && let Some(table) = table_of(&mut tables, found)
            && let Some(chain) = table.chains.iter_mut().find(|chain| Some(&*chain.name) == word(found, "chain"))
        {
            chain.rules.push(rule(found));
        }
    }
    Ok(Rules { backend: Backend::Native, tables })
}

fn word<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn table_of<'a>(tables: &'a mut [Table], item: &Value) -> Option<&'a mut Table> {
    let name = word(item, "table")?;
    tables.iter_mut().find(|table| table.name == name)
}

fn rule(found: &Value) -> Rule {
    let handle = found.get("handle").and_then(Value::as_u64).unwrap_or(0);
    let parts = found.get("expr").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let returns = parts.iter().any(|part| part.get("return").is_some());
    let port = parts.iter().filter_map(|part| part.get("match")).find_map(|matched| {
        let is_port = matched.pointer("/left/payload/field").and_then(Value::as_str) == Some("dport");
        matched.get("right").filter(|_| is_port)?.as_u64()
    });
    Rule {
        name: handle.to_string(),
        mark: word(found, "comment").and_then(Mark::of_comment),
        passes_port: port.filter(|_| returns).and_then(|port| u16::try_from(port).ok()),
    }
}
