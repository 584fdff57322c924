//! Back to the user: the status of Ingresses, and Events about what is wrong with them.
//!
//! Both are functions of what is known now. What is already so is not written, so that writing ends when nothing
//! changes, and a replica that takes over the Lease writes nothing that its predecessor has written.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::Ingress as RawIngress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use resource::{Ingress, IngressClass, Kind, Problem, Severity};
use route::ObjectKey;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::fault::Fault;
use super::outlook::{Wanted, wanted};
use super::seen::{Address, FIELD_MANAGER};
use super::store::Store;
use super::{Briefing, Connection, lease};

/// Before what has changed is looked through, so that a storm is looked through once. Doors come first.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two writes.
const GAP: Duration = Duration::from_millis(20);
/// A problem is told when it has lasted this long: objects that belong together arrive one after the other.
const LASTING: Duration = Duration::from_secs(2);
/// After a write that failed, and before the same status is written again over somebody else's.
const AGAIN: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of an Event's note (Kubernetes, events.k8s.io/v1).
const NOTE: usize = 1_024;
/// Events about one Ingress: whoever reads twenty does not read the next thousand.
const MOST_EVENTS: usize = 20;
/// Events that are written in one go.
const MOST_AT_ONCE: usize = 100;
/// Problems that are remembered as told; older ones are recognised by the API server.
const REMEMBERED: usize = 20_000;

/// The reasons of Events, and what each says of an Ingress.
pub const EVENT_REASONS: [(&str, &str); 9] = [
    (
        "RuleBlocked",
        "a rule, path or backend cannot be served as written; it answers 503",
    ),
    (
        "RuleNotServed",
        "a rule or path serves nothing, or an older Ingress has it already",
    ),
    (
        "CertificateUnusable",
        "a certificate in `spec.tls` is missing, broken, untimely or not used",
    ),
    (
        "AnnotationRefused",
        "an annotation cannot be honoured; it is ignored, or its routes answer 503",
    ),
    ("AnnotationIgnored", "an annotation is unknown or has no effect"),
    (
        "UnknownLabelValue",
        "the label that chooses a door has a value that no door accepts",
    ),
    (
        "NamespaceRefused",
        "the door does not admit Ingresses of this namespace",
    ),
    ("ClassMismatch", "the class of the Ingress is not what it seems"),
    ("Misconfigured", "anything else"),
];

/// Writes while the Lease is held, for ever.
pub(super) async fn run(
    connection: Connection,
    store: Rc<RefCell<Store>>,
    mut changes: watch::Receiver<()>,
    briefing: &Briefing,
) {
    let (held, mut holding) = watch::channel(None);
    let mut doors = briefing.doors.subscribe();
    let mut problems = briefing.problems.subscribe();
    let mut reporter = Reporter {
        connection: connection.clone(),
        store,
        holding: held.subscribe(),
        statuses: HashMap::new(),
        since: HashMap::new(),
        told: HashSet::new(),
        told_in_order: VecDeque::new(),
        denied: HashSet::new(),
    };
    let write = async {
        let mut next: Option<Instant> = None;
        loop {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                changed = doors.changed() => if changed.is_err() { return },
                changed = problems.changed() => if changed.is_err() { return },
                changed = holding.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
            tokio::time::sleep(PAUSE).await;
            changes.mark_unchanged();
            next = None;
            if reporter.is_holding() {
                let doors = doors.borrow_and_update().clone();
                let problems = problems.borrow_and_update().clone();
                let again = [reporter.statuses(&doors).await, reporter.events(&problems).await];
                next = again.into_iter().flatten().min();
            }
        }
    };
    tokio::join!(lease::hold(connection, &held, &briefing.retirement), write);
}

struct Reporter {
    connection: Connection,
    store: Rc<RefCell<Store>>,
    holding: watch::Receiver<Option<Instant>>,
    /// What was last written, and when.
    statuses: HashMap<ObjectKey, (Vec<Address>, Instant)>,
    /// Since when there has been which problem.
    since: HashMap<u64, Instant>,
    told: HashSet<u64>,
    told_in_order: VecDeque<u64>,
    /// What has been found not to be allowed.
    denied: HashSet<&'static str>,
}

/// A status to be written.
struct Write {
    key: ObjectKey,
    addresses: Vec<Address>,
}

impl Reporter {
    fn is_holding(&self) -> bool {
        self.holding.borrow().is_some_and(|until| until > Instant::now())
    }

    /// Writes each status that is not what it should be; says when to look again.
    async fn statuses(&mut self, doors: &[super::DoorOutlook]) -> Option<Instant> {
        let now = Instant::now();
        let mut again: Option<Instant> = None;
        let due: Vec<Write> = self
            .differing(doors)
            .into_iter()
            .filter(|write| match self.statuses.get(&write.key) {
                // Either our own write has not come back yet, or somebody undoes it: that is no race to be won.
                Some((addresses, at)) if *addresses == write.addresses && *at + AGAIN > now => {
                    again = Some(again.map_or(*at + AGAIN, |other| other.min(*at + AGAIN)));
                    false
                }
                Some(_) | None => true,
            })
            .collect();
        for write in due {
            if !self.is_holding() {
                return None;
            }
            match self.write_status(&write).await {
                Ok(()) | Err(Fault::Absent) => {}
                Err(fault) => {
                    self.complain("ingresses/status", "networking.k8s.io", "patch", &fault);
                    let later = Instant::now() + AGAIN;
                    again = Some(again.map_or(later, |other| other.min(later)));
                    if fault.is_loss() || matches!(fault, Fault::Forbidden(_)) {
                        return again;
                    }
                }
            }
            self.statuses.insert(write.key, (write.addresses, Instant::now()));
            tokio::time::sleep(GAP).await;
        }
        again
    }

    /// The Ingresses whose status is not what it should be.
    fn differing(&mut self, doors: &[super::DoorOutlook]) -> Vec<Write> {
        let store = self.store.borrow();
        self.statuses.retain(|key, _| store.view.ingress(key).is_some());
        let known: HashSet<&Address> = doors
            .iter()
            .flat_map(|door| match &door.publish {
                super::Publish::Addresses(addresses) => addresses.as_slice(),
                super::Publish::Nothing | super::Publish::Service(_) => &[],
            })
            .collect();
        let mut writes = Vec::new();
        for ingress in store.view.ingresses() {
            let status = store.ingress_status(&ingress.key);
            let current = status.map(|status| &*status.addresses).unwrap_or_default();
            let service = |key: &ObjectKey| {
                let is_there = store.view.service(key).is_some();
                is_there.then(|| store.addresses_of(key))
            };
            match wanted(doors, &store.view, ingress, service) {
                Wanted::Addresses(addresses) if *addresses != *current => writes.push(Write {
                    key: ingress.key.clone(),
                    addresses,
                }),
                Wanted::Addresses(_) | Wanted::Unknown => {}
                Wanted::Nothing => {
                    let ours = status.is_some_and(|status| {
                        status.is_ours || current.iter().all(|address| known.contains(address))
                    });
                    if ours && !current.is_empty() && !belongs_elsewhere(doors, ingress, &store) {
                        writes.push(Write {
                            key: ingress.key.clone(),
                            addresses: Vec::new(),
                        });
                    }
                }
            }
        }
        writes
    }

    async fn write_status(&self, write: &Write) -> Result<(), Fault> {
        let entries: Vec<serde_json::Value> = write
            .addresses
            .iter()
            .filter_map(|address| match address {
                Address::Hostname(name) => Some(serde_json::json!({ "hostname": name })),
                Address::Ip(ip) => Some(serde_json::json!({ "ip": ip })),
                Address::Other => None,
            })
            .collect();
        let entries = if entries.is_empty() {
            serde_json::Value::Null
        } else {
            entries.into()
        };
        let patch = serde_json::json!({ "status": { "loadBalancer": { "ingress": entries } } });
        let api: Api<RawIngress> = Api::namespaced(self.connection.client.clone(), write.key.namespace());
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&patch);
        answered(api.patch_status(write.key.name(), &params, &patch)).await?;
        tracing::debug!(ingress = %write.key, addresses = ?write.addresses, "status written");
        Ok(())
    }

    /// Tells of each lasting problem of an Ingress; says when to look again.
    async fn events(&mut self, problems: &[Problem]) -> Option<Instant> {
        let now = Instant::now();
        let mut again: Option<Instant> = None;
        let mut current = HashSet::new();
        let mut of_each: HashMap<ObjectKey, usize> = HashMap::new();
        let mut due = Vec::new();
        for problem in problems.iter().filter(|problem| is_worth_an_event(problem)) {
            let Some(key) = key_of(problem) else { continue };
            let number = of_each.entry(key.clone()).or_default();
            *number += 1;
            if *number > MOST_EVENTS {
                continue;
            }
            let Some(ingress) = self.store.borrow().view.ingress(&key).cloned() else {
                continue;
            };
            let mark = mark(&ingress, problem);
            current.insert(mark);
            if self.told.contains(&mark) {
                continue;
            }
            let ripe = *self.since.entry(mark).or_insert(now) + LASTING;
            if ripe <= now {
                due.push((mark, ingress, problem));
            } else {
                again = Some(again.map_or(ripe, |other| other.min(ripe)));
            }
        }
        self.since.retain(|mark, _| current.contains(mark));
        // Statuses have their turn in between.
        if due.len() > MOST_AT_ONCE {
            due.truncate(MOST_AT_ONCE);
            again = Some(now);
        }
        for (mark, ingress, problem) in due {
            if !self.is_holding() {
                return None;
            }
            match self.write_event(mark, &ingress, problem).await {
                // Told by a predecessor, or an Ingress that is gone.
                Ok(()) | Err(Fault::Conflict | Fault::Absent) => {}
                Err(fault) => {
                    self.complain("events", "events.k8s.io", "create", &fault);
                    return Some(Instant::now() + AGAIN);
                }
            }
            self.remember(mark);
            tokio::time::sleep(GAP).await;
        }
        again
    }

    fn remember(&mut self, mark: u64) {
        self.since.remove(&mark);
        if self.told.insert(mark) {
            self.told_in_order.push_back(mark);
        }
        if self.told_in_order.len() > REMEMBERED
            && let Some(oldest) = self.told_in_order.pop_front()
        {
            self.told.remove(&oldest);
        }
    }

    async fn write_event(&self, mark: u64, ingress: &Ingress, problem: &Problem) -> Result<(), Fault> {
        let key = &ingress.key;
        let event = Event {
            metadata: ObjectMeta {
                // The same for the same problem: the API server then refuses to store it twice.
                name: Some(format!("{}.{mark:016x}", shortened(key.name(), 230))),
                namespace: Some(key.namespace().to_owned()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(Timestamp::now())),
            action: Some("Compile".to_owned()),
            reason: Some(reason(problem).to_owned()),
            note: Some(note(problem)),
            regarding: Some(ObjectReference {
                api_version: Some("networking.k8s.io/v1".to_owned()),
                kind: Some("Ingress".to_owned()),
                namespace: Some(key.namespace().to_owned()),
                name: Some(key.name().to_owned()),
                uid: ingress.uid.as_deref().map(str::to_owned),
                ..ObjectReference::default()
            }),
            // Events call themselves by what a class of ours names.
            reporting_controller: Some(IngressClass::CONTROLLER.to_owned()),
            reporting_instance: Some(shortened(&self.connection.identity, 128).to_owned()),
            type_: Some("Warning".to_owned()),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.connection.client.clone(), key.namespace());
        let params = PostParams::default();
        answered(api.create(&params, &event)).await?;
        Ok(())
    }

    /// Says once what right is missing.
    fn complain(&mut self, resource: &'static str, group: &str, verb: &str, fault: &Fault) {
        if !matches!(fault, Fault::Forbidden(_)) {
            tracing::debug!(resource, %fault, "cannot be written; trying again");
            return;
        }
        if self.denied.insert(resource) {
            tracing::warn!(
                %fault,
                "no right to write {resource}; add this rule: {{apiGroups: [\"{group}\"], resources: [\"{resource}\"], \
                 verbs: [\"{verb}\"]}}"
            );
        }
    }
}

async fn answered<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Fault> {
    match timeout(ANSWER, request).await {
        Ok(result) => result.map_err(Fault::from),
        Err(_elapsed) => Err(Fault::Stalled(ANSWER)),
    }
}

/// Whether the Ingress is for another controller to care for.
fn belongs_elsewhere(doors: &[super::DoorOutlook], ingress: &Ingress, store: &Store) -> bool {
    !doors
        .iter()
        .any(|door| door.policy.class_admits(ingress, &store.view))
}

fn is_worth_an_event(problem: &Problem) -> bool {
    problem.object.kind == Kind::Ingress && problem.severity != Severity::Note
}

fn key_of(problem: &Problem) -> Option<ObjectKey> {
    let namespace = problem.object.namespace.as_deref()?;
    Some(ObjectKey::new(namespace, &*problem.object.name))
}

/// Stands for one problem of one generation of one object, in every replica and release: FNV-1a, which is written down.
fn mark(ingress: &Ingress, problem: &Problem) -> u64 {
    let generation = ingress.generation.unwrap_or_default().to_le_bytes();
    let parts = [
        ingress.uid.as_deref().unwrap_or_default().as_bytes(),
        &generation,
        problem.field.as_bytes(),
        problem.message.as_bytes(),
    ];
    // Between them a byte that is in no text.
    let bytes = parts.iter().flat_map(|part| part.iter().chain(&[0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn reason(problem: &Problem) -> &'static str {
    let is_error = problem.severity == Severity::Error;
    let field = problem.field.as_str();
    let begins = |start: &str| field.starts_with(start);
    if begins("spec.tls") {
        "CertificateUnusable"
    } else if begins("spec.ingressClassName") {
        "ClassMismatch"
    } else if begins("spec.") && is_error {
        "RuleBlocked"
    } else if begins("spec") {
        "RuleNotServed"
    } else if begins("metadata.annotations") && is_error {
        "AnnotationRefused"
    } else if begins("metadata.annotations") {
        "AnnotationIgnored"
    } else if begins("metadata.labels") {
        "UnknownLabelValue"
    } else if begins("metadata.namespace") {
        "NamespaceRefused"
    } else {
        "Misconfigured"
    }
}

fn note(problem: &Problem) -> String {
    let note = if problem.field.is_empty() {
        problem.message.clone()
    } else {
        format!("{}: {}", problem.field, problem.message)
    };
    shortened(&note, NOTE).to_owned()
}

/// The longest beginning of at most so many bytes.
fn shortened(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_written_down() {
        let fields = [
            "spec.tls[0].secretName",
            "spec.ingressClassName",
            "spec.rules[0].host",
            "spec",
            "metadata.annotations[x]",
            "metadata.labels[expose]",
            "metadata.namespace",
            "metadata.name",
        ];
        let ingress = resource::ObjectRef::global(Kind::Ingress, "x");
        let mut reasons = HashSet::new();
        for field in fields {
            for severity in [Severity::Error, Severity::Warning] {
                let mut problem = Problem::of_file(severity, "x", "x");
                problem.object = ingress.clone();
                field.clone_into(&mut problem.field);
                reasons.insert(reason(&problem));
            }
        }
        let documented: HashSet<&str> = EVENT_REASONS.iter().map(|(reason, _)| *reason).collect();
        assert_eq!(reasons, documented);
    }

    #[test]
    fn the_guide_lists_every_reason() {
        let guide = include_str!("../../../../docs/guide-kubernetes.md");
        for (reason, meaning) in EVENT_REASONS {
            let row = format!("| `{reason}` | {meaning} |");
            assert!(guide.contains(&row), "{row}");
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(shortened("grün", 3), "gr");
        assert_eq!(shortened("grün", 4), "grü");
        assert_eq!(shortened("", 4), "");
        assert_eq!(shortened("grün", 100), "grün");
    }
}
