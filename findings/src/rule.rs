//! Rules: a code, a title, and a page that is compiled in, so that `--explain` prints it wherever a program is
//! installed.

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Such as `FL101`. The first digit is the group. A code is never reused for another rule.
    pub code: &'static str,
    /// What the rule finds, in a few words.
    pub title: &'static str,
    /// The page, in Markdown.
    pub page: &'static str,
}

/// The rule with this code, ignoring case.
#[must_use]
pub fn find(rules: &'static [Rule], code: &str) -> Option<&'static Rule> {
    rules.iter().find(|rule| rule.code.eq_ignore_ascii_case(code))
}

/// Makes a constant of each rule, and `ALL` of them all: first who may see `ALL` and the folder of the pages, as
/// seen from the file that says it, then the rules, each a code and a title, ordered by code.
#[macro_export]
macro_rules! rules {
    ($seen:vis, $folder:literal, $($code:ident $title:literal,)*) => {
        $(
            #[doc = $title]
            pub(crate) const $code: $crate::rule::Rule = $crate::rule::Rule {
                code: stringify!($code),
                title: $title,
                page: include_str!(concat!($folder, "/", stringify!($code), ".md")),
            };
        )*
        /// Every rule, ordered by code.
        $seen const ALL: &[$crate::rule::Rule] = &[$($code),*];
    };
}
