//! Who is let in, and how often.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use ::filter::access::{Allow, Deny};
use ::filter::caller::Caller;
use ::filter::cidr::Networks;
use ::filter::rate::Wait as TooSoon;
use ::filter::rate_table::Bucket;
use ::filter::store::{Store, bucket_name};
use door::RateLimit;
use smallvec::SmallVec;
use wire::forwarded::{MOST_HOPS, parse_hop};
use wire::{FieldId, elements};

use super::seen::{Asking, Awaited, Seen, Step};
use crate::observe::labels::{FilterKind, Reason};
use crate::observe::metrics::WorkerMetrics;
use crate::request::course::Course;
use crate::request::reply::Reply;
use crate::worker::stores::{Silent, Stores, Taking, Takings};

const DENIED: &str = "the client's address is in the deny list of the route";
const NOT_ALLOWED: &str = "the client's address is not in the allow list of the route";
const TOO_OFTEN: &str = "more requests than the rate limit of the route allows";

pub(super) fn deny(deny: &Deny, course: &Course, seen: &Seen<'_>) -> Step {
    counted(denied(deny, course, seen), FilterKind::Deny, seen)
}

pub(super) fn allow(allow: &Allow, course: &Course, seen: &Seen<'_>) -> Step {
    counted(allowed(allow, course, seen), FilterKind::Allow, seen)
}

/// What the filter does, without counting it.
pub(super) fn denied(deny: &Deny, course: &Course, seen: &Asking<'_>) -> Step {
    if deny.admits(&Known { seen, course }) {
        return Step::Pass;
    }
    Step::Answer(Reply::denied(403, Reason::AccessDenied, DENIED))
}

/// What the filter does, without counting it.
pub(super) fn allowed(allow: &Allow, course: &Course, seen: &Asking<'_>) -> Step {
    if allow.admits(&Known { seen, course }) {
        return Step::Pass;
    }
    Step::Answer(Reply::denied(
        allow.status.code(),
        Reason::AccessDenied,
        NOT_ALLOWED,
    ))
}

fn counted(step: Step, kind: FilterKind, seen: &Seen<'_>) -> Step {
    if matches!(step, Step::Answer(_)) {
        seen.worker.metrics.filtered(kind);
    }
    step
}

pub(super) fn rate(limit: &Arc<RateLimit>, course: &Course, seen: &Seen<'_>) -> Step {
    let is_exempt = |networks: &Networks| networks.contains(seen.identity.client);
    if limit.except.as_ref().is_some_and(is_exempt) {
        return Step::Pass;
    }
    let caller = Known { seen, course };
    let key = limit.source.key(&caller);
    let counted = Counted {
        buckets: limit
            .limiters
            .iter()
            .map(|limiter| limit.table.bucket(limiter.id, key))
            .collect(),
        limit: Arc::clone(limit),
        now: seen.started,
        metrics: Arc::clone(&seen.worker.metrics),
    };
    match &limit.store {
        None => counted.settle(counted.take()),
        Some(store) => {
            let takings = limit.limiters.iter().map(|limiter| Taking {
                bucket: bucket_name(&limiter.prefix, key),
                rate: limiter.rate,
            });
            ask(
                seen.worker.stores(),
                Arc::clone(store),
                takings.collect(),
                counted,
            )
        }
    }
}

/// Waits for a server that counts for all replicas. If it does not answer, this one counts for itself.
fn ask(stores: Arc<Stores>, store: Arc<Store>, takings: Takings, counted: Counted) -> Step {
    Step::Wait(Box::pin(async move {
        let verdict = match stores.take(&store, takings).await {
            Ok(verdict) => verdict,
            Err(Silent) => {
                counted.metrics.filter_store_errors.add(1);
                counted.take()
            }
        };
        Awaited(Box::new(move |_course| counted.settle(verdict)))
    }))
}

/// The buckets of one request at this replica.
struct Counted {
    limit: Arc<RateLimit>,
    buckets: SmallVec<[Bucket; 2]>,
    now: Instant,
    metrics: Arc<WorkerMetrics>,
}

impl Counted {
    /// Takes a token of each bucket, if all have one.
    fn take(&self) -> Result<(), TooSoon> {
        let (table, now) = (&self.limit.table, self.now);
        let each = || self.limit.limiters.iter().zip(&self.buckets);
        if self.buckets.len() > 1 {
            let early = each().filter_map(|(limiter, bucket)| table.check(*bucket, &limiter.rate, now).err());
            if let Some(longest) = early.max() {
                return Err(longest);
            }
        }
        for (limiter, bucket) in each() {
            let taken = table.take(*bucket, &limiter.rate, now)?;
            if taken.evicted {
                self.metrics.filter_evictions.add(1);
            }
        }
        Ok(())
    }

    fn settle(&self, verdict: Result<(), TooSoon>) -> Step {
        let Err(wait) = verdict else {
            return Step::Pass;
        };
        self.metrics.filtered(FilterKind::RateLimit);
        let seconds = wait.seconds().to_string().into_bytes();
        Step::Answer(Reply::denied(429, Reason::RateLimited, TOO_OFTEN).with("Retry-After", seconds))
    }
}

/// A request, and what filters before this one have found.
struct Known<'a> {
    seen: &'a Asking<'a>,
    course: &'a Course,
}

impl Caller for Known<'_> {
    fn client(&self) -> IpAddr {
        self.seen.identity.client
    }

    fn peer(&self) -> IpAddr {
        self.seen.identity.peer()
    }

    fn hops(&self) -> impl Iterator<Item = Option<IpAddr>> {
        let fields = self.seen.request.fields.iter().rev();
        let values = fields.filter(|field| self.seen.identity.trusted && field.id == FieldId::XForwardedFor);
        values
            .flat_map(|field| elements(field.value.of(self.seen.head)).rev())
            .take(MOST_HOPS)
            .map(parse_hop)
    }

    fn field(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.seen.request.fields.iter();
        let field = fields.find(|field| {
            field
                .name
                .of(self.seen.head)
                .eq_ignore_ascii_case(name.as_bytes())
        })?;
        Some(field.value.of(self.seen.head))
    }

    fn host(&self) -> &[u8] {
        self.seen.place.host().unwrap_or_default().as_bytes()
    }

    fn user(&self) -> Option<&[u8]> {
        self.course.user.as_deref()
    }
}
