//! From the filters that an Ingress writes to those of its routes.

use std::sync::Arc;

use filter::call::CallUrl;
use filter::path_edit::PathEdit;
use filter::rate_table::LimiterId;
use filter::redirect::{Destination, HttpScheme, Redirect};
use filter::replacement::Replacement;
use resource::{BackendAnnotations, Callee, FilterSpec, Severity};

use super::asked::{Asked, asked};
use super::calls::Call;
use super::context::{Context, Identity};
use super::errors::{self, ErrorPages};
use super::merge::merge;
use super::place::FilteredPlace;
use super::stores::StoreSearch;
use super::{Filter, Filters, PasswordFilter, forward_auth, headers, limits};
use crate::backend::Upstreams;
use crate::rule::{Blocked, ObjectReport, ObjectRules};
use crate::scheme::Scheme;

/// The filters of one Ingress at one door, in order.
#[derive(Debug)]
pub(crate) struct IngressFilters {
    filters: Vec<Compiled>,
    /// The same, shared by the rules that need nothing of their own.
    shared: Option<Arc<Filters>>,
    scheme: HttpScheme,
}

/// A filter of an Ingress.
#[derive(Debug)]
enum Compiled {
    /// It is the same for each rule.
    Common(Filter),
    /// It depends on the path of the rule.
    OfRule(OfRule),
}

/// A filter that depends on the path of the rule.
#[derive(Debug, Clone)]
enum OfRule {
    Rewrite(Replacement),
    ForwardedPrefix(Replacement),
    AppRoot(Destination),
}

impl IngressFilters {
    /// # Errors
    /// When one of them cannot be honoured, which has been reported: every rule is closed for this reason.
    pub(crate) fn compile(
        context: &Context<'_>,
        object: &ObjectRules<'_>,
        upstreams: &mut Upstreams<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Result<Self, Blocked> {
        let mut fields = object.filters.iter().map(|written| &written.field);
        let mut named = object.middlewares.iter().map(|named| &named.field);
        if let (Some(first), true) = (fields.next().or_else(|| named.next()), object.passes_through) {
            let message = "TLS is passed through, so that nothing can be done to requests; closed (503)";
            report.add(Severity::Error, first, message);
            return Err(Blocked::Filter);
        }
        let asked = asked(context.view, object, report).ok_or(Blocked::Filter)?;
        let asked = merge(asked, object.none, report).ok_or(Blocked::Filter)?;
        let mut filters = Vec::new();
        let mut closed = false;
        for asked in &asked {
            if let Some(of_rule) = OfRule::of(asked.spec) {
                filters.push(Compiled::OfRule(of_rule));
                continue;
            }
            let identity = Identity {
                ingress: &object.origin.key,
                kind: asked.kind(),
                field: asked.field,
                middleware: asked.middleware,
                ordinal: asked.ordinal,
            };
            match context.filter(asked, identity, object, upstreams, report) {
                Ok(filter) => filters.extend(filter.map(Compiled::Common)),
                Err(refused) => {
                    let topic = asked.topic(context.view, &refused);
                    let message = match asked.middleware {
                        Some(_) => format!("{}: {refused}; closed (503)", asked.place()),
                        None => format!("{refused}; closed (503)"),
                    };
                    report.add_about(topic, Severity::Error, asked.field, message);
                    closed = true;
                }
            }
        }
        if closed {
            return Err(Blocked::Filter);
        }
        let scheme = context.policy.scheme.into();
        let common = filters.iter().filter_map(|filter| match filter {
            Compiled::Common(filter) => Some(filter.clone()),
            Compiled::OfRule(_) => None,
        });
        Ok(Self {
            shared: Filters::new(common.collect(), scheme),
            filters,
            scheme,
        })
    }

    /// The filters of one route.
    pub(crate) fn of(&self, place: FilteredPlace<'_>) -> Option<Arc<Filters>> {
        if !self.filters.iter().any(Compiled::depends_on_rule) {
            return self.shared.clone();
        }
        let filters = self.filters.iter().filter_map(|filter| match filter {
            // What is answered about one rule opens no other.
            Compiled::Common(Filter::ForwardAuth(service)) => {
                Some(Filter::ForwardAuth(forward_auth::of_rule(service, place)))
            }
            Compiled::Common(filter) => Some(filter.clone()),
            Compiled::OfRule(of_rule) => of_rule.at(place),
        });
        Filters::new(filters.collect(), self.scheme)
    }
}

impl Compiled {
    fn depends_on_rule(&self) -> bool {
        match self {
            Self::OfRule(_) => true,
            Self::Common(filter) => {
                matches!(filter, Filter::ForwardAuth(service) if service.verdicts.is_some())
            }
        }
    }
}

impl OfRule {
    fn of(spec: &FilterSpec) -> Option<Self> {
        if let FilterSpec::Rewrite(target) = spec {
            Some(Self::Rewrite(target.clone()))
        } else if let FilterSpec::ForwardedPrefix(prefix) = spec {
            Some(Self::ForwardedPrefix(prefix.clone()))
        } else if let FilterSpec::AppRoot(root) = spec {
            Some(Self::AppRoot(root.clone()))
        } else {
            None
        }
    }

    fn at(&self, place: FilteredPlace<'_>) -> Option<Filter> {
        let pattern = || place.pattern();
        match (self, place) {
            (Self::AppRoot(root), FilteredPlace::AppRoot) => Some(Filter::Redirect(Redirect::To {
                destination: root.clone(),
                status: 302,
            })),
            (Self::AppRoot(_), FilteredPlace::Rule(_)) => None,
            (Self::Rewrite(target), _) => Some(match Redirect::rewrite(pattern(), target.clone()) {
                Ok(redirect) => Filter::Redirect(redirect),
                // It is no URL, hence a path.
                Err(_) => Filter::Path(PathEdit::Rewrite {
                    pattern: pattern(),
                    target: target.clone(),
                }),
            }),
            (Self::ForwardedPrefix(prefix), _) => Some(Filter::Path(PathEdit::TellPrefix {
                pattern: pattern(),
                prefix: prefix.clone(),
            })),
        }
    }
}

impl Context<'_> {
    /// `None` if it has nothing to do at this door.
    fn filter(
        &self,
        asked: &Asked<'_>,
        identity: Identity<'_>,
        object: &ObjectRules<'_>,
        upstreams: &mut Upstreams<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Result<Option<Filter>, String> {
        Ok(match asked.spec {
            FilterSpec::Deny(deny) => Some(Filter::Deny(deny.clone())),
            FilterSpec::Allow(allow) => Some(Filter::Allow(Arc::new(allow.clone()))),
            FilterSpec::RateLimit(spec) => {
                let search = StoreSearch {
                    context: self,
                    namespace: object.origin.key.namespace(),
                    upstreams,
                    problems: &mut report.problems,
                };
                let limit = limits::rate_limit(self, identity, spec, search)?;
                Some(Filter::RateLimit(Arc::new(limit)))
            }
            FilterSpec::HttpsRedirect => (self.policy.scheme == Scheme::Http)
                .then_some(Filter::Redirect(Redirect::Https { port: 443 })),
            FilterSpec::Redirect(redirect) => Some(Filter::Redirect(redirect.clone())),
            FilterSpec::Path(edit) => Some(Filter::Path(edit.clone())),
            FilterSpec::UpstreamHost(host) => Some(Filter::UpstreamHost(host.clone())),
            // They are compiled for each rule.
            FilterSpec::AppRoot(_) | FilterSpec::Rewrite(_) | FilterSpec::ForwardedPrefix(_) => None,
            FilterSpec::Errors(pages) => {
                let pages = ErrorPages::compile(self, pages, upstreams, report)?;
                Some(Filter::Errors(Arc::new(pages)))
            }
            FilterSpec::Fallback(named) => {
                Some(Filter::Fallback(errors::service(self, named, upstreams, report)?))
            }
            FilterSpec::Headers(headers) => headers::all(headers, self.policy.scheme),
            FilterSpec::Cors(cors) => headers::cors(cors, self.policy.scheme),
            FilterSpec::RequestFields(edits) => headers::request(edits, self.policy.scheme),
            FilterSpec::ResponseFields(edits) => headers::response(edits, self.policy.scheme),
            FilterSpec::ResponseFieldsOf(key) => {
                headers::response(&headers::of_config_map(self.view, key)?, self.policy.scheme)
            }
            FilterSpec::SecurityFields => headers::security(self.policy.scheme)?,
            FilterSpec::BasicAuth(spec) => Some(Filter::Password(Arc::new(PasswordFilter {
                settings: spec.settings.clone(),
                users: self.memory.users.find(spec, self.view, asked.field, report)?,
                failures: LimiterId::of(&(identity.ingress, "passwords")),
                memory: self.memory.passwords(),
            }))),
            FilterSpec::ForwardAuth(spec) => {
                let call = self.call(object, &spec.rule.url, &spec.callee, &spec.connection);
                let place = format!("{}\n{}\n{}", object.origin.text, asked.place(), asked.ordinal);
                let service =
                    forward_auth::compile(&call, upstreams, self.memory, &place, spec, &mut report.problems)?;
                Some(Filter::ForwardAuth(service))
            }
        })
    }

    /// A call of a filter of this object.
    fn call<'c>(
        &'c self,
        object: &'c ObjectRules<'_>,
        url: &'c CallUrl,
        callee: &'c Callee,
        connection: &'c BackendAnnotations,
    ) -> Call<'c> {
        Call {
            door: self.door,
            policy: self.policy,
            view: self.view,
            url,
            callee,
            connection,
            namespace: object.origin.key.namespace(),
        }
    }
}
