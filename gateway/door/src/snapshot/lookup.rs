//! A snapshot, and what a lookup in it says.

use std::fmt;
use std::sync::Arc;

use route::{HostPattern, ListenerName, RequestHost, RequestPath};

use super::routes::{Routes, owner};
use crate::backend::Upstream;
use crate::compile::Route;
use crate::scheme::Scheme;
use crate::tls::DoorTls;

/// Everything one door serves at one moment: its settings and its routes, swapped as one value so that a request
/// never sees half of a change.
///
/// There is no public constructor and no `Default`: only [`crate::publish()`] makes one, from Ingresses that the
/// door's own policy admitted.
pub struct Snapshot<S> {
    pub(crate) publication: u64,
    pub(crate) scheme: Scheme,
    pub(crate) forwarded_port: u16,
    pub(crate) ends_tls: bool,
    pub(crate) settings: Arc<S>,
    /// `None` at a door that ends no TLS, and before the first publication.
    pub(crate) tls: Option<Arc<DoorTls>>,
    /// `None` until the first publication.
    pub(crate) routes: Option<Arc<Routes>>,
}

/// A rule that matched, with the settings of the same moment. It pins both for as long as the request lasts, and
/// nothing else of the table.
pub struct Matched<S> {
    /// The rule.
    pub route: Arc<Route>,
    /// The door's scheme when the request was matched.
    pub scheme: Scheme,
    /// The port that clients used (`X-Forwarded-Port`), at the same moment.
    pub forwarded_port: u16,
    /// The door's settings at the same moment.
    pub settings: Arc<S>,
    /// The publication that it was matched under.
    pub publication: u64,
}

/// What a door answers for a host and path.
pub enum Verdict<'s> {
    /// A rule of this door matches.
    Matched(&'s Arc<Route>),
    /// The door redirects: its sibling serves this.
    Redirect {
        /// The sibling's port as clients see it.
        port: u16,
    },
    /// No rule of this door matches. The answer must not depend on `owner`.
    Unknown {
        /// A door that knows the host, for the alarm alone.
        owner: Option<&'s ListenerName>,
    },
    /// Nothing has been published yet: 503, never 404.
    NotSynced,
}

impl<S> Snapshot<S> {
    /// The number of this snapshot among those of its door: each has a higher one than the one before.
    #[must_use]
    pub fn publication(&self) -> u64 {
        self.publication
    }

    /// What clients speak to reach the door.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The port that clients use to reach the door.
    #[must_use]
    pub fn forwarded_port(&self) -> u16 {
        self.forwarded_port
    }

    /// Whether the door terminates TLS: its port then receives handshakes, never plain HTTP.
    #[must_use]
    pub fn ends_tls(&self) -> bool {
        self.ends_tls
    }

    /// The door's settings.
    #[must_use]
    pub fn settings(&self) -> &Arc<S> {
        &self.settings
    }

    /// The door's certificates; `None` at a door that terminates no TLS, and before the first publication.
    #[must_use]
    pub fn tls(&self) -> Option<&Arc<DoorTls>> {
        self.tls.as_ref()
    }

    /// Whether a table has been published.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.routes.is_some()
    }

    /// Looks a request up. `host` is `None` for an HTTP/1.0 request without `Host`.
    #[must_use]
    pub fn find(&self, host: Option<&RequestHost<'_>>, path: &RequestPath<'_>) -> Verdict<'_> {
        let Some(routes) = self.routes.as_deref() else {
            return Verdict::NotSynced;
        };
        if let Some(route) = routes.table.find(host, path) {
            return Verdict::Matched(route);
        }
        if let Some(projection) = &routes.redirect
            && projection.serves(host, path)
        {
            return Verdict::Redirect {
                port: projection.port,
            };
        }
        Verdict::Unknown {
            owner: host.and_then(|host| owner(&routes.neighbours, host)),
        }
    }

    /// Whether a rule of the door names the host, or has a wildcard for it: for the log alone.
    #[must_use]
    pub fn knows_host(&self, host: &RequestHost<'_>) -> bool {
        self.routes.as_deref().is_some_and(|routes| {
            let hosts = routes.table.host_set();
            hosts.names(host) || hosts.covers(host)
        })
    }

    /// Whether the door has rules without a host: for the log alone.
    #[must_use]
    pub fn has_hostless_rules(&self) -> bool {
        let routes = self.routes.as_deref();
        routes.is_some_and(|routes| routes.table.has_host(&HostPattern::Any))
    }

    /// The rule that [`find`](Self::find) finds, as it stands in the table: for whoever explains it.
    #[must_use]
    pub fn row(
        &self,
        host: Option<&RequestHost<'_>>,
        path: &RequestPath<'_>,
    ) -> Option<route::Row<'_, Arc<Route>>> {
        self.routes.as_deref()?.table.row(host, path)
    }

    /// Every rule of the door, in a stable order.
    pub fn routes(&self) -> impl Iterator<Item = route::Row<'_, Arc<Route>>> {
        self.routes.iter().flat_map(|routes| routes.table.iter())
    }

    /// The hosts and paths that the door redirects because its sibling serves them, whether or not it has rules of its own
    /// there.
    pub fn redirected(&self) -> impl Iterator<Item = route::Row<'_, ()>> {
        let projections = self.routes.iter().filter_map(|routes| routes.redirect.as_ref());
        projections.flat_map(|projection| projection.table.iter())
    }

    /// The hosts whose TLS its sibling passes through, which the door redirects whatever the path.
    pub fn redirected_hosts(&self) -> impl Iterator<Item = HostPattern> {
        let projections = self.routes.iter().filter_map(|routes| routes.redirect.as_ref());
        projections.flat_map(|projection| projection.passed.patterns())
    }

    /// Every upstream of the door, once for each rule and each name that is passed through: with those of canaries, fallbacks,
    /// error pages and services that are asked.
    pub fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        let passed = self.tls.iter().flat_map(|tls| tls.passthrough_routes());
        let routes = self.routes().map(|row| row.action);
        routes
            .chain(passed.map(|(_, route)| route))
            .flat_map(|route| route.upstreams())
            .map(|upstream| &**upstream)
    }
}

impl<S> fmt::Debug for Snapshot<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Snapshot")
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}
