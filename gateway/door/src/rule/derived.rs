//! Hosts and roots that annotations add to those of the rules. What is derived yields to every rule of the door.

use resource::{DerivedFrom, Dialect, FilterSpec, Ingress};
use route::HostPattern;

use super::{DerivedRule, Field, Target};

const ALIAS: Field = Field::Annotation("metadata.annotations[nginx.ingress.kubernetes.io/server-alias]");

/// Further hosts for the rules of an Ingress.
pub(crate) fn aliases(ingress: &Ingress) -> impl Iterator<Item = (Field, &HostPattern)> {
    let derived = ingress.derived.iter();
    derived.filter_map(|derived| match derived.from {
        DerivedFrom::Alias => Some((ALIAS, &derived.host)),
        DerivedFrom::WwwTwinOf(_) => None,
    })
}

/// Hosts whose requests are redirected to the host of a rule.
pub(crate) fn twins(ingress: &Ingress) -> impl Iterator<Item = DerivedRule<'_>> {
    let field = ingress.annotations.www_redirect.map_or(ALIAS, Field::Annotation);
    ingress
        .derived
        .iter()
        .filter_map(move |derived| match &derived.from {
            DerivedFrom::Alias => None,
            DerivedFrom::WwwTwinOf(to) => Some(DerivedRule {
                field,
                host: &derived.host,
                target: Target::Host(to),
            }),
        })
}

/// The roots that are redirected to a page of the application: those of its hosts.
pub(crate) fn roots(ingress: &Ingress) -> impl Iterator<Item = DerivedRule<'_>> {
    let is_root = |spec: &FilterSpec| matches!(spec, FilterSpec::AppRoot(_));
    let mut filters = ingress.annotations.filters.iter();
    let root = filters.find(|written| is_root(&written.spec));
    root.into_iter().flat_map(|root| {
        let field = Field::Annotation(match root.dialect {
            Dialect::Own => "metadata.annotations[blastdoor.dev/app-root]",
            Dialect::Nginx | Dialect::Traefik => "metadata.annotations[nginx.ingress.kubernetes.io/app-root]",
        });
        let aliases = aliases(ingress).map(|(_, host)| host);
        ingress.rule_hosts().chain(aliases).map(move |host| DerivedRule {
            field,
            host,
            target: Target::AppRoot,
        })
    })
}
