//! What the filter's build writes into the module about itself: the custom section `io.faultline`, JSON.
//!
//! The build puts it there, so that what is said about a module is what was built and not what a command line claims.
//! Proxies skip custom sections. Unknown keys are left alone: a newer filter may say more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Name of the custom section.
pub(crate) const SECTION: &str = "io.faultline";

/// The name that the filter's own build gives.
pub(crate) const NAME: &str = "faultline";

/// What a module says about its build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BuildInfo {
    /// `faultline`.
    pub(crate) name: String,
    /// Version of the filter.
    pub(crate) version: String,
    /// The commit it was built from, with `-dirty` if files were changed; none where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<String>,
    /// Where the source is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// SPDX expression.
    pub(crate) licenses: String,
    /// Version of the plugin configuration's schema; it is raised when an old configuration would mean something else.
    pub(crate) config_schema: u32,
}

impl BuildInfo {
    /// The manifest annotations that follow from it.
    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        let oci = |key: &str| format!("org.opencontainers.image.{key}");
        let mut all = BTreeMap::from([
            (oci("title"), self.name.clone()),
            (oci("description"), "Tells which endpoint of a mesh is failing, ejected or failed over from".to_owned()),
            (oci("licenses"), self.licenses.clone()),
            (oci("version"), self.version.clone()),
            ("io.faultline.config-schema".to_owned(), self.config_schema.to_string()),
        ]);
        all.extend(self.revision.clone().map(|revision| (oci("revision"), revision)));
        all.extend(self.source.clone().map(|source| (oci("source"), source)));
        all
    }
}
