//! Service host names as Istio completes and compares them.

/// Expands a resource's `host` to a full name in this namespace. Only a name without a dot is completed. `reviews.shop`
/// stays unchanged, and so names no Kubernetes service.
pub fn full(host: &str, namespace: &str, domain: &str) -> String {
    if host.contains('.') || host.contains('*') { host.to_owned() } else { format!("{host}.{namespace}.svc.{domain}") }
}

/// The full name that was meant by one with a dot that Istio does not complete: `name.svc`-like ones, and
/// `name.namespace` of a namespace that there is. `None` for every other name.
pub fn meant_by(host: &str, is_namespace: impl Fn(&str) -> bool, domain: &str) -> Option<String> {
    let (name, rest) = host.split_once('.')?;
    let namespace = rest.strip_suffix(".svc").unwrap_or(rest);
    let is_short = rest.ends_with(".svc") || is_namespace(namespace);
    let may_be = is_short && !namespace.contains('.') && !host.contains('*');
    may_be.then(|| format!("{name}.{namespace}.svc.{domain}"))
}

/// Whether a rule for `pattern` (a full name, or `*` followed by a suffix) applies to `host`, which may itself be a
/// pattern.
pub fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => host.strip_prefix('*').unwrap_or(host).ends_with(end),
        None => pattern == host,
    }
}

/// The namespace in the full name of a Kubernetes service, or in the pattern for all of a namespace.
pub fn namespace_of<'a>(host: &'a str, domain: &str) -> Option<&'a str> {
    let name = host.strip_suffix(domain)?.strip_suffix(".svc.")?;
    name.rsplit_once('.').map(|(_, namespace)| namespace).filter(|namespace| !namespace.contains('*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_without_a_dot_is_completed() {
        let full = |host| full(host, "shop", "cluster.local");
        assert_eq!(full("reviews"), "reviews.shop.svc.cluster.local");
        assert_eq!(full("reviews.shop"), "reviews.shop");
        assert_eq!(full("*"), "*");
        assert_eq!(namespace_of("reviews.shop.svc.cluster.local", "cluster.local"), Some("shop"));
        assert_eq!(namespace_of("api.example.com", "cluster.local"), None);
    }

    #[test]
    fn a_name_with_its_namespace_is_meant_for_a_service() {
        let meant = |host| meant_by(host, |namespace| namespace == "shop", "cluster.local");
        let full = Some("search.shop.svc.cluster.local".to_owned());
        assert_eq!((meant("search.shop"), meant("search.shop.svc")), (full.clone(), full));
        for other in ["search", "example.com", "search.shop.svc.cluster.local", "*.shop"] {
            assert_eq!(meant(other), None, "{other}");
        }
    }

    #[test]
    fn a_wildcard_covers_what_ends_as_it_does() {
        assert!(covers("*.shop.svc.cluster.local", "a.shop.svc.cluster.local"));
        assert!(covers("*.local", "*.shop.svc.cluster.local"));
        assert!(covers("*", "anything.example.com"));
        assert!(!covers("*.shop.svc.cluster.local", "*.local"));
        assert!(!covers("a.example.com", "b.example.com"));
    }
}
