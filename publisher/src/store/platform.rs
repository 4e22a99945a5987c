//! The platform of an image in an index.

use std::fmt;
use std::str::FromStr;

use oci_distribution::manifest::{ImageIndexEntry, OciImageIndex};

use crate::terminal::escape;

/// `os/architecture` or `os/architecture/variant`; by default what a mesh always asks for, linux/amd64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Default for Platform {
    fn default() -> Self {
        Self { os: "linux".to_owned(), architecture: "amd64".to_owned(), variant: None }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err("write os/architecture, such as linux/arm64".to_owned()),
        };
        if parts.contains(&"") {
            return Err("write os/architecture, such as linux/arm64".to_owned());
        }
        Ok(Self { os: os.into(), architecture: architecture.into(), variant: variant.map(Into::into) })
    }
}

impl Platform {
    /// Whether an entry of an index is for this platform. One without a platform counts as linux/amd64, as it does in a
    /// mesh.
    pub(super) fn is_of(&self, entry: &ImageIndexEntry) -> bool {
        let Some(platform) = &entry.platform else { return *self == Self::default() };
        platform.os.to_string() == self.os
            && platform.architecture.to_string() == self.architecture
            && self.variant.as_ref().is_none_or(|variant| platform.variant.as_ref() == Some(variant))
    }
}

/// The platforms of an index, for people.
pub(super) fn platforms(index: &OciImageIndex) -> String {
    let named = index.manifests.iter().filter_map(|entry| entry.platform.as_ref());
    let mut all: Vec<String> = named.map(|it| escape::one_line(&format!("{}/{}", it.os, it.architecture))).collect();
    all.dedup();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_has_two_or_three_parts() {
        for text in ["linux/amd64", "linux/arm/v7", "wasip1/wasm"] {
            assert_eq!(text.parse::<Platform>().expect("a platform").to_string(), text);
        }
        for bad in ["", "linux", "linux/", "/amd64", "a/b/c/d"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
