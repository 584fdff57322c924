//! The descriptors of the process: how many it may open, what is kept for itself, and what each door gets.
//!
//! Doors that took descriptors from one pot could take them from each other, from probes and from the control plane. So
//! they are divided before any traffic ([ADR 29](../../../docs/adr/0029-descriptors-are-divided.md)).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use proxy::Allotment;
use route::ListenerName;

use crate::admin::Room;
use crate::config::{Config, DoorConfig, SourceKind};
use crate::open_files::{open_now, set_limit};

/// What a worker opens before it has a connection: its sockets, what its runtime waits with, one in reserve.
pub(crate) const OF_WORKER: usize = 5;

/// Without `/proc` it is not known how many are open; this many or fewer before the first door.
const AT_START: usize = 32;

/// The fewest that a door can work with.
const OF_DOOR: usize = 6;

/// Refused and parting connections of a worker for which a descriptor is kept at most.
const LEAVING: usize = 128;

/// How many descriptors the process may open, and how many of them are no door's.
#[derive(Debug, Clone)]
pub(crate) struct Descriptors {
    limit: usize,
    admin: Room,
    /// Open before the first door, and kept for files, names and the API server.
    own: usize,
    shown: Arc<Shown>,
}

/// What a door asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// `limits.connections`
    pub(crate) connections: usize,
    pub(crate) workers: usize,
}

impl Wanted {
    /// What a door asks for as it is configured.
    pub(crate) fn by(door: &DoorConfig) -> Self {
        Self {
            connections: door.settings.limits.connections,
            workers: door.binding.workers,
        }
    }
}

/// Who gets how many.
#[derive(Debug)]
pub(crate) struct Division {
    /// For no door.
    kept: usize,
    /// For each door.
    pub(crate) allotments: Vec<Allotment>,
}

/// There are too few for the doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{limit} descriptors (open files) are too few for {doors} doors with {workers} workers: at least {needed} are \
     needed{}; {RAISE}, or lower `workers`",
    of_earlier(*leaving)
)]
pub(crate) struct TooFew {
    limit: usize,
    needed: usize,
    doors: usize,
    workers: usize,
    leaving: usize,
}

fn of_earlier(leaving: usize) -> String {
    match leaving {
        0 => String::new(),
        _ => format!(", {leaving} of them until workers of earlier sockets have ended"),
    }
}

/// What an operator can do.
const RAISE: &str = "raise the hard limit of open files (LimitNOFILE of systemd or of the container runtime, `ulimit -Hn`, \
                     `prlimit --nofile`)";

impl Descriptors {
    /// Raises the limit of the process to what is configured, or as high as the system allows, and counts what is open.
    /// Call this before the first door is bound.
    pub(crate) fn claim(config: &Config) -> Self {
        let wanted = config.process.descriptors;
        let limit = set_limit(wanted);
        if let Some(wanted) = wanted.filter(|wanted| limit < *wanted) {
            tracing::warn!(
                "process.descriptors is {wanted}, but only {limit} descriptors (open files) can be had; {RAISE}"
            );
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let control = match config.source.kind {
            SourceKind::Files(_) => (limit / 16).clamp(8, 64),
            // Each kind that is watched has a connection of its own, and so has each object that is followed by itself.
            SourceKind::Kubernetes => (limit / 16).clamp(16, 64) + config.source.most_followed.min(limit / 8),
        };
        Self::new(limit, open_now().unwrap_or(AT_START) + control)
    }

    fn new(limit: usize, own: usize) -> Self {
        Self {
            limit,
            admin: room(limit),
            own,
            shown: Arc::default(),
        }
    }

    /// The places of the admin port.
    pub(crate) fn admin(&self) -> Room {
        self.admin
    }

    /// Divides what is left among the doors. `leaving`: what is still used of what is no longer configured.
    ///
    /// Each door gets what it wants, or an equal part where that is not possible; doors that want less than an equal part
    /// get that. What nobody wants is spread over all: one client can cause many connections to backends.
    ///
    /// # Errors
    /// When a door could not work.
    pub(crate) fn divide(&self, wanted: &[Wanted], leaving: usize) -> Result<Division, TooFew> {
        let workers: usize = wanted.iter().map(|door| door.workers).sum();
        let kept = self.own + self.admin.descriptors() + workers * OF_WORKER + leaving;
        let left = self.limit.saturating_sub(kept);
        if left < wanted.len() * OF_DOOR {
            return Err(TooFew {
                limit: self.limit,
                needed: kept + wanted.len() * OF_DOOR,
                doors: wanted.len(),
                workers,
                leaving,
            });
        }
        // A client for each connection, and a backend for each client.
        let wants = wanted.iter().map(|door| {
            let both = door.connections.saturating_mul(2);
            both.saturating_add(leaving_of(usize::MAX, *door))
        });
        let parts = parts(left, &wants.collect::<Vec<_>>());
        let allotted = parts.into_iter().zip(wanted).map(|(part, door)| {
            let leaving = leaving_of(part, *door);
            let both = part - leaving;
            Allotment {
                // Idle clients have no backend, and give way when others need one.
                clients: door.connections.min(both - both / 4),
                backends: both - both / 8 - 1,
                both,
                leaving,
            }
        });
        Ok(Division {
            kept,
            allotments: allotted.collect(),
        })
    }

    /// Shows a division on the metrics page.
    pub(crate) fn show(&self, division: &Division) {
        self.shown.limit.store(self.limit, Ordering::Relaxed);
        self.shown.kept.store(division.kept, Ordering::Relaxed);
    }

    /// Says what a door has got, and what to do if that is less than it wants.
    pub(crate) fn tell(&self, door: &ListenerName, wanted: Wanted, allotment: Allotment) {
        let Allotment { clients, both, .. } = allotment;
        tracing::info!(
            listener = %door,
            "the door may hold {clients} connections of clients, and {both} with those to backends"
        );
        if clients < wanted.connections {
            tracing::warn!(
                listener = %door,
                "the door may hold {clients} connections, not the {} of `limits.connections`: the process can open {} \
                 descriptors (open files); {RAISE}, or lower `limits.connections`",
                wanted.connections,
                self.limit
            );
        }
    }

    /// What shows them on the metrics page.
    pub(crate) fn collector(&self) -> impl Collector + use<> {
        Gauges(Arc::clone(&self.shown))
    }
}

/// The places of the admin port: few where there are few descriptors, so that doors have some too.
fn room(limit: usize) -> Room {
    let waiting = (limit / 16).clamp(8, Room::FULL.waiting);
    Room {
        waiting,
        pages: waiting / 4,
        spare: Room::FULL.spare,
    }
}

/// How many of a door's part are for connections that are about to end.
fn leaving_of(part: usize, door: Wanted) -> usize {
    (part / 8).clamp(1, LEAVING * door.workers.max(1))
}

/// Divides a number: to each what it wants, as far as that is possible while nobody else gets less than an equal part; and
/// to each the same of what is left then.
fn parts(all: usize, wants: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..wants.len()).collect();
    let want = |index: usize| wants.get(index).copied().unwrap_or_default();
    order.sort_by_key(|index| want(*index));
    let (mut parts, mut left) = (vec![0; wants.len()], all);
    for (served, index) in order.iter().enumerate() {
        let part = want(*index).min(left / (wants.len() - served));
        left -= part;
        if let Some(place) = parts.get_mut(*index) {
            *place = part;
        }
    }
    let more = left / wants.len().max(1);
    parts.iter_mut().for_each(|part| *part += more);
    parts
}

/// What the metrics page shows.
#[derive(Debug, Default)]
struct Shown {
    limit: AtomicUsize,
    kept: AtomicUsize,
}

#[derive(Debug)]
struct Gauges(Arc<Shown>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Shown { limit, kept } = &*self.0;
        let rows = [
            (
                "blastdoor_descriptors",
                "Descriptors (open files and sockets) of the process",
                open_now().unwrap_or_default(),
            ),
            (
                "blastdoor_descriptors_limit",
                "Descriptors that the process may open",
                limit.load(Ordering::Relaxed),
            ),
            (
                "blastdoor_descriptors_reserved",
                "Descriptors that are no door's: for the admin port, the control plane, files and workers",
                kept.load(Ordering::Relaxed),
            ),
        ];
        for (name, help, value) in rows {
            let family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(family)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(connections: usize) -> Wanted {
        Wanted {
            connections,
            workers: 2,
        }
    }

    #[test]
    fn who_wants_little_gets_it_and_the_others_the_same() {
        let table = [
            (100, &[][..], &[][..]),
            (100, &[10], &[100]),
            (100, &[1000], &[100]),
            (100, &[10, 1000], &[10, 90]),
            (100, &[1000, 10, 1000], &[45, 10, 45]),
            (100, &[20, 30, 10], &[33, 43, 23]),
            (7, &[9, 9, 9], &[2, 2, 3]),
            (0, &[9, 9], &[0, 0]),
        ];
        for (all, wants, expected) in table {
            assert_eq!(parts(all, wants), expected, "{all} for {wants:?}");
        }
    }

    /// Whatever there is, the parts and what is kept fit into it, and every door can work.
    #[test]
    fn all_parts_together_fit() {
        let wanted: [&[Wanted]; 4] = [
            &[door(30_000)],
            &[door(30_000); 4],
            &[door(10), door(200), door(1_000_000)],
            &[door(10), door(usize::MAX / 2), door(usize::MAX)],
        ];
        for limit in [128, 200, 256, 1024, 4096, 65_536, 1_048_576] {
            for doors in wanted {
                let descriptors = Descriptors::new(limit, 30);
                let Division {
                    kept,
                    allotments: allotted,
                } = descriptors.divide(doors, 0).unwrap();
                let all: usize = allotted.iter().map(|allotment| allotment.total()).sum();
                assert!(all + kept <= limit, "{limit} {doors:?} {allotted:?}");
                for (allotment, door) in allotted.iter().zip(doors) {
                    assert!(allotment.clients >= 2 && allotment.clients <= door.connections);
                    assert!(
                        allotment.backends > 1 && allotment.clients < allotment.both,
                        "{allotment:?}"
                    );
                    assert!(allotment.backends < allotment.both, "{allotment:?}");
                    assert!(allotment.leaving >= 1);
                }
            }
        }
        let plenty = Descriptors::new(1_048_576, 30)
            .divide(&[door(30_000); 4], 0)
            .unwrap();
        assert!(
            plenty
                .allotments
                .iter()
                .all(|allotment| allotment.clients == 30_000)
        );
    }

    #[test]
    fn too_few_are_an_error_that_says_how_many_are_needed() {
        let descriptors = Descriptors::new(128, 60);
        let error = descriptors.divide(&[door(10); 4], 0).unwrap_err();
        assert_eq!(
            (error.limit, error.needed, error.doors, error.workers),
            (128, 138, 4, 8)
        );
        assert!(Descriptors::new(138, 60 - 1).divide(&[door(10); 4], 0).is_ok());
        // What others still use counts.
        assert!(Descriptors::new(138, 60 - 1).divide(&[door(10); 4], 40).is_err());
    }
}
