//! The status of Ingresses: the addresses at which their doors are reached.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use k8s_openapi::api::networking::v1::Ingress as RawIngress;
use kube::Api;
use kube::api::{Patch, PatchParams};
use route::ObjectKey;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::desired::DesiredStatus;
use super::writer::{GAP, Refusals, Writer};
use crate::cluster::connection::Fault;
use crate::cluster::door_view::DoorView;
use crate::cluster::read::{ReceivedObject, Store};
use crate::cluster::status::{ANNOTATION, Address, Merged, merge};
use crate::fair::Turns;

/// Between a write and the next one of the same status; twice as long after each further write, up to
const PAUSE: Duration = Duration::from_secs(1);
/// this: a status that somebody keeps overwriting is corrected at this interval.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// A status that has stood for this long is written at once when somebody overwrites it.
const CALM: Duration = Duration::from_secs(30);
/// After a write that was accepted and changed nothing: something on the way does not let it through.
const FUTILE: Duration = Duration::from_secs(300);
/// A write is waited for on the watch for at most this long.
const ECHO: Duration = Duration::from_secs(10);

/// Ingresses that are looked at before others than this task have their turn.
const MOST_IN_ONE_GO: usize = 256;
/// Attempts that are remembered before the old ones are forgotten.
const REMEMBERED: usize = 1_000;

/// Writes the statuses of Ingresses.
pub(crate) struct StatusWriter {
    store: Rc<RefCell<Store>>,
    /// Ingresses whose status may not be what it should be.
    turns: Turns,
    attempts: HashMap<ObjectKey, Attempt>,
    /// How many attempts there may be before the old ones are forgotten.
    most_attempts: usize,
    refusals: Refusals,
}

/// The last write of a status.
struct Attempt {
    at: Instant,
    /// The version that it was based on.
    version: Box<str>,
    /// Our addresses in it.
    wanted: Vec<Address>,
    pause: Duration,
}

/// A status to be written.
struct Write {
    key: ObjectKey,
    version: Box<str>,
    /// Our addresses in it.
    wanted: Vec<Address>,
    merged: Merged,
}

impl StatusWriter {
    pub(crate) fn new(store: Rc<RefCell<Store>>) -> Self {
        Self {
            store,
            turns: Turns::default(),
            attempts: HashMap::new(),
            most_attempts: REMEMBERED,
            refusals: Refusals::default(),
        }
    }

    /// These Ingresses may have another status, or need one.
    pub(crate) fn look(&mut self, keys: impl Iterator<Item = ObjectKey>) {
        keys.for_each(|key| self.turns.add(key));
    }

    /// Another replica writes.
    pub(crate) fn clear(&mut self) {
        self.turns.clear();
    }

    /// When there is something to do.
    pub(crate) fn when(&self) -> Option<Instant> {
        let when = self.turns.when(Instant::now())?;
        Some(self.refusals.not_before(when))
    }

    /// Writes the next status that is not what it should be. Returns whether there was one.
    pub(crate) async fn step(&mut self, doors: &dyn DoorView, writer: &mut Writer) -> bool {
        let now = Instant::now();
        if self.refusals.is_closed(now) {
            return false;
        }
        let mut seen = 0_usize;
        loop {
            let Some(me) = writer.name() else { return false };
            let Some(key) = self.turns.next(now) else {
                return false;
            };
            seen += 1;
            if seen.is_multiple_of(MOST_IN_ONE_GO) {
                tokio::task::yield_now().await;
            }
            let Some(write) = self.differing(&key, doors, &me) else {
                continue;
            };
            let refused = self.refusals.of(key.namespace(), now);
            if let Some(due) = refused.or_else(|| self.not_before(&write)) {
                self.turns.put_off(key, due);
                continue;
            }
            self.write(write, &me, writer).await;
            tokio::time::sleep(GAP).await;
            return true;
        }
    }

    async fn write(&mut self, write: Write, me: &str, writer: &mut Writer) {
        let now = Instant::now();
        let outcome = self.patch(&write, me, writer).await;
        if matches!(outcome, Ok(_) | Err(Fault::Conflict | Fault::Absent)) {
            self.refusals.accepted();
        }
        let (pause, again) = match outcome {
            Ok(true) => (self.pause(&write), None),
            Ok(false) => (FUTILE, None),
            // Somebody was faster; the watch will show the result.
            Err(Fault::Conflict | Fault::Absent) => (self.pause(&write), Some(now + PAUSE)),
            Err(fault) => {
                let due = writer.failed("ingresses/status", "networking.k8s.io", "patch", &fault);
                if fault.is_loss() || matches!(fault, Fault::Forbidden(_) | Fault::Refused(_)) {
                    self.refusals.refused(write.key.namespace(), &fault, due);
                    self.turns.put_off(write.key, due);
                    return;
                }
                (LONGEST_PAUSE, Some(due))
            }
        };
        let at = Instant::now();
        // Whether it has become what it should be.
        self.turns.put_off(write.key.clone(), again.unwrap_or(at + pause));
        self.remember(
            write.key,
            Attempt {
                at,
                version: write.version,
                wanted: write.wanted,
                pause,
            },
        );
    }

    /// Old attempts are forgotten now and then, so that a write does not look at all of them.
    fn remember(&mut self, key: ObjectKey, attempt: Attempt) {
        self.attempts.insert(key, attempt);
        if self.attempts.len() > self.most_attempts {
            let store = self.store.borrow();
            self.attempts
                .retain(|key, attempt| attempt.at.elapsed() < FUTILE && store.view.ingress(key).is_some());
            self.most_attempts = REMEMBERED.max(self.attempts.len() * 2);
        }
    }

    /// Until when a write has to wait; `None`: it need not.
    fn not_before(&self, write: &Write) -> Option<Instant> {
        let attempt = self.attempts.get(&write.key)?;
        let now = Instant::now();
        let due = attempt.at + attempt.pause;
        if attempt.wanted == write.wanted && due > now {
            return Some(due);
        }
        // Our own write has not come back on the watch yet. Another one based on the same version would be refused.
        let is_unseen = attempt.version == write.version && attempt.at + ECHO > now;
        is_unseen.then(|| now + PAUSE)
    }

    /// How long the status is to stand before the same is written again.
    fn pause(&self, write: &Write) -> Duration {
        match self.attempts.get(&write.key) {
            Some(before) if before.wanted == write.wanted && before.at.elapsed() < CALM => {
                (before.pause * 2).min(LONGEST_PAUSE)
            }
            Some(_) | None => PAUSE,
        }
    }

    /// What is to be written to the status of an Ingress; `None` if it is what it should be.
    fn differing(&self, key: &ObjectKey, doors: &dyn DoorView, me: &str) -> Option<Write> {
        let store = self.store.borrow();
        let ingress = store.view.ingress(key)?;
        let service = |key: &ObjectKey| {
            let is_there = store.view.service(key).is_some();
            is_there.then(|| store.addresses_of(key))
        };
        let published = doors.published_for(ingress, &store.view);
        let wanted = match DesiredStatus::of(&published, service) {
            DesiredStatus::Addresses(addresses) => addresses,
            // What is of another class is for another controller to care for.
            DesiredStatus::Nothing if doors.serve_class_of(ingress, &store.view) => Vec::new(),
            DesiredStatus::Nothing | DesiredStatus::Unknown => return None,
        };
        let merged = merge(store.ingress_status(key), me, &wanted)?;
        Some(Write {
            key: key.clone(),
            version: store.ingress_version(key).into(),
            wanted,
            merged,
        })
    }

    /// Writes it, unless the object has changed since it was observed. Returns whether it is now what it should be.
    async fn patch(&self, write: &Write, me: &str, writer: &Writer) -> Result<bool, Fault> {
        let Merged {
            addresses,
            claims,
            manager,
        } = &write.merged;
        let mut metadata = Map::from_iter([("resourceVersion".to_owned(), json!(write.version))]);
        if let Some(claims) = claims {
            metadata.insert("annotations".to_owned(), json!({ ANNOTATION: claims.value() }));
        }
        let mut patch = Map::from_iter([("metadata".to_owned(), metadata.into())]);
        if let Some(addresses) = addresses {
            let entries: Vec<Value> = addresses.iter().map(Address::entry).collect();
            let entries = if entries.is_empty() {
                Value::Null
            } else {
                entries.into()
            };
            patch.insert(
                "status".to_owned(),
                json!({ "loadBalancer": { "ingress": entries } }),
            );
        }
        let api: Api<ReceivedObject<RawIngress>> = Api::namespaced(writer.client(), write.key.namespace());
        let params = PatchParams {
            field_manager: Some(manager.clone()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&patch);
        let written = writer
            .answer(api.patch_status(write.key.name(), &params, &patch))
            .await?;
        tracing::debug!(ingress = %write.key, ?addresses, ?claims, "status written");
        let is_so = merge(&written.into_observed().status, me, &write.wanted).is_none();
        if !is_so {
            tracing::warn!(
                ingress = %write.key,
                "the status was written and did not become what was written; something between this gateway and the API server changes it"
            );
        }
        Ok(is_so)
    }
}
