//! Events about what is wrong with Ingresses.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use resource::{Ingress, IngressClass, Kind, ObjectRef, Problem, ProblemLists, Severity, Topic};
use route::ObjectKey;
use tokio::time::Instant;

use super::writer::{GAP, Refusals, Writer};
use crate::cluster::connection::Fault;
use crate::cluster::door_view::DoorView;
use crate::cluster::read::Store;
use crate::fair::Turns;

/// A problem is reported when it has lasted this long: objects that belong together arrive one after the other.
const LASTING: Duration = Duration::from_secs(2);
/// Bytes of an Event's note (Kubernetes, events.k8s.io/v1).
const NOTE: usize = 1_024;
/// Bytes of `reportingInstance`.
const INSTANCE: usize = 128;
/// How many Events there are about one Ingress. After twenty, a thousand more are of no use.
const MOST_EVENTS: usize = 20;
/// Problems of one Ingress that are remembered as reported.
const REMEMBERED: usize = 2 * MOST_EVENTS;
/// More Ingresses than this that turn out to be served nowhere at the same moment are a crowd: they have been there before,
/// or belong to somebody else. So many of them are reported,
const CROWD: u32 = 100;
/// and one more after each pause. A restart in a large cluster must not cost a request for each of them.
const CROWD_PAUSE: Duration = Duration::from_secs(10);

/// The reasons of Events, and what each says of an Ingress.
pub const EVENT_REASONS: [(&str, &str); 16] = [
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
        "FilterRefused",
        "a filter or a Middleware cannot be honoured; its routes answer 503",
    ),
    (
        "FilterConflict",
        "two annotations or Middlewares contradict each other; their routes answer 503",
    ),
    (
        "ReferenceMissing",
        "an object that a filter names does not exist or is not read; its routes answer 503",
    ),
    (
        "ReferenceForeign",
        "an object of another namespace is named; its routes answer 503",
    ),
    (
        "CanaryUnpaired",
        "a canary has no Ingress of its namespace with the same host and path; it is not served",
    ),
    (
        "FilterDiffers",
        "an annotation is honoured, and means something else here than in ingress-nginx or Traefik",
    ),
    (
        "ChallengeUnreachable",
        "a challenge of cert-manager (HTTP-01) gets 404, so that its Certificate does not become ready",
    ),
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
    /// Ingresses with problems that have not been reported.
    turns: Turns,
    /// Ingresses that are served nowhere, of which there were many at once. They are no news.
    crowd: Turns,
    crowd_allowance: Allowance,
    crowd_is_next: bool,
    of_each: HashMap<ObjectKey, Reported>,
    refusals: Refusals,
}

/// What has been reported of one Ingress.
#[derive(Debug, Default)]
struct Reported {
    /// Problems by their marks, the oldest first.
    told: VecDeque<u64>,
    /// When each other problem was first seen.
    since: Vec<(u64, Instant)>,
}

/// A problem of an Ingress now.
struct Current {
    mark: u64,
    problem: Arc<Problem>,
}

/// How many Events about a crowd may be written.
struct Allowance {
    left: u32,
    /// Since when there has been one less than there may be.
    since: Instant,
}

impl Allowance {
    fn new() -> Self {
        Self {
            left: CROWD,
            since: Instant::now(),
        }
    }

    /// When there is one.
    fn when(&mut self, now: Instant) -> Instant {
        while self.left < CROWD && self.since + CROWD_PAUSE <= now {
            self.left += 1;
            self.since += CROWD_PAUSE;
        }
        if self.left > 0 {
            now
        } else {
            self.since + CROWD_PAUSE
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        if self.when(now) > now {
            return false;
        }
        if self.left == CROWD {
            self.since = now;
        }
        self.left -= 1;
        true
    }
}

impl EventWriter {
    pub(crate) fn new(store: Rc<RefCell<Store>>) -> Self {
        Self {
            store,
            turns: Turns::default(),
            crowd: Turns::default(),
            crowd_allowance: Allowance::new(),
            crowd_is_next: false,
            of_each: HashMap::new(),
            refusals: Refusals::default(),
        }
    }

    /// These Ingresses, or their problems, may be others than before.
    pub(crate) fn look(
        &mut self,
        keys: BTreeSet<ObjectKey>,
        doors: &dyn DoorView,
        problems: &ProblemLists,
        me: &str,
    ) {
        let now = Instant::now();
        let mut unserved = Vec::new();
        for key in keys {
            let Some(ingress) = self.ingress(&key) else {
                self.of_each.remove(&key);
                continue;
            };
            let current = self.current(&ingress, doors, problems, me);
            let Some(ripe) = self.ripe(&key, &current, now) else {
                continue;
            };
            if !current.iter().all(|current| is_about_doors(&current.problem)) {
                self.turns.put_off(key, ripe);
            } else if self.is_news(&key, now) {
                unserved.push((key, ripe));
            }
        }
        // At a start, or after a change of the doors.
        let is_crowd = unserved.len() > CROWD as usize;
        let turns = if is_crowd {
            &mut self.crowd
        } else {
            &mut self.turns
        };
        for (key, ripe) in unserved {
            turns.put_off(key, ripe);
        }
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.of_each.len()
    }

    /// Another replica writes. What this one has reported of the Ingresses that are there is still reported.
    pub(crate) fn clear(&mut self) {
        self.turns.clear();
        self.crowd.clear();
        let store = self.store.borrow();
        self.of_each.retain(|key, reported| {
            reported.since.clear();
            !reported.told.is_empty() && store.view.ingress(key).is_some()
        });
    }

    /// When there is something to do.
    pub(crate) fn when(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let allowed = self.crowd_allowance.when(now);
        let crowd = self.crowd.when(now).map(|when| when.max(allowed));
        let when = [self.turns.when(now), crowd].into_iter().flatten().min()?;
        Some(self.refusals.not_before(when))
    }

    /// Reports the next lasting problem of an Ingress. Returns whether there was one.
    pub(crate) async fn step(
        &mut self,
        doors: &dyn DoorView,
        problems: &ProblemLists,
        writer: &mut Writer,
    ) -> bool {
        let now = Instant::now();
        if self.refusals.is_closed(now) {
            return false;
        }
        loop {
            let Some(me) = writer.name() else { return false };
            let Some((key, is_of_crowd)) = self.next(now) else {
                return false;
            };
            let Some(ingress) = self.ingress(&key) else {
                self.of_each.remove(&key);
                continue;
            };
            let current = self.current(&ingress, doors, problems, &me);
            let Some(ripe) = self.ripe(&key, &current, now) else {
                continue;
            };
            let due = current
                .iter()
                .find(|current| self.is_due(&key, current.mark, now));
            let Some(Current { mark, problem }) = due.filter(|_| ripe <= now) else {
                self.turns.put_off(key, ripe);
                continue;
            };
            if let Some(until) = self.refusals.of(key.namespace(), now) {
                self.turns_of(is_of_crowd).put_off(key, until);
                continue;
            }
            if is_of_crowd && !self.crowd_allowance.take(now) {
                self.crowd.put_off(key, ripe);
                return false;
            }
            match write_event(*mark, &ingress, problem, writer).await {
                // Reported by a predecessor, or the Ingress is gone.
                Ok(()) | Err(Fault::Conflict | Fault::Absent) => {
                    self.refusals.accepted();
                    self.remember(&key, *mark, &current);
                }
                Err(fault) => {
                    let until = writer.failed("events", "events.k8s.io", "create", &fault);
                    self.refusals.refused(key.namespace(), &fault, until);
                }
            }
            // It may have more of them.
            self.turns_of(is_of_crowd).put_off(key, now);
            tokio::time::sleep(GAP).await;
            return true;
        }
    }

    /// The next Ingress whose turn it is: news, or one of the crowd, in turn.
    fn next(&mut self, now: Instant) -> Option<(ObjectKey, bool)> {
        self.crowd_is_next = !self.crowd_is_next;
        let is_allowed = self.crowd_allowance.when(now) <= now;
        for is_of_crowd in [self.crowd_is_next, !self.crowd_is_next] {
            if is_of_crowd && !is_allowed {
                continue;
            }
            if let Some(key) = self.turns_of(is_of_crowd).next(now) {
                return Some((key, is_of_crowd));
            }
        }
        None
    }

    fn turns_of(&mut self, crowd: bool) -> &mut Turns {
        if crowd { &mut self.crowd } else { &mut self.turns }
    }

    fn ingress(&self, key: &ObjectKey) -> Option<Arc<Ingress>> {
        self.store.borrow().view.ingress(key).cloned()
    }

    /// The problems of an Ingress that are worth an Event of this installation.
    fn current(
        &self,
        ingress: &Ingress,
        doors: &dyn DoorView,
        problems: &ProblemLists,
        me: &str,
    ) -> Vec<Current> {
        let store = self.store.borrow();
        let found = problems.get(&ObjectRef::namespaced(Kind::Ingress, &ingress.key));
        let worth = found.iter().filter(|problem| is_worth_an_event(problem));
        let ours = worth.filter(|problem| concerns_us(problem, ingress, doors, &store, me));
        let ours: Vec<Arc<Problem>> = ours.cloned().collect();
        let told = together(ours).into_iter().take(MOST_EVENTS);
        told.map(|problem| Current {
            mark: mark(me, ingress, &problem),
            problem,
        })
        .collect()
    }

    /// Notes which problems there are now. Returns when the first of those that have not been reported will have lasted
    /// long enough.
    fn ripe(&mut self, key: &ObjectKey, current: &[Current], now: Instant) -> Option<Instant> {
        if current.is_empty() && !self.of_each.contains_key(key) {
            return None;
        }
        let reported = self.of_each.entry(key.clone()).or_default();
        let seen = |mark| reported.since.iter().find(|(known, _)| *known == mark);
        let new = current
            .iter()
            .filter(|current| !reported.told.contains(&current.mark));
        reported.since = new
            .map(|current| (current.mark, seen(current.mark).map_or(now, |(_, since)| *since)))
            .collect();
        let first = reported.since.iter().map(|(_, since)| *since).min();
        if reported.since.is_empty() && reported.told.is_empty() {
            self.of_each.remove(key);
        }
        Some(first? + LASTING)
    }

    /// Whether a problem of the Ingress was first seen just now. Others are waiting for their turn already.
    fn is_news(&self, key: &ObjectKey, now: Instant) -> bool {
        let since = self
            .of_each
            .get(key)
            .map(|reported| &*reported.since)
            .unwrap_or_default();
        since.iter().any(|(_, since)| *since == now)
    }

    fn is_due(&self, key: &ObjectKey, mark: u64, now: Instant) -> bool {
        let since = self
            .of_each
            .get(key)
            .map(|reported| &*reported.since)
            .unwrap_or_default();
        since
            .iter()
            .any(|(known, since)| *known == mark && *since + LASTING <= now)
    }

    fn remember(&mut self, key: &ObjectKey, mark: u64, current: &[Current]) {
        let reported = self.of_each.entry(key.clone()).or_default();
        reported.since.retain(|(known, _)| *known != mark);
        reported.told.push_back(mark);
        // Those that are still so must not be forgotten. The API server recognises the others.
        while reported.told.len() > REMEMBERED
            && let Some(old) = reported
                .told
                .iter()
                .position(|told| current.iter().all(|current| current.mark != *told))
        {
            reported.told.remove(old);
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
        type_: Some(event_type(problem).to_owned()),
        ..Event::default()
    };
    let api: Api<Event> = Api::namespaced(writer.client(), key.namespace());
    let params = PostParams::default();
    writer.answer(api.create(&params, &event)).await?;
    Ok(())
}

/// Nothing is wrong where an annotation only differs from its origin.
fn event_type(problem: &Problem) -> &'static str {
    match problem.severity {
        Severity::Error | Severity::Warning => "Warning",
        Severity::Note => "Normal",
    }
}

/// The same problems, with all that is honoured and differs in one, the last: it is no news that needs an Event each.
fn together(problems: Vec<Arc<Problem>>) -> Vec<Arc<Problem>> {
    let differs = |problem: &Arc<Problem>| problem.topic == Topic::FilterDiffers;
    let (differing, mut told): (Vec<_>, Vec<_>) = problems.into_iter().partition(differs);
    if let Some(first) = differing.first() {
        let mut all = Problem::clone(first);
        if differing.len() > 1 {
            let notes: Vec<String> = differing.iter().map(|problem| note(problem)).collect();
            all.field = String::new();
            all.message = notes.join("; ");
        }
        told.push(Arc::new(all));
    }
    told
}

fn is_worth_an_event(problem: &Problem) -> bool {
    let is_told = problem.severity != Severity::Note || problem.topic == Topic::FilterDiffers;
    problem.object.kind == Kind::Ingress && is_told
}

/// Whether this installation reports the problem. Other installations have Ingresses in the same cluster and report
/// those. An Ingress for which somebody else has written an address is served somewhere, even if no selector of ours
/// matches its labels.
fn concerns_us(problem: &Problem, ingress: &Ingress, doors: &dyn DoorView, store: &Store, me: &str) -> bool {
    let is_chosen = doors.choose(ingress, &store.view);
    let is_served_elsewhere = || store.ingress_status(&ingress.key).is_of_others(me);
    is_chosen || (is_about_doors(problem) && !is_served_elsewhere())
}

/// Whether the Ingress is served nowhere because of a label, or of the class that a solver of cert-manager lacks.
fn is_about_doors(problem: &Problem) -> bool {
    problem.field.starts_with("metadata.labels") || problem.topic == Topic::ChallengeUnreachable
}

/// Identifies one problem of one generation of one object as one installation sees it; of a label, one value in whatever
/// generation, because a change elsewhere in the object is no reason to say it again. FNV-1a, because every replica and every
/// release must compute the same.
fn mark(me: &str, ingress: &Ingress, problem: &Problem) -> u64 {
    let generation = ingress.generation.unwrap_or_default().to_le_bytes();
    let field = problem.field.strip_prefix("metadata.labels[");
    let label = field.and_then(|field| ingress.labels.get(field.strip_suffix(']')?));
    let (generation, what): (&[u8], &str) = match label {
        Some(value) => (&[], value),
        None => (&generation, &problem.message),
    };
    // One Event for each generation, whatever its list says: a Middleware may change often.
    let (field, what) = if problem.topic == Topic::FilterDiffers {
        ("", "differs")
    } else {
        (&*problem.field, what)
    };
    let parts = [
        me.as_bytes(),
        ingress.uid.as_deref().unwrap_or_default().as_bytes(),
        generation,
        field.as_bytes(),
        what.as_bytes(),
    ];
    // Separated by a byte that occurs in no text.
    let bytes = parts.iter().flat_map(|part| part.iter().chain(&[0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn reason(problem: &Problem) -> &'static str {
    match problem.topic {
        Topic::Field => {}
        Topic::FilterRefused => return "FilterRefused",
        Topic::FilterConflict => return "FilterConflict",
        Topic::ReferenceMissing => return "ReferenceMissing",
        Topic::ReferenceForeign => return "ReferenceForeign",
        Topic::CanaryUnpaired => return "CanaryUnpaired",
        Topic::FilterDiffers => return "FilterDiffers",
        Topic::ChallengeUnreachable => return "ChallengeUnreachable",
    }
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
mod tests;
