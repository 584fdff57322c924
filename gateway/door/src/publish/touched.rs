//! What a change concerns at one door.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use resource::{ClusterView, Difference, Ingress, Kind, ObjectRef};
use route::{HostPattern, ObjectKey};

use super::ledger::DoorRecord;
use crate::admission::{MembershipChange, claimed};
use crate::references::{callees, is, objects};

/// So many Ingresses are always compiled one by one. Of more, up to half of the door's.
const FEW: usize = 500;

/// What must be compiled again.
#[derive(Default)]
pub(super) struct Touched {
    /// As they are now, or as they were if they have been deleted.
    pub(super) ingresses: HashMap<ObjectKey, Arc<Ingress>>,
    /// All hosts that any of them names, now or before: an Ingress that shares a host with one of them is one of them.
    pub(super) hosts: BTreeSet<HostPattern>,
    /// Certificates for clients may be others, although no Ingress is.
    pub(super) certificates: bool,
    /// Hosts whose other Ingresses have not been searched yet.
    unseen: Vec<HostPattern>,
}

impl Touched {
    /// `None` when there are too many, or when all others are concerned.
    pub(super) fn find(
        record: &DoorRecord,
        membership: &MembershipChange,
        changed: &Difference,
        view: &ClusterView,
    ) -> Option<Self> {
        // If any TLS is passed through, every name of the door is either passed or kept.
        if membership.begins_or_ends_passing {
            return None;
        }
        let mut touched = Self::default();
        let calling = changed
            .services
            .iter()
            .flat_map(|service| record.members.naming_service(service));
        // What is there now comes last and stays.
        let came_or_went = membership.left.iter().chain(&membership.joined);
        for ingress in came_or_went.chain(&membership.judged).chain(calling) {
            touched.add(ingress);
        }
        touched.add_readers(record, changed);
        touched.add_callers(record, changed, view);
        let most = FEW.max(record.members.len() / 2);
        while let Some(host) = touched.unseen.pop() {
            for ingress in record.members.naming_host(&host) {
                touched.add(ingress);
            }
            if touched.ingresses.len() > most {
                return None;
            }
        }
        Some(touched)
    }

    /// Adds what refers to a Secret, a ConfigMap or a Middleware that has changed.
    fn add_readers(&mut self, record: &DoorRecord, changed: &Difference) {
        let tls = record.policy.tls.as_ref();
        let of_door = |object: &ObjectRef| {
            let mut secrets = tls.into_iter().flat_map(|tls| tls.secrets());
            secrets.any(|key| is(object, Kind::Secret, key))
        };
        for object in &changed.objects {
            self.certificates |= of_door(object);
            for ingress in record.members.naming_object(object) {
                for named in objects(ingress).filter(|named| named.is(object)) {
                    if named.is_certificate() {
                        self.certificates |= tls.is_some();
                    } else {
                        self.add(ingress);
                    }
                }
            }
        }
    }

    /// Adds what calls a name whose addresses have changed: no Service stands for it, so no index has it.
    fn add_callers(&mut self, record: &DoorRecord, changed: &Difference, view: &ClusterView) {
        if changed.names.is_empty() {
            return;
        }
        for admitted in record.members.admitted() {
            let ingress = admitted.ingress();
            let mut names = callees(ingress, view)
                .into_iter()
                .filter_map(|callee| callee.name.as_ref());
            if names.any(|name| changed.names.contains(name)) {
                self.add(ingress);
            }
        }
    }

    fn add(&mut self, ingress: &Arc<Ingress>) {
        let before = self.ingresses.insert(ingress.key.clone(), Arc::clone(ingress));
        if before.is_some_and(|before| Arc::ptr_eq(&before, ingress)) {
            return;
        }
        for host in claimed(ingress) {
            if self.hosts.insert(host.clone()) {
                self.unseen.push(host.clone());
            }
        }
    }
}
