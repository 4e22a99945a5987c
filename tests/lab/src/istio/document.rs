//! The commands that a document tells its reader to type.

use anyhow::{Context, Result};

/// The command in a console block that begins with `beginning`, over all its lines.
///
/// # Errors
/// If the document has none.
pub(crate) fn command(document: &str, beginning: &str) -> Result<String> {
    let found = blocks(document).into_iter().flatten().find(|command| command.starts_with(beginning));
    found.with_context(|| format!("the document no longer says to type `{beginning} …`"))
}

/// All commands of the first console block in which one begins with `beginning`.
///
/// # Errors
/// If the document has none.
pub(crate) fn block(document: &str, beginning: &str) -> Result<Vec<String>> {
    let found = blocks(document).into_iter().find(|block| block.iter().any(|command| command.starts_with(beginning)));
    found.with_context(|| format!("the document no longer says to type `{beginning} …`"))
}

/// The commands of each console block: lines after `$ `, with those that continue them.
fn blocks(document: &str) -> Vec<Vec<String>> {
    let mut blocks: Vec<Vec<String>> = Vec::new();
    let mut is_console = false;
    let mut continues = false;
    for line in document.lines().map(str::trim) {
        if let Some(language) = line.strip_prefix("```") {
            is_console = language == "console";
            if is_console {
                blocks.push(Vec::new());
            }
            continue;
        }
        let Some(block) = blocks.last_mut().filter(|_| is_console) else { continue };
        if continues {
            if let Some(command) = block.last_mut() {
                command.push('\n');
                command.push_str(line);
            }
        } else if let Some(command) = line.strip_prefix("$ ") {
            block.push(command.to_owned());
        } else {
            continue;
        }
        continues = line.ends_with('\\');
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "\
Say:

   ```console
   $ push this   # at once
   this@sha256:…
   $ apply --from one \\
       --from two > file
   ```

```json
$ push nothing
```

```console
$ push that
```
";

    #[test]
    fn commands_are_taken_with_their_continuations_and_without_their_output() {
        let typed = block(DOCUMENT, "push").unwrap();
        assert_eq!(typed, ["push this   # at once", "apply --from one \\\n--from two > file"]);
        assert_eq!(command(DOCUMENT, "push that").unwrap(), "push that");
        assert!(command(DOCUMENT, "push nothing").is_err(), "it is in a block of another language");
    }
}
