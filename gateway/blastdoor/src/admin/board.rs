//! What the admin port knows of the doors.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use proxy::{ListenerStatus, Phase};

use crate::shown::ShownWorld;

/// What the admin port shows of the doors; written by the supervisor.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    doors: Vec<ListenerStatus>,
    /// What is live; `None` until the doors are bound.
    world: Option<Arc<ShownWorld>>,
    /// Every door has had its first table.
    published: bool,
    closed: bool,
}

impl Board {
    pub(crate) fn show(&self, doors: Vec<ListenerStatus>) {
        self.lock().doors = doors;
    }

    /// Shows what is live, and what is wrong.
    pub(crate) fn show_world(&self, world: ShownWorld) {
        let before = self.lock().world.replace(Arc::new(world));
        // The last of an earlier one is freed here, where no probe waits for it.
        drop(before);
    }

    /// What is live; `None` until the doors are bound.
    pub(super) fn world(&self) -> Option<Arc<ShownWorld>> {
        self.lock().world.clone()
    }

    pub(crate) fn published(&self) {
        self.lock().published = true;
    }

    /// The doors have closed.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether every door is open and has a table.
    pub(crate) fn is_ready(&self) -> bool {
        let state = self.lock();
        let open = |door: &ListenerStatus| door.is_open() && door.phase() < Phase::Closing;
        state.published && !state.closed && !state.doors.is_empty() && state.doors.iter().all(open)
    }

    /// Whether load balancers may send traffic to a door; `None` for an unknown one.
    pub(super) fn takes_traffic(&self, name: &str) -> Option<bool> {
        let state = self.lock();
        let door = state.doors.iter().find(|door| door.name().as_str() == name)?;
        Some(door.is_open() && door.phase() == Phase::Serving && !state.closed)
    }

    /// Every door that listens.
    pub(super) fn statuses(&self) -> Vec<ListenerStatus> {
        self.lock().doors.clone()
    }

    /// `/api/v1/doors`
    pub(super) fn doors(&self) -> serde_json::Value {
        // Counting routes takes a while, and probes must not wait for it.
        let doors = self.statuses();
        let doors: Vec<serde_json::Value> = doors
            .iter()
            .map(|door| {
                serde_json::json!({
                    "listener": door.name().as_str(),
                    "address": door.address().to_string(),
                    "state": state_of(door),
                    "workers": { "configured": door.workers().1, "listening": door.workers().0 },
                    "connections": door.connections(),
                    "routes": door.routes(),
                })
            })
            .collect();
        serde_json::json!({ "doors": doors })
    }
}

impl Collector for Board {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let doors = self.statuses();
        let mut family = encoder.encode_descriptor(
            "blastdoor_door_state",
            "1 for the state that the door is in: waiting (for its first table or a worker), ready, draining, closed",
            None,
            MetricType::Gauge,
        )?;
        for door in &doors {
            let now = state_of(door);
            for state in STATES {
                let labels = [("listener", door.name().as_str()), ("state", state)];
                ConstGauge::new(i64::from(state == now)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Board").finish_non_exhaustive()
    }
}

/// What [`state_of`] can say.
const STATES: [&str; 4] = ["waiting", "ready", "draining", "closed"];

/// The state of a door, in a word.
pub(super) fn state_of(door: &ListenerStatus) -> &'static str {
    match door.phase() {
        Phase::Serving if door.is_open() => "ready",
        Phase::Serving => "waiting",
        Phase::Draining => "draining",
        Phase::Closing | Phase::Ended => "closed",
    }
}
