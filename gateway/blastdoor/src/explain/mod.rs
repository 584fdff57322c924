//! Which rule answers a request at each door, and why the others do not.
//!
//! The decision is never worked out anew: the request is [rehearsed](proxy::rehearse) with what each door serves, by the
//! functions that requests themselves go through. Here the outcome is put into words.

mod backend;
mod candidates;
mod distance;
mod for_people;
mod lately;
mod nearest;
mod question;
mod told;

use std::collections::BTreeSet;
use std::sync::Arc;

use door::{Action, Filters, Route};
use proxy::{Answered, FilterOutcome, Outcome, Rehearsal, rehearse};
use resource::{Kind, ObjectRef, Problem};
use route::{HostBuf, PathScratch, normalise_authority, normalise_path};
use text::Shown;

use self::candidates::{Candidates, Wanted};
pub(crate) use self::for_people::ForPeople;
pub(crate) use self::question::{Question, QuestionError};
pub(crate) use self::told::Explanation;
use self::told::{AtDoor, FilterTold};
use crate::audit::Written;
use crate::shown::{ShownDoor, ShownWorld};

/// How many problems of a rule are repeated.
const MOST_PROBLEMS: usize = 10;

/// A door that does not exist.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no door `{name}`; there are: {known}")]
pub(crate) struct UnknownDoor {
    name: String,
    known: String,
}

/// What the doors would do with a request, and why.
///
/// # Errors
/// When it is asked about a door that does not exist.
pub(crate) fn explain(world: &ShownWorld, question: &Question) -> Result<Explanation, UnknownDoor> {
    let doors = || world.doors.iter();
    if let Some(name) = &question.door
        && !doors().any(|door| door.name().as_str() == name)
    {
        let known: Vec<&str> = doors().map(|door| door.name().as_str()).collect();
        return Err(UnknownDoor {
            name: Shown(name).to_string().chars().take(100).collect(),
            known: known.join(", "),
        });
    }
    let addressed = addressed(world, question);
    let asked = doors().filter(|door| {
        question
            .door
            .as_ref()
            .is_none_or(|name| door.name().as_str() == name)
    });
    let listeners = asked.map(|door| {
        let is_addressed = addressed.contains(door.name().as_str());
        at_door(world, door, question, is_addressed)
    });
    Ok(Explanation {
        url: question.url.clone(),
        method: question.method.clone(),
        listeners: listeners.collect(),
    })
}

/// The doors to which the scheme and the port of the URL lead. A port that no door has says nothing: a load balancer may
/// have it.
fn addressed<'w>(world: &'w ShownWorld, question: &Question) -> BTreeSet<&'w str> {
    let by_port = |door: &&ShownDoor| {
        let bound = match &door.status {
            Some(status) => status.address().port(),
            None => door.config.binding.address.port(),
        };
        question
            .port
            .is_some_and(|port| port == bound || port == door.config.policy.forwarded_port)
    };
    let by_scheme = |door: &&ShownDoor| {
        question
            .scheme
            .is_none_or(|scheme| scheme == door.config.policy.scheme)
    };
    let name = |door: &'w ShownDoor| door.name().as_str();
    let by_port: BTreeSet<&str> = world.doors.iter().filter(by_port).map(name).collect();
    if by_port.is_empty() {
        return world.doors.iter().filter(by_scheme).map(name).collect();
    }
    by_port
}

fn at_door(world: &ShownWorld, door: &ShownDoor, question: &Question, addressed: bool) -> AtDoor {
    let rehearsal = rehearse(&door.snapshot, &question.head, question.client);
    let winner = rehearsal.route.as_ref();
    let mut host_buf = HostBuf::new();
    let host = rehearsal.host.as_deref();
    let host = host.and_then(|host| normalise_authority(host.as_bytes(), &mut host_buf).ok());
    let mut path_scratch = PathScratch::default();
    let path = rehearsal.path.as_deref();
    let path = path.and_then(|path| normalise_path(path.as_bytes(), &mut path_scratch).ok());
    let wanted = Wanted {
        host: host.as_ref(),
        path: path.as_ref(),
        winner,
        namespace: question.namespace.as_deref(),
    };
    let found = Candidates::of(world, door, wanted.host).find(&wanted);
    let problems = winner.map_or_else(Vec::new, |route| problems(world, route));
    let telling = Telling {
        world,
        door,
        question,
        rehearsal: &rehearsal,
    };
    let (status, location) = match &rehearsal.outcome {
        Outcome::Answer(answered) => (Some(answered.status), answered.location.clone()),
        Outcome::Forward(_) | Outcome::PassThrough(_) => (None, None),
    };
    AtDoor {
        listener: door.name().to_string(),
        addressed,
        status,
        ingress: winner.map(|route| route.origin.text.to_string()),
        path: winner.map(|route| Written::of(world.view.as_ref(), route).path(None)),
        field: winner.map(|route| route.field.path()),
        reason: telling.reason(),
        location,
        filters: winner
            .and_then(|route| route.filters.as_ref())
            .map_or_else(Vec::new, |filters| told(filters, &rehearsal.filters)),
        backend: backend::told(world, door, &rehearsal),
        problems,
        lately: lately::told(door, winner.map(|route| &*route.origin.text), host.as_ref()),
        candidates: found.candidates,
        more_candidates: found.more,
        of_other_namespaces: found.of_other_namespaces,
    }
}

/// What is wrong with the rule of a route and with its Service.
fn problems(world: &ShownWorld, route: &Route) -> Vec<String> {
    let mut objects = vec![ObjectRef::namespaced(route.origin.kind, &route.origin.key)];
    if let Action::Forward(upstream) = &route.action {
        objects.push(ObjectRef::namespaced(Kind::Service, &upstream.service));
    }
    let own = [route.field.backend(), route.field.path(), route.field.host()];
    let mut problems: Vec<&Arc<Problem>> = objects
        .iter()
        .flat_map(|object| world.problems.get(object))
        .collect();
    // What is wrong with this rule comes before what is wrong with others of the Ingress.
    problems.sort_by_key(|problem| !own.iter().any(|field| problem.field.starts_with(&**field)));
    problems
        .into_iter()
        .take(MOST_PROBLEMS)
        .map(ToString::to_string)
        .collect()
}

fn told(filters: &Filters, outcomes: &[FilterOutcome]) -> Vec<FilterTold> {
    let mut outcomes = outcomes.iter();
    let each = filters.request.iter().map(|filter| {
        let (verdict, status) = match outcomes.next() {
            Some(FilterOutcome::Passes) => ("passes", None),
            Some(FilterOutcome::Answers(answered)) => ("answers", Some(answered.status)),
            Some(FilterOutcome::Unknown) => ("unknown", None),
            None => ("not-reached", None),
        };
        FilterTold {
            kind: filter.kind().to_owned(),
            does: filter.describe(),
            verdict: verdict.to_owned(),
            status,
        }
    });
    each.collect()
}

/// Puts the outcome of a rehearsal into words.
struct Telling<'r> {
    world: &'r ShownWorld,
    door: &'r ShownDoor,
    question: &'r Question,
    rehearsal: &'r Rehearsal,
}

impl Telling<'_> {
    fn reason(&self) -> String {
        let mut reason = match &self.rehearsal.outcome {
            Outcome::Forward(upstream) => {
                let ingress = self.ingress();
                let endpoints = match upstream.endpoints.len() {
                    1 => "1 endpoint".to_owned(),
                    number => format!("{number} endpoints"),
                };
                format!(
                    "{ingress} sends it to Service `{}` port {}, which has {endpoints}; the backend decides",
                    upstream.service, upstream.port
                )
            }
            Outcome::PassThrough(route) => self.passed(route),
            Outcome::Answer(answered) => self.answered(answered),
        };
        let unknown = self.unknown();
        if !unknown.is_empty() {
            reason.push_str(&format!("; that is, if it passes {}", unknown.join(", ")));
        }
        reason
    }

    fn ingress(&self) -> String {
        let route = self.rehearsal.route.as_ref();
        route.map_or_else(
            || "no rule".to_owned(),
            |route| format!("Ingress `{}`", route.origin.text),
        )
    }

    fn passed(&self, route: &Route) -> String {
        match &route.action {
            Action::Forward(upstream) => format!(
                "Ingress `{}` has the TLS of this host passed through to Service `{}` port {}; the door sees no request",
                route.origin.text, upstream.service, upstream.port
            ),
            Action::Redirect | Action::Blocked(_) => format!(
                "Ingress `{}` has the TLS of this host passed through, and is closed: the connection ends without an answer",
                route.origin.text
            ),
        }
    }

    fn answered(&self, answered: &Answered) -> String {
        let status = answered.status;
        if let Some(place) = self
            .rehearsal
            .filters
            .iter()
            .position(|outcome| matches!(outcome, FilterOutcome::Answers(_)))
        {
            return self.filtered(place, answered);
        }
        let Some(route) = &self.rehearsal.route else {
            return self.without_rule(answered);
        };
        let text = &route.origin.text;
        match (&route.action, answered.reason) {
            (Action::Forward(upstream), Some("no_endpoint")) => {
                let why = upstream.explain_none().unwrap_or_default();
                format!("{status}: Ingress `{text}` has nobody to send it to: {why}")
            }
            (Action::Blocked(_), _) => {
                let why = route.explain_closed().unwrap_or_default();
                format!("{status}: the rule of Ingress `{text}` is closed: {why}")
            }
            (Action::Forward(_) | Action::Redirect, reason) => {
                let words = answered.words.as_deref().unwrap_or("the door answers it itself");
                format!("{status} for Ingress `{text}`: {words}{}", because(reason))
            }
        }
    }

    fn filtered(&self, place: usize, answered: &Answered) -> String {
        let filters = self
            .rehearsal
            .route
            .as_ref()
            .and_then(|route| route.filters.as_ref());
        let filter = filters.and_then(|filters| filters.request.get(place));
        let filter = filter.map_or_else(String::new, |filter| {
            format!("`{}`, which {}", filter.kind(), filter.describe())
        });
        let location = answered.location.as_ref();
        let location = location.map_or_else(String::new, |location| format!(", to {location}"));
        format!(
            "{}{location}: answered by a filter of {}: {filter}{}",
            answered.status,
            self.ingress(),
            because(answered.reason)
        )
    }

    /// There is no rule at this door, or none is looked at.
    fn without_rule(&self, answered: &Answered) -> String {
        let status = answered.status;
        let door = self.door.name();
        match (status, answered.reason, &self.door.config.policy.redirect) {
            (308, _, Some(sibling)) => format!(
                "308: this door redirects what door `{sibling}` serves, and has no rule of its own for it"
            ),
            (_, Some("not_synced"), _) => format!("{status}: door `{door}` has no table yet"),
            (_, Some("no_route"), _) => self.no_route(),
            (200, _, _) => "200: the door answers this health check itself".to_owned(),
            (_, reason, _) => match &answered.words {
                Some(words) => format!(
                    "{status}: the request is refused before any rule: {words}{}",
                    because(reason)
                ),
                None => format!("{status}: the door answers it itself{}", because(reason)),
            },
        }
    }

    /// 404: no host, or no path of it.
    fn no_route(&self) -> String {
        let Some(host) = self.rehearsal.host.as_deref() else {
            return match self.door.snapshot.has_hostless_rules() {
                true => {
                    "404: the request names no host, and none of this door's rules without one has the path"
                        .to_owned()
                }
                false => "404: the request names no host, and no rule of this door is without one".to_owned(),
            };
        };
        let mut buf = HostBuf::new();
        let request = normalise_authority(host.as_bytes(), &mut buf).ok();
        let knows = |door: &ShownDoor| {
            door.snapshot
                .routes()
                .any(|row| *row.host != route::HostPattern::Any && row.host.matches(request.as_ref()))
        };
        if knows(self.door) {
            let path = self.rehearsal.path.as_deref().unwrap_or_default();
            return format!(
                "404: this door has rules for host `{host}`, and none of their paths matches `{path}`"
            );
        }
        let others = self
            .world
            .doors
            .iter()
            .filter(|door| door.name() != self.door.name() && knows(door));
        let others: Vec<String> = others.map(|door| format!("`{}`", door.name())).collect();
        let elsewhere = match &*others {
            // What stands at the doors of another process is not known here.
            [] if !self.world.config.others.is_empty() => {
                "nor does any other door of this process".to_owned()
            }
            [] => "nor does any other door".to_owned(),
            names => format!("but door {} does", names.join(" and ")),
        };
        let hostless = match self.door.snapshot.has_hostless_rules() {
            true => "; none of this door's rules without a host has the path",
            false => "",
        };
        format!("404: no rule of this door names host `{host}`, {elsewhere}{hostless}")
    }

    /// The filters whose verdict is not known here.
    fn unknown(&self) -> Vec<String> {
        let filters = self
            .rehearsal
            .route
            .as_ref()
            .and_then(|route| route.filters.as_ref());
        let filters = filters.map(|filters| &*filters.request).unwrap_or_default();
        let unknown = filters.iter().zip(&self.rehearsal.filters);
        let unknown = unknown.filter(|(_, outcome)| **outcome == FilterOutcome::Unknown);
        unknown
            .map(|(filter, _)| match filter.kind() {
                kind @ ("allow" | "deny") if self.question.client.is_none() => {
                    format!("`{kind}`, which depends on the client (say which with --client)")
                }
                kind => format!("`{kind}`"),
            })
            .collect()
    }
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| {
        format!(" ({reason} in the log and in metrics)")
    })
}

#[cfg(test)]
mod tests;
