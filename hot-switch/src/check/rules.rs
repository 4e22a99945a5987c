//! The table of rules: code, title, page. A page is the document `docs/hot-switch/rules/CODE.md`, compiled in, so that
//! `--explain` prints it wherever the program is installed. The examples on the pages are run as tests.

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Such as `HS201`. The first digit is the group: 0 what was read, 1 whether anything is bypassed at all, 2
    /// inbound, 3 outbound, 4 what is unprotected meanwhile, 5 how the service is kept up. A code is never reused.
    pub code: &'static str,
    /// What the rule finds, in a few words.
    pub title: &'static str,
    /// The page, in Markdown.
    pub page: &'static str,
}

macro_rules! rules {
    ($($code:ident $title:literal,)*) => {
        $(
            #[doc = $title]
            pub(crate) const $code: Rule = Rule {
                code: stringify!($code),
                title: $title,
                page: include_str!(concat!("../../../docs/hot-switch/rules/", stringify!($code), ".md")),
            };
        )*
        /// Every rule, ordered by code.
        pub const ALL: &[Rule] = &[$($code),*];
    };
}

rules! {
    HS001 "a file that is neither YAML nor JSON",
    HS002 "a file that holds no resource",
    HS003 "a value that is not understood",
    HS101 "a workload that is not switched on",
    HS102 "a workload without a sidecar",
    HS103 "a pod in the node's network",
    HS104 "a pod in ambient mode",
    HS105 "a gateway",
    HS106 "a workload of the mesh or the system",
    HS107 "protection lost without consent",
    HS108 "an annotation that hot-switch does not know",
    HS109 "traffic that the sidecar does not take",
    HS201 "callers that insist on mTLS",
    HS202 "callers of a headless Service",
    HS203 "a port that only the sidecar serves",
    HS204 "a workload without a Service",
    HS205 "a tunnel label",
    HS301 "peers that take mTLS only",
    HS302 "peers that ask who calls",
    HS303 "names that only Istio knows",
    HS304 "TLS that the sidecar starts",
    HS305 "routes that only the sidecar knows",
    HS306 "an address that only the sidecar serves",
    HS401 "mTLS that is not required meanwhile",
    HS402 "authorization that is not enforced meanwhile",
    HS403 "tokens that are not checked meanwhile",
    HS404 "egress that is not controlled meanwhile",
    HS405 "what the proxy adds and does not meanwhile",
    HS501 "an application whose health cannot be seen",
    HS502 "a liveness probe that is faster than the bypass",
    HS503 "a workload of one replica",
    HS504 "probes that go through the proxy",
    HS505 "an application that waits for its sidecar",
}

/// The rule with this code, ignoring case.
#[must_use]
pub fn find(code: &str) -> Option<&'static Rule> {
    ALL.iter().find(|rule| rule.code.eq_ignore_ascii_case(code))
}
