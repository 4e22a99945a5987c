//! Reads the plugin's configuration from a file, for the commands that take one.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use filter_core::config::MAX_TEXT_BYTES;
use serde_json::Value;

use crate::terminal::{escape, output};
use crate::validate;

/// Reads a configuration's text from a file, or from standard input for `-`; at most as much as the filter would read.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    let most = MAX_TEXT_BYTES as u64 + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().take(most).read_to_end(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut text))
    };
    read.with_context(|| format!("cannot read the configuration `{}`", path.display()))?;
    Ok(text)
}

/// The result of reading the plugin's configuration.
pub(crate) enum Configuration {
    /// It is valid; `None` if no file was given or the file is empty.
    Right(Option<Value>),
    /// It is invalid, and the errors have been printed.
    Wrong,
}

/// Reads the plugin's configuration from the given file, if any, and prints its errors to stderr.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn configuration(path: Option<&Path>) -> anyhow::Result<Configuration> {
    let Some(path) = path else { return Ok(Configuration::Right(None)) };
    let text = read(path)?;
    let findings = validate::check(&text);
    for finding in &findings {
        let (file, field, problem) = (path.display(), &finding.path, &finding.problem);
        // What concerns the whole has no field.
        let at = if field == "." { String::new() } else { format!("{field}: ") };
        output::note(&format!("{file}: {at}{problem}\n    fix: {}", finding.fix));
    }
    if !findings.is_empty() {
        return Ok(Configuration::Wrong);
    }
    if text.trim_ascii().is_empty() {
        return Ok(Configuration::Right(None));
    }
    Ok(Configuration::Right(Some(serde_json::from_slice(&text)?)))
}

/// Prints a remark about a decision to stderr.
pub(crate) fn remark(text: &str) {
    output::note(&format!("note: {}", escape::one_line(text)));
}
