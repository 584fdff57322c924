//! What a door has counted so far, as one value: for pages that people read.

use crate::observe::counter::Counter;
use crate::observe::labels::CLASSES;
use crate::observe::labels::Reason;
use crate::observe::metrics::{BUCKETS, DoorMetrics, WorkerMetrics};

/// What a door has counted since the process began. All of it only grows, except the connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// Requests by class of their status, such as `2xx`; classes without a request are left out.
    pub requests: Vec<(&'static str, u64)>,
    /// How many requests took at most each of [`Traffic::BOUNDS`], and longer than the bound before it. The last, which has no
    /// bound, counts those that took longer than all.
    pub durations: Vec<u64>,
    /// What the gateway answered itself or cut, by reason; reasons that have not occurred are left out.
    pub refusals: Vec<(&'static str, u64)>,
    /// Requests for hosts that only another door knows.
    pub probes: u64,
    /// Body bytes of requests.
    pub bytes_in: u64,
    /// Body bytes of responses.
    pub bytes_out: u64,
    /// Connections of clients with a request under way.
    pub active: u64,
    /// Those without.
    pub idle: u64,
}

impl Traffic {
    /// Upper bounds of [`Traffic::durations`], in microseconds.
    pub const BOUNDS: &'static [u64] = &BUCKETS;
}

impl DoorMetrics {
    /// Everything counted so far, in one pass over the workers.
    pub(crate) fn traffic(&self) -> Traffic {
        let mut classes = [0; CLASSES.len()];
        let mut reasons = [0; Reason::COUNT];
        let mut durations = vec![0; BUCKETS.len() + 1];
        let (mut bytes_in, mut bytes_out, mut active, mut open) = (0, 0, 0, 0);
        for worker in self.lock().iter() {
            let WorkerMetrics {
                requests, refusals, ..
            } = &**worker;
            requests.iter().for_each(|row| add(&mut classes, row));
            add(&mut reasons, &refusals.0);
            add(&mut durations, &worker.durations);
            bytes_in += worker.bytes_in.value();
            bytes_out += worker.bytes_out.value();
            active += worker.connections_active.value();
            open += worker.connections_open.value();
        }
        let probes = self
            .probes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Traffic {
            requests: counted(CLASSES, &classes),
            durations,
            refusals: counted(Reason::ALL.map(Reason::label), &reasons),
            probes: probes.values().sum(),
            bytes_in,
            bytes_out,
            active,
            // The two are not read at the same instant.
            idle: open.saturating_sub(active),
        }
    }
}

fn add(sums: &mut [u64], counters: &[Counter]) {
    for (sum, counter) in sums.iter_mut().zip(counters) {
        *sum += counter.value();
    }
}

fn counted<const N: usize>(names: [&'static str; N], counts: &[u64]) -> Vec<(&'static str, u64)> {
    let pairs = names.into_iter().zip(counts.iter().copied());
    pairs.filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_added_up_and_what_has_not_occurred_is_left_out() {
        let door = DoorMetrics::new("one".parse().unwrap());
        let (first, second) = (door.worker(), door.worker());
        first.requests[0][1].add(2);
        second.requests[2][1].add(3);
        second.requests[0][4].add(1);
        first.durations[0].add(4);
        second.durations[BUCKETS.len()].add(2);
        second.refusals.0[Reason::NoEndpoint as usize].add(1);
        first.bytes_out.add(7);
        first.connections_open.add(3);
        second.connections_active.add(1);
        door.probed(&"two".parse().unwrap());
        door.probed(&"three".parse().unwrap());
        let mut durations = vec![0; BUCKETS.len() + 1];
        (durations[0], durations[BUCKETS.len()]) = (4, 2);
        let expected = Traffic {
            requests: vec![("2xx", 5), ("5xx", 1)],
            durations,
            refusals: vec![("no_endpoint", 1)],
            probes: 2,
            bytes_in: 0,
            bytes_out: 7,
            active: 1,
            idle: 2,
        };
        assert_eq!(door.traffic(), expected);
        assert_eq!(Traffic::BOUNDS.len() + 1, expected.durations.len());
    }
}
