//! The table of rules: code, title, page. A page is the document `docs/rules/CODE.md`, compiled in, so that `--explain`
//! prints it wherever the program is installed. The examples on the pages are run as tests.

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Such as `FL101`. The first digit is the group: 0 plugin configurations, 1 outlier detection, 2 localities, 3
    /// resources that carry a plugin. A code is never reused for another rule.
    pub(crate) code: &'static str,
    /// What the rule finds, in a few words.
    pub(crate) title: &'static str,
    /// The page, in Markdown.
    pub(crate) page: &'static str,
}

macro_rules! rules {
    ($($code:ident $title:literal,)*) => {
        $(
            #[doc = $title]
            pub(crate) const $code: Rule = Rule {
                code: stringify!($code),
                title: $title,
                page: include_str!(concat!("../../../docs/rules/", stringify!($code), ".md")),
            };
        )*
        /// Every rule, ordered by code.
        pub(crate) const ALL: &[Rule] = &[$($code),*];
    };
}

rules! {
    FL001 "a configuration that the filter rejects",
    FL002 "a field that the filter does not know",
    FL003 "a file that is neither YAML nor JSON",
    FL004 "an entry that an earlier one hides",
    FL005 "thresholds that retries hide",
    FL006 "a file with nothing in it",
    FL007 "a file that is neither a resource nor a configuration",
    FL008 "a kind that its API group does not have",
    FL101 "failover without outlier detection",
    FL102 "a percent cap that never ejects",
    FL103 "a local-origin threshold without the split",
    FL104 "outlier detection that keeps traffic in the zone",
    FL105 "ejections that do not grow longer",
    FL106 "an interval longer than the ejection",
    FL107 "outlier detection that never ejects",
    FL108 "several rules for one host",
    FL109 "settings for a port that the service does not have",
    FL110 "a host name that is not completed",
    FL111 "a value that Istio refuses",
    FL112 "a field that Istio does not know",
    FL113 "a field that Istio no longer reads",
    FL114 "settings that replace what the host has",
    FL115 "a rule that most proxies do not find",
    FL116 "a short host name without a namespace",
    FL117 "a rule in place of one with outlier detection",
    FL118 "a service whose requests do not move",
    FL119 "a cap below the share at home",
    FL120 "a resource that is there twice",
    FL121 "a subset that no endpoint is in",
    FL201 "locality settings that exclude each other",
    FL202 "a failover that is not from one region to another",
    FL203 "a locality that names nothing",
    FL204 "weights that do not add up to 100",
    FL205 "a distribution for which nothing stands in",
    FL206 "endpoints that a distribution leaves out",
    FL207 "locality settings that are switched off",
    FL208 "priorities by label with which istiod ends",
    FL301 "an image URL without a scheme",
    FL302 "a tag that moves, pulled once",
    FL303 "two digests that differ",
    FL304 "a plugin that fails closed",
    FL305 "a match that a waypoint never meets",
    FL306 "a selector together with target references",
    FL307 "the digest of an index",
    FL308 "a digest beside a tag",
    FL309 "two plugins in the same proxies",
    FL310 "a module from a file that a proxy may not have",
    FL311 "thresholds that differ from the rules beside them",
    FL312 "a witness that is no cluster",
    FL313 "a proxy without a locality",
    FL314 "a cluster in several localities that never ejects",
}

/// The rule with this code, ignoring case.
pub(crate) fn find(code: &str) -> Option<&'static Rule> {
    ALL.iter().find(|rule| rule.code.eq_ignore_ascii_case(code))
}
