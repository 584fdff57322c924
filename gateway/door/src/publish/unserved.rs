//! The hosts of Ingresses that stand at no door, for the log alone.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use resource::{ClusterView, Ingress};
use route::{Host, HostPattern, ListenerName, ObjectKey, RequestHost};

use crate::admission::Policy;

/// How many hosts are known. If there are more, each namespace has an equal share. Of a host that is not known, the line of a
/// request says what it says of one that nobody has.
const MOST: usize = 10_000;

/// The hosts of Ingresses that no door of this process admits. They tell whoever reads the log why a request was not
/// answered. They are no part of a snapshot: what a door answers never depends on them.
#[derive(Debug, Default)]
pub struct Unserved {
    exact: HashMap<Host, Arc<UnservedIngress>>,
    /// By suffix.
    wildcard: HashMap<Host, Arc<UnservedIngress>>,
}

/// An Ingress that no door of this process admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnservedIngress {
    /// Namespace and name.
    pub key: ObjectKey,
    /// The door of another process that its labels or its class choose.
    pub door: Option<ListenerName>,
}

impl Unserved {
    /// An Ingress whose rules name the host, else one with a wildcard for it; of several, the first by its name.
    #[must_use]
    pub fn find(&self, host: &RequestHost<'_>) -> Option<&UnservedIngress> {
        let covered = || self.wildcard.get(host.parent()?);
        let found = self.exact.get(host.as_str()).or_else(covered);
        found.map(Arc::as_ref)
    }

    fn of(keys: &BTreeSet<ObjectKey>, others: &[(ListenerName, Policy)], view: &ClusterView) -> Self {
        let mut found = Self::default();
        let mut left = Shares::of(keys, view);
        for ingress in keys.iter().filter_map(|key| view.ingress(key)) {
            let elsewhere = others.iter().find(|(_, policy)| policy.chooses(ingress, view));
            let named = Arc::new(UnservedIngress {
                key: ingress.key.clone(),
                door: elsewhere.map(|(door, _)| door.clone()),
            });
            for host in ingress.rule_hosts() {
                let (hosts, host) = match host {
                    HostPattern::Any => continue,
                    HostPattern::Exact(host) => (&mut found.exact, host),
                    HostPattern::Wildcard(suffix) => (&mut found.wildcard, suffix),
                };
                if let Entry::Vacant(free) = hosts.entry(host.clone())
                    && left.take(ingress.key.namespace())
                {
                    free.insert(Arc::clone(&named));
                }
            }
        }
        found
    }
}

/// How many hosts of each namespace there is still room for: nobody's hosts take the room of other namespaces.
struct Shares<'k>(HashMap<&'k str, usize>);

impl<'k> Shares<'k> {
    fn of(keys: &'k BTreeSet<ObjectKey>, view: &ClusterView) -> Self {
        let namespaces: HashSet<&str> = keys.iter().map(ObjectKey::namespace).collect();
        let ingresses = keys.iter().filter_map(|key| view.ingress(key));
        let hosts: usize = ingresses.map(|ingress| ingress.rule_hosts().count()).sum();
        let each = if hosts <= MOST {
            MOST
        } else {
            MOST / namespaces.len().max(1)
        };
        Self(
            namespaces
                .into_iter()
                .map(|namespace| (namespace, each))
                .collect(),
        )
    }

    /// Takes the room for one more host, if there is some.
    fn take(&mut self, namespace: &str) -> bool {
        let Some(left) = self.0.get_mut(namespace).filter(|left| **left > 0) else {
            return false;
        };
        *left -= 1;
        true
    }
}

/// Which Ingresses are unserved, from one publication to the next.
#[derive(Debug, Default)]
pub(crate) struct UnservedRoll {
    keys: BTreeSet<ObjectKey>,
    hosts: Arc<Unserved>,
}

impl UnservedRoll {
    /// All of a view.
    pub(crate) fn new(
        view: &ClusterView,
        others: &[(ListenerName, Policy)],
        is_admitted: impl Fn(&Ingress) -> bool,
    ) -> Self {
        let keys = view.ingresses().filter(|ingress| !is_admitted(ingress));
        let keys = keys.map(|ingress| ingress.key.clone()).collect();
        Self {
            hosts: Arc::new(Unserved::of(&keys, others, view)),
            keys,
        }
    }

    /// Takes over what became of these Ingresses.
    pub(crate) fn revise(
        &mut self,
        changed: &BTreeSet<ObjectKey>,
        view: &ClusterView,
        others: &[(ListenerName, Policy)],
        is_admitted: impl Fn(&Ingress) -> bool,
    ) {
        let mut concerned = false;
        for key in changed {
            let is_unserved = view.ingress(key).is_some_and(|ingress| !is_admitted(ingress));
            let was_unserved = if is_unserved {
                !self.keys.insert(key.clone())
            } else {
                self.keys.remove(key)
            };
            concerned |= is_unserved || was_unserved;
        }
        if concerned {
            self.hosts = Arc::new(Unserved::of(&self.keys, others, view));
        }
    }

    /// Their hosts.
    pub(crate) fn hosts(&self) -> &Arc<Unserved> {
        &self.hosts
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use resource::manifest;
    use route::{HostBuf, normalise_authority};

    use super::*;

    fn view(yaml: &str) -> ClusterView {
        let parsed = manifest::parse("test.yaml", yaml.as_bytes());
        manifest::collect([&parsed]).0
    }

    fn ingress(name: &str, hosts: &[String]) -> String {
        let mut yaml = format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{ name: {name}, namespace: n }}\nspec:\n  rules:\n"
        );
        for host in hosts {
            writeln!(yaml, "  - {{ host: \"{host}\" }}").unwrap();
        }
        yaml
    }

    fn found(unserved: &Unserved, host: &str) -> Option<String> {
        let mut buf = HostBuf::new();
        let host = normalise_authority(host.as_bytes(), &mut buf).unwrap();
        unserved.find(&host).map(|ingress| ingress.key.to_string())
    }

    #[test]
    fn a_precise_host_comes_before_a_wildcard_and_the_first_name_first() {
        let hosts = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let yaml = [
            ingress("b", &hosts(&["a.test", "*.a.test"])),
            ingress("a", &hosts(&["x.a.test", "a.test"])),
            ingress("served", &hosts(&["served.test"])),
        ];
        let roll = UnservedRoll::new(&view(&yaml.concat()), &[], |ingress| {
            ingress.key.name() == "served"
        });
        let find = |host| found(roll.hosts(), host);
        assert_eq!(find("A.test.:80").as_deref(), Some("n/a"));
        assert_eq!(find("x.a.test").as_deref(), Some("n/a"));
        assert_eq!(find("y.a.test").as_deref(), Some("n/b"));
        for nobodys in ["z.y.a.test", "served.test", "test", "192.0.2.1"] {
            assert_eq!(find(nobodys), None, "{nobodys}");
        }
    }

    #[test]
    fn a_tenant_with_many_hosts_has_a_bound() {
        let hosts: Vec<String> = (0..MOST + 5).map(|number| format!("h{number:06}.test")).collect();
        let mut roll = UnservedRoll::new(&view(&ingress("a", &hosts)), &[], |_| false);
        assert_eq!(roll.hosts().exact.len(), MOST);
        assert_eq!(found(roll.hosts(), "h010004.test"), None);
        // It is gone, and there is room.
        let others = view(&ingress("b", &hosts[MOST..]));
        let changed = ["a", "b"].map(|name| ObjectKey::new("n", name)).into();
        roll.revise(&changed, &others, &[], |_| false);
        assert_eq!(roll.hosts().exact.len(), 5);
        assert_eq!(found(roll.hosts(), "h010004.test").as_deref(), Some("n/b"));
    }

    #[test]
    fn a_tenant_with_many_hosts_takes_no_room_of_others() {
        let hosts: Vec<String> = (0..MOST).map(|number| format!("h{number}.test")).collect();
        let greedy = ingress("a", &hosts) + &ingress("b", &hosts[..5]);
        let modest = ingress("c", &["c.test".to_owned(), "*.c.test".to_owned()]);
        let modest = modest.replace("namespace: n ", "namespace: z ");
        let roll = UnservedRoll::new(&view(&(greedy + &modest)), &[], |_| false);
        let find = |host| found(roll.hosts(), host);
        assert_eq!(roll.hosts().exact.len(), MOST / 2 + 1);
        assert_eq!(find("h0.test").as_deref(), Some("n/a"));
        assert_eq!(find("c.test").as_deref(), Some("z/c"));
        assert_eq!(find("x.c.test").as_deref(), Some("z/c"));
        assert_eq!(find("h9999.test"), None);
    }
}
