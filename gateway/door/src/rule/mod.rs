//! Rules: what an object asks for at a door, whatever its kind.
//!
//! A front end for each kind of object ([`ingress`]) translates what a door has admitted into rules. It knows only its own
//! object. Which hosts may be exposed, which rule wins a place, and what is closed if a rule cannot be honoured, is decided
//! by `compile`.

mod derived;
mod field;
pub(crate) mod ingress;
mod report;

use std::sync::Arc;
use std::time::Duration;

use resource::{
    BackendAnnotations, Choosing, Kind, NamedMiddleware, NoFilter, ServicePortRef, WrittenFilter,
};
use route::{Host, HostPattern, ObjectKey, PathPattern};

pub use field::Field;
pub(crate) use report::{ObjectReport, bounded};

/// The object that a rule comes from.
#[derive(Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub key: ObjectKey,
    /// `namespace/name`, ready for the log.
    pub text: Box<str>,
}

/// Everything that one object asks for at one door.
#[derive(Debug)]
pub(crate) struct ObjectRules<'v> {
    pub(crate) origin: Arc<Origin>,
    /// Its rules are for connections whose TLS is passed through.
    pub(crate) passes_through: bool,
    /// The hosts that it names, each time it does, whether or not a rule follows.
    pub(crate) hosts: Vec<NamedHost<'v>>,
    /// What happens to the requests of all its rules on their way.
    pub(crate) filters: &'v [WrittenFilter],
    /// What it asks not to be done to them.
    pub(crate) none: &'v [NoFilter],
    /// The Middlewares that do more of it.
    pub(crate) middlewares: &'v [NamedMiddleware],
    /// Which backend and which endpoint they get.
    pub(crate) choosing: &'v Choosing,
    /// Its rules; the first one for a place keeps it.
    pub(crate) rules: Vec<Rule<'v>>,
    /// Further hosts for which its rules are, unless a rule of the door names them.
    pub(crate) aliases: Vec<&'v HostPattern>,
    /// Why all of it is closed, if it is.
    pub(crate) closed: Option<Blocked>,
    /// What it asks for at places where no rule of the door is.
    pub(crate) derived: Vec<DerivedRule<'v>>,
}

/// A place that an annotation adds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DerivedRule<'v> {
    pub(crate) field: Field,
    pub(crate) host: &'v HostPattern,
    pub(crate) target: Target<'v>,
}

/// What requests for such a place get: most are redirected.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'v> {
    /// All requests for the host: to this one.
    Host(&'v Host),
    /// Those for `/`: to where `app-root` says.
    AppRoot,
    /// All requests for the host: 503, as the rules that an alias would repeat are beyond a bound.
    Closed,
}

/// A host that an object names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NamedHost<'v> {
    pub(crate) field: Field,
    pub(crate) host: &'v HostPattern,
}

/// What an object asks for at one place.
#[derive(Debug)]
pub(crate) struct Rule<'v> {
    pub(crate) origin: Arc<Origin>,
    pub(crate) field: Field,
    /// `None`: it cannot be read, which has been reported, so there is no place to close.
    pub(crate) host: Option<&'v HostPattern>,
    pub(crate) path: RulePath<'v>,
    pub(crate) condition: Condition,
    pub(crate) action: RuleAction<'v>,
    pub(crate) tuning: Tuning,
}

/// Which requests for its host a rule is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RulePath<'v> {
    /// Those for this path.
    Pattern {
        pattern: &'v PathPattern,
        written: &'v str,
    },
    /// Those for a path that cannot be read. What it most likely meant is closed, if that place is free.
    Unreadable(&'v str),
    /// Those that no path of the host matches.
    HostDefault,
    /// The same, for an object that closes its hosts: it is no conflict if another object answers them.
    RestOfHost,
    /// Those that nothing else at the door matches.
    Default,
    /// All: TLS connections for the host are passed through.
    Connection,
}

/// Which requests for its place a rule takes. The compiler matches this without a wildcard, so that no condition is
/// ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// All of them.
    Always,
}

/// What should happen to the requests of a rule.
#[derive(Debug, Clone)]
pub(crate) enum RuleAction<'v> {
    /// They go to this backend.
    Forward(BackendRef<'v>),
    /// They would go to a backend that cannot be read; what filters answer is answered.
    Unusable,
    /// 503, whatever the state of the backend.
    Blocked(Blocked),
}

/// A port of a Service, and its protocol.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackendRef<'v> {
    pub(crate) service: &'v ObjectKey,
    pub(crate) port: &'v ServicePortRef,
    pub(crate) protocol: BackendProtocol<'v>,
}

/// The protocol of a backend, as far as the rule determines it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BackendProtocol<'v> {
    /// HTTP, as these annotations and the Service say.
    Http(&'v BackendAnnotations),
    /// Unchanged bytes: the client's own TLS.
    Raw,
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
    /// A filter cannot be honoured: it contradicts another one, or an object that it names is missing or unusable.
    Filter,
    /// TLS to the backend cannot be set up as it is written: a Secret or an authority is missing or unusable.
    BackendTls,
    /// The rule, or what it needs, is beyond a bound.
    Bound,
}

impl Blocked {
    /// What kind of fault it is, in words.
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self {
            Self::InvalidRule => "the rule's host, path or backend cannot be read",
            Self::NoSuchBackend => "its Service does not exist, or has no such port",
            Self::RefusedAddress => "every address of its Service is one that the gateway does not call",
            Self::Protocol => "the gateway does not speak the protocol of its backend",
            Self::Annotation => "an annotation asks for what cannot be given",
            Self::Filter => "one of its filters cannot be honoured",
            Self::BackendTls => "TLS to its backend cannot be set up as it is written",
            Self::Bound => "the rule, or what it needs, is beyond a bound",
        }
    }
}

/// Per-route settings that an object asks for.
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

impl Origin {
    pub(crate) fn new(kind: Kind, key: &ObjectKey) -> Self {
        Self {
            kind,
            text: key.to_string().into(),
            key: key.clone(),
        }
    }
}

impl RulePath<'_> {
    /// Whether the rule answers what other rules leave. Its backend is resolved even if it may not have the host.
    pub(crate) fn is_default(self) -> bool {
        match self {
            Self::HostDefault | Self::Default => true,
            Self::Pattern { .. } | Self::Unreadable(_) | Self::RestOfHost | Self::Connection => false,
        }
    }
}
