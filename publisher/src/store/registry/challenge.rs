//! Parses authentication challenges (`WWW-Authenticate`) and the scopes that a token is requested for.
//!
//! A registry may offer several schemes, in one header or in several.

use std::collections::BTreeMap;

/// A way to authenticate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User name and password with each request.
    Basic,
    /// A token, from a token service.
    Bearer {
        /// The token service's URL.
        realm: String,
        /// The name by which the token service knows the registry.
        service: Option<String>,
        /// The scopes that the refused request needs, separated by white space.
        scope: Option<String>,
    },
}

impl Challenge {
    /// The scheme to use among those offered; a token is preferred to a password.
    pub(crate) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let offered: Vec<Self> = headers.flat_map(parse).collect();
        let token = offered.iter().position(|challenge| matches!(challenge, Self::Bearer { .. }));
        offered.into_iter().nth(token.unwrap_or(0))
    }
}

fn parse(header: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    for part in split(header) {
        // A scheme and its first parameter are separated by a space, further parameters by commas.
        let (name, value) = part.split_once('=').unwrap_or((part.as_str(), ""));
        let (scheme, name) = match name.trim().split_once(char::is_whitespace) {
            Some((scheme, name)) => (Some(scheme), name.trim()),
            None if !part.contains('=') => (Some(name.trim()), ""),
            None => (None, name.trim()),
        };
        if let Some(scheme) = scheme {
            found.push((scheme.to_ascii_lowercase(), BTreeMap::new()));
        }
        if let (Some((_, parameters)), false) = (found.last_mut(), name.is_empty()) {
            parameters.insert(name.to_ascii_lowercase(), value.trim().trim_matches('"').to_owned());
        }
    }
    let known = |(scheme, mut parameters): (String, BTreeMap<String, String>)| match scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: parameters.remove("realm")?,
            service: parameters.remove("service"),
            scope: parameters.remove("scope").filter(|scope| !scope.is_empty()),
        }),
        _ => None,
    };
    found.into_iter().filter_map(known).collect()
}

/// Splits at commas outside quotes.
fn split(header: &str) -> Vec<String> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for c in header.chars() {
        quoted ^= c == '"';
        match parts.last_mut() {
            Some(last) if quoted || c != ',' => last.push(c),
            _ => parts.push(String::new()),
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Whether a scope is not of the kind `repository:NAME:pull,push` or `registry:catalog:*`.
pub(crate) fn is_opaque(scope: &str) -> bool {
    match scope.split_once(':') {
        Some((kind, rest)) => !matches!(kind, "repository" | "registry") || !rest.contains(':'),
        None => true,
    }
}

/// Joins scopes (`repository:NAME:pull,push`): one for each resource, with all the actions requested for it. A scope of
/// another kind stays as it is.
pub(crate) fn join_scopes<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut joined: Vec<(&str, Vec<&str>)> = Vec::new();
    for scope in scopes.into_iter().flat_map(str::split_whitespace) {
        let (resource, actions) = match scope.rsplit_once(':') {
            Some(parts) if !is_opaque(scope) => parts,
            _ => (scope, ""),
        };
        let index = joined.iter().position(|(known, _)| *known == resource).unwrap_or_else(|| {
            joined.push((resource, Vec::new()));
            joined.len() - 1
        });
        if let Some((_, known)) = joined.get_mut(index) {
            known.extend(actions.split(',').filter(|action| !action.is_empty()));
            known.sort_unstable();
            known.dedup();
        }
    }
    let written = |(resource, actions): (&str, Vec<&str>)| match actions.is_empty() {
        true => resource.to_owned(),
        false => format!("{resource}:{}", actions.join(",")),
    };
    joined.into_iter().map(written).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Some(Challenge::Bearer { realm: realm.into(), service: owned(service), scope: owned(scope) })
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let choose = |headers: &[&str]| Challenge::choose(headers.iter().copied());
        assert_eq!(choose(&[r#"Basic realm="Registry Realm""#]), Some(Challenge::Basic));
        assert_eq!(choose(&["basic"]), Some(Challenge::Basic));
        let docker = concat!(
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io","#,
            r#"scope="repository:a/b:pull,push""#
        );
        let wanted =
            bearer("https://auth.docker.io/token", Some("registry.docker.io"), Some("repository:a/b:pull,push"));
        assert_eq!(choose(&[docker]), wanted);
        assert_eq!(
            choose(&[r#"bearer Realm=https://x/t , service="a, b""#]),
            bearer("https://x/t", Some("a, b"), None)
        );
        let both = r#"Basic realm="a", Bearer realm="https://x/t", Negotiate"#;
        assert_eq!(choose(&[both]), bearer("https://x/t", None, None));
        assert_eq!(choose(&["Negotiate", r#"Basic realm="a""#]), Some(Challenge::Basic));
        for nothing in ["", ",", "Digest realm=x", "Bearer service=x", "\"", "=,="] {
            assert_eq!(choose(&[nothing]), None, "{nothing}");
        }
    }

    #[test]
    fn scopes_are_joined_by_resource() {
        let joined = join_scopes(["repository:a/b:pull", "repository:a/b:push,pull repository:c:pull", ""]);
        assert_eq!(joined, ["repository:a/b:pull,push", "repository:c:pull"]);
    }
}
