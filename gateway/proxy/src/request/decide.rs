//! From a parsed head to a decision: the client, the host and path, and what the door's table says.

use std::sync::Arc;

use ::filter::url::push_escaped;
use door::{Action, Filters, Matched, Route, Scheme, Snapshot, Upstream, Verdict};
use route::{RequestHost, normalise_path};
use wire::{BodyFraming, FieldId, Method, RequestHead};

use crate::head::authority::request_host;
use crate::head::identity::Identity;
use crate::head::trace::Trace;
use crate::refusal::Refusal;
use crate::request::beginning;
use crate::request::body_limit::body_limit;
use crate::request::cause;
use crate::request::record::Record;
use crate::request::reply::Reply;
use crate::request::requester::Requester;
use crate::settings::Settings;
use crate::worker::Phase;
use crate::worker::buffers::Scratch;

/// What a checked request calls for.
pub(crate) enum Decision {
    /// A backend's answer.
    Forward(Matched<Settings>, Arc<Upstream>),
    /// What the filters of its route decide.
    Filter(Matched<Settings>, Arc<Filters>),
    /// The gateway's.
    Reply(Reply),
}

impl Decision {
    fn refuse(refusal: Refusal) -> Self {
        Self::Reply(Reply::Refused(refusal))
    }
}

/// Checks host and path and looks them up in the door's table. Everything here is synchronous, under one snapshot.
pub(crate) fn decide(
    requester: &Requester<'_>,
    scratch: &mut Scratch,
    length: usize,
    record: &mut Record,
) -> (Decision, Identity) {
    let worker = &requester.server.worker;
    let snapshot = worker.door.snapshot();
    let settings = snapshot.settings();
    let Scratch {
        from_client,
        request,
        host: host_buf,
        path: path_scratch,
        place,
        ..
    } = scratch;
    let head = from_client.filled().get(..length).unwrap_or_default();
    let identity = Identity::of(&requester.downstream.peer, settings, request, head);
    record.tracing = settings
        .tracing
        .map(|tracing| Trace::of(tracing, settings, &identity, request, head));
    record.request(requester, settings, request, head, &identity);
    let is_health_check = is_health_check(settings, identity.trusted, request, head);
    let is_traced = record.tracing.is_some_and(|trace| trace.context.is_sampled());
    if (is_traced || worker.tracer().live().is_armed()) && !is_health_check {
        record.story = beginning::begin(requester, request, head, &identity, &snapshot, record);
    }
    let refuse = |refusal| (Decision::refuse(refusal), identity);
    if !requester.downstream.is_entitled(&snapshot) {
        return refuse(Refusal::Outdated);
    }
    if is_refused(request.method) {
        return refuse(Refusal::Method);
    }
    if is_health_check {
        record.health_check();
        return match worker.phase() == Phase::Serving && snapshot.is_synced() {
            true => (Decision::Reply(Reply::Healthy), identity),
            false => refuse(Refusal::Drained),
        };
    }
    if identity.trusted && is_other_scheme(snapshot.scheme(), request, head) {
        worker.metrics.scheme_mismatches.add(1);
    }
    if worker.memory.refuses_requests() {
        return refuse(Refusal::Shed);
    }
    let host = match request_host(request, head, host_buf) {
        Ok(host) => host,
        Err(refusal) => return refuse(refusal),
    };
    if let (Some(session), Some(tls)) = (&requester.downstream.session, snapshot.tls())
        && !tls.admits(&session.handshake, host.as_ref())
    {
        // Before the table lookup: the answer must not depend on whether the host exists here.
        return refuse(Refusal::Misdirected);
    }
    let path = match normalise_path(raw_path(request, head), path_scratch) {
        Ok(path) => path,
        Err(error) => return refuse(Refusal::Path(error)),
    };
    let verdict = snapshot.find(host.as_ref(), &path);
    match &verdict {
        Verdict::Matched(route) => {
            record.route = Some(Arc::clone(route));
            if let Some(story) = &mut record.story {
                story.matched(route, snapshot.row(host.as_ref(), &path));
            }
            place.set(host.as_ref(), &path);
        }
        Verdict::Unknown { owner } => {
            if let Some(owner) = owner {
                worker.probed(owner, host.as_ref(), identity.client);
                record.probed(owner);
            }
            let unserved = worker.door.unserved();
            record.explain(cause::no_route(&snapshot, host.as_ref(), *owner, &unserved));
        }
        Verdict::Redirect { .. } | Verdict::NotSynced => {}
    }
    (judge(&verdict, &snapshot, host.as_ref(), request, head), identity)
}

/// The path to look up.
pub(super) fn raw_path<'h>(request: &RequestHead, head: &'h [u8]) -> &'h [u8] {
    match request.path.of(head) {
        [] => b"/",
        path => path,
    }
}

/// What follows from what the table says.
pub(super) fn judge(
    verdict: &Verdict<'_>,
    snapshot: &Snapshot<Settings>,
    host: Option<&RequestHost<'_>>,
    request: &RequestHead,
    head: &[u8],
) -> Decision {
    match verdict {
        Verdict::Matched(route) => act(route, snapshot, request),
        Verdict::Redirect { port } => redirect(host, *port, request, head),
        Verdict::Unknown { .. } => Decision::refuse(Refusal::NoRoute),
        Verdict::NotSynced => Decision::refuse(Refusal::NotSynced),
    }
}

/// CONNECT and TRACE are never forwarded.
pub(super) fn is_refused(method: Method) -> bool {
    matches!(method, Method::Connect | Method::Trace)
}

fn act(route: &Arc<Route>, snapshot: &Snapshot<Settings>, request: &RequestHead) -> Decision {
    let settings = snapshot.settings();
    let matched = || Matched {
        route: Arc::clone(route),
        scheme: snapshot.scheme(),
        forwarded_port: snapshot.forwarded_port(),
        settings: Arc::clone(settings),
        publication: snapshot.publication(),
    };
    if let Some(filters) = &route.filters {
        // Nothing may answer in the place of a closed route, and nobody is asked about its requests. A redirect needs no
        // backend, so that it answers whether or not there is one.
        if matches!(route.action, Action::Blocked(_)) && !filters.may_redirect() {
            return Decision::refuse(Refusal::Blocked);
        }
        return Decision::Filter(matched(), Arc::clone(filters));
    }
    match backend(route, settings, request) {
        Ok(upstream) => Decision::Forward(matched(), Arc::clone(upstream)),
        Err(reply) => Decision::Reply(reply),
    }
}

/// The backend of a route for a request that no filter keeps from it, or what that is answered.
pub(super) fn backend<'r>(
    route: &'r Route,
    settings: &Settings,
    request: &RequestHead,
) -> Result<&'r Arc<Upstream>, Reply> {
    let limit = body_limit(route, settings);
    match (&route.action, request.framing) {
        // What redirects is a filter.
        (Action::Blocked(_) | Action::Redirect, _) => Err(Refusal::Blocked.into()),
        (Action::Forward(_), _) if request.max_forwards == Some(0) => Err(Reply::Options),
        (Action::Forward(_), BodyFraming::Length(length)) if limit.is_some_and(|limit| length > limit) => {
            Err(Refusal::BodyTooLarge.into())
        }
        (Action::Forward(upstream), _) => Ok(upstream),
    }
}

/// 308 to the same host and path over https. A request without a host cannot be redirected.
fn redirect(host: Option<&RequestHost<'_>>, port: u16, request: &RequestHead, head: &[u8]) -> Decision {
    let Some(host) = host else {
        return Decision::refuse(Refusal::NoRoute);
    };
    Decision::Reply(Reply::Redirect {
        status: 308,
        location: https_location(host, port, request, head),
    })
}

/// The same host and path over https.
fn https_location(host: &RequestHost<'_>, port: u16, request: &RequestHead, head: &[u8]) -> Vec<u8> {
    let mut location = b"https://".to_vec();
    location.extend_from_slice(host.as_str().as_bytes());
    if port != 443 {
        location.extend_from_slice(format!(":{port}").as_bytes());
    }
    match request.path.of(head) {
        [] => location.push(b'/'),
        path => push_escaped(&mut location, path),
    }
    if let Some(query) = request.query {
        location.push(b'?');
        push_escaped(&mut location, query.of(head));
    }
    location
}

/// Whether the proxy in front says that its client spoke the other scheme than the door's. The last entry of
/// `X-Forwarded-Proto` is the nearest proxy's; words that are no scheme of HTTP say nothing. It changes nothing for the
/// request: the door's own scheme holds. It tells that a listener of a load balancer forwards to the wrong door.
fn is_other_scheme(own: Scheme, request: &RequestHead, head: &[u8]) -> bool {
    let mut fields = request.fields.iter().rev();
    let Some(field) = fields.find(|field| field.id == FieldId::XForwardedProto) else {
        return false;
    };
    let said = field.value.of(head).rsplit(|byte| *byte == b',').next();
    let said = said.unwrap_or_default().trim_ascii();
    let other = match own {
        Scheme::Http => Scheme::Https,
        Scheme::Https => Scheme::Http,
    };
    said.eq_ignore_ascii_case(other.as_str().as_bytes())
}

pub(super) fn is_health_check(
    settings: &Settings,
    trusted: bool,
    request: &RequestHead,
    head: &[u8],
) -> bool {
    trusted
        && matches!(request.method, Method::Get | Method::Head)
        && settings
            .health_path
            .as_deref()
            .is_some_and(|path| path.as_bytes() == request.path.of(head))
}
