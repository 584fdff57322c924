//! What a door would do with a request, as far as that can be known without sending it anywhere: for reports.
//!
//! A rehearsal goes the way of a request, through the same functions, and asks nobody, counts nothing and keeps nothing.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use door::{Filters, Route, Snapshot, Upstream, Verdict};
use route::{HostBuf, PathScratch, normalise_path};
use wire::RequestHead;

use crate::head::authority::request_host;
use crate::head::identity::{Identity, Peer};
use crate::refusal::Refusal;
use crate::request::course::Course;
use crate::request::decide::{Decision, backend, is_health_check, is_refused, judge, raw_path};
use crate::request::filter::{Asking, Rehearsed, Step, by_rules};
use crate::request::reply::Reply;
use crate::settings::Settings;
use crate::worker::place::Place;

/// What a door would do with a request.
#[derive(Debug)]
pub struct Rehearsal {
    /// What becomes of it. Where filters before the end are [`Unknown`](FilterOutcome::Unknown), this is what happens if
    /// all of them let it pass.
    pub outcome: Outcome,
    /// The rule that matches it.
    pub route: Option<Arc<Route>>,
    /// What the filters of the rule do with it, one by one, as far as it comes.
    pub filters: Vec<FilterOutcome>,
    /// Whether the canary of the rule takes it.
    pub canary: CanaryTurn,
    /// Its host as tables have it: in lower case, without a port and without the dot at the end. `None` if there is none, or
    /// none that can be read.
    pub host: Option<Box<str>>,
    /// Its path as tables have it.
    pub path: Option<Box<str>>,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The gateway answers it.
    Answer(Answered),
    /// An endpoint of this Service gets it.
    Forward(Arc<Upstream>),
    /// The door does not see it: the TLS of its connection is passed to the backend of this route.
    PassThrough(Arc<Route>),
}

/// An answer of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// The label that the access log and metrics have for it.
    pub reason: Option<&'static str>,
    /// Why, in the words of the log.
    pub words: Option<String>,
    /// Where it sends the client.
    pub location: Option<String>,
}

/// What one filter does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterOutcome {
    /// It lets it pass.
    Passes,
    /// It answers it.
    Answers(Answered),
    /// That depends on somebody who is not asked now: a service, a count, a password, or a client that is not known.
    Unknown,
}

/// Whether the canary of a rule takes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanaryTurn {
    /// There is none, or it does not take this request.
    No,
    /// It takes it, as long as it has endpoints.
    Yes,
    /// It takes so many of so many.
    Share(u32, u32),
}

/// Rehearses a request whose head is `head`, complete with the empty line. `client` is the other end of its connection;
/// `None` if that is not known. What the client would have to prove with a certificate is not looked at.
#[must_use]
pub fn rehearse(snapshot: &Snapshot<Settings>, head: &[u8], client: Option<IpAddr>) -> Rehearsal {
    let mut rehearsal = Rehearsal {
        outcome: Outcome::Answer(Refusal::NoRoute.into()),
        route: None,
        filters: Vec::new(),
        canary: CanaryTurn::No,
        host: None,
        path: None,
    };
    let mut request = RequestHead::new();
    rehearsal.outcome = match request.parse(head, &snapshot.settings().head_limits()) {
        Ok(Some(_)) => rehearsal.go(snapshot, &request, head, client),
        Ok(None) => Outcome::Answer(Refusal::HeadTimeout.into()),
        Err(error) => Outcome::Answer(Refusal::Head(error).into()),
    };
    rehearsal
}

impl Rehearsal {
    fn go(
        &mut self,
        snapshot: &Snapshot<Settings>,
        request: &RequestHead,
        head: &[u8],
        client: Option<IpAddr>,
    ) -> Outcome {
        let settings = snapshot.settings();
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let peer = Peer::of_socket(client.unwrap_or(nobody));
        let identity = Identity::of(&peer, settings, request, head);
        let mut host_buf = HostBuf::new();
        let host = request_host(request, head, &mut host_buf);
        if let Ok(Some(host)) = &host {
            self.host = Some(host.as_str().into());
            if let Some(passed) = snapshot.tls().and_then(|tls| tls.passthrough(host)) {
                self.route = Some(Arc::clone(passed));
                return Outcome::PassThrough(Arc::clone(passed));
            }
        }
        if is_refused(request.method) {
            return Outcome::Answer(Refusal::Method.into());
        }
        if is_health_check(settings, identity.trusted, request, head) {
            return Outcome::Answer(Reply::Healthy.into());
        }
        let host = match host {
            Ok(host) => host,
            Err(refusal) => return Outcome::Answer(refusal.into()),
        };
        let mut scratch = PathScratch::default();
        let path = match normalise_path(raw_path(request, head), &mut scratch) {
            Ok(path) => path,
            Err(error) => return Outcome::Answer(Refusal::Path(error).into()),
        };
        self.path = Some(String::from_utf8_lossy(path.as_bytes()).into());
        let verdict = snapshot.find(host.as_ref(), &path);
        let mut place = Place::default();
        if let Verdict::Matched(route) = &verdict {
            self.route = Some(Arc::clone(route));
            place.set(host.as_ref(), &path);
        }
        match judge(&verdict, snapshot, host.as_ref(), request, head) {
            Decision::Forward(_, upstream) => to(upstream),
            Decision::Reply(reply) => Outcome::Answer(reply.into()),
            Decision::Filter(matched, filters) => {
                let seen = Asking {
                    head,
                    request,
                    place: &place,
                    identity: &identity,
                    matched: &matched,
                };
                self.filter(&filters, &seen, identity.client != nobody)
            }
        }
    }

    fn filter(&mut self, filters: &Arc<Filters>, seen: &Asking<'_>, knows_client: bool) -> Outcome {
        let mut course = Course::rehearsal(Arc::clone(filters));
        while let Some(step) = course.rehearse(seen, knows_client) {
            let outcome = match step {
                Rehearsed::Step(Step::Pass) => FilterOutcome::Passes,
                Rehearsed::Step(Step::Answer(reply)) => FilterOutcome::Answers(reply.into()),
                Rehearsed::Step(Step::Wait(_) | Step::Body(_)) | Rehearsed::Unknown => FilterOutcome::Unknown,
            };
            self.filters.push(outcome);
            if let Some(FilterOutcome::Answers(answered)) = self.filters.last() {
                return Outcome::Answer(answered.clone());
            }
        }
        let route = &seen.matched.route;
        let own = match backend(route, &seen.matched.settings, seen.request) {
            Ok(own) => own,
            Err(reply) => return Outcome::Answer(reply.into()),
        };
        self.canary = turn(route, seen);
        match filters.fallback().filter(|_| own.is_without_endpoints()) {
            Some(fallback) => to(Arc::clone(fallback)),
            None => to(Arc::clone(own)),
        }
    }
}

/// Without endpoints nothing can be sent.
fn to(upstream: Arc<Upstream>) -> Outcome {
    if upstream.is_without_endpoints() {
        return Outcome::Answer(Refusal::NoEndpoint.into());
    }
    Outcome::Forward(upstream)
}

fn turn(route: &Route, seen: &Asking<'_>) -> CanaryTurn {
    let Some(canary) = route.canary.as_deref() else {
        return CanaryTurn::No;
    };
    let total = canary.rules.total.max(1);
    match (by_rules(canary, seen, 0), by_rules(canary, seen, total - 1)) {
        (true, true) => CanaryTurn::Yes,
        (false, false) => CanaryTurn::No,
        (true, false) | (false, true) => CanaryTurn::Share(canary.rules.weight, total),
    }
}

impl From<Refusal> for Answered {
    fn from(refusal: Refusal) -> Self {
        let disposition = refusal.disposition();
        Self {
            status: disposition.status,
            reason: Some(disposition.reason.label()),
            words: Some(refusal.words().into_owned()),
            location: None,
        }
    }
}

impl From<Reply> for Answered {
    fn from(reply: Reply) -> Self {
        let plain = |status| Self {
            status,
            reason: None,
            words: None,
            location: None,
        };
        match reply {
            Reply::Refused(refusal) => refusal.into(),
            Reply::Redirect { status, location } => Self {
                location: Some(String::from_utf8_lossy(&location).into_owned()),
                ..plain(status)
            },
            Reply::Healthy | Reply::Options => plain(200),
            Reply::NoRoom => plain(503),
            Reply::Filter(answer, denial) => Self {
                reason: denial.as_ref().map(|denial| denial.reason.label()),
                words: denial
                    .map(|denial| denial.why.into_owned())
                    .filter(|why| !why.is_empty()),
                ..plain(answer.status)
            },
            Reply::Edited(edited) => edited.0.into(),
        }
    }
}
