//! Who is let in, and how often.

use std::net::IpAddr;

use ::filter::access::{Allow, Deny};
use ::filter::caller::Caller;
use ::filter::rate::Wait;
use ::filter::rate_table::Bucket;
use door::RateLimit;
use smallvec::SmallVec;
use wire::forwarded::{MOST_HOPS, parse_hop};
use wire::{FieldId, elements};

use super::{Seen, Step};
use crate::observe::labels::{FilterKind, Reason};
use crate::request::reply::Reply;

pub(super) fn deny(deny: &Deny, seen: &Seen<'_>) -> Step {
    if deny.admits(seen) {
        return Step::Pass;
    }
    refuse(403, FilterKind::Deny, seen)
}

pub(super) fn allow(allow: &Allow, seen: &Seen<'_>) -> Step {
    if allow.admits(seen) {
        return Step::Pass;
    }
    refuse(allow.status.code(), FilterKind::Allow, seen)
}

fn refuse(status: u16, kind: FilterKind, seen: &Seen<'_>) -> Step {
    seen.worker.metrics.filtered(kind);
    Step::Answer(Reply::denied(status, Reason::AccessDenied))
}

pub(super) fn rate(limit: &RateLimit, seen: &Seen<'_>) -> Step {
    let is_exempt = |networks: &::filter::cidr::Networks| networks.contains(seen.client());
    if limit.except.as_ref().is_some_and(is_exempt) {
        return Step::Pass;
    }
    match take(limit, seen) {
        Ok(()) => Step::Pass,
        Err(wait) => {
            seen.worker.metrics.filtered(FilterKind::RateLimit);
            let seconds = wait.seconds().to_string().into_bytes();
            let reply = Reply::denied(429, Reason::RateLimited).with("Retry-After", seconds);
            Step::Answer(reply)
        }
    }
}

/// Takes a token of each rate, if all have one.
fn take(limit: &RateLimit, seen: &Seen<'_>) -> Result<(), Wait> {
    let (table, now) = (&limit.table, seen.started);
    let key = limit.source.key(seen);
    let buckets: SmallVec<[Bucket; 2]> = limit
        .limiters
        .iter()
        .map(|limiter| table.bucket(limiter.id, key))
        .collect();
    let each = || limit.limiters.iter().zip(&buckets);
    if limit.limiters.len() > 1 {
        let early = each().filter_map(|(limiter, bucket)| table.check(*bucket, &limiter.rate, now).err());
        if let Some(longest) = early.max() {
            return Err(longest);
        }
    }
    for (limiter, bucket) in each() {
        let taken = table.take(*bucket, &limiter.rate, now)?;
        if taken.evicted {
            seen.worker.metrics.filter_evictions.add(1);
        }
    }
    Ok(())
}

impl Caller for Seen<'_> {
    fn client(&self) -> IpAddr {
        self.identity.client
    }

    fn peer(&self) -> IpAddr {
        self.identity.peer()
    }

    fn hops(&self) -> impl Iterator<Item = Option<IpAddr>> {
        let fields = self.request.fields.iter().rev();
        let values = fields.filter(|field| self.identity.trusted && field.id == FieldId::XForwardedFor);
        values
            .flat_map(|field| elements(field.value.of(self.head)).rev())
            .take(MOST_HOPS)
            .map(parse_hop)
    }

    fn field(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.request.fields.iter();
        let field = fields.find(|field| field.name.of(self.head).eq_ignore_ascii_case(name.as_bytes()))?;
        Some(field.value.of(self.head))
    }

    fn host(&self) -> &[u8] {
        self.place.host().unwrap_or_default().as_bytes()
    }

    fn user(&self) -> Option<&[u8]> {
        None
    }
}
