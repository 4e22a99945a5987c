//! Colours: on a terminal only, and not where `NO_COLOR` is set or the terminal is dumb.

use std::io::{IsTerminal, stdout};

use super::phrase::Tone;

/// Whether and how to paint.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// As stdout wants it.
    pub fn stdout() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_some_and(|term| term == "dumb");
        Self { on: stdout().is_terminal() && set("NO_COLOR").is_none() && !dumb }
    }

    /// In the colour of the news.
    pub fn tone(self, tone: Tone, text: &str) -> String {
        match tone {
            Tone::Bad => self.with("31", text),
            Tone::Warning => self.with("33", text),
            Tone::Good => self.with("32", text),
            Tone::Note => self.dim(text),
        }
    }

    /// What matters.
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// What can be skipped.
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    /// Traffic that is away from home.
    pub fn away(self, text: &str) -> String {
        self.with("34", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Text from a log, fit for a terminal: control characters, which could move the cursor or set colours, are replaced.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
