//! Formatting of the demo and the drills: headings, notes and events in colour on a terminal, without colour anywhere
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

/// Red text, for bad news.
pub fn red(text: &str) -> String {
    painted(AnsiColor::Red.on_default().bold(), text)
}

/// Green text, for good news.
pub fn green(text: &str) -> String {
    painted(AnsiColor::Green.on_default().bold(), text)
}

/// Yellow text, for information.
pub fn yellow(text: &str) -> String {
    painted(AnsiColor::Yellow.on_default().bold(), text)
}

/// Bold text, for the important part of a line.
pub fn bold(text: &str) -> String {
    painted(Style::new().bold(), text)
}

/// Dim text, for what can be skipped.
pub fn dim(text: &str) -> String {
    painted(Style::new().dimmed(), text)
}

/// Prints a line unchanged.
pub fn line(text: &str) {
    println!("{text}");
}

/// Starts a section.
pub fn heading(text: &str) {
    line(&format!("\n{}", bold(&format!("== {text} =="))));
}

/// Prints an indented line.
pub fn note(text: &str) {
    line(&format!("   {text}"));
}

/// Prints another program's output, set apart.
pub fn quoted(text: &str) {
    for quoted in text.lines() {
        note(&format!("{} {quoted}", dim("|")));
    }
}
