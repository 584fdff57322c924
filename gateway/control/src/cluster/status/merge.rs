//! What one installation has to write into a status with several writers.

use std::collections::BTreeSet;

use super::address::Address;
use super::claims::Claims;
use super::load_balancer::{LoadBalancerStatus, WITH_OTHERS};

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Merged {
    /// The list, sorted as text; `None`: it stays.
    pub(crate) addresses: Option<Vec<Address>>,
    /// The annotation; `None`: it stays.
    pub(crate) claims: Option<Claims>,
    /// The name to write under (`fieldManager`).
    pub(crate) manager: String,
}

/// What the installation `me` has to write, so that what it publishes is in the list, what it no longer publishes is
/// not, and whatever else is there stays; `None` when it is so already.
pub(crate) fn merge(status: &LoadBalancerStatus, me: &str, wanted: &[Address]) -> Option<Merged> {
    let LoadBalancerStatus {
        addresses,
        writer,
        claims,
    } = status;
    let current: BTreeSet<&Address> = addresses.iter().collect();
    let wanted: BTreeSet<&Address> = wanted.iter().collect();
    let wrote_all = writer.as_deref() == Some(me);
    // A writer of the whole list, from before there were claims.
    let stranger = writer
        .as_deref()
        .filter(|writer| claims.are_none() && *writer != me && !writer.ends_with(WITH_OTHERS));
    let is_mine = |address: &Address| match claims.by_name.get(me) {
        Some(claimed) => claimed.contains(address.text()),
        None => wrote_all,
    };
    let is_theirs = |address: &Address| {
        claims
            .of_others(me)
            .any(|claimed| claimed.contains(address.text()))
    };
    let stays = |address: &&Address| wanted.contains(*address) || !is_mine(address) || is_theirs(address);
    let next: BTreeSet<&Address> = current
        .iter()
        .copied()
        .filter(stays)
        .chain(wanted.iter().copied())
        .collect();

    let all_mine = next.is_subset(&wanted);
    // The order of a list with addresses of others is left as it is.
    let is_in_order = !all_mine || addresses.iter().eq(next.iter().copied());
    let rewritten = next != current || !is_in_order;
    let is_known_as_mine = match claims.by_name.get(me) {
        Some(claimed) => current
            .iter()
            .all(|address| claimed.contains(address.text()) == wanted.contains(address)),
        None => wanted.is_empty() || (wrote_all && claims.are_none()),
    };
    if !rewritten && is_known_as_mine {
        return None;
    }

    let texts = |addresses: &BTreeSet<&Address>| -> BTreeSet<Box<str>> {
        addresses.iter().map(|address| address.text().into()).collect()
    };
    let there = texts(&next);
    let mut left = Claims::default();
    for (name, claimed) in claims.by_name.iter().filter(|(name, _)| ***name != *me) {
        let claimed: BTreeSet<Box<str>> = claimed.intersection(&there).cloned().collect();
        if !claimed.is_empty() {
            left.by_name.insert(name.clone(), claimed);
        }
    }
    // Once we have written the list, nothing else would show who had published this.
    if let Some(stranger) = stranger {
        let claimed: BTreeSet<&Address> = current.difference(&wanted).copied().collect();
        if !claimed.is_empty() {
            left.by_name.insert(stranger.into(), texts(&claimed));
        }
    }
    let speaks_for_itself = all_mine && left.by_name.is_empty() && (rewritten || wrote_all);
    if !wanted.is_empty() && !speaks_for_itself {
        left.by_name.insert(me.into(), texts(&wanted));
    }
    Some(Merged {
        addresses: rewritten.then(|| next.into_iter().cloned().collect()),
        claims: (left != *claims).then_some(left),
        manager: if all_mine {
            me.to_owned()
        } else {
            format!("{me}{WITH_OTHERS}")
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::claims::{ANNOTATION, LONGEST};
    use super::*;

    fn ip(text: &str) -> Address {
        Address::Ip(text.into())
    }

    fn ips(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| ip(text)).collect()
    }

    /// What an API server makes of writes: whoever changes the list is its writer.
    #[derive(Debug, Clone, Default)]
    struct Server {
        status: LoadBalancerStatus,
        writes: usize,
    }

    impl Server {
        /// One look of an installation, and its write if it has one; says which addresses that took away.
        fn turn(&mut self, me: &str, wanted: &[Address]) -> Vec<Address> {
            let Some(merged) = merge(&self.status, me, wanted) else {
                return Vec::new();
            };
            self.writes += 1;
            if let Some(claims) = merged.claims {
                let annotations = json!({ ANNOTATION: claims.value() });
                let meta: ObjectMeta =
                    serde_json::from_value(json!({ "annotations": annotations })).unwrap_or_default();
                self.status.claims = Claims::of(&meta);
            }
            let before = self.status.addresses.clone();
            if let Some(addresses) = merged.addresses {
                self.overwrite(&merged.manager, addresses);
            }
            let is_gone = |address: &&Address| !self.status.addresses.contains(address);
            before.iter().filter(is_gone).cloned().collect()
        }

        fn says_it_is_of(&self, name: &str, address: &Address) -> bool {
            let LoadBalancerStatus { writer, claims, .. } = &self.status;
            match claims.by_name.get(name) {
                Some(claimed) => claimed.contains(address.text()),
                None => claims.are_none() && writer.as_deref() == Some(name),
            }
        }

        fn overwrite(&mut self, writer: &str, addresses: Vec<Address>) {
            if *self.status.addresses != *addresses {
                self.status.writer = (!addresses.is_empty()).then(|| writer.into());
                self.status.addresses = addresses.into();
            }
        }

        /// Lets everybody write until nobody has anything to write any more.
        fn settle(&mut self, all: &BTreeMap<&str, Vec<Address>>) {
            for _ in 0..6 {
                let before = self.writes;
                for (name, wanted) in all {
                    self.turn(name, wanted);
                }
                if self.writes == before {
                    return;
                }
            }
            panic!("they never end: {self:?} {all:?}");
        }
    }

    #[test]
    fn a_lone_installation_writes_only_its_addresses() {
        let mut server = Server::default();
        server.turn("edge", &ips(&["10.0.0.2", "10.0.0.1"]));
        assert_eq!(*server.status.addresses, *ips(&["10.0.0.1", "10.0.0.2"]));
        assert_eq!(server.status.claims, Claims::default());
        assert_eq!(
            merge(&server.status, "edge", &ips(&["10.0.0.1", "10.0.0.2"])),
            None
        );
        // All of it is ours, also for a successor that knows nothing else.
        server.turn("edge", &ips(&["10.0.0.3"]));
        assert_eq!(*server.status.addresses, *ips(&["10.0.0.3"]));
        server.turn("edge", &[]);
        assert_eq!(*server.status.addresses, []);
        assert_eq!((server.writes, server.status.claims), (3, Claims::default()));
    }

    #[test]
    fn addresses_of_others_stay() {
        let odd = Address::Other(r#"{"hostname":"x","ip":"10.9.9.9"}"#.into());
        let mut server = Server::default();
        server.overwrite("nginx", [odd.clone(), ip("10.0.0.9")].into());
        server.turn("edge", &ips(&["10.0.0.1"]));
        let expected = [ip("10.0.0.1"), ip("10.0.0.9"), odd.clone()];
        assert_eq!(*server.status.addresses, expected);
        assert_eq!(server.status.writer.as_deref(), Some("edge+others"));
        // The annotation is lost: nothing is taken for ours that may not be, and ours is still there.
        server.status.claims = Claims::default();
        assert_eq!(server.turn("edge", &ips(&["10.0.0.1"])), []);
        assert_eq!(*server.status.addresses, expected);
        server.turn("edge", &[]);
        assert_eq!(*server.status.addresses, [ip("10.0.0.9"), odd]);
        assert_eq!(merge(&server.status, "edge", &[]), None);
        // One of our addresses that another writer has written, although no door of ours admits the Ingress.
        server.overwrite("other", ips(&["10.0.0.1"]));
        assert_eq!(merge(&server.status, "edge", &[]), None);
    }

    #[test]
    fn an_address_that_two_publish_disappears_with_the_last_of_them() {
        let mut server = Server::default();
        let mut all = BTreeMap::from([("blue", ips(&["10.0.0.1"])), ("green", ips(&["10.0.0.1"]))]);
        server.settle(&all);
        assert_eq!(*server.status.addresses, *ips(&["10.0.0.1"]));
        for (name, left) in [("blue", 1), ("green", 0)] {
            all.insert(name, Vec::new());
            server.turn(name, &[]);
            assert_eq!(server.status.addresses.len(), left, "{name}: {server:?}");
            server.settle(&all);
            assert_eq!(server.status.addresses.len(), left, "{name}: {server:?}");
        }
    }

    #[test]
    fn garbage_in_the_annotation_is_overwritten() {
        for garbage in ["", "[]", "{\"edge\": 1}", &"x".repeat(LONGEST + 1)] {
            let meta = ObjectMeta {
                annotations: Some([(ANNOTATION.to_owned(), garbage.to_owned())].into()),
                ..ObjectMeta::default()
            };
            let mut server = Server::default();
            server.overwrite("nginx", ips(&["10.0.0.9"]));
            server.status.claims = Claims::of(&meta);
            let all = BTreeMap::from([("edge", ips(&["10.0.0.1"]))]);
            server.settle(&all);
            assert_eq!(*server.status.addresses, *ips(&["10.0.0.1", "10.0.0.9"]));
            server.settle(&BTreeMap::from([("edge", Vec::new())]));
            assert_eq!(*server.status.addresses, *ips(&["10.0.0.9"]), "{garbage}");
        }
    }

    const NAMES: [&str; 3] = ["a", "ns/b", "c"];

    /// What happens to an Ingress that three installations may admit.
    #[derive(Debug, Clone)]
    enum Happening {
        /// The doors of one publish something else, or no longer admit it. It has not looked yet.
        Publishes(usize, Vec<u8>),
        /// One looks, and writes what it has to. It remembers nothing, as after a restart.
        Looks(usize),
        /// Another writer writes these addresses instead of, or in addition to, the existing ones.
        Overwritten(Vec<u8>, bool),
    }

    fn happening() -> impl Strategy<Value = Happening> {
        let numbers = || prop::collection::vec(0..4_u8, 0..3);
        prop_oneof![
            3 => (0..3_usize, numbers()).prop_map(|(who, what)| Happening::Publishes(who, what)),
            6 => (0..3_usize).prop_map(Happening::Looks),
            1 => (numbers(), any::<bool>()).prop_map(|(what, beside)| Happening::Overwritten(what, beside)),
        ]
    }

    fn numbered(net: u8, numbers: &[u8]) -> Vec<Address> {
        let mut addresses: Vec<Address> = numbers
            .iter()
            .map(|number| ip(&format!("10.0.{net}.{number}")))
            .collect();
        addresses.sort();
        addresses.dedup();
        addresses
    }

    proptest! {
        /// Whatever order they look in: nobody takes away what another one has published, or what is of neither; in
        /// the end everything is there and nothing else, and then nobody writes any more.
        #[test]
        fn installations_leave_each_others_addresses(
            happenings in prop::collection::vec(happening(), 0..30)
        ) {
            let mut server = Server::default();
            let mut published: BTreeMap<&str, Vec<Address>> = NAMES.iter().map(|name| (*name, Vec::new())).collect();
            // What each has seen in the status when it looked last.
            let mut settled: BTreeMap<&str, Vec<Address>> = BTreeMap::new();
            let mut foreign: BTreeSet<Address> = BTreeSet::new();
            for happening in happenings {
                match happening {
                    Happening::Publishes(who, what) => {
                        let name = NAMES[who];
                        let what = numbered(1, &what);
                        settled.entry(name).or_default().retain(|address| what.contains(address));
                        published.insert(name, what);
                    }
                    Happening::Looks(who) => {
                        let name = NAMES[who];
                        let wanted = published[name].clone();
                        for gone in server.turn(name, &wanted) {
                            prop_assert!(!foreign.contains(&gone), "{name} took {gone:?}");
                            let of_others = settled.iter().filter(|(other, _)| **other != name);
                            for (other, theirs) in of_others {
                                prop_assert!(!theirs.contains(&gone), "{name} took {gone:?} of {other}");
                            }
                        }
                        settled.insert(name, wanted);
                        // An address that two publish is the first one's by what is written down once both have looked.
                        for (other, theirs) in &mut settled {
                            theirs.retain(|address| server.says_it_is_of(other, address));
                        }
                    }
                    Happening::Overwritten(what, beside) => {
                        // An address without an owner replaces everything that has been recorded.
                        server.settle(&published);
                        let mut addresses = numbered(2, &what);
                        if beside {
                            addresses.extend(server.status.addresses.iter().cloned());
                        }
                        foreign = addresses.iter().filter(|address| address.text().starts_with("10.0.2.")).cloned().collect();
                        server.overwrite("kubectl-edit", addresses);
                        server.settle(&published);
                        settled = published.clone();
                    }
                }
            }
            server.settle(&published);
            let expected: BTreeSet<Address> = published.values().flatten().chain(&foreign).cloned().collect();
            prop_assert_eq!(server.status.addresses.iter().cloned().collect::<BTreeSet<_>>(), expected);
            // An installation that restarts finds nothing to do.
            for (name, wanted) in &published {
                prop_assert_eq!(merge(&server.status, name, wanted), None);
            }
        }
    }
}
