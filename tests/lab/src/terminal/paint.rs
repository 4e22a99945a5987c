//! How the demo and the drills look: headings, notes and events on a terminal; the same text without colour anywhere
//! else.

#![expect(clippy::print_stdout, reason = "the only file of the library that writes to stdout: what a person watches")]

use std::io::IsTerminal;
use std::sync::LazyLock;

use anstyle::{AnsiColor, Style};

static COLOUR: LazyLock<bool> =
    LazyLock::new(|| std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none());

fn painted(style: Style, text: &str) -> String {
    if *COLOUR { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// Bad news.
pub fn red(text: &str) -> String {
    painted(AnsiColor::Red.on_default().bold(), text)
}

/// Good news.
pub fn green(text: &str) -> String {
    painted(AnsiColor::Green.on_default().bold(), text)
}

/// Something to know.
pub fn yellow(text: &str) -> String {
    painted(AnsiColor::Yellow.on_default().bold(), text)
}

/// What matters in a line.
pub fn bold(text: &str) -> String {
    painted(Style::new().bold(), text)
}

/// What can be skipped.
pub fn dim(text: &str) -> String {
    painted(Style::new().dimmed(), text)
}

/// A line as it is.
pub fn line(text: &str) {
    println!("{text}");
}

/// Begins a part.
pub fn heading(text: &str) {
    line(&format!("\n{}", bold(&format!("== {text} =="))));
}

/// An indented line.
pub fn note(text: &str) {
    line(&format!("   {text}"));
}

/// Another program's output, set apart.
pub fn quoted(text: &str) {
    for quoted in text.lines() {
        note(&format!("{} {quoted}", dim("|")));
    }
}
