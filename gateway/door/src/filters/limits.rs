//! Limits: from what is written to what is counted.

use std::fmt;
use std::sync::Arc;

use filter::cidr::Networks;
use filter::rate::Rate;
use filter::rate_table::{LimiterId, RateTable};
use filter::source::Source;
use filter::store::Store;
use resource::{RateLimitSpec, Scope};

use super::context::{Context, Identity};
use super::stores::StoreSearch;

/// Rates that apply together: a request passes if each has a token for it, and takes one of each then.
#[derive(Clone, PartialEq)]
pub struct RateLimit {
    /// One or two.
    pub limiters: Box<[Limiter]>,
    /// What counts as one source.
    pub source: Source,
    /// Clients that are not counted.
    pub except: Option<Networks>,
    /// Where this replica counts: the table of the door.
    pub table: Arc<RateTable>,
    /// Where all replicas count, if they do so together. The table counts while it is away.
    pub store: Option<Arc<Store>>,
}

/// One rate, and whose counts it goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limiter {
    /// The same after each publication.
    pub id: LimiterId,
    /// How often a source may ask at this replica.
    pub rate: Rate,
    /// What the names of its buckets begin with at a server; empty without one.
    pub prefix: Box<str>,
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("limiters", &self.limiters)
            .field("source", &self.source)
            .field("except", &self.except)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// # Errors
/// When it cannot be kept as it is written.
pub(super) fn rate_limit(
    context: &Context<'_>,
    identity: Identity<'_>,
    spec: &RateLimitSpec,
    mut search: StoreSearch<'_, '_>,
) -> Result<RateLimit, String> {
    let replicas = match &spec.scope {
        Scope::Replica => 1,
        Scope::Cluster => context.backends.replicas.ok_or(
            "how many replicas share the limit is not known; name the Services of all of them in `[source] replicas`, or \
             write `replica`",
        )?,
        Scope::Store(_) => 1,
    };
    let store = match &spec.scope {
        Scope::Store(store) => Some(search.find(store)?),
        Scope::Replica | Scope::Cluster => None,
    };
    let prefix = |ordinal| match store {
        Some(_) => bucket_prefix(context, identity, ordinal).into(),
        None => Box::default(),
    };
    let limiters = spec.rates.iter().enumerate().map(|(ordinal, rate)| Limiter {
        id: LimiterId::of(&(identity, ordinal)),
        rate: rate.divided(replicas),
        prefix: prefix(ordinal),
    });
    Ok(RateLimit {
        limiters: limiters.collect(),
        source: spec.source.clone(),
        except: spec.except.clone(),
        table: context.memory.rates(context.policy.filters.keys),
        store,
    })
}

/// What the names of buckets begin with at a server: replicas agree on it, and no two limits share it.
fn bucket_prefix(context: &Context<'_>, identity: Identity<'_>, ordinal: usize) -> String {
    let place = match identity.middleware {
        Some(middleware) => middleware.name(),
        None => identity
            .field
            .strip_prefix("metadata.annotations[")
            .and_then(|key| key.strip_suffix(']'))
            .unwrap_or(identity.field),
    };
    let (door, ingress, nth) = (context.door, identity.ingress, identity.ordinal);
    format!("blastdoor:{door}:{ingress}:{place}:{nth}.{ordinal}:")
}
