//! What a person sees of a drill while it runs.

use std::time::Instant;

use crate::envoy::events::Event;
use crate::terminal::{meaning, paint};

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
            let service = host.split(".default.svc").next().unwrap_or_default();
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
