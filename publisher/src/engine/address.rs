//! Where an engine is: `ENGINE+http(s)://HOST[:PORT][/PATH]`. The first part of the scheme says how it is spoken to.

use anyhow::{anyhow, bail};
use reqwest::Url;

/// Which engine, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// How it is spoken to.
    pub(crate) kind: Kind,
    /// Its root, without a slash at the end.
    pub(crate) base: Url,
    /// What is searched, where the engine has indices: the last part of the path. Empty elsewhere.
    pub(crate) index: String,
}

/// What an engine is called in an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// VictoriaLogs, single or as a cluster: its `/select`.
    VictoriaLogs,
    /// OpenSearch 2.4 or later.
    OpenSearch,
    /// Elasticsearch 7.12 or later.
    Elasticsearch,
    /// Loki, or what speaks its protocol.
    Loki,
}

/// By the names in addresses.
const KINDS: [(&str, Kind); 4] = [
    ("victorialogs", Kind::VictoriaLogs),
    ("opensearch", Kind::OpenSearch),
    ("elasticsearch", Kind::Elasticsearch),
    ("loki", Kind::Loki),
];

impl Kind {
    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::VictoriaLogs => "VictoriaLogs",
            Self::OpenSearch => "OpenSearch",
            Self::Elasticsearch => "Elasticsearch",
            Self::Loki => "Loki",
        }
    }
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// For an unknown engine, a text that is no URL, and one with a password, a query or a fragment. The error does not
    /// repeat a password.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let known = || KINDS.map(|(name, _)| format!("{name}+https://")).join(", ");
        let (engine, url) = text.split_once('+').unwrap_or(("", text));
        let kind = KINDS.iter().find(|(name, _)| *name == engine).map(|(_, kind)| *kind);
        let shown = shown(text);
        let Some(kind) = kind.filter(|_| url.starts_with("http://") || url.starts_with("https://")) else {
            bail!("`{shown}` names no engine: an address begins with {}, or the same with http", known());
        };
        let mut base = Url::parse(url).map_err(|why| anyhow!("`{shown}` is no address ({why})"))?;
        if !base.username().is_empty() || base.password().is_some() {
            bail!(
                "`{shown}` has credentials in it, which shells and logs keep: leave them out and set \
                 FAULTLINE_LOGS_USER and FAULTLINE_LOGS_PASSWORD, or FAULTLINE_LOGS_TOKEN, or name a file with \
                 --logs-credentials"
            );
        }
        if base.query().is_some() || base.fragment().is_some() {
            bail!("`{shown}` has a query: leave out what comes after the path, and give a filter with --query");
        }
        let path = base.path().trim_end_matches('/').to_owned();
        let (path, index) = match (kind, path.rsplit_once('/')) {
            (Kind::OpenSearch | Kind::Elasticsearch, Some((root, index))) => (root, index),
            (Kind::OpenSearch | Kind::Elasticsearch, None) => {
                bail!("`{shown}` names no index: write one at its end, such as {shown}/logs-*")
            }
            _ => (path.as_str(), ""),
        };
        let index = index.to_owned();
        base.set_path(path);
        Ok(Self { kind, base, index })
    }

    /// The address of something below the root.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }
}

/// The text without what stands before an `@` in its authority.
fn shown(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.get(..authority).and_then(|authority| authority.rfind('@')) {
        Some(at) => format!("{scheme}://…{}", rest.get(at..).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_the_engine_and_its_root() {
        let address = Address::parse("victorialogs+https://logs.example.com:9428/vl/").unwrap();
        assert_eq!(address.kind, Kind::VictoriaLogs);
        assert_eq!(address.at("/select"), "https://logs.example.com:9428/vl/select");
        assert_eq!(Address::parse("victorialogs+http://h").unwrap().at("/x"), "http://h/x");
        let address = Address::parse("opensearch+https://h:9200/os/logs-*").unwrap();
        assert_eq!((address.at("/_search").as_str(), address.index.as_str()), ("https://h:9200/os/_search", "logs-*"));
        assert!(Address::parse("elasticsearch+https://h").unwrap_err().to_string().contains("names no index"));
    }

    #[test]
    fn a_password_is_refused_and_never_repeated() {
        for text in ["victorialogs+https://me:hunter2@h/", "https://me:hunter2@h", "x+ftp://hunter2@h/?a"] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = Address::parse("victorialogs+https://me:hunter2@h/").unwrap_err().to_string();
        assert!(error.contains("FAULTLINE_LOGS_PASSWORD"), "{error}");
    }

    #[test]
    fn what_is_no_address_is_said_with_what_would_be() {
        for text in ["https://h", "splunk+https://h", "victorialogs+ftp://h", "victorialogs+https://", "x"] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains("victorialogs+https://"), "{error}");
        }
        assert!(Address::parse("victorialogs+http://h/?query=x").unwrap_err().to_string().contains("--query"));
    }
}
