//! The question to a service whether a request may pass: a request that describes the client's.

use ::filter::bounds::TooMuch;
use ::filter::forward_auth::{ForwardAuth, Manner, Sends};
use ::filter::template::{Values, Variable};
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use route::PathError;
use wire::BodyFraming;

use super::seen::Seen;
use super::values::RequestValues;
use crate::head::draft::{Forwarded, RequestDraft, RequestEdits, SharedEdits};
use crate::refusal::Refusal;
use crate::request::course::Course;
/// What the question says of the request. Clients' fields of these names never pass, in any spelling.
const SAID: [&str; 15] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-method",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-real-ip",
    "x-request-id",
    "x-original-url",
    "x-original-uri",
    "x-original-method",
    "x-scheme",
    "x-sent-from",
    "x-auth-request-redirect",
];

/// The URL of the request, as its client has it.
pub(super) fn url(values: &RequestValues<'_, '_>) -> Vec<u8> {
    let mut url = Vec::new();
    values.write(&Variable::Scheme, &mut url);
    url.extend_from_slice(b"://");
    values.write(&Variable::HttpHost, &mut url);
    values.write(&Variable::RequestUri, &mut url);
    url
}

/// The request that describes the client's.
pub(super) fn question(
    rule: &ForwardAuth,
    course: &Course,
    seen: &Seen<'_>,
) -> Result<Request<Bytes>, Refusal> {
    let values = RequestValues::new(seen, course);
    let invalid = |_| Refusal::Blocked;
    let too_much = |_| Refusal::Path(PathError::TooMuch);
    let target = Bytes::from(rule.url.target_for(&values).map_err(too_much)?);
    let edits = RequestEdits {
        method: rule.method.clone(),
        host: Some(Authority::try_from(rule.url.authority()).map_err(invalid)?),
        target: Some(PathAndQuery::from_maybe_shared(target).map_err(invalid)?),
        framing: Some(BodyFraming::None),
        fields: match rule.manner {
            // Middlewares run as they are listed: the service sees what those before have done.
            Manner::Traefik => course.edits.fields.clone(),
            Manner::Nginx { .. } | Manner::Own => SharedEdits::NONE,
        },
        no_trailers: true,
    };
    let draft = RequestDraft {
        head: seen.head,
        request: seen.request,
        edits: &edits,
        forwarded: Forwarded {
            identity: seen.identity,
            trace: seen.trace,
            settings: &seen.matched.settings,
            scheme: seen.matched.scheme.as_str(),
            port: seen.matched.forwarded_port,
            door: seen.worker.door.name(),
            certificate: seen.downstream.certificate(),
        },
        upgrade: false,
    };
    let mut head = draft.to_http2(rule.url.scheme().as_str())?;
    let headers = head.headers_mut();
    for name in ["te", "expect", "max-forwards", "content-length"] {
        headers.remove(name);
    }
    describe(rule, course, seen, &values, headers).map_err(too_much)?;
    if let Sends::These(names) = &rule.sends {
        keep(names, rule, headers);
    }
    let body = seen.body.filter(|_| rule.body.is_some());
    Ok(head.map(|()| body.cloned().unwrap_or_default()))
}

/// Says what the request is.
fn describe(
    rule: &ForwardAuth,
    course: &Course,
    seen: &Seen<'_>,
    values: &RequestValues<'_, '_>,
    headers: &mut HeaderMap,
) -> Result<(), TooMuch> {
    let ours = |variable: Variable| {
        let mut value = Vec::new();
        values.write(&variable, &mut value);
        value
    };
    let trusted = |name: &str| -> Option<Vec<u8>> {
        let is_trusted = rule.trusts_forwarded && seen.identity.trusted;
        let mut fields = seen.request.fields.iter().filter(|_| is_trusted);
        let field = fields.find(|field| field.name.of(seen.head).eq_ignore_ascii_case(name.as_bytes()))?;
        Some(field.value.of(seen.head).to_vec())
    };
    let target = match (&rule.manner, &course.edits.target) {
        (Manner::Traefik, Some(target)) => target.as_str().as_bytes().to_vec(),
        _ => ours(Variable::RequestUri),
    };
    // What the gateway says already stays; what a client says goes, however it is spelt.
    let said: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_said(name) && !is_written(name))
        .cloned()
        .collect();
    for name in said {
        headers.remove(name);
    }
    let mut say = |name: &'static str, value: Vec<u8>| {
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    let mut or_trusted = |name: &'static str, value: Vec<u8>| say(name, trusted(name).unwrap_or(value));
    or_trusted("x-forwarded-method", ours(Variable::RequestMethod));
    or_trusted("x-forwarded-uri", target.clone());
    for name in ["x-forwarded-host", "x-forwarded-proto", "x-forwarded-port"] {
        if let Some(value) = trusted(name) {
            say(name, value);
        }
    }
    if let Manner::Nginx { redirect } = &rule.manner {
        say("x-original-url", url(values));
        say("x-original-uri", target.clone());
        say("x-original-method", ours(Variable::RequestMethod));
        say("x-scheme", ours(Variable::Scheme));
        say("x-sent-from", b"nginx-ingress-controller".to_vec());
        let redirect = match redirect {
            Some(redirect) => {
                let mut value = Vec::new();
                redirect.expand(values, &mut value)?;
                value
            }
            None => target,
        };
        say("x-auth-request-redirect", redirect);
    }
    // The client's field goes, in every spelling that the service may read as this one.
    let is_added = |name: &HeaderName| {
        let mut adds = rule.adds.iter();
        adds.any(|(added, _)| wire::is_same_name(added.as_str().as_bytes(), name.as_str().as_bytes()))
    };
    let replaced: Vec<HeaderName> = headers.keys().filter(|name| is_added(name)).cloned().collect();
    for name in replaced {
        headers.remove(name);
    }
    for (name, template) in &rule.adds {
        let mut value = Vec::new();
        template.expand(values, &mut value)?;
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
            headers.insert(name.clone(), value);
        }
    }
    Ok(())
}

/// Whether a name can be read as one of those that describe the request.
fn is_said(name: &HeaderName) -> bool {
    SAID.iter()
        .any(|said| wire::is_same_name(said.as_bytes(), name.as_str().as_bytes()))
}

/// Whether the gateway has written a field of this name itself.
fn is_written(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-port"
            | "x-forwarded-proto"
            | "x-real-ip"
            | "x-request-id"
    )
}

/// Keeps these of the client's fields, and what the gateway says.
fn keep(names: &[HeaderName], rule: &ForwardAuth, headers: &mut HeaderMap) {
    let others: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let is_own = is_said(name)
                || matches!(name.as_str(), "x-blastdoor-door" | "x-forwarded-client-cert")
                || rule.adds.iter().any(|(added, _)| added == *name);
            !is_own && !names.contains(name)
        })
        .cloned()
        .collect();
    for name in others {
        headers.remove(name);
    }
}
