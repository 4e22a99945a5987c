//! What a person sees of a drill while it runs.

use std::time::Instant;

use crate::envoy::events::Event;
use crate::terminal::{meaning, paint};

/// Lines that are shown of a program's output.
const SHOWN: usize = 8;

/// The screen, with the drill's clock.
#[derive(Debug)]
pub struct Screen {
    is_quiet: bool,
    started: Instant,
}

impl Screen {
    /// A screen that shows everything, for a person.
    pub fn shown() -> Self {
        Self { is_quiet: false, started: Instant::now() }
    }

    /// A screen that shows nothing, for a test.
    pub fn quiet() -> Self {
        Self { is_quiet: true, started: Instant::now() }
    }

    /// Starts a section.
    pub(super) fn heading(&self, text: &str) {
        if !self.is_quiet {
            paint::heading(text);
        }
    }

    /// Explains what the drill does now.
    pub(super) fn note(&self, text: &str) {
        if !self.is_quiet {
            paint::note(text);
        }
    }

    /// Shows what is typed at a terminal.
    pub(super) fn typed(&self, line: &str) {
        if !self.is_quiet {
            paint::note(&format!("{} {}", paint::dim("$"), paint::bold(line)));
        }
    }

    /// Shows the last lines of what a program wrote.
    pub(super) fn output(&self, text: &str) {
        if !self.is_quiet {
            let lines: Vec<&str> = text.lines().collect();
            paint::quoted(&lines[lines.len().saturating_sub(SHOWN)..].join("\n"));
        }
    }

    /// Shows what is wrong.
    pub(super) fn wrong(&self, text: &str) {
        if !self.is_quiet {
            paint::note(&format!("{} {text}", paint::red("wrong:")));
        }
    }

    /// Shows a caller's answer that differs from its answers so far.
    pub(super) fn answer(&self, caller: &str, status: u16, text: &str) {
        if !self.is_quiet {
            let text = if status == 200 { paint::bold(text) } else { paint::red(&format!("{status} {text}")) };
            paint::note(&format!("{}  {caller} gets: {text}", self.clock()));
        }
    }

    /// Shows an event of a proxy's filter, with its meaning.
    pub(super) fn event(&self, proxy: &str, event: &Event) {
        if !self.is_quiet {
            let host = event.text("cluster").rsplit('|').next().unwrap_or_default();
            let service = host.split(".svc").next().unwrap_or_default();
            let service = service.strip_suffix(".default").unwrap_or(service);
            let about = paint::dim(&format!("about {service}:"));
            paint::line(&format!("\n   {}  {} {about}", self.clock(), paint::bold(proxy)));
            paint::line(&format!("             {} {}", meaning::headline(event), meaning::of_event(event)));
            paint::line(&format!("             {}", paint::dim(&event.to_string())));
        }
    }

    fn clock(&self) -> String {
        format!("{:6.2} s", self.started.elapsed().as_secs_f64())
    }
}
