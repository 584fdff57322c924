//! Passive health: what the workers of one door have learned of an endpoint, shared by them.
//!
//! An endpoint is *down* if no connection can be established. That is a fact for every client, and probes find out when
//! it changes. It is *out*, for a while, if it accepts connections and fails the requests on them. A few bad requests may
//! be the cause, so at most half of an upstream's endpoints are out, and one request finds out whether it has recovered.
//! The usual case, a request that succeeds at an endpoint that is in, reads one cache line and writes none.

mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use door::{Endpoint, Upstream};
use foldhash::fast::RandomState;
use route::ObjectKey;

use crate::worker::warnings::{KeptBack, Warnings};

use self::record::IN;
pub(crate) use self::record::{Availability, Health, LastResort, Probing};
use super::key::{Key, ProtocolKey, has};

/// How many endpoints of an upstream are asked whether they are out: counting all of a large one would cost more than the
/// request that failed.
const SAMPLE: usize = 256;

/// What a search in a sorted list costs, in units of a look into a map.
const LOOKUP: usize = 16;

/// What is known of the endpoints of one door.
pub(crate) struct HealthBoard {
    epoch: Instant,
    /// Some endpoint may not be well.
    troubled: Arc<AtomicBool>,
    known: Mutex<HashMap<Key, Weak<Health>>>,
    /// What has been logged about endpoints.
    told: Warnings,
    /// How many endpoints have been compared with what is known.
    #[cfg(test)]
    compared: std::sync::atomic::AtomicUsize,
}

/// An endpoint that gets fewer requests than the others, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnwellEndpoint {
    /// The namespace for which this counts ([`Upstream::namespace_id`]).
    pub namespace_id: u64,
    /// Its address.
    pub address: SocketAddr,
    /// Whether connections to it can be established: then it is ejected for a while, because it has failed requests.
    pub is_reachable: bool,
}

/// A namespace, and a protocol with its trust.
type Kind = (u64, ProtocolKey);

/// Lines about the endpoints of one namespace in 10 s.
const LINES: usize = 10;

impl Default for HealthBoard {
    fn default() -> Self {
        Self {
            epoch: Instant::now(),
            troubled: Arc::default(),
            known: Mutex::default(),
            told: Warnings::default(),
            #[cfg(test)]
            compared: Default::default(),
        }
    }
}

impl HealthBoard {
    /// Whether another line about the endpoints of a namespace may be logged: a namespace may have thousands that fail.
    pub(super) fn may_tell(&self, namespace_id: u64) -> Option<KeptBack> {
        let reason = namespace_id.to_string();
        self.told.admit_some(&reason, LINES, Instant::now())
    }

    /// The shared record of an endpoint. Taken once per worker and endpoint, not per request.
    pub(super) fn health(&self, key: Key) -> Arc<Health> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.entry(key).or_default();
        if let Some(health) = entry.upgrade() {
            return health;
        }
        let health = Arc::new(Health::new(self.epoch, Arc::clone(&self.troubled)));
        *entry = Arc::downgrade(&health);
        health
    }

    /// Ejects an endpoint and returns for how long; not if fewer than half of the endpoints of `upstream`, which it failed,
    /// would be left. Of many, [`SAMPLE`] are asked.
    pub(super) fn take_out(&self, health: &Health, upstream: &Upstream) -> Option<Duration> {
        let count = upstream.endpoints.len();
        let sample = count.min(SAMPLE);
        let from = if count > sample {
            fastrand::usize(..count)
        } else {
            0
        };
        // Held throughout, so that two workers cannot eject one too many.
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_out = |index| {
            let key = Key::at(upstream, index % count)?;
            let health = known.get(&key)?.upgrade()?;
            Some(health.verdict() != IN)
        };
        if health.verdict() == IN {
            let asked = from..from + sample;
            let out = asked.filter(|index| is_out(*index).unwrap_or(false)).count();
            if (out + 1) * 2 > sample {
                return None;
            }
        }
        Some(health.take_out(health.now()))
    }

    /// Resets what is known of endpoints that none of the door's upstreams has any more: what comes back at such an address
    /// is another instance. Has a cost only while some endpoint is not well, and then once for each list of endpoints of its
    /// namespace.
    pub(crate) fn forget_all_but<'u>(&self, upstreams: impl Iterator<Item = &'u Upstream>) {
        if !self.troubled.swap(false, Relaxed) {
            return;
        }
        // By namespace and protocol.
        let mut unwell: HashMap<Kind, HashMap<SocketAddr, Arc<Health>>> = HashMap::new();
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let records = known
                .iter()
                .filter_map(|(key, health)| Some((*key, health.upgrade()?)));
            for (key, health) in records.filter(|(_, health)| !health.is_blank()) {
                let kind = (key.namespace_id, key.protocol);
                unwell.entry(kind).or_default().insert(key.address, health);
            }
        }
        // Thousands of rules may name one list of thousands of endpoints.
        let mut seen: HashSet<(Kind, *const Endpoint), RandomState> = HashSet::default();
        for upstream in upstreams {
            if unwell.is_empty() {
                break;
            }
            let kind = (upstream.namespace_id, ProtocolKey::of(&upstream.protocol));
            let Some(addresses) = unwell.get_mut(&kind) else {
                continue;
            };
            if !seen.insert((kind, upstream.endpoints.as_ptr())) {
                continue;
            }
            let before = addresses.len();
            if before < upstream.endpoints.len() / LOOKUP {
                #[cfg(test)]
                self.compared.fetch_add(before, Relaxed);
                addresses.retain(|address, _| !has(upstream, *address));
            } else {
                #[cfg(test)]
                self.compared.fetch_add(upstream.endpoints.len(), Relaxed);
                for endpoint in upstream.endpoints.iter() {
                    addresses.remove(&endpoint.address);
                }
            }
            if addresses.len() < before {
                self.troubled.store(true, Relaxed);
            }
            if addresses.is_empty() {
                unwell.remove(&kind);
            }
        }
        for health in unwell.values().flat_map(HashMap::values) {
            health.forget();
        }
    }

    /// How many endpoints of each Service get no requests because of what they did. Looks at the Services only while some
    /// endpoint is not well.
    pub(crate) fn ejected<'u>(
        &self,
        upstreams: impl Iterator<Item = &'u Upstream>,
    ) -> BTreeMap<ObjectKey, usize> {
        if !self.troubled.load(Relaxed) {
            return BTreeMap::new();
        }
        // Several ports of a Service may have one endpoint.
        let mut found: BTreeMap<ObjectKey, HashSet<(Kind, SocketAddr)>> = BTreeMap::new();
        let mut unwell: HashMap<Kind, HashSet<SocketAddr>> = HashMap::new();
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let records = known
                .iter()
                .filter_map(|(key, health)| Some((key, health.upgrade()?)));
            let is_out = |health: &Health| match health.availability() {
                Availability::Out | Availability::Down => true,
                // The next request finds out whether it has recovered.
                Availability::In | Availability::Due => false,
            };
            for (key, _) in records.filter(|(_, health)| is_out(health)) {
                let kind = (key.namespace_id, key.protocol);
                unwell.entry(kind).or_default().insert(key.address);
            }
        }
        // Thousands of rules may name one list of thousands of endpoints.
        let mut seen: HashSet<(Kind, *const Endpoint), RandomState> = HashSet::default();
        for upstream in upstreams {
            let kind = (upstream.namespace_id, ProtocolKey::of(&upstream.protocol));
            let Some(addresses) = unwell.get(&kind) else {
                continue;
            };
            if !seen.insert((kind, upstream.endpoints.as_ptr())) {
                continue;
            }
            let out: Vec<SocketAddr> = if addresses.len() < upstream.endpoints.len() / LOOKUP {
                let own = addresses.iter().filter(|address| has(upstream, **address));
                own.copied().collect()
            } else {
                let all = upstream.endpoints.iter().map(|endpoint| endpoint.address);
                all.filter(|address| addresses.contains(address)).collect()
            };
            if !out.is_empty() {
                let out = out.into_iter().map(|address| (kind, address));
                found.entry(upstream.service.clone()).or_default().extend(out);
            }
        }
        found
            .into_iter()
            .map(|(service, endpoints)| (service, endpoints.len()))
            .collect()
    }

    /// The endpoints that are not well, in order; each once, whatever protocols it is called with.
    pub(crate) fn unwell(&self) -> Vec<UnwellEndpoint> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let unwell = known.iter().filter_map(|(key, health)| {
            let is_reachable = match health.upgrade()?.availability() {
                Availability::In => return None,
                Availability::Due | Availability::Out => true,
                Availability::Down => false,
            };
            Some(UnwellEndpoint {
                namespace_id: key.namespace_id,
                address: key.address,
                is_reachable,
            })
        });
        let mut unwell: Vec<_> = unwell.collect();
        drop(known);
        unwell.sort_unstable();
        // Unreachable comes first.
        unwell.dedup_by_key(|endpoint| (endpoint.namespace_id, endpoint.address));
        unwell
    }

    /// What is known of the first `most` endpoints of `upstream`, in their order; `None` of those that no request has gone to.
    pub(crate) fn availabilities(&self, upstream: &Upstream, most: usize) -> Vec<Option<Availability>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = 0..upstream.endpoints.len().min(most);
        asked
            .map(|index| {
                let key = Key::at(upstream, index)?;
                Some(known.get(&key)?.upgrade()?.availability())
            })
            .collect()
    }

    /// A record that nobody shares.
    pub(super) fn unshared(&self) -> Arc<Health> {
        Arc::new(Health::new(self.epoch, Arc::clone(&self.troubled)))
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Drops addresses that no worker uses.
    pub(crate) fn sweep(&self) {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, health| health.strong_count() > 0);
    }
}
