//! The part of programs' versions that set-up has to compare: major and minor.

/// Major and minor version.
pub(crate) type Version = (u32, u32);

/// Parses the pair at the start of a version: `1.40.0` and `1.41.0-dev` have one; `dev` does not.
pub(crate) fn parse(text: &str) -> Option<Version> {
    let mut parts = text.trim().split(['.', '-']).map(str::parse);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some((major, minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_begins_like_a_version_is_one() {
        assert_eq!(parse("1.36.4"), Some((1, 36)));
        assert_eq!(parse("1.95"), Some((1, 95)));
        assert_eq!(parse("1.41.0-dev"), Some((1, 41)));
        assert_eq!(parse("dev"), None);
        assert_eq!(parse("1"), None);
        assert_eq!(parse(""), None);
    }
}
