//! From admitted objects to a door's table.

use std::sync::Arc;

use resource::{ClusterView, Ingress, Severity};
use route::{ListenerName, Table};

use super::canaries::{Canaries, Candidate, is_canary};
use super::derived::Derived;
use super::passthrough::Passthrough;
use super::places::Places;
use super::reports::Reports;
use super::route::{Action, Canary, Route, reason};
use crate::admission::{Admitted, Excess, Ownership, Policy};
use crate::backend::{BackendMemory, BackendPolicy, Upstreams};
use crate::filters::{
    BackendChoice, BackendHost, Context, FilterMemory, FilteredPlace, Filters, IngressFilters, TagCache,
    twin_filters,
};
use crate::rule::{
    BackendRef, Blocked, Condition, DerivedRule, ObjectReport, ObjectRules, Rule, RuleAction, Target, Tuning,
    ingress,
};

/// Compiles doors from one view, sharing what they have in common: the endpoints of a Service are resolved once.
pub(crate) struct Compiler<'v> {
    view: &'v ClusterView,
    backends: &'v BackendPolicy,
    upstreams: Upstreams<'v>,
    tags: TagCache,
}

/// What a door serves.
pub(crate) struct Compiled {
    pub(crate) table: Table<Arc<Route>>,
    /// Names whose TLS is passed through; empty at a door that terminates no TLS.
    pub(crate) passthrough: Passthrough,
    pub(crate) problems: Reports,
}

/// Why rules of an object are closed that say nothing wrong themselves.
struct Whys {
    /// Why the whole object is.
    object: Option<Arc<str>>,
    /// Why its filters cannot be honoured.
    filters: Option<Arc<str>>,
}

/// An Ingress while its rules are joined with canaries.
struct Joined<'c, 'i> {
    ingress: &'i Ingress,
    canaries: &'c mut Canaries<'i>,
}

impl<'v> Compiler<'v> {
    /// `memory` is that of the publication before: an unchanged route stays equal and keeps its sessions.
    pub(crate) fn new(view: &'v ClusterView, backends: &'v BackendPolicy, memory: BackendMemory) -> Self {
        Self {
            view,
            backends,
            upstreams: Upstreams::new(view, backends, memory),
            tags: TagCache::default(),
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
        let mut canaries = Canaries::among(door, policy, admitted);
        let mut problems = Reports::new();
        let mut derived = Vec::new();
        for admitted in admitted.iter().filter(|admitted| !is_canary(admitted.ingress())) {
            let ingress = admitted.ingress();
            let mut report = ObjectReport::of_ingress(ingress);
            if let Some(excess) = admitted.excess() {
                report_excess(door, policy, excess, &mut report);
            }
            if !admitted.is_left_out() {
                let object = ingress::translate(door, policy, *admitted, &mut report);
                let mut joined = Joined {
                    ingress,
                    canaries: &mut canaries,
                };
                let routes = self.object(&context, &mut places, &object, &mut joined, &mut report);
                if !routes.is_empty() {
                    derived.push((&**ingress, routes));
                }
            }
            if !report.problems.is_empty() {
                problems.insert(report.object(), report.finish());
            }
        }
        problems.extend(canaries.finish(door));
        places.settle();
        places.derive(&derived, &mut problems);
        let (table, passthrough) = places.finish();
        Compiled {
            table,
            passthrough,
            problems,
        }
    }

    /// Gives the rules of one object their places. Returns the routes that may only have places that are left.
    fn object(
        &mut self,
        context: &Context<'_>,
        places: &mut Places<'_>,
        object: &ObjectRules<'_>,
        joined: &mut Joined<'_, '_>,
        report: &mut ObjectReport<'_>,
    ) -> Vec<Derived> {
        let mut derived = Vec::new();
        self.upstreams.next_asks();
        let closes = joined.ingress.annotations.closes.first();
        let closes = || closes.map(|closed| format!("{}: {}", closed.annotation, closed.reason));
        let mut whys = Whys {
            object: report.last_error(0).or_else(closes).map(|why| reason(&why)),
            filters: None,
        };
        let reported = report.problems.len();
        let filters = IngressFilters::compile(context, object, &mut self.upstreams, report);
        if filters.is_err() {
            whys.filters = report.last_error(reported).map(|why| reason(&why));
        }
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
            let route = self.route(context, object, rule, (&filters, &whys), joined, report);
            if let Some(host) = host {
                let aliases = object.aliases.iter();
                for alias in aliases.filter(|alias| places.may_have(object, alias)) {
                    derived.extend(Derived::alias(alias, rule, &route));
                }
                places.place(rule, host, route, report);
            }
        }
        let rules = object.derived.iter();
        for rule in rules.filter(|rule| places.may_have(object, rule.host)) {
            let route = of_derived(context, object, rule, (&filters, &whys));
            derived.push(Derived::rule(rule, route));
        }
        derived
    }

    fn route(
        &mut self,
        context: &Context<'_>,
        object: &ObjectRules<'_>,
        rule: &Rule<'_>,
        (filters, whys): (&Result<IngressFilters, Blocked>, &Whys),
        joined: &mut Joined<'_, '_>,
        report: &mut ObjectReport<'_>,
    ) -> Arc<Route> {
        // What a table cannot honour yet must be closed here.
        let Condition::Always = rule.condition;
        let candidate = joined.canaries.join(joined.ingress, rule.field);
        let mut canary = None;
        let reported = report.problems.len();
        let (action, filters) = match (&rule.action, filters) {
            (RuleAction::Blocked(reason), _) => (Action::Blocked(reason.clone()), None),
            (RuleAction::Forward(_) | RuleAction::Unusable, Err(blocked)) => {
                // What is wrong with the backend is told even so.
                self.action(rule, report);
                (Action::Blocked(blocked.clone()), None)
            }
            (RuleAction::Forward(_) | RuleAction::Unusable, Ok(filters)) => {
                let filters = filters.of(FilteredPlace::Rule(rule.path));
                match self.behind(filters.as_deref(), rule, report) {
                    Action::Forward(upstream) => {
                        let tags = &mut self.tags;
                        let choice = BackendChoice::of(context, object.choosing, rule, &upstream, tags);
                        if let Some(candidate) = candidate {
                            let is_sticky = choice.sticky.is_some();
                            canary = self.canary(context, rule, &candidate, is_sticky, joined);
                        }
                        let filters = Filters::choosing(filters, choice, canary.is_some());
                        (Action::Forward(upstream), filters)
                    }
                    // Without its Service a backend has no endpoint either.
                    action @ Action::Blocked(Blocked::NoSuchBackend) => {
                        let fallback = filters.as_ref().and_then(|filters| filters.fallback());
                        (fallback.cloned().map_or(action, Action::Forward), filters)
                    }
                    action @ (Action::Redirect | Action::Blocked(_)) => (action, filters),
                }
            }
        };
        let why = match &action {
            Action::Blocked(Blocked::Filter) if whys.filters.is_some() => whys.filters.clone(),
            Action::Blocked(blocked) => {
                let own = report.last_error(reported).map(|why| reason(&why));
                // What cannot be read has been reported when it was.
                let place = || reason(&format!("{}: {}", rule.field.backend(), blocked.words()));
                own.or_else(|| whys.object.clone()).or_else(|| Some(place()))
            }
            Action::Forward(_) | Action::Redirect => None,
        };
        Arc::new(Route {
            origin: Arc::clone(&rule.origin),
            field: rule.field,
            action,
            canary,
            filters,
            tuning: rule.tuning,
            why,
        })
    }

    /// The canary of a rule, if it has a backend. It is called as the rule's own backend is.
    fn canary(
        &mut self,
        context: &Context<'_>,
        rule: &Rule<'_>,
        candidate: &Candidate<'_>,
        is_sticky: bool,
        joined: &mut Joined<'_, '_>,
    ) -> Option<Box<Canary>> {
        let RuleAction::Forward(own) = &rule.action else {
            return None;
        };
        let backend = BackendRef {
            service: &candidate.backend.service,
            port: &candidate.backend.port,
            protocol: own.protocol,
        };
        let report = joined.canaries.report(candidate)?;
        let (upstream, doubt) = self.upstreams.find(backend, &mut report.problems);
        if let Some(doubt) = doubt {
            report.add(doubt.severity, &candidate.field.backend(), doubt.message);
        }
        let upstream = match upstream {
            Ok(upstream) => upstream,
            Err(refused) => {
                let why = refused.message;
                let why = why.strip_suffix("; the rule answers 503").unwrap_or(&why);
                let message = format!("{why}; this canary takes no requests");
                report.add(refused.severity, &candidate.field.backend(), message);
                return None;
            }
        };
        let service = context.view.service(&upstream.service);
        Some(Box::new(Canary {
            rules: candidate.rules.clone(),
            tags: is_sticky.then(|| self.tags.of(context, &upstream)),
            host: service.and_then(|service| BackendHost::of(service, &upstream)),
            route: Arc::new(Route {
                origin: Arc::clone(&candidate.origin),
                field: candidate.field,
                action: Action::Forward(upstream),
                canary: None,
                filters: None,
                tuning: rule.tuning,
                why: None,
            }),
        }))
    }

    /// What happens to requests that get past the filters. Behind a redirect of all requests nobody needs a backend, and many
    /// write one that does not exist.
    fn behind(
        &mut self,
        filters: Option<&Filters>,
        rule: &Rule<'_>,
        report: &mut ObjectReport<'_>,
    ) -> Action {
        match filters {
            Some(filters) if filters.answer_all => Action::Redirect,
            Some(filters) if filters.redirects => {
                let reported = report.problems.len();
                let action = self.action(rule, report);
                report.problems.truncate(reported);
                action
            }
            Some(_) | None => self.action(rule, report),
        }
    }

    fn action(&mut self, rule: &Rule<'_>, report: &mut ObjectReport<'_>) -> Action {
        let backend = match &rule.action {
            RuleAction::Forward(backend) => backend,
            RuleAction::Unusable => return Action::Blocked(Blocked::InvalidRule),
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

/// The route of a place that an annotation adds.
fn of_derived(
    context: &Context<'_>,
    object: &ObjectRules<'_>,
    rule: &DerivedRule<'_>,
    (filters, whys): (&Result<IngressFilters, Blocked>, &Whys),
) -> Arc<Route> {
    let closed = object.closed.as_ref().or(filters.as_ref().err());
    let (action, filters) = match (closed, filters) {
        _ if matches!(rule.target, Target::Closed) => (Action::Blocked(Blocked::Bound), None),
        (Some(blocked), _) | (None, Err(blocked)) => (Action::Blocked(blocked.clone()), None),
        (None, Ok(filters)) => {
            let filters = match rule.target {
                Target::Host(to) => twin_filters(to, context.policy.scheme.into()),
                Target::AppRoot => filters.of(FilteredPlace::AppRoot),
                Target::Closed => None,
            };
            (Action::Redirect, filters)
        }
    };
    let why =
        matches!(action, Action::Blocked(_)).then(|| whys.filters.clone().or_else(|| whys.object.clone()));
    Arc::new(Route {
        origin: Arc::clone(&object.origin),
        field: rule.field,
        action,
        canary: None,
        filters,
        tuning: Tuning::default(),
        why: why.flatten(),
    })
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
