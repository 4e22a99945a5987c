//! Reads the build information that the filter's build writes into the module: the custom section `io.faultline`, JSON.
//!
//! It comes from the build, so that it describes what was built and not what a command line claims. Proxies skip custom
//! sections. Unknown keys are ignored, because a newer filter may add some.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Name of the custom section.
pub(crate) const SECTION: &str = "io.faultline";

/// The name in the build information of the filter itself.
pub(crate) const NAME: &str = "faultline";

/// What a module's build information says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BuildInfo {
    /// `faultline`.
    pub(crate) name: String,
    /// Version of the filter.
    pub(crate) version: String,
    /// The commit it was built from, with `-dirty` if files were changed; `None` if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<String>,
    /// URL of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// SPDX expression.
    pub(crate) licenses: String,
    /// Version of the plugin configuration's schema. It is raised when an old configuration would change its meaning.
    pub(crate) config_schema: u32,
}

impl BuildInfo {
    /// The manifest annotations that follow from the build information.
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
