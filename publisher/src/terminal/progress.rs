//! Progress bars. They appear only on a terminal and only on stderr, so that no pipe or log contains one.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// A progress bar for `total` bytes, hidden unless stderr is a terminal. It clears itself when dropped.
pub(crate) fn bytes(doing: &'static str, total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total).with_message(doing);
    let template = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.with_finish(indicatif::ProgressFinish::AndClear)
}

/// A count of bytes that come, of which nobody knows how many there will be; hidden unless stderr is a terminal.
pub(crate) fn received(doing: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length().with_message(doing);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bytes} {bytes_per_sec}") {
        bar.set_style(style);
    }
    bar.with_finish(indicatif::ProgressFinish::AndClear)
}
