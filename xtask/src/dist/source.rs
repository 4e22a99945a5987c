//! What a release is made from: the commit, and the time that every file in it bears.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::process::capture;

/// A state of the sources.
pub(crate) struct Source {
    /// The commit; `None` without git.
    pub(crate) revision: Option<String>,
    /// Whether files differ from the commit.
    pub(crate) is_dirty: bool,
    /// The time of the release in seconds since 1970: `SOURCE_DATE_EPOCH`, else the commit's.
    pub(crate) epoch: u64,
}

impl Source {
    /// Asks the environment and git.
    ///
    /// # Errors
    /// If `SOURCE_DATE_EPOCH` is not a number of seconds.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let git = |words: &[&str]| capture(Command::new("git").args(words).current_dir(root));
        let revision = git(&["rev-parse", "HEAD"]);
        let is_dirty = revision.is_some() && git(&["status", "--porcelain"]).is_none_or(|changes| !changes.is_empty());
        let committed = git(&["log", "-1", "--format=%ct"]).and_then(|seconds| seconds.parse().ok());
        let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(text) if !text.is_empty() => text
                .parse()
                .with_context(|| format!("SOURCE_DATE_EPOCH={text}: give seconds since 1970, or unset it"))?,
            _ => committed.unwrap_or(0),
        };
        Ok(Self { revision, is_dirty, epoch })
    }

    /// The time as OCI writes it, `2026-01-31T12:00:00Z`.
    ///
    /// # Errors
    /// If it is beyond the year 9999.
    pub(crate) fn created(&self) -> Result<String> {
        let seconds = i64::try_from(self.epoch)?;
        let time = OffsetDateTime::from_unix_timestamp(seconds)
            .with_context(|| format!("SOURCE_DATE_EPOCH={seconds} is no time that can be written"))?;
        Ok(time.format(&Rfc3339)?)
    }

    /// What to say of where it comes from.
    pub(crate) fn described(&self) -> String {
        match (&self.revision, self.is_dirty) {
            (None, _) => "sources without git".to_owned(),
            (Some(revision), false) => format!("commit {revision}"),
            (Some(revision), true) => format!("commit {revision} with changes that are not committed"),
        }
    }
}
