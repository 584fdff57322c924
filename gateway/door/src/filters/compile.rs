//! From the filters that an Ingress writes to those of its routes.

use std::sync::Arc;

use resource::{ClusterView, FilterSpec, Severity, WrittenFilter};
use route::ListenerName;

use super::order::Stage;
use super::{Filter, FilterMemory, Filters, headers};
use crate::admission::Policy;
use crate::rule::{Blocked, ObjectReport, ObjectRules, Rule};
use crate::scheme::Scheme;

/// What filters are compiled with, at one door.
pub(crate) struct Context<'a> {
    pub(crate) door: &'a ListenerName,
    pub(crate) policy: &'a Policy,
    pub(crate) view: &'a ClusterView,
    pub(crate) memory: &'a FilterMemory,
}

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
        if let (Some(first), true) = (object.filters.first(), object.passes_through) {
            let message = "TLS is passed through, so that nothing can be done to requests; closed (503)";
            report.add(Severity::Error, &first.field, message);
            return Err(Blocked::Filter);
        }
        let mut common = Vec::new();
        let mut closed = false;
        // A stable sort: what stands in one place stays as it is written.
        let mut ordered: Vec<&WrittenFilter> = object.filters.iter().collect();
        ordered.sort_by_key(|written| Stage::of(written));
        for written in ordered {
            match context.filter(written) {
                Ok(filter) => common.extend(filter),
                Err(refused) => {
                    report.add(
                        Severity::Error,
                        &written.field,
                        format!("{refused}; closed (503)"),
                    );
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
    fn filter(&self, written: &WrittenFilter) -> Result<Option<Filter>, String> {
        let _ = (self.door, self.view, self.memory);
        Ok(match &written.spec {
            FilterSpec::HttpsRedirect => {
                (self.policy.scheme == Scheme::Http).then_some(Filter::HttpsRedirect { port: 443 })
            }
            FilterSpec::Headers(headers) => headers::all(headers, self.policy.scheme),
            FilterSpec::Cors(cors) => headers::cors(cors),
            FilterSpec::RequestFields(edits) => headers::request(edits),
            FilterSpec::ResponseFields(edits) => headers::response(edits),
            FilterSpec::ResponseFieldsOf(key) => headers::response(&headers::of_config_map(self.view, key)?),
            FilterSpec::SecurityFields => headers::security(self.policy.scheme)?,
        })
    }
}
