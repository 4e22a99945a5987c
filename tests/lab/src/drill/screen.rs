//! What a person sees of a drill while it runs; nothing when a test runs it.

use std::time::Instant;

use crate::events::Event;
use crate::{meaning, paint};

/// The screen, with the drill's clock.
#[derive(Debug)]
pub struct Screen {
    quiet: bool,
    started: Instant,
}

impl Screen {
    /// A screen that shows nothing if it is `quiet`.
    pub fn new(quiet: bool) -> Self {
        Self { quiet, started: Instant::now() }
    }

    /// Begins a part.
    pub fn heading(&self, text: &str) {
        if !self.quiet {
            paint::heading(text);
        }
    }

    /// A line of the drill's own: what it does now.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            paint::note(text);
        }
    }

    /// What a caller gets from now on, which is not what it got before.
    pub fn answer(&self, caller: &str, status: u16, text: &str) {
        if !self.quiet {
            let text = if status == 200 { paint::bold(text) } else { paint::red(&format!("{status} {text}")) };
            println!("   {}  {caller} gets: {text}", self.clock());
        }
    }

    /// An event of a proxy's filter, with what it means.
    pub fn event(&self, proxy: &str, event: &Event) {
        if !self.quiet {
            let host = event.text("cluster").rsplit('|').next().unwrap_or_default();
            let service = host.split(".default.svc").next().unwrap_or_default();
            println!("\n   {}  {} {}", self.clock(), paint::bold(proxy), paint::dim(&format!("about {service}:")));
            println!("             {} {}", meaning::headline(event), meaning::of_event(event));
            println!("             {}", paint::dim(&event.to_string()));
        }
    }

    fn clock(&self) -> String {
        format!("{:6.2} s", self.started.elapsed().as_secs_f64())
    }
}
