//! Membership: which Ingresses a door admits, and which of their hosts it may expose.

use std::cmp::Ordering;
use std::sync::Arc;

use filter::call::CallRule;
use resource::{ClusterView, Ingress, Problem, Severity};
use route::{HostPattern, HostRestriction, ListenerName};

use super::budgets::{Bounds, Excess};
use super::classes;
use super::selectors::Selectors;
use super::tls::TlsPolicy;
use crate::scheme::Scheme;

/// What may be exposed at a door: the admission half of a listener's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The Ingress labels that select this door.
    pub selectors: Selectors,
    /// The classes of which an Ingress must have one, by name; empty means that labels alone decide.
    pub classes: Vec<Box<str>>,
    /// Namespaces that may expose here; empty means all.
    pub namespaces: Vec<NamespacePattern>,
    /// Hosts that may be exposed here; empty means all.
    pub hosts: Vec<HostRestriction>,
    /// Ingress classes that any door may admit, by name; empty means all.
    pub ingress_classes: Vec<Box<str>>,
    /// What the clients of this door speak.
    pub scheme: Scheme,
    /// The port that clients used: `X-Forwarded-Port`, and the port of redirects to this door.
    pub forwarded_port: u16,
    /// The door to which this one redirects (308) everything that that one serves and this one does not.
    pub redirect: Option<ListenerName>,
    /// How the door terminates TLS; `None` if it does not.
    pub tls: Option<TlsPolicy>,
    /// Which namespaces may have rules for a host.
    pub host_owner: HostOwner,
    /// Namespaces whose `defaultBackend` without rules counts; empty means all.
    pub default_backend: Vec<NamespacePattern>,
    /// How much one Ingress and one namespace may have here.
    pub bounds: Bounds,
    /// What filters may use.
    pub filters: FilterPolicy,
}

/// What the filters of a door may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterPolicy {
    /// How many clients' rates are remembered at once: a power of two.
    pub keys: usize,
    /// Whom filters may ask beside the Services of their own namespace and those that allow it.
    pub call: Vec<CallRule>,
}

impl FilterPolicy {
    /// Whether a name in DNS may be called.
    #[must_use]
    pub fn calls_names(&self) -> bool {
        self.call.iter().any(|rule| matches!(rule, CallRule::Name(_)))
    }
}

impl Default for FilterPolicy {
    fn default() -> Self {
        Self {
            keys: 1 << 21,
            call: Vec::new(),
        }
    }
}

/// Which namespaces may have rules for a host at a door.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HostOwner {
    /// All: each place of a host belongs to the oldest rule for it.
    #[default]
    Any,
    /// The namespace of the oldest Ingress that names the host, or a wildcard above it.
    Namespace,
}

/// A namespace name, or a pattern in which `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacePattern(Box<str>);

/// A text that can match no namespace name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a namespace pattern; allowed: lower-case letters, digits, `-`, and `*` for any run of characters"
)]
pub struct NamespacePatternError(String);

/// An Ingress that a door's policy has admitted. Only [`Policy::admit`] makes one, and only these are compiled.
#[derive(Debug, Clone, Copy)]
pub struct Admitted<'v> {
    pub(super) ingress: &'v Arc<Ingress>,
    /// It is beyond a bound.
    pub(super) excess: Option<Excess>,
}

/// Whether an Ingress is one of a door's, and if not, the first reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// The door admits it.
    Admitted,
    /// Its labels do not select the door.
    Labels,
    /// Its labels would select the door, but its class is none of the door's.
    Class,
    /// It is meant for the door, whose `namespaces` leave out its namespace.
    Namespace,
}

/// Oldest first, and then by namespace and name; without a creation time, newest.
pub(crate) fn precedence(left: &Ingress, right: &Ingress) -> Ordering {
    age(left).cmp(&age(right)).then_with(|| left.key.cmp(&right.key))
}

/// The older object comes first; one without a creation time is the newest.
pub(crate) fn age(ingress: &Ingress) -> impl Ord + use<> {
    (ingress.created.is_none(), ingress.created)
}

impl NamespacePattern {
    /// # Errors
    /// When the text holds a character that no namespace name can have (RFC 1123 label), or is empty.
    pub fn parse(text: &str) -> Result<Self, NamespacePatternError> {
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'*';
        if text.is_empty() || text.len() > 63 || !text.bytes().all(fits) {
            return Err(NamespacePatternError(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// Whether the pattern covers the whole name.
    #[must_use]
    pub fn matches(&self, namespace: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(first) = parts.next() else { return false };
        let Some(mut rest) = namespace.strip_prefix(first) else {
            return false;
        };
        let mut parts = parts.peekable();
        if parts.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return rest.ends_with(part);
            }
            // The left-most match is always a safe choice: it leaves the most room for what follows.
            match rest.split_once(part) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        false
    }
}

impl<'v> Admitted<'v> {
    /// The admitted object.
    #[must_use]
    pub fn ingress(self) -> &'v Arc<Ingress> {
        self.ingress
    }

    /// Why it is not served as it is written.
    pub(crate) fn excess(self) -> Option<Excess> {
        self.excess
    }

    /// It is beyond a bound, and so many others are too that its hosts are not even closed.
    pub(crate) fn is_left_out(&self) -> bool {
        self.excess.is_some_and(|excess| !excess.closes)
    }
}

impl Policy {
    /// Admits what the labels select, of all classes, and terminates no TLS; clients used the usual port of the scheme.
    #[must_use]
    pub fn new(selectors: impl Into<Selectors>, scheme: Scheme) -> Self {
        Self {
            selectors: selectors.into(),
            classes: Vec::new(),
            namespaces: Vec::new(),
            hosts: Vec::new(),
            ingress_classes: Vec::new(),
            scheme,
            forwarded_port: scheme.default_port(),
            redirect: None,
            tls: None,
            host_owner: HostOwner::Any,
            default_backend: Vec::new(),
            bounds: Bounds::default(),
            filters: FilterPolicy::default(),
        }
    }

    /// The Ingresses of `view` that this door admits, oldest first and then by namespace and name, so that the first one
    /// wins a conflict. Whether they are within the bounds is judged [afterwards](super::Members::of).
    ///
    /// An Ingress that the labels select but that another setting of the door refuses is reported in `problems`.
    pub(crate) fn admit<'v>(
        &self,
        door: &ListenerName,
        view: &'v ClusterView,
        problems: &mut Vec<Problem>,
    ) -> Vec<Admitted<'v>> {
        let mut admitted: Vec<Admitted<'v>> = view
            .ingresses()
            .filter(|ingress| self.chooses(ingress, view))
            .filter(|ingress| self.namespace_admits(door, ingress, problems))
            .map(|ingress| Admitted {
                ingress,
                excess: None,
            })
            .collect();
        admitted.sort_by(|left, right| precedence(left.ingress, right.ingress));
        admitted
    }

    /// Whether the door admits the Ingress, for code that handles what belongs to Ingresses (their Secrets, their status).
    /// Only [`admit`](Self::admit) decides what is served.
    #[must_use]
    pub fn admits(&self, ingress: &Ingress, view: &ClusterView) -> bool {
        let namespace = ingress.key.namespace();
        self.chooses(ingress, view) && self.namespace_is_admitted(namespace)
    }

    /// Whether the Ingress is one of this door's, and if not, why.
    #[must_use]
    pub fn membership_of(&self, ingress: &Ingress, view: &ClusterView) -> Membership {
        if self.admits(ingress, view) {
            Membership::Admitted
        } else if self.chooses(ingress, view) {
            Membership::Namespace
        } else if self.selectors.match_labels(&ingress.labels) {
            Membership::Class
        } else {
            Membership::Labels
        }
    }

    /// Whether the Ingress is meant for this door, by its labels and its class. Nothing is meant for a door that says
    /// neither which labels nor which classes.
    #[must_use]
    pub fn chooses(&self, ingress: &Ingress, view: &ClusterView) -> bool {
        let is_said = !self.selectors.is_empty() || !self.classes.is_empty();
        is_said && self.selectors.match_labels(&ingress.labels) && self.class_admits(ingress, view)
    }

    /// Whether some Ingress may be meant for both doors.
    #[must_use]
    pub fn may_overlap(&self, other: &Self) -> bool {
        self.selectors.may_overlap(&other.selectors) && classes::may_overlap(&self.classes, &other.classes)
    }

    /// Which Ingresses are meant for this door, in words, such as `expose=a of class nginx`.
    #[must_use]
    pub fn membership(&self) -> String {
        let labels = (!self.selectors.is_empty()).then(|| self.selectors.to_string());
        let classes = (!self.classes.is_empty()).then(|| format!("class {}", self.classes.join(" or ")));
        let parts: Vec<String> = labels.into_iter().chain(classes).collect();
        parts.join(" of ")
    }

    /// Whether TLS connections for the hosts of the Ingress are passed through to its backend.
    pub(crate) fn passes_through(&self, ingress: &Ingress) -> bool {
        ingress.annotations.ssl_passthrough && self.tls.as_ref().is_some_and(|tls| tls.passthrough)
    }

    /// Whether a `defaultBackend` without rules counts when it is of this namespace.
    pub(crate) fn default_admits(&self, namespace: &str) -> bool {
        one_matches(&self.default_backend, namespace)
    }

    /// Whether a `defaultBackend` without rules also answers for hosts of others: if hosts have owners, only if the
    /// configuration says whose counts.
    pub(crate) fn default_is_for_all(&self) -> bool {
        self.host_owner == HostOwner::Any || !self.default_backend.is_empty()
    }

    /// Whether a rule for `host` may be exposed at this door.
    #[must_use]
    pub fn host_admits(&self, host: &HostPattern) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|restriction| restriction.admits(host))
    }

    /// Whether the Ingress belongs to one of the classes that this door admits.
    #[must_use]
    pub fn class_admits(&self, ingress: &Ingress, view: &ClusterView) -> bool {
        let mut both = [&self.ingress_classes, &self.classes].into_iter();
        both.all(|list| classes::admit(list, ingress, view))
    }

    fn namespace_is_admitted(&self, namespace: &str) -> bool {
        one_matches(&self.namespaces, namespace)
    }

    pub(super) fn namespace_admits(
        &self,
        door: &ListenerName,
        ingress: &Ingress,
        problems: &mut Vec<Problem>,
    ) -> bool {
        let namespace = ingress.key.namespace();
        let admits = self.namespace_is_admitted(namespace);
        if !admits {
            problems.push(ingress.problem(
                Severity::Error,
                "metadata.namespace",
                format!("namespace `{namespace}` may not expose at door `{door}`; the door's `namespaces` says who may"),
            ));
        }
        admits
    }
}

/// No pattern means every namespace.
fn one_matches(patterns: &[NamespacePattern], namespace: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(namespace))
}

#[cfg(test)]
mod tests {
    use super::NamespacePattern;

    #[test]
    fn a_namespace_matches_a_name_or_a_pattern_with_stars() {
        let table = [
            ("shop", "shop", true),
            ("shop", "shops", false),
            ("team-*", "team-", true),
            ("team-*", "team-a", true),
            ("team-*", "teams", false),
            ("*", "anything", true),
            ("*-prod", "a-prod", true),
            ("*-prod", "prod", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a**a", "aa", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(
                NamespacePattern::parse(pattern).unwrap().matches(name),
                expected,
                "{pattern} {name}"
            );
        }
        assert!(NamespacePattern::parse("Shop").is_err());
        assert!(NamespacePattern::parse("").is_err());
    }
}
