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
use super::writer::{GAP, Writer};
use crate::cluster::connection::Fault;
use crate::cluster::door_view::DoorView;
use crate::cluster::read::{Observed, RawObject, Store};
use crate::cluster::status::{ANNOTATION, Address, Merged, merge};

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

/// Writes the statuses of Ingresses.
pub(crate) struct StatusWriter {
    store: Rc<RefCell<Store>>,
    attempts: HashMap<ObjectKey, Attempt>,
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
            attempts: HashMap::new(),
        }
    }

    /// Writes each status that is not what it should be. Returns when to look again.
    pub(crate) async fn write(&mut self, doors: &dyn DoorView, writer: &mut Writer) -> Option<Instant> {
        let me = writer.name()?;
        let mut again: Option<Instant> = None;
        for write in self.differing(doors, &me) {
            if let Some(due) = self.not_before(&write) {
                again = Some(again.map_or(due, |other| other.min(due)));
                continue;
            }
            writer.name()?;
            let pause = match self.patch(&write, &me, writer).await {
                Ok(true) => self.pause(&write),
                Ok(false) => FUTILE,
                // Somebody was faster; the watch will show the result.
                Err(Fault::Conflict | Fault::Absent) => {
                    let due = Instant::now() + PAUSE;
                    again = Some(again.map_or(due, |other| other.min(due)));
                    self.pause(&write)
                }
                Err(fault) => {
                    let due = writer.failed("ingresses/status", "networking.k8s.io", "patch", &fault);
                    again = Some(again.map_or(due, |other| other.min(due)));
                    if fault.is_loss() || matches!(fault, Fault::Forbidden(_)) {
                        return again;
                    }
                    LONGEST_PAUSE
                }
            };
            let attempt = Attempt {
                at: Instant::now(),
                version: write.version,
                wanted: write.wanted,
                pause,
            };
            self.attempts.insert(write.key, attempt);
            tokio::time::sleep(GAP).await;
        }
        again
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

    /// The Ingresses whose status is not what it should be.
    fn differing(&mut self, doors: &dyn DoorView, me: &str) -> Vec<Write> {
        let store = self.store.borrow();
        self.attempts
            .retain(|key, attempt| attempt.at.elapsed() < FUTILE && store.view.ingress(key).is_some());
        let service = |key: &ObjectKey| {
            let is_there = store.view.service(key).is_some();
            is_there.then(|| store.addresses_of(key))
        };
        let mut writes = Vec::new();
        for ingress in store.view.ingresses() {
            let published = doors.published_for(ingress, &store.view);
            let wanted = match DesiredStatus::of(&published, service) {
                DesiredStatus::Addresses(addresses) => addresses,
                // What is of another class is for another controller to care for.
                DesiredStatus::Nothing if doors.serve_class_of(ingress, &store.view) => Vec::new(),
                DesiredStatus::Nothing | DesiredStatus::Unknown => continue,
            };
            let status = store.ingress_status(&ingress.key);
            if let Some(merged) = merge(status, me, &wanted) {
                writes.push(Write {
                    key: ingress.key.clone(),
                    version: store.ingress_version(&ingress.key).into(),
                    wanted,
                    merged,
                });
            }
        }
        writes
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
        let api: Api<RawObject<RawIngress>> = Api::namespaced(writer.client(), write.key.namespace());
        let params = PatchParams {
            field_manager: Some(manager.clone()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(&patch);
        let written = writer
            .answer(api.patch_status(write.key.name(), &params, &patch))
            .await?;
        tracing::debug!(ingress = %write.key, ?addresses, ?claims, "status written");
        let is_so = merge(&Observed::new(written).status, me, &write.wanted).is_none();
        if !is_so {
            tracing::warn!(
                ingress = %write.key,
                "the status was written and did not become what was written; something between this gateway and the API server changes it"
            );
        }
        Ok(is_so)
    }
}
