//! How the demo and the drills look: headings, notes and events on a terminal; the same text without colour anywhere else.

use std::io::IsTerminal;
use std::sync::LazyLock;

static COLOUR: LazyLock<bool> =
    LazyLock::new(|| std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none());

fn painted(code: &str, text: &str) -> String {
    if *COLOUR { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Bad news.
pub fn red(text: &str) -> String {
    painted("1;31", text)
}

/// Good news.
pub fn green(text: &str) -> String {
    painted("1;32", text)
}

/// Something to know.
pub fn yellow(text: &str) -> String {
    painted("1;33", text)
}

/// What matters in a line.
pub fn bold(text: &str) -> String {
    painted("1", text)
}

/// What can be skipped.
pub fn dim(text: &str) -> String {
    painted("2", text)
}

/// Begins a part.
pub fn heading(text: &str) {
    println!("\n{}", bold(&format!("== {text} ==")));
}

/// A line of one's own.
pub fn note(text: &str) {
    println!("   {text}");
}

/// Text that is another program's, set apart.
pub fn quoted(text: &str) {
    for line in text.lines() {
        println!("   {} {}", dim("|"), line);
    }
}
