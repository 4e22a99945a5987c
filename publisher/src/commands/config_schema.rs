//! `faultline config-schema`: prints the JSON Schema of the plugin configuration.

use crate::commands::outcome::Outcome;
use crate::terminal::output;

/// The end of the help.
pub(crate) const HELP: &str = "Example:\n  faultline config-schema > faultline.schema.json";

/// Prints the schema.
///
/// # Errors
/// When stdout cannot be written to.
pub(crate) fn run() -> anyhow::Result<Outcome> {
    output::json(&filter_core::config::json_schema())?;
    Ok(Outcome::Done)
}
