//! Which proxy requests go through, by the environment, so that one that is away is not taken for the registry.

use reqwest::Url;

/// A proxy that a variable names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proxy {
    /// The variable.
    variable: &'static str,
    /// Its host and port, without a password.
    host: String,
    /// Whether it looks up the names of registries, which with `socks5` and `socks4` is done here.
    looks_up: bool,
}

impl Proxy {
    /// The proxy on the way to this URL, if variables name one. Machines that `NO_PROXY` names are reached directly, as
    /// are those of this machine.
    pub(super) fn on_the_way_to(url: &Url) -> Option<Self> {
        Self::of(url, &|name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()))
    }

    fn of(url: &Url, variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let host = url.host_str()?;
        let direct = ["NO_PROXY", "no_proxy"].into_iter().find_map(variable).unwrap_or_default();
        // An address range or a suffix may mean this host too: then nothing is said for certain.
        if direct.split(',').any(|entry| is_named(host, entry.trim())) {
            return None;
        }
        let names = match url.scheme() {
            "http" => ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
            _ => ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        };
        let (name, value) = names.into_iter().find_map(|name| Some((name, variable(name)?)))?;
        let whole = if value.contains("://") { value } else { format!("http://{value}") };
        let proxy = Url::parse(whole.trim()).ok()?;
        let port = proxy.port().map_or(String::new(), |port| format!(":{port}"));
        let looks_up = !matches!(proxy.scheme(), "socks4" | "socks5");
        Some(Self { variable: name, host: format!("{}{port}", proxy.host_str()?), looks_up })
    }

    /// What to do if this is why, the rest of the error's sentence.
    pub(super) fn remedy(&self) -> String {
        let Self { variable, host, .. } = self;
        format!(
            "; requests go through the proxy `{host}` that `{variable}` names: check that it is up, or name the \
             registry in NO_PROXY"
        )
    }

    /// Whether this may be why there is no connection.
    pub(super) fn may_be_why(&self, what: &str) -> bool {
        self.looks_up || !what.contains("lookup")
    }
}

/// Whether an entry of `NO_PROXY` may mean this host.
fn is_named(host: &str, entry: &str) -> bool {
    let suffix = entry.trim_start_matches(['*', '.']);
    entry == "*" || entry.contains('/') || (!suffix.is_empty() && host.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(url: &str, variables: &[(&str, &str)]) -> Option<String> {
        let of = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Proxy::of(&Url::parse(url).unwrap(), &of).map(|proxy| format!("{} {}", proxy.variable, proxy.host))
    }

    #[test]
    fn the_variable_of_the_scheme_names_it_without_its_password() {
        let set = [("https_proxy", "http://u:secret@proxy.example.com:3128"), ("http_proxy", "10.0.0.1:80")];
        assert_eq!(on("https://r.example.com/v2/", &set).unwrap(), "https_proxy proxy.example.com:3128");
        assert_eq!(on("http://r.example.com/v2/", &set).unwrap(), "http_proxy 10.0.0.1");
        assert_eq!(on("https://r.example.com/", &[("all_proxy", "socks5://p:1080")]).unwrap(), "all_proxy p:1080");
        assert_eq!(on("https://r.example.com/", &[]), None);
        for direct in ["r.example.com", ".example.com", "example.com", "*", "10.0.0.0/8"] {
            assert_eq!(on("https://r.example.com/", &[set[0], ("NO_PROXY", direct)]), None, "{direct}");
        }
    }
}
