//! From the filters that an Ingress writes to those of its routes.

use std::sync::Arc;

use filter::rate_table::LimiterId;
use resource::{FilterSpec, Severity};

use super::asked::{Asked, asked};
use super::context::{Context, Identity};
use super::merge::merge;
use super::{Filter, Filters, PasswordFilter, headers, limits};
use crate::rule::{Blocked, ObjectReport, ObjectRules, Rule};
use crate::scheme::Scheme;

/// The filters of one Ingress at one door, in order.
#[derive(Debug)]
pub(crate) struct IngressFilters {
    /// Of every rule.
    common: Vec<Filter>,
    /// The same, shared by the rules that need nothing of their own.
    shared: Option<Arc<Filters>>,
}

impl IngressFilters {
    /// # Errors
    /// When one of them cannot be honoured, which has been reported: every rule is closed for this reason.
    pub(crate) fn compile(
        context: &Context<'_>,
        object: &ObjectRules<'_>,
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
        let asked = merge(asked, report).ok_or(Blocked::Filter)?;
        let mut common = Vec::new();
        let mut closed = false;
        for asked in &asked {
            let identity = Identity {
                ingress: &object.origin.key,
                kind: asked.kind(),
                field: asked.field,
                middleware: asked.middleware,
                ordinal: asked.ordinal,
            };
            match context.filter(asked, identity, report) {
                Ok(filter) => common.extend(filter),
                Err(refused) => {
                    let message = match asked.middleware {
                        Some(_) => format!("{}: {refused}; closed (503)", asked.place()),
                        None => format!("{refused}; closed (503)"),
                    };
                    report.add(Severity::Error, asked.field, message);
                    closed = true;
                }
            }
        }
        if closed {
            return Err(Blocked::Filter);
        }
        Ok(Self {
            shared: Filters::new(common.clone()),
            common,
        })
    }

    /// The filters of one rule.
    pub(crate) fn of(&self, _rule: &Rule<'_>) -> Option<Arc<Filters>> {
        debug_assert_eq!(self.common.is_empty(), self.shared.is_none());
        self.shared.clone()
    }
}

impl Context<'_> {
    /// `None` if it has nothing to do at this door.
    fn filter(
        &self,
        asked: &Asked<'_>,
        identity: Identity<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Result<Option<Filter>, String> {
        Ok(match asked.spec {
            FilterSpec::HttpsRedirect => {
                (self.policy.scheme == Scheme::Http).then_some(Filter::HttpsRedirect { port: 443 })
            }
            FilterSpec::Deny(deny) => Some(Filter::Deny(deny.clone())),
            FilterSpec::Allow(allow) => Some(Filter::Allow(Box::new(allow.clone()))),
            FilterSpec::RateLimit(spec) => {
                let limit = limits::rate_limit(self, identity, spec)?;
                Some(Filter::RateLimit(Box::new(limit)))
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
        })
    }
}
