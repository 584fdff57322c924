//! The places of routes, as far as filters depend on them.

use filter::pattern::{Case, Pattern};
use route::PathPattern;

use crate::rule::RulePath;

/// The place of a route, as far as filters depend on it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FilteredPlace<'a> {
    /// That of a rule.
    Rule(RulePath<'a>),
    /// The root that is redirected.
    AppRoot,
}

impl FilteredPlace<'_> {
    /// The regular expression of its path, if it is one.
    pub(super) fn pattern(self) -> Option<Pattern> {
        let Self::Rule(RulePath::Pattern {
            pattern: PathPattern::Regex(regex),
            ..
        }) = self
        else {
            return None;
        };
        let case = match regex.dialect().is_caseless() {
            true => Case::Insensitive,
            false => Case::Sensitive,
        };
        Some(Pattern::compiled(regex.as_str(), case, regex.compiled()))
    }
}
