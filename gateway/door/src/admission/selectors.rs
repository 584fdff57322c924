//! The selectors of a door, of which one must match.

use std::collections::BTreeSet;
use std::fmt;

use resource::Labels;

use super::selector::Selector;

/// The label selectors of a door, of which one must match. None at all: labels do not matter, and the door's classes alone
/// decide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selectors(Vec<Selector>);

impl From<Selector> for Selectors {
    fn from(selector: Selector) -> Self {
        Self(vec![selector])
    }
}

impl From<Vec<Selector>> for Selectors {
    fn from(selectors: Vec<Selector>) -> Self {
        Self(selectors)
    }
}

impl Selectors {
    /// Whether labels do not matter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether labels like these select the door, or do not matter.
    #[must_use]
    pub fn match_labels(&self, labels: &Labels) -> bool {
        self.0.is_empty() || self.0.iter().any(|selector| selector.matches(labels))
    }

    /// Whether some set of labels selects both doors.
    #[must_use]
    pub fn may_overlap(&self, other: &Self) -> bool {
        let meets = |selector: &Selector| other.0.iter().any(|other| selector.may_overlap(other));
        self.0.is_empty() || other.0.is_empty() || self.0.iter().any(meets)
    }

    /// The keys that a positive requirement names: an Ingress with one of them was meant for a door.
    pub fn positive_keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(Selector::positive_keys)
    }

    /// Labels that select the door, for messages that say what to write, with the `preferred` value where that is accepted;
    /// `None` where none are easily found.
    #[must_use]
    pub fn example(&self, preferred: &str) -> Option<Labels> {
        self.0.iter().find_map(|selector| selector.example(preferred))
    }

    /// The values that a positive requirement accepts for `key`, for messages that list what is allowed.
    pub fn accepted_values<'s>(&'s self, key: &'s str) -> BTreeSet<&'s str> {
        let values = self.0.iter().flat_map(|selector| selector.accepted_values(key));
        values.collect()
    }
}

/// As in a sentence: `expose=a or expose=b`.
impl fmt::Display for Selectors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, selector) in self.0.iter().enumerate() {
            let before = if index == 0 { "" } else { " or " };
            write!(out, "{before}{selector}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Selector, Selectors};

    fn selectors(written: &[&str]) -> Selectors {
        let parsed = written.iter().map(|text| Selector::parse(text).unwrap());
        parsed.collect::<Vec<_>>().into()
    }

    #[test]
    fn one_of_several_must_match() {
        let several = selectors(&["expose=a", "acme.cert-manager.io/http01-solver=true"]);
        let table: [(&[(&str, &str)], bool); 5] = [
            (&[("expose", "a")], true),
            (&[("acme.cert-manager.io/http01-solver", "true")], true),
            (
                &[("expose", "b"), ("acme.cert-manager.io/http01-solver", "true")],
                true,
            ),
            (&[("expose", "b")], false),
            (&[], false),
        ];
        for (labels, expected) in table {
            let labels = labels.iter().copied().collect();
            assert_eq!(several.match_labels(&labels), expected, "{labels:?}");
        }
        assert_eq!(
            several.to_string(),
            "expose=a or acme.cert-manager.io/http01-solver=true"
        );
        let accepted = selectors(&["expose=a,team", "expose in (c, b)"]);
        assert_eq!(
            accepted.accepted_values("expose").into_iter().collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        let example = |preferred| {
            let labels = accepted.example(preferred)?;
            Some(
                labels
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            example("c"),
            Some(vec!["expose=a".to_owned(), "team=true".to_owned()])
        );
        let choice = selectors(&["expose in (c, b), expose != b"]);
        for preferred in ["b", "c", "d"] {
            let labels = choice.example(preferred);
            assert_eq!(
                labels,
                Some([("expose", "c")].into_iter().collect()),
                "{preferred}"
            );
        }
        let preferred = selectors(&["expose in (c, b)"]).example("c");
        assert_eq!(preferred, Some([("expose", "c")].into_iter().collect()));
    }

    #[test]
    fn two_doors_overlap_if_any_of_their_selectors_do() {
        let table: [(&[&str], &[&str], bool); 5] = [
            (&["expose=a", "expose=b"], &["expose=c", "expose=d"], false),
            (&["expose=a", "expose=b"], &["expose=c", "expose=b"], true),
            (&["expose=a", "team=x"], &["expose=b"], true),
            (&[], &["expose=a"], true),
            (&[], &[], true),
        ];
        for (left, right, expected) in table {
            let (left, right) = (selectors(left), selectors(right));
            assert_eq!(left.may_overlap(&right), expected, "{left} | {right}");
            assert_eq!(right.may_overlap(&left), expected, "{right} | {left}");
        }
    }
}
