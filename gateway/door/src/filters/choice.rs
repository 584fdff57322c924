//! Which backend and which endpoint a request of a route gets.

use std::collections::HashMap;
use std::sync::Arc;

use filter::cookie::{AttributeValue, SetCookie};
use filter::sticky::{TagKey, Tags};
use resource::{Balance, Choosing, Service, ServiceType, StickyPath};
use route::{ListenerName, ObjectKey, PathPattern};

use super::Context;
use crate::backend::Upstream;
use crate::rule::{Rule, RulePath};
use crate::scheme::Scheme;

/// What decides besides the health and the load of endpoints. The usual choice is the default.
#[derive(Debug, Default, PartialEq)]
pub struct BackendChoice {
    /// Clients stay with an endpoint.
    pub sticky: Option<Box<Sticky>>,
    /// Which endpoint a request gets otherwise; `None`: power of two choices.
    pub balance: Option<Balance>,
    /// What the backend sees as `Host`; `None`: what the client sent.
    pub host: Option<BackendHost>,
}

/// Sticky sessions by a cookie.
#[derive(Debug, PartialEq)]
pub struct Sticky {
    /// The cookie, whole but for its value.
    pub cookie: SetCookie,
    /// What its values stand for.
    pub tags: Arc<Tags>,
    /// A client whose endpoint cannot serve it gets a new cookie.
    pub change_on_failure: bool,
    /// Browsers that misread `SameSite=None` get no `SameSite`.
    pub same_site_none_is_conditional: bool,
    /// The cookie decides between a route and its canary, before the rules of the canary do.
    pub decides_canary: bool,
}

/// What a backend sees as `Host`.
#[derive(Debug, Clone, PartialEq)]
pub enum BackendHost {
    /// Address and port of the endpoint.
    Endpoint,
    /// A name, with a port if it is not the usual one.
    Name(Box<str>),
}

/// The tags of upstreams, each computed once for one view.
#[derive(Default)]
pub(crate) struct TagCache(HashMap<(ListenerName, ObjectKey, u16), Arc<Tags>>);

impl TagCache {
    /// Those of the endpoints of an upstream, at a door. A door never recognises the tags of another one.
    pub(crate) fn of(&mut self, context: &Context<'_>, upstream: &Upstream) -> Arc<Tags> {
        let key = (context.door.clone(), upstream.service.clone(), upstream.port);
        let tags = self.0.entry(key).or_insert_with(|| {
            let uid = context
                .view
                .service(&upstream.service)
                .and_then(|service| service.uid.as_deref());
            let key = match uid {
                Some(uid) => TagKey::derive(context.door.as_str(), uid),
                None => TagKey::derive(context.door.as_str(), &upstream.service.to_string()),
            };
            let addresses = upstream.endpoints.iter().map(|endpoint| endpoint.address);
            Arc::new(Tags::of(&key, addresses))
        });
        Arc::clone(tags)
    }
}

impl BackendChoice {
    /// The choice for a rule: what its object says, and what the Service of its backend says where the object is silent.
    pub(crate) fn of(
        context: &Context<'_>,
        choosing: &Choosing,
        rule: &Rule<'_>,
        upstream: &Upstream,
        tags: &mut TagCache,
    ) -> Self {
        let service = context.view.service(&upstream.service);
        let of_service = service.map(|service| &service.choosing);
        let balance = choosing.balance.as_ref();
        let balance = balance.or_else(|| of_service?.balance.as_ref()).cloned();
        let sticky = choosing.sticky.as_ref();
        let sticky = sticky.or_else(|| of_service?.sticky.as_ref()).map(|sticky| {
            let path = match sticky.path {
                StickyPath::Cookie => sticky.cookie.path.clone(),
                StickyPath::Rule => Some(AttributeValue::of_rule(cookie_path(rule))),
            };
            Box::new(Sticky {
                cookie: SetCookie {
                    path,
                    secure: sticky.secure.unwrap_or(context.policy.scheme == Scheme::Https),
                    ..sticky.cookie.clone()
                },
                tags: tags.of(context, upstream),
                change_on_failure: sticky.change_on_failure,
                same_site_none_is_conditional: sticky.same_site_none_is_conditional,
                decides_canary: sticky.decides_canary,
            })
        });
        Self {
            sticky,
            balance: balance.filter(|balance| *balance != Balance::PowerOfTwo),
            host: service.and_then(|service| BackendHost::of(service, upstream)),
        }
    }

    /// Whether the usual choice is meant.
    pub(crate) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl BackendHost {
    /// What the annotations of a Service say about `Host`.
    pub(crate) fn of(service: &Service, upstream: &Upstream) -> Option<Self> {
        if !service.choosing.names_endpoint {
            return None;
        }
        let ServiceType::ExternalName(Ok(name)) = &service.kind else {
            return Some(Self::Endpoint);
        };
        let text = match upstream.port {
            80 | 443 => name.to_string(),
            port => format!("{name}:{port}"),
        };
        Some(Self::Name(text.into()))
    }
}

/// The path whose requests carry the cookie of a rule.
fn cookie_path<'r>(rule: &Rule<'r>) -> &'r str {
    match rule.path {
        RulePath::Pattern {
            pattern: PathPattern::Exact(_) | PathPattern::Prefix(_),
            written,
        } if !written.is_empty() => written,
        RulePath::Pattern { .. }
        | RulePath::Unreadable(_)
        | RulePath::HostDefault
        | RulePath::RestOfHost
        | RulePath::Default
        | RulePath::Connection => "/",
    }
}
