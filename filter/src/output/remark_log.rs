//! The filter's own remarks: the `log` crate writes to the host. Not here: events, which [`super::reporter`] writes.

use crate::host::{self, LogLevel};
use filter_core::config;

/// Sends the filter's own remarks, written with the `log` crate, to the host.
struct HostLog;

impl log::Log for HostLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = match record.level() {
            log::Level::Error => LogLevel::Error,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Info => LogLevel::Info,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Trace => LogLevel::Trace,
        };
        let _ = host::log(level, &format!("faultline: {}", record.args()));
    }

    fn flush(&self) {}
}

/// Makes the `log` crate write to the host, from `level` on.
pub(super) fn set_level(level: config::LogLevel) {
    // In the same VM, a second call of `set_logger` finds the same logger already set.
    let _ = log::set_logger(&HostLog);
    log::set_max_level(match level {
        config::LogLevel::Trace => log::LevelFilter::Trace,
        config::LogLevel::Debug => log::LevelFilter::Debug,
        config::LogLevel::Info => log::LevelFilter::Info,
        config::LogLevel::Warn => log::LevelFilter::Warn,
        config::LogLevel::Error => log::LevelFilter::Error,
    });
}
