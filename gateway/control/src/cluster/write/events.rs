//! Events about what is wrong with Ingresses.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use resource::{Ingress, IngressClass, Kind, Problem, ProblemLists, Severity};
use route::ObjectKey;
use tokio::time::Instant;

use super::writer::{GAP, Writer};
use crate::cluster::connection::Fault;
use crate::cluster::door_view::DoorView;
use crate::cluster::read::Store;

/// A problem is reported when it has lasted this long: objects that belong together arrive one after the other.
const LASTING: Duration = Duration::from_secs(2);
/// Bytes of an Event's note (Kubernetes, events.k8s.io/v1).
const NOTE: usize = 1_024;
/// Bytes of `reportingInstance`.
const INSTANCE: usize = 128;
/// How many Events there are about one Ingress. After twenty, a thousand more are of no use.
const MOST_EVENTS: usize = 20;
/// Events that are written in one go.
const MOST_AT_ONCE: usize = 100;
/// Problems that are remembered as reported. The API server recognises older ones.
const REMEMBERED: usize = 20_000;

/// The reasons of Events, and what each says of an Ingress.
pub const EVENT_REASONS: [(&str, &str); 9] = [
    (
        "RuleBlocked",
        "a rule, path or backend cannot be served as written; it answers 503",
    ),
    (
        "RuleNotServed",
        "a rule or path serves nothing, or an older Ingress already has it",
    ),
    (
        "CertificateUnusable",
        "a certificate in `spec.tls` is missing, broken, expired or not yet valid, or not used",
    ),
    (
        "AnnotationRefused",
        "an annotation cannot be honoured; it is ignored, or its routes answer 503",
    ),
    ("AnnotationIgnored", "an annotation is unknown or has no effect"),
    (
        "UnknownLabelValue",
        "the label that selects a door has a value that no door accepts",
    ),
    (
        "NamespaceRefused",
        "the door does not admit Ingresses of this namespace",
    ),
    ("ClassMismatch", "the class of the Ingress is not what it seems"),
    ("Misconfigured", "anything else"),
];

/// Writes Events.
pub(crate) struct EventWriter {
    store: Rc<RefCell<Store>>,
    /// When each problem was first seen.
    since: HashMap<u64, Instant>,
    reported: HashSet<u64>,
    reported_in_order: VecDeque<u64>,
}

impl EventWriter {
    pub(crate) fn new(store: Rc<RefCell<Store>>) -> Self {
        Self {
            store,
            since: HashMap::new(),
            reported: HashSet::new(),
            reported_in_order: VecDeque::new(),
        }
    }

    /// Reports each lasting problem of an Ingress. Returns when to look again.
    pub(crate) async fn write(
        &mut self,
        doors: &dyn DoorView,
        problems: &ProblemLists,
        writer: &mut Writer,
    ) -> Option<Instant> {
        let me = writer.name()?;
        let now = Instant::now();
        let mut again: Option<Instant> = None;
        let mut current = HashSet::new();
        let mut of_each: HashMap<ObjectKey, usize> = HashMap::new();
        let mut due = Vec::new();
        for problem in problems.iter().filter(|problem| is_worth_an_event(problem)) {
            let Some(key) = key_of(problem) else { continue };
            let ingress = {
                let store = self.store.borrow();
                let ingress = store.view.ingress(&key).cloned();
                ingress.filter(|ingress| concerns_us(problem, ingress, doors, &store, &me))
            };
            let Some(ingress) = ingress else { continue };
            let number = of_each.entry(key).or_default();
            *number += 1;
            if *number > MOST_EVENTS {
                continue;
            }
            let mark = mark(&me, &ingress, problem);
            current.insert(mark);
            if self.reported.contains(&mark) {
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
        // Statuses take their turn in between.
        if due.len() > MOST_AT_ONCE {
            due.truncate(MOST_AT_ONCE);
            again = Some(now);
        }
        for (mark, ingress, problem) in due {
            writer.name()?;
            match write_event(mark, &ingress, problem, writer).await {
                // Reported by a predecessor, or the Ingress is gone.
                Ok(()) | Err(Fault::Conflict | Fault::Absent) => {}
                Err(fault) => {
                    return Some(writer.failed("events", "events.k8s.io", "create", &fault));
                }
            }
            self.remember(mark);
            tokio::time::sleep(GAP).await;
        }
        again
    }

    fn remember(&mut self, mark: u64) {
        self.since.remove(&mark);
        if self.reported.insert(mark) {
            self.reported_in_order.push_back(mark);
        }
        if self.reported_in_order.len() > REMEMBERED
            && let Some(oldest) = self.reported_in_order.pop_front()
        {
            self.reported.remove(&oldest);
        }
    }
}

async fn write_event(mark: u64, ingress: &Ingress, problem: &Problem, writer: &Writer) -> Result<(), Fault> {
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
        // The name that our IngressClasses have in `spec.controller`.
        reporting_controller: Some(IngressClass::CONTROLLER.to_owned()),
        reporting_instance: Some(shortened(&writer.instance(), INSTANCE).to_owned()),
        type_: Some("Warning".to_owned()),
        ..Event::default()
    };
    let api: Api<Event> = Api::namespaced(writer.client(), key.namespace());
    let params = PostParams::default();
    writer.answer(api.create(&params, &event)).await?;
    Ok(())
}

fn is_worth_an_event(problem: &Problem) -> bool {
    problem.object.kind == Kind::Ingress && problem.severity != Severity::Note
}

/// Whether this installation reports the problem. Other installations have Ingresses in the same cluster and report
/// those. An Ingress for which somebody else has written an address is served somewhere, even if no selector of ours
/// matches its labels.
fn concerns_us(problem: &Problem, ingress: &Ingress, doors: &dyn DoorView, store: &Store, me: &str) -> bool {
    let is_chosen = doors.choose(ingress, &store.view);
    let is_served_elsewhere = || store.ingress_status(&ingress.key).is_of_others(me);
    is_chosen || (problem.field.starts_with("metadata.labels") && !is_served_elsewhere())
}

fn key_of(problem: &Problem) -> Option<ObjectKey> {
    let namespace = problem.object.namespace.as_deref()?;
    Some(ObjectKey::new(namespace, &*problem.object.name))
}

/// Identifies one problem of one generation of one object as one installation sees it. FNV-1a, because every replica and
/// every release must compute the same.
fn mark(me: &str, ingress: &Ingress, problem: &Problem) -> u64 {
    let generation = ingress.generation.unwrap_or_default().to_le_bytes();
    let parts = [
        me.as_bytes(),
        ingress.uid.as_deref().unwrap_or_default().as_bytes(),
        &generation,
        problem.field.as_bytes(),
        problem.message.as_bytes(),
    ];
    // Separated by a byte that occurs in no text.
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
    fn every_reason_is_documented() {
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
        let guide = include_str!("../../../../../docs/guide-kubernetes.md");
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
