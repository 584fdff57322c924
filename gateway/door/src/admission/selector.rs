//! Label selectors in the syntax of Kubernetes (`kubectl get -l`; `labels.Parse` in apimachinery):
//! `key=value`, `key==value`, `key!=value`, `key in (a, b)`, `key notin (a, b)`, `key`, `!key`, joined by commas.
//!
//! A door's selector needs at least one positive requirement (`=`, `in` or a bare key): a selector that only excludes
//! would admit every Ingress that nobody has labelled, and a door fails closed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use resource::Labels;

/// A parsed, satisfiable label selector with at least one positive requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
    written: Box<str>,
}

/// The requirement of a selector for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: Box<str>,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    In(BTreeSet<Box<str>>),
    /// Also true if the key is absent, as in Kubernetes.
    NotIn(BTreeSet<Box<str>>),
    Exists,
    Absent,
}

/// Why a text is not a selector that a door can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Nothing is written.
    #[error(
        "an empty selector would admit every Ingress; write at least one requirement, such as `expose=internal-http`"
    )]
    Empty,
    /// Only `!=`, `notin` or `!key` requirements.
    #[error(
        "`{0}` only excludes, so an Ingress without any label would be admitted; \
         add a requirement with `=`, `in` or a bare key"
    )]
    OnlyNegative(String),
    /// No set of labels can satisfy it.
    #[error("`{0}` contradicts itself at key `{1}`: no Ingress can ever match it")]
    Unsatisfiable(String, String),
    /// The text does not follow the grammar.
    #[error(
        "`{text}` is not a label selector: {problem}; allowed: `key=value`, `key!=value`, `key in (a, b)`, `key notin (a, b)`, `key`, `!key`, joined by commas"
    )]
    Syntax {
        /// The whole selector as written.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Selector {
    /// Parses Kubernetes label-selector syntax.
    ///
    /// # Errors
    /// When the text is empty, only excludes, contradicts itself or does not follow the grammar.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let syntax = |problem: String| SelectorError::Syntax {
            text: text.to_owned(),
            problem,
        };
        if text.trim().is_empty() {
            return Err(SelectorError::Empty);
        }
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(text) {
            requirements.push(Requirement::parse(part.trim()).map_err(syntax)?);
        }
        if !requirements.iter().any(Requirement::is_positive) {
            return Err(SelectorError::OnlyNegative(text.to_owned()));
        }
        if let Some(key) = contradiction(requirements.iter()) {
            return Err(SelectorError::Unsatisfiable(text.to_owned(), key.to_owned()));
        }
        Ok(Self {
            requirements,
            written: text.trim().into(),
        })
    }

    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.matches(labels))
    }

    /// Whether some set of labels satisfies both selectors.
    #[must_use]
    pub fn may_overlap(&self, other: &Self) -> bool {
        contradiction(self.requirements.iter().chain(&other.requirements)).is_none()
    }

    /// The keys that a positive requirement names: an Ingress with one of them was meant for a door.
    pub fn positive_keys(&self) -> impl Iterator<Item = &str> {
        self.requirements
            .iter()
            .filter(|requirement| requirement.is_positive())
            .map(|requirement| &*requirement.key)
    }

    /// Labels that it selects, for messages that say what to write, with the `preferred` value where that is accepted; `None`
    /// where none are easily found.
    pub fn example(&self, preferred: &str) -> Option<Labels> {
        let keys: BTreeSet<&str> = self.positive_keys().collect();
        let pairs = keys.into_iter().map(|key| {
            let of_key = || self.requirements.iter().filter(|it| &*it.key == key);
            let fits = |value: &&str| {
                let labels: Labels = [(key, *value)].into_iter().collect();
                of_key().all(|requirement| requirement.matches(&labels))
            };
            let accepted = || self.accepted_values(key);
            let preferred = accepted().filter(|value| *value == preferred);
            let value = preferred.chain(accepted()).chain(["true"]).find(fits)?;
            Some((key, value))
        });
        pairs.collect()
    }

    /// The values that a positive requirement accepts for `key`, for messages that list what is allowed.
    pub fn accepted_values<'s>(&'s self, key: &'s str) -> impl Iterator<Item = &'s str> {
        self.requirements
            .iter()
            .filter(move |requirement| &*requirement.key == key)
            .flat_map(|requirement| {
                match &requirement.operator {
                    Operator::In(values) => Some(values.iter().map(|value| &**value)),
                    Operator::NotIn(_) | Operator::Exists | Operator::Absent => None,
                }
                .into_iter()
                .flatten()
            })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.written)
    }
}

impl Requirement {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a requirement between two commas is empty".to_owned());
        }
        if let Some(key) = text.strip_prefix('!') {
            return Ok(Self {
                key: label_key(key.trim())?,
                operator: Operator::Absent,
            });
        }
        if let Some((key, values)) = text.split_once('(') {
            return Self::parse_set(key.trim(), values);
        }
        for (symbol, negated) in [("!=", true), ("==", false), ("=", false)] {
            let Some((key, value)) = text.split_once(symbol) else {
                continue;
            };
            let values = BTreeSet::from([label_value(value.trim())?]);
            let operator = if negated {
                Operator::NotIn(values)
            } else {
                Operator::In(values)
            };
            return Ok(Self {
                key: label_key(key.trim())?,
                operator,
            });
        }
        Ok(Self {
            key: label_key(text)?,
            operator: Operator::Exists,
        })
    }

    /// `key in` or `key notin`, and what follows the opening parenthesis.
    fn parse_set(head: &str, values: &str) -> Result<Self, String> {
        let Some((values, "")) = values.split_once(')') else {
            return Err(format!("`{head} ({values}` does not end with one `)`"));
        };
        // Kubernetes reads it as the single empty value, which is never intended.
        if values.trim().is_empty() {
            return Err(format!("`{head} ()` has no value between the parentheses"));
        }
        let values = values
            .split(',')
            .map(|value| label_value(value.trim()))
            .collect::<Result<BTreeSet<_>, String>>()?;
        let Some((key, word)) = head.rsplit_once(char::is_whitespace) else {
            return Err(format!("`{head}` before `(` is neither `key in` nor `key notin`"));
        };
        let operator = match word {
            "in" => Operator::In(values),
            "notin" => Operator::NotIn(values),
            other => return Err(format!("`{other}` before `(` is neither `in` nor `notin`")),
        };
        Ok(Self {
            key: label_key(key.trim())?,
            operator,
        })
    }

    fn is_positive(&self) -> bool {
        match self.operator {
            Operator::In(_) | Operator::Exists => true,
            Operator::NotIn(_) | Operator::Absent => false,
        }
    }

    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::Absent => value.is_none(),
        }
    }
}

/// Splits at the commas that separate requirements, not at those inside a value set.
fn split_outside_parentheses(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    text.split(move |character| {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    })
}

/// The first key at which the requirements cannot all hold. Values are free text, so an exclusion alone never
/// exhausts them: only a required set that becomes empty, or presence against absence, contradicts.
fn contradiction<'r>(requirements: impl Iterator<Item = &'r Requirement>) -> Option<&'r str> {
    #[derive(Default)]
    struct Demands<'r> {
        allowed: Option<BTreeSet<&'r str>>,
        excluded: BTreeSet<&'r str>,
        present: bool,
        absent: bool,
    }
    let mut keys: BTreeMap<&str, Demands<'_>> = BTreeMap::new();
    for requirement in requirements {
        let demands = keys.entry(&requirement.key).or_default();
        match &requirement.operator {
            Operator::In(values) => {
                let values: BTreeSet<&str> = values.iter().map(|value| &**value).collect();
                demands.allowed = Some(match demands.allowed.take() {
                    Some(allowed) => allowed.intersection(&values).copied().collect(),
                    None => values,
                });
                demands.present = true;
            }
            Operator::NotIn(values) => demands.excluded.extend(values.iter().map(|value| &**value)),
            Operator::Exists => demands.present = true,
            Operator::Absent => demands.absent = true,
        }
    }
    keys.into_iter().find_map(|(key, demands)| {
        let exhausted = demands
            .allowed
            .is_some_and(|allowed| allowed.is_subset(&demands.excluded));
        (exhausted || (demands.present && demands.absent)).then_some(key)
    })
}

/// A label key: an optional DNS-subdomain prefix and `/`, then a name of at most 63 characters
/// (Kubernetes, "Labels and Selectors: syntax and character set").
fn label_key(text: &str) -> Result<Box<str>, String> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let prefix_fits = prefix.is_none_or(|prefix| {
        !prefix.is_empty()
            && prefix.len() <= 253
            && prefix.split('.').all(|label| {
                is_qualified(label)
                    && label
                        .bytes()
                        .all(|byte| !byte.is_ascii_uppercase() && byte != b'_')
            })
    });
    if name.is_empty() || !prefix_fits || !is_qualified(name) {
        return Err(format!("`{text}` is not a label key"));
    }
    Ok(text.into())
}

fn label_value(text: &str) -> Result<Box<str>, String> {
    if text.is_empty() || is_qualified(text) {
        Ok(text.into())
    } else {
        Err(format!("`{text}` is not a label value"))
    }
}

/// At most 63 of letters, digits, `-`, `_`, `.`, with a letter or digit at both ends.
fn is_qualified(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().copied().collect()
    }

    #[test]
    fn selects_as_kubernetes_does() {
        type Case = (&'static str, &'static [(&'static str, &'static str)], bool);
        let table: &[Case] = &[
            ("expose=internal-http", &[("expose", "internal-http")], true),
            ("expose==internal-http", &[("expose", "internal-http")], true),
            ("expose=internal-http", &[("expose", "Internal-http")], false),
            ("expose=internal-http", &[], false),
            ("expose in (a, b)", &[("expose", "b")], true),
            ("expose in (a,b)", &[("expose", "c")], false),
            ("expose notin (a),team", &[("team", "x")], true),
            ("expose!=a,team", &[("team", "x"), ("expose", "a")], false),
            ("team,!legacy", &[("team", "")], true),
            ("team,!legacy", &[("team", "x"), ("legacy", "")], false),
            ("example.com/tier=", &[("example.com/tier", "")], true),
        ];
        for (selector, pairs, expected) in table {
            assert_eq!(
                Selector::parse(selector).unwrap().matches(&labels(pairs)),
                *expected,
                "{selector} {pairs:?}"
            );
        }
    }

    #[test]
    fn refuses_what_could_fail_open() {
        let table = [
            ("", "an empty selector would admit every Ingress"),
            (" , ", "a requirement between two commas is empty"),
            ("!expose", "only excludes"),
            ("expose!=x", "only excludes"),
            ("expose notin (a)", "only excludes"),
            ("expose=a,expose=b", "contradicts itself at key `expose`"),
            ("expose,!expose", "contradicts itself at key `expose`"),
            ("expose in (a),expose!=a", "contradicts itself at key `expose`"),
            ("expose in (a", "does not end with one `)`"),
            ("expose within (a)", "neither `in` nor `notin`"),
            (
                "expose in ()",
                "`expose in ()` has no value between the parentheses",
            ),
            ("expose in ( )", "`expose in ()` has no value"),
            ("team,expose notin ()", "`expose notin ()` has no value"),
            ("ex pose=a", "`ex pose` is not a label key"),
            ("expose=a b", "`a b` is not a label value"),
            ("=a", "is not a label key"),
            ("UPPER.com/x=a", "is not a label key"),
        ];
        for (selector, message) in table {
            let error = Selector::parse(selector).unwrap_err().to_string();
            assert!(error.contains(message), "{selector}: {error}");
        }
    }

    #[test]
    fn knows_which_selectors_can_meet() {
        let table = [
            ("expose=a", "expose=b", false),
            ("expose=a", "expose in (a, b)", true),
            ("expose=a", "team=x", true),
            ("expose", "expose=a", true),
            ("expose=a", "team,!expose", false),
            ("expose in (a, b)", "expose,expose!=a", true),
            ("expose=a", "expose,expose notin (a)", false),
        ];
        for (left, right, expected) in table {
            let (left, right) = (Selector::parse(left).unwrap(), Selector::parse(right).unwrap());
            assert_eq!(left.may_overlap(&right), expected, "{left} {right}");
            assert_eq!(right.may_overlap(&left), expected, "{right} {left}");
        }
    }
}
