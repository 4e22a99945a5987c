//! Finds and reads the files that were given, and tells what a text is before it is parsed.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Larger than the rules of any mesh; anything beyond it is the wrong file.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Whether a text is YAML without being JSON, which a plugin configuration is.
pub(super) fn is_yaml_only(text: &str) -> bool {
    !text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_err()
}

/// Every .yaml, .yml and .json below a directory, in order. Links are followed, but not round in a circle.
pub(super) fn list(directory: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    list_below(directory, &mut Vec::new(), files)
}

/// `above`: the directories on the way, whatever they are called.
fn list_below(directory: &Path, above: &mut Vec<PathBuf>, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let itself = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    if above.contains(&itself) {
        return Ok(());
    }
    above.push(itself);
    let read = || format!("cannot read the directory `{}`", directory.display());
    let mut entries: Vec<PathBuf> = std::fs::read_dir(directory)
        .with_context(read)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .with_context(read)?;
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let wanted = [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending));
        if name.starts_with('.') {
            continue;
        } else if path.is_dir() {
            list_below(&path, above, files)?;
        } else if wanted {
            files.push(path);
        }
    }
    above.pop();
    Ok(())
}

/// Whether a text holds no value: what a failed command leaves behind, or a template that rendered to nothing.
pub(super) fn is_empty(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || line == "---")
}

/// Resources in UTF-16, as PowerShell writes what is redirected, by the mark at their beginning. A plugin configuration
/// is left as it is: the filter reads UTF-8 only.
pub(super) fn utf16(bytes: &[u8]) -> Option<String> {
    let encoding = match bytes {
        [0xff, 0xfe, ..] => encoding_rs::UTF_16LE,
        [0xfe, 0xff, ..] => encoding_rs::UTF_16BE,
        _ => return None,
    };
    let (text, had_errors) = encoding.decode_with_bom_removal(bytes);
    (!had_errors && text.contains("apiVersion")).then(|| text.into_owned())
}

/// A file's bytes.
pub(super) fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    read_text(file).with_context(|| format!("cannot read `{}`", path.display()))
}

/// Bytes that are not too many.
pub(super) fn read_text(from: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        bail!("it has more than {} MiB", MAX_FILE_BYTES / 1024 / 1024);
    }
    Ok(bytes)
}
