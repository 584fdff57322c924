//! How annotations choose among the backends of a place, and among the endpoints of a backend.

use filter::canary::CanaryRules;
use filter::cookie::SetCookie;
use filter::template::Template;

/// What an Ingress says about the choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choosing {
    /// The Ingress is a canary: it has no places of its own, and takes a part of the requests of another one.
    pub canary: Option<Canary>,
    /// Its clients stay with an endpoint.
    pub sticky: Option<Sticky>,
    /// Which endpoint a request gets otherwise.
    pub balance: Option<Balance>,
}

/// What a Service says about the choice of its endpoints. An Ingress takes precedence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceChoosing {
    /// Its clients stay with an endpoint.
    pub sticky: Option<Sticky>,
    /// Which endpoint a request gets otherwise.
    pub balance: Option<Balance>,
    /// `service.passhostheader` of Traefik is `false`: `Host` names the endpoint.
    pub names_endpoint: bool,
}

/// A canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// Which requests it takes.
    pub rules: CanaryRules,
    /// The field that makes the Ingress a canary, for problems.
    pub field: Box<str>,
    /// Annotations beside those of canaries, which have no effect on one. Keys.
    pub without_effect: Box<[Box<str>]>,
}

/// Sticky sessions by a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    /// The cookie. Its `path` and `secure` are the two fields below.
    pub cookie: SetCookie,
    /// `None`: the path of the rule.
    pub path: StickyPath,
    /// `None`: at doors for https.
    pub secure: Option<bool>,
    /// A client whose endpoint fails or is ejected gets a new cookie.
    pub change_on_failure: bool,
    /// Browsers that misread `SameSite=None` get no `SameSite`.
    pub same_site_none_is_conditional: bool,
    /// Whether a cookie decides between an Ingress and its canary, before the rules of the canary do.
    pub decides_canary: bool,
}

/// `Path` of a sticky cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StickyPath {
    /// That of the rule; `/` for a regular expression.
    Rule,
    /// As the cookie says.
    Cookie,
}

/// Which endpoint a request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// Of two drawn at random the one with fewer requests under way.
    PowerOfTwo,
    /// One after the other.
    RoundRobin,
    /// By rendezvous hashing of this text.
    Hash(Template),
}
