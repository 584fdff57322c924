//! One name: when it is queried, and how long its answers count.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use resource::{NameFault, Resolution};
use tokio::time::Instant;

use super::lookup::Reply;

/// An answer that cannot be renewed is used for this long after its TTL.
pub(super) const KEEP: Duration = Duration::from_secs(60);
/// A shorter TTL counts as this: some servers answer 0, and no server may be queried without a pause.
pub(super) const SHORTEST_TTL: Duration = Duration::from_secs(1);
/// A longer TTL counts as this: a mistyped TTL of a week must not require restarting gateways.
pub(super) const LONGEST_TTL: Duration = Duration::from_secs(3_600);
/// After a failure the name is queried again after this long, twice as long after each further failure,
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// up to this.
pub(super) const LAST_RETRY: Duration = Duration::from_secs(30);
/// Addresses of a name that are used: the first ones in sorted order, so that replicas agree.
pub(super) const MOST_ADDRESSES: usize = 100;
/// Addresses of one family that are kept, including those that are not used.
const MOST_KEPT: usize = 1_000;

/// What is remembered of a name.
#[derive(Debug)]
pub(super) struct NameEntry {
    v4: Option<KeptAddresses>,
    v6: Option<KeptAddresses>,
    fault: Option<NameFault>,
    /// In a row.
    failures: u32,
    is_answered: bool,
    /// A query for it is under way.
    is_under_way: bool,
    /// When it is queried again.
    next: Instant,
    shown: Option<Arc<Resolution>>,
}

/// Addresses that count until some moment.
#[derive(Debug)]
struct KeptAddresses {
    addresses: Vec<IpAddr>,
    until: Instant,
}

impl NameEntry {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            v4: None,
            v6: None,
            fault: None,
            failures: 0,
            is_answered: false,
            is_under_way: false,
            next: now,
            shown: None,
        }
    }

    /// What is known; `None` before the first reply.
    pub(super) fn shown(&self) -> Option<&Arc<Resolution>> {
        self.shown.as_ref()
    }

    /// When the name is to be queried; `None` while a query is under way.
    pub(super) fn next(&self) -> Option<Instant> {
        (!self.is_under_way).then_some(self.next)
    }

    /// Whether a query is under way and no answer is known.
    pub(super) fn is_waiting(&self) -> bool {
        self.is_under_way && !self.holds()
    }

    /// Whether addresses are known.
    pub(super) fn holds(&self) -> bool {
        self.v4.is_some() || self.v6.is_some()
    }

    /// When the first of its answers expires.
    pub(super) fn ends(&self) -> Option<Instant> {
        let held = self.v4.iter().chain(&self.v6);
        held.map(|held| held.until).min()
    }

    pub(super) fn begin(&mut self) {
        self.is_under_way = true;
    }

    /// Takes a reply in. Returns whether the result has changed.
    pub(super) fn take(&mut self, reply: Reply, now: Instant) -> bool {
        self.is_under_way = false;
        self.is_answered = true;
        if let (Err(v4), Err(v6)) = (&reply.v4, &reply.v6) {
            self.fault = Some(worse(v4, v6).clone());
            self.next = now + pause(self.failures);
            self.failures = self.failures.saturating_add(1);
            return self.show(now);
        }
        self.fault = None;
        self.failures = 0;
        let mut pause = LONGEST_TTL;
        for (held, answer) in [(&mut self.v4, reply.v4), (&mut self.v6, reply.v6)] {
            match answer {
                Ok(mut records) => {
                    records.addresses.truncate(MOST_KEPT);
                    let ttl = records.ttl.clamp(SHORTEST_TTL, LONGEST_TTL);
                    pause = pause.min(ttl);
                    *held = Some(KeptAddresses {
                        addresses: records.addresses,
                        until: now + ttl + KEEP,
                    });
                }
                Err(NameFault::NoSuchName | NameFault::NoAddress) => *held = None,
                // No answer for this address family: queried again soon, and until then the last answer counts.
                Err(NameFault::NoAnswer(_) | NameFault::TooMany(_)) => pause = pause.min(LAST_RETRY),
            }
        }
        self.next = now + pause;
        self.show(now)
    }

    /// Drops answers that have expired. Returns whether the result has changed.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        self.ends().is_some_and(|end| end <= now) && self.show(now)
    }

    fn show(&mut self, now: Instant) -> bool {
        for held in [&mut self.v4, &mut self.v6] {
            held.take_if(|held| held.until <= now);
        }
        if !self.is_answered {
            return false;
        }
        let held = self.v4.iter().chain(&self.v6);
        let mut addresses: Vec<IpAddr> = held
            .flat_map(|held| &held.addresses)
            .map(IpAddr::to_canonical)
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        let left_out = addresses.len().saturating_sub(MOST_ADDRESSES);
        addresses.truncate(MOST_ADDRESSES);
        let resolution = Resolution {
            addresses,
            left_out,
            fault: self.fault.clone(),
        };
        let differs = self.shown.as_deref() != Some(&resolution);
        if differs {
            self.shown = Some(Arc::new(resolution));
        }
        differs
    }
}

/// The fault that says more about the name: if one address family is unknown, the whole is.
fn worse<'f>(v4: &'f NameFault, v6: &'f NameFault) -> &'f NameFault {
    let weight = |fault: &NameFault| match fault {
        NameFault::NoAddress => 0,
        NameFault::NoSuchName => 1,
        NameFault::NoAnswer(_) | NameFault::TooMany(_) => 2,
    };
    if weight(v6) > weight(v4) { v6 } else { v4 }
}

fn pause(failures: u32) -> Duration {
    let factor = 2_u32.checked_pow(failures).unwrap_or(u32::MAX);
    FIRST_RETRY.saturating_mul(factor).min(LAST_RETRY)
}
