//! Hosts that the annotations of an Ingress add to those of its rules.

use std::collections::HashSet;

use filter::redirect::www_twin;
use route::{Host, HostPattern};

use super::rule::IngressRule;
use crate::annotations::Annotations;

/// A host that an annotation adds. It yields to a rule of the same door that names the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivedHost {
    /// The host.
    pub host: HostPattern,
    /// The wildcard that covers it, whose rules it must not take from other namespaces.
    pub above: Option<HostPattern>,
    /// Why it is there.
    pub from: DerivedFrom,
}

/// Why a host is there without a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DerivedFrom {
    /// The rules are for this host too.
    Alias,
    /// Requests are redirected to this host, which a rule names.
    WwwTwinOf(Host),
}

/// Each host once, and none that a rule names.
pub(super) fn hosts(rules: &[IngressRule], annotations: &Annotations) -> Box<[DerivedHost]> {
    // Without rules there is nothing that further hosts could be for, and nothing that lets the Ingress have them.
    let adds_none = annotations.aliases.is_empty() && annotations.www_redirect.is_none();
    if rules.is_empty() || adds_none {
        return Box::default();
    }
    let named = rules.iter().filter_map(|rule| rule.host.as_ref().ok());
    let mut taken: HashSet<HostPattern> = named.clone().cloned().collect();
    let mut derived = Vec::new();
    let mut add = |host: HostPattern, from: DerivedFrom| {
        if taken.insert(host.clone()) {
            let above = host.wildcard();
            derived.push(DerivedHost { host, above, from });
        }
    };
    for alias in &annotations.aliases {
        add(alias.clone(), DerivedFrom::Alias);
    }
    if annotations.www_redirect.is_some() {
        for host in named {
            let HostPattern::Exact(host) = host else { continue };
            let twin = www_twin(host.as_str()).map(|twin| HostPattern::parse(&twin));
            if let Some(Ok(twin)) = twin {
                add(twin, DerivedFrom::WwwTwinOf(host.clone()));
            }
        }
    }
    derived.into()
}
