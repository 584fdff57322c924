//! The immutable result of a compilation, and what a lookup in it says.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use route::{HostSet, ListenerName, ObjectKey, RequestHost, RequestPath, Table};

use crate::backend::BackendTls;
use crate::tls::DoorTls;

/// Everything one door serves at one moment: its settings and its routes, swapped as one value so that a request
/// never sees half of a change.
///
/// There is no public constructor and no `Default`: only [`crate::publish()`] makes one, from Ingresses that the
/// door's own policy admitted.
pub struct Snapshot<S> {
    pub(crate) publication: u64,
    pub(crate) settings: Arc<S>,
    /// `None` at a door that ends no TLS, and before the first publication.
    pub(crate) tls: Option<Arc<DoorTls>>,
    /// `None` until the first publication.
    pub(crate) routes: Option<Arc<Routes>>,
}

/// The routing half of a snapshot.
#[derive(Debug, PartialEq)]
pub(crate) struct Routes {
    pub(crate) table: Arc<Table<Arc<Route>>>,
    /// What the sibling of a `redirect` door serves: hosts and paths, no routes.
    pub(crate) redirect: Option<RedirectProjection>,
    /// Which other doors know a host: for the cross-door alarm alone, names and no routes.
    pub(crate) neighbours: Box<[Neighbour]>,
}

/// The hosts and paths of the door that a `redirect` door points to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RedirectProjection {
    pub(crate) table: Arc<Table<()>>,
    /// Hosts that the sibling passes through: every path of them.
    pub(crate) passed: HostSet,
    pub(crate) port: u16,
}

/// Another door, by the hosts that it knows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Neighbour {
    pub(crate) door: ListenerName,
    /// Those of its table.
    pub(crate) hosts: HostSet,
    /// Those whose TLS it does not end.
    pub(crate) passed: HostSet,
}

/// One compiled rule.
#[derive(Debug, PartialEq)]
pub struct Route {
    /// The Ingress that the rule comes from.
    pub ingress: ObjectKey,
    /// `namespace/name` of that Ingress, ready for the log.
    pub ingress_text: Box<str>,
    /// What becomes of a request.
    pub action: Action,
    /// Per-route timeouts and limits; `None` leaves the door's.
    pub tuning: Tuning,
}

/// What becomes of a request that a rule matched.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// It goes to an endpoint of this upstream.
    Forward(Arc<Upstream>),
    /// 308 to `https` at this port: the rule is written with `ssl-redirect` and the door speaks plain HTTP.
    RedirectToHttps {
        /// The port in `Location`; 443 is left out of it.
        port: u16,
    },
    /// 503: the rule cannot be honoured, and nothing may answer in its place.
    Blocked(Blocked),
}

/// Why a rule is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// The rule itself is wrong: host, path, backend.
    InvalidRule,
    /// The Service does not exist or has no such port.
    NoSuchBackend,
    /// Every address of the backend is one that a gateway must not call: loopback, link-local, itself.
    RefusedAddress,
    /// The backend speaks a protocol that the gateway does not.
    Protocol,
    /// An annotation asks for protection that cannot be given.
    Annotation,
    /// TLS cannot be spoken to the backend as it is written: a Secret or an authority is missing or unusable.
    BackendTls,
}

/// What a Service port stands for: its name and the endpoints that take requests.
#[derive(Debug, PartialEq, Eq)]
pub struct Upstream {
    /// The Service.
    pub service: ObjectKey,
    /// Stands for the Service's namespace. What the requests of one namespace have shown of an address is nothing to go
    /// by for another's: it may ask that address for what it cannot do.
    pub space: u64,
    /// The port of the Service (`spec.ports[].port`).
    pub port: u16,
    /// What is spoken to the endpoints.
    pub protocol: UpstreamProtocol,
    /// Where requests go; empty means 503.
    pub endpoints: Box<[Endpoint]>,
}

/// What is spoken to the endpoints of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1 in clear text.
    Http1,
    /// HTTP/2 in clear text, by prior knowledge (RFC 9113 3.3).
    H2c,
    /// TLS; HTTP/2 inside where the settings say so, else HTTP/1.1.
    Tls(Arc<BackendTls>),
}

/// One address that takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Pod address and target port.
    pub address: SocketAddr,
}

/// Per-route settings that an Ingress asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tuning {
    /// Upstream connect timeout.
    pub connect: Option<Duration>,
    /// Longest gap between two reads from the backend, its response head included.
    pub response_idle: Option<Duration>,
    /// Longest gap between two writes to the backend.
    pub body_idle: Option<Duration>,
    /// Largest request body in bytes; `Some(0)` is unlimited, as in ingress-nginx.
    pub body: Option<u64>,
}

/// A rule that matched, with the settings of the same moment. It pins both for as long as the request lasts, and
/// nothing else of the table.
pub struct Matched<S> {
    /// The rule.
    pub route: Arc<Route>,
    /// The door's settings when the request was matched.
    pub settings: Arc<S>,
    /// The publication that it was matched under.
    pub publication: u64,
}

/// What a door says of a host and path.
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

impl RedirectProjection {
    fn serves(&self, host: Option<&RequestHost<'_>>, path: &RequestPath<'_>) -> bool {
        let passed = host.is_some_and(|host| self.passed.names(host) || self.passed.covers(host));
        passed || self.table.find(host, path).is_some()
    }
}

/// The first door that names a host, else the first with a wildcard for it.
fn owner<'n>(neighbours: &'n [Neighbour], host: &RequestHost<'_>) -> Option<&'n ListenerName> {
    let names = |other: &&Neighbour| other.hosts.names(host) || other.passed.names(host);
    let covers = |other: &&Neighbour| other.hosts.covers(host) || other.passed.covers(host);
    let named = neighbours.iter().find(names);
    named
        .or_else(|| neighbours.iter().find(covers))
        .map(|other| &other.door)
}

impl<S> Snapshot<S> {
    /// The number of this snapshot among those of its door: each has a higher one than the one before.
    #[must_use]
    pub fn publication(&self) -> u64 {
        self.publication
    }

    /// The door's settings.
    #[must_use]
    pub fn settings(&self) -> &Arc<S> {
        &self.settings
    }

    /// The door's certificates; `None` at a door that ends no TLS, and before the first publication.
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

    /// Every rule of the door, in a stable order.
    pub fn routes(&self) -> impl Iterator<Item = route::Row<'_, Arc<Route>>> {
        self.routes.iter().flat_map(|routes| routes.table.iter())
    }

    /// Every upstream that something at the door goes to, once for each rule and each name that is passed through.
    pub fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        let passed = self.tls.iter().flat_map(|tls| tls.passthrough_routes());
        let routes = self.routes().map(|row| row.action);
        routes
            .chain(passed.map(|(_, route)| route))
            .filter_map(|route| match &route.action {
                Action::Forward(upstream) => Some(&**upstream),
                Action::RedirectToHttps { .. } | Action::Blocked(_) => None,
            })
    }
}

impl<S> fmt::Debug for Snapshot<S> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Snapshot")
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}
