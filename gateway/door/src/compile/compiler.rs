//! From admitted objects to a door's table.

use std::collections::BTreeMap;
use std::sync::Arc;

use resource::{ClusterView, ObjectRef, Problem, Severity};
use route::{ListenerName, Table};

use super::passthrough::Passthrough;
use super::places::Places;
use super::route::{Action, Route};
use crate::admission::{Admitted, Excess, Ownership, Policy};
use crate::backend::{BackendMemory, BackendPolicy, Upstreams};
use crate::filters::{Context, FilterMemory, IngressFilters};
use crate::rule::{Blocked, Condition, ObjectReport, ObjectRules, Rule, RuleAction, ingress};

/// Compiles doors from one view, sharing what they have in common: the endpoints of a Service are resolved once.
pub(crate) struct Compiler<'v> {
    view: &'v ClusterView,
    backends: &'v BackendPolicy,
    upstreams: Upstreams<'v>,
}

/// What a door serves.
pub(crate) struct Compiled {
    pub(crate) table: Table<Arc<Route>>,
    /// Names whose TLS is passed through; empty at a door that terminates no TLS.
    pub(crate) passthrough: Passthrough,
    pub(crate) problems: Reports,
}

/// Problems by the object whose compilation found them. They may be about objects to which it refers.
pub(crate) type Reports = BTreeMap<ObjectRef, Vec<Problem>>;

impl<'v> Compiler<'v> {
    /// `memory` is that of the publication before: an unchanged route stays equal and keeps its sessions.
    pub(crate) fn new(view: &'v ClusterView, backends: &'v BackendPolicy, memory: BackendMemory) -> Self {
        Self {
            view,
            backends,
            upstreams: Upstreams::new(view, backends, memory),
        }
    }

    /// What is worth remembering.
    pub(crate) fn into_memory(self) -> BackendMemory {
        self.upstreams.into_memory()
    }

    /// Compiles one door. `admitted` is in order of precedence; the second rule for a host and path loses, which is
    /// reported. `any_passes` says whether the door passes any TLS through: for these or for others.
    pub(crate) fn compile(
        &mut self,
        door: &ListenerName,
        policy: &Policy,
        ownership: &Ownership,
        admitted: &[Admitted<'_>],
        any_passes: bool,
        memory: &FilterMemory,
    ) -> Compiled {
        let context = Context {
            door,
            policy,
            view: self.view,
            backends: self.backends,
            memory,
        };
        let mut places = Places::new(door, policy, ownership, admitted, any_passes);
        let mut problems = Reports::new();
        for admitted in admitted {
            let ingress = admitted.ingress();
            let mut report = ObjectReport::of_ingress(ingress);
            if let Some(excess) = admitted.excess() {
                report_excess(door, policy, excess, &mut report);
            }
            if !admitted.is_left_out() {
                let object = ingress::translate(door, policy, *admitted, &mut report);
                self.object(&context, &mut places, &object, &mut report);
            }
            if !report.problems.is_empty() {
                problems.insert(report.object(), report.finish());
            }
        }
        let (table, passthrough) = places.finish();
        Compiled {
            table,
            passthrough,
            problems,
        }
    }

    /// Gives the rules of one object their places.
    fn object(
        &mut self,
        context: &Context<'_>,
        places: &mut Places<'_>,
        object: &ObjectRules<'_>,
        report: &mut ObjectReport<'_>,
    ) {
        self.upstreams.next_asks();
        let filters = IngressFilters::compile(context, object, report);
        for named in &object.hosts {
            places.judge_host(object, *named, report);
        }
        for rule in &object.rules {
            let host = rule.host.filter(|host| places.may_have(object, host));
            if host.is_none() && !rule.path.is_default() {
                continue;
            }
            #[cfg(test)]
            crate::counted::note(|work| work.compiled += 1);
            let route = self.route(rule, &filters, report);
            if let Some(host) = host {
                places.place(rule, host, route, report);
            }
        }
    }

    fn route(
        &mut self,
        rule: &Rule<'_>,
        filters: &Result<IngressFilters, Blocked>,
        report: &mut ObjectReport<'_>,
    ) -> Arc<Route> {
        // What a table cannot honour yet must be closed here.
        let Condition::Always = rule.condition;
        let (action, filters) = match (self.action(rule, report), filters) {
            // A redirect needs no backend.
            (action @ (Action::Forward(_) | Action::Blocked(Blocked::NoSuchBackend)), Ok(filters)) => {
                (action, filters.of(rule))
            }
            (action @ (Action::Blocked(_) | Action::RedirectToHttps { .. }), _) => (action, None),
            (Action::Forward(_), Err(blocked)) => (Action::Blocked(blocked.clone()), None),
        };
        Arc::new(Route {
            origin: Arc::clone(&rule.origin),
            action,
            filters,
            tuning: rule.tuning,
        })
    }

    fn action(&mut self, rule: &Rule<'_>, report: &mut ObjectReport<'_>) -> Action {
        let backend = match &rule.action {
            RuleAction::Forward(backend) => backend,
            RuleAction::RedirectToHttps { port } => return Action::RedirectToHttps { port: *port },
            RuleAction::Blocked(reason) => return Action::Blocked(reason.clone()),
        };
        let (upstream, doubt) = self.upstreams.find(*backend, &mut report.problems);
        if let Some(doubt) = doubt {
            report.add(doubt.severity, &rule.field.backend(), doubt.message);
        }
        match upstream {
            Ok(upstream) => Action::Forward(upstream),
            Err(refused) => {
                report.add(refused.severity, &rule.field.backend(), refused.message);
                Action::Blocked(refused.reason)
            }
        }
    }
}

fn report_excess(door: &ListenerName, policy: &Policy, excess: Excess, report: &mut ObjectReport<'_>) {
    let object = report.object();
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let described = excess.bound.describe(namespace, door.as_str(), policy.bounds);
    let result = if excess.closes {
        "its hosts answer 503"
    } else {
        "it is not served, and so many are beyond the bound that its hosts are not closed either"
    };
    report.add(Severity::Error, "spec", format!("{described}; {result}"));
}
