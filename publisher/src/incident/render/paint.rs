//! Colours for a terminal, and what of a log's text may reach one.

use anstyle::{AnsiColor, Style};

use crate::incident::view::Tone;

/// Whether to paint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// With colours.
    On,
    /// Plain text.
    Off,
}

impl Paint {
    /// As the terminal wants it.
    pub(crate) fn new(takes_colours: bool) -> Self {
        if takes_colours { Self::On } else { Self::Off }
    }

    /// In the colour of the news.
    pub(crate) fn tone(self, tone: Tone, text: &str) -> String {
        match tone {
            Tone::Bad => self.with(AnsiColor::Red.on_default(), text),
            Tone::Warning => self.with(AnsiColor::Yellow.on_default(), text),
            Tone::Good => self.with(AnsiColor::Green.on_default(), text),
            Tone::Note => self.dim(text),
        }
    }

    /// What matters.
    pub(crate) fn bold(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    /// What can be skipped.
    pub(crate) fn dim(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }

    /// Traffic that is away from home.
    pub(crate) fn away(self, text: &str) -> String {
        self.with(AnsiColor::Blue.on_default(), text)
    }

    fn with(self, style: Style, text: &str) -> String {
        if self == Self::On && !text.is_empty() { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// Text from a log, fit for a terminal: control characters, which could move the cursor or set colours, are replaced.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
