//! Colours for a terminal, and what of a log's text may reach one.

use anstyle::{AnsiColor, Style};

use findings::steers;

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

/// Text from a log, fit for a terminal: what could move the cursor, set colours or turn the direction of writing is
/// replaced, so that each character takes the place that was reckoned for it.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_log_steers_a_terminal() {
        let steering = "a\u{1b}[2J\u{202e}b\u{2066}c\u{200b}\u{61c}\u{2028}";
        assert_eq!(harmless(steering), "a\u{fffd}[2J\u{fffd}b\u{fffd}c\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(harmless("größer › é"), "größer › é");
    }
}
