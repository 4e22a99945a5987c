//! A list in YAML, one record an item, as `yq` and `-o yaml` of log tools print it.

use std::io::{self, BufRead};

use super::labels::{is_column, normal};

/// As much of a text is looked at to tell its form.
const SNIFFED_BYTES: usize = 1 << 16;

/// A longer item is read by lines.
const MAX_ITEM_BYTES: usize = 1 << 20;

/// Whether a text is a list whose first item has a key that logs have.
pub(super) fn is_list(begin: &[u8]) -> bool {
    let text = String::from_utf8_lossy(begin.get(..begin.len().min(SNIFFED_BYTES)).unwrap_or_default());
    let mut lines = text.lines().skip_while(|line| line.is_empty() || line.starts_with(['#']) || *line == "---");
    let Some(first) = lines.next().and_then(|line| line.strip_prefix("- ")) else { return false };
    let keys = std::iter::once(first).chain(lines.take_while(|line| line.starts_with("  ")).map(str::trim_start));
    let mut known = keys.filter_map(|line| line.split_once(": ")).map(|(key, _)| normal(key));
    first.contains(": ") && !first.starts_with(['{', '[', '"']) && known.any(|key| is_column(&key))
}

/// Gives the sink each item as JSON, with the lines that it was; as text, if it is no YAML.
///
/// # Errors
/// Those of reading.
pub(super) fn each(
    mut text: impl BufRead,
    sink: &mut dyn FnMut(Result<String, String>, u64) -> bool,
) -> io::Result<()> {
    let (mut item, mut lines) = (String::new(), 0);
    loop {
        let mut line = Vec::new();
        let ended = text.read_until(b'\n', &mut line)? == 0;
        let line = String::from_utf8_lossy(&line);
        let begins = line.starts_with("- ") || line.starts_with("---") || item.len() > MAX_ITEM_BYTES;
        if (begins || ended) && !item.is_empty() {
            let whole = std::mem::take(&mut item);
            let json =
                mesh::yaml::read(&whole).ok().and_then(|nodes| nodes.first().map(|node| node.json().to_string()));
            if !sink(json.ok_or(whole), std::mem::take(&mut lines)) {
                return Ok(());
            }
        }
        if ended {
            return Ok(());
        }
        lines += 1;
        item.push_str(&line);
    }
}
