//! Asks a service whether a request may pass.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::filter::call::CallUrl;
use ::filter::fields::{self, Message};
use ::filter::forward_auth::{Cookies, ForwardAuth, Manner};
use ::filter::template::{Values, Variable};
use ::filter::url::push_encoded;
use ::filter::verdicts::{Verdict, VerdictKey};
use bytes::Bytes;
use door::AuthService;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, DATE, LOCATION, SET_COOKIE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use wire::ResponseHead;

use super::question::{question, url};
use super::seen::{Awaited, Seen, Step};
use super::values::RequestValues;
use crate::head::draft::FieldEdits;
use crate::head::emit::OwnAnswer;
use crate::observe::labels::Reason;
use crate::refusal::grpc_status;
use crate::request::course::Course;
use crate::request::denial::Denial;
use crate::request::reply::Reply;

/// The whole answer takes no longer than this.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Fields of an answer that are about its connection or its framing.
const OF_CONNECTION: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
];

/// What is needed of a request once its answer is there.
struct Asked {
    service: Arc<AuthService>,
    /// Where the filter stands.
    place: usize,
    /// Where the client goes to sign in.
    signin: Option<Vec<u8>>,
    /// The client's fields that only the service may set.
    dropped: Vec<HeaderName>,
}

/// Lets a request pass whose answer is known, or asks.
pub(super) fn step(service: &Arc<AuthService>, course: &mut Course, seen: &Seen<'_>) -> Step {
    let rule = &service.rule;
    if let (Some(most), None) = (rule.body, seen.body) {
        return Step::Body(most);
    }
    let asked = Asked {
        service: Arc::clone(service),
        place: course.reached - 1,
        signin: signin(rule, course, seen),
        dropped: dropped(rule, seen),
    };
    let request = match question(rule, course, seen) {
        Ok(request) => request,
        Err(refusal) => return Step::Answer(refusal.into()),
    };
    let key = key(service, course, seen, &request);
    if let (Some(key), Some(verdicts)) = (&key, &service.verdicts)
        && let Some(known) = verdicts.find(key, seen.started)
    {
        return asked.follow(&known, course);
    }
    let server = Rc::clone(seen.server);
    let (client, most) = (seen.identity.client, usize::try_from(rule.most_answer));
    Step::Wait(Box::pin(async move {
        let upstream = &asked.service.upstream;
        let most = most.unwrap_or(usize::MAX);
        let answer = server.upstreams.fetch(upstream, request, most, TIMEOUT).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let url = asked.service.rule.url.origin();
                let reason = format!("no answer of {url}, which is asked whether requests may pass: {error}");
                server.worker.warn(client, "request refused", &reason);
                return Awaited(Box::new(move |_| unavailable(reason)));
            }
        };
        Awaited(Box::new(move |course| asked.settle(answer, key, course)))
    }))
}

/// Adds cookies of the answer to the response.
pub(super) fn edit(
    service: &AuthService,
    place: usize,
    course: &Course,
    backends: Option<(&ResponseHead, &[u8])>,
    edits: &mut Cow<'_, FieldEdits>,
) {
    let mut granted = course.granted.iter();
    let Some((_, cookies)) = granted.find(|(other, _)| *other == place) else {
        return;
    };
    match (&service.rule.cookies, backends) {
        (cookies @ Cookies::All { .. }, Some((response, _))) if !cookies.come_with(response.status) => return,
        (Cookies::All { always: false }, None) => return,
        (Cookies::All { .. }, _) | (Cookies::Named(_), None) => {}
        (Cookies::Named(names), Some((response, head))) => replace_cookies(names, response, head, edits),
    }
    for cookie in cookies {
        edits.to_mut().append(SET_COOKIE, cookie.clone());
    }
}

/// Cookies of these names come from the service alone.
fn replace_cookies(
    names: &[Box<str>],
    response: &ResponseHead,
    head: &[u8],
    edits: &mut Cow<'_, FieldEdits>,
) {
    let fields = response.fields.iter();
    let backends: Vec<&[u8]> = fields
        .filter(|field| field.name.of(head).eq_ignore_ascii_case(b"set-cookie"))
        .map(|field| field.value.of(head))
        .collect();
    if !backends.iter().any(|cookie| is_named(cookie, names)) || edits.removes(b"set-cookie") {
        return;
    }
    let edits = edits.to_mut();
    let added: Vec<HeaderValue> = edits
        .added
        .iter()
        .filter(|(name, _)| *name == SET_COOKIE)
        .map(|(_, value)| value.clone())
        .collect();
    edits.remove(SET_COOKIE);
    let others = backends.into_iter().filter(|cookie| !is_named(cookie, names));
    let others = others.filter_map(|cookie| HeaderValue::from_bytes(cookie).ok());
    for cookie in others.chain(added) {
        edits.append(SET_COOKIE, cookie);
    }
}

fn is_named(cookie: &[u8], names: &[Box<str>]) -> bool {
    let name = cookie.split(|byte| *byte == b'=').next().unwrap_or_default();
    names.iter().any(|other| other.as_bytes() == name.trim_ascii())
}

impl Asked {
    /// What follows from an answer.
    fn settle(self, answer: Response<Bytes>, key: Option<VerdictKey>, course: &mut Course) -> Step {
        let rule = &self.service.rule;
        let status = answer.status().as_u16();
        if rule.manner == Manner::Traefik
            && !answer.status().is_success()
            && (status != 401 || self.signin.is_none())
        {
            return Step::Answer(relayed(rule, answer));
        }
        let verdict = Arc::new(verdict(rule, &answer));
        let cache = rule.cache.as_ref().filter(|_| may_be_kept(answer.headers()));
        let time = cache.and_then(|cache| cache.time_of(status));
        if let (Some(key), Some(verdicts), Some(time)) = (key, &self.service.verdicts, time)
            && let Some(until) = Instant::now().checked_add(time)
        {
            verdicts.keep(key, Arc::clone(&verdict), until);
        }
        self.follow(&verdict, course)
    }

    /// What follows from a verdict.
    fn follow(self, verdict: &Verdict, course: &mut Course) -> Step {
        let rule = &self.service.rule;
        let values = |name: &HeaderName| {
            let named = verdict.fields.iter().filter(move |(other, _)| other == name);
            named
                .map(|(_, value)| value.clone())
                .collect::<Vec<HeaderValue>>()
        };
        let cookies = || {
            let mut cookies = values(&SET_COOKIE);
            if let Cookies::Named(names) = &rule.cookies {
                cookies.retain(|cookie| is_named(cookie.as_bytes(), names));
            }
            cookies
        };
        match (verdict.status, &self.signin) {
            (200..=299, _) => {
                // A trailer that matches would come after the fields that the service has set.
                course.edits.no_trailers |= rule.copies_matching.is_some();
                let edits = course.edits.fields.to_mut();
                for name in rule.copies.iter().chain(&self.dropped) {
                    edits.remove(name.clone());
                }
                for (name, value) in &verdict.fields {
                    if is_copied(rule, name) {
                        edits.append(name.clone(), value.clone());
                    }
                }
                if let Some(user) = rule
                    .user
                    .as_ref()
                    .and_then(|name| values(name).into_iter().next())
                {
                    course.user = Some(user.as_bytes().into());
                }
                let cookies = cookies();
                if !cookies.is_empty() {
                    course.granted.push((self.place, cookies));
                }
                Step::Pass
            }
            (401, Some(location)) => {
                let mut answer = OwnAnswer::plain(302);
                answer
                    .fields
                    .push((LOCATION.as_str().into(), location.clone().into()));
                push(&mut answer, &SET_COOKIE, cookies());
                Step::Answer(Reply::Filter(
                    Box::new(answer),
                    Some(Denial::of_filter(302, Reason::Redirect, says(rule, 401))),
                ))
            }
            (401, None) => {
                let mut answer = OwnAnswer::plain(401);
                push(&mut answer, &WWW_AUTHENTICATE, values(&WWW_AUTHENTICATE));
                Step::Answer(Reply::Filter(
                    Box::new(answer),
                    Some(Denial::of_filter(401, Reason::Unauthenticated, says(rule, 401))),
                ))
            }
            (403, _) => Step::Answer(Reply::denied(403, Reason::Forbidden, says(rule, 403))),
            (status, _) => unavailable(says(rule, status)),
        }
    }
}

/// What the service that is asked has answered.
fn says(rule: &ForwardAuth, status: u16) -> String {
    format!(
        "{}, which is asked whether requests may pass, answered {status}",
        rule.url.origin()
    )
}

fn unavailable(why: String) -> Step {
    Step::Answer(Reply::denied(503, Reason::AuthUnavailable, why).with("Retry-After", &b"1"[..]))
}

fn push(answer: &mut OwnAnswer, name: &HeaderName, values: Vec<HeaderValue>) {
    for value in values {
        let name = name.as_str().to_owned();
        answer
            .fields
            .push((name.into(), value.as_bytes().to_vec().into()));
    }
}

/// Whether others may get the same answer, as far as it says so itself.
fn may_be_kept(answer: &HeaderMap) -> bool {
    // A cookie is its client's alone, and others may look the same as long as they have none.
    if answer.contains_key(SET_COOKIE) {
        return false;
    }
    let values = answer.get_all(CACHE_CONTROL).iter();
    let mut directives = values.flat_map(|value| wire::elements(value.as_bytes()));
    !directives.any(|directive| {
        let name = directive.split(|byte| *byte == b'=').next().unwrap_or_default();
        let forbidding = ["no-store", "no-cache", "private"].iter();
        let mut forbidding = forbidding.map(|other| other.as_bytes());
        forbidding.any(|other| name.trim_ascii().eq_ignore_ascii_case(other))
    })
}

/// What counts of an answer. It is copied: its parts are slices of whole heads and frames, which would be kept with it.
fn verdict(rule: &ForwardAuth, answer: &Response<Bytes>) -> Verdict {
    let counts = |name: &HeaderName| {
        is_copied(rule, name)
            || *name == SET_COOKIE
            || *name == WWW_AUTHENTICATE
            || rule.user.as_ref() == Some(name)
    };
    let fields = answer.headers().iter().filter(|(name, _)| counts(name));
    Verdict {
        status: answer.status().as_u16(),
        fields: fields
            .filter_map(|(name, value)| {
                let name = HeaderName::from_bytes(name.as_str().as_bytes());
                let value = HeaderValue::from_bytes(value.as_bytes());
                name.ok().zip(value.ok())
            })
            .collect(),
    }
}

/// Whether the backend gets a field of the answer.
fn is_copied(rule: &ForwardAuth, name: &HeaderName) -> bool {
    let matches = || {
        let pattern = rule.copies_matching.as_ref();
        pattern.is_some_and(|pattern| pattern.is_match(name.as_str().as_bytes()))
            && fields::name(name.as_str(), Message::Request).is_ok()
    };
    rule.copies.contains(name) || matches()
}

/// The client's fields that match what only the service may set, however they are spelt.
fn dropped(rule: &ForwardAuth, seen: &Seen<'_>) -> Vec<HeaderName> {
    let Some(pattern) = &rule.copies_matching else {
        return Vec::new();
    };
    let mut dropped = Vec::new();
    for field in &seen.request.fields {
        let name = field.name.of(seen.head).to_ascii_lowercase();
        let folded: Vec<u8> = name
            .iter()
            .map(|byte| if byte.is_ascii_alphanumeric() { *byte } else { b'-' })
            .collect();
        if (pattern.is_match(&name) || pattern.is_match(&folded))
            && let Ok(name) = HeaderName::from_bytes(&name)
            && fields::name(name.as_str(), Message::Request).is_ok()
        {
            dropped.push(name);
        }
    }
    dropped
}

/// Where a client that must sign in goes: with the URL of its request in a parameter.
fn signin(rule: &ForwardAuth, course: &Course, seen: &Seen<'_>) -> Option<Vec<u8>> {
    let signin = rule.signin.as_ref()?;
    let values = RequestValues::new(seen, course);
    let mut location = signin.page.location(&values).ok()?;
    if let Some(parameter) = &signin.parameter {
        location.push(if location.contains(&b'?') { b'&' } else { b'?' });
        location.extend_from_slice(parameter.as_bytes());
        location.push(b'=');
        push_encoded(&mut location, &url(&values));
    }
    Some(location)
}

/// What tells this request from others, if answers are kept. Whatever the service can read counts as the question has it, in
/// every spelling and with all values: another reading of the request could give one client the answer of another.
fn key(
    service: &AuthService,
    course: &Course,
    seen: &Seen<'_>,
    question: &Request<Bytes>,
) -> Option<VerdictKey> {
    let (verdicts, cache) = (service.verdicts.as_ref()?, service.rule.cache.as_ref()?);
    let fields = |name: &str| {
        let fields = question.headers().iter();
        let named = fields
            .filter(|(other, _)| wire::is_same_name(other.as_str().as_bytes(), name.as_bytes()))
            .flat_map(|(other, value)| [other.as_str().as_bytes(), value.as_bytes()]);
        named.collect::<Vec<&[u8]>>()
    };
    let mut key = verdicts
        .key()
        .part(service.scope.as_bytes())
        .part(seen.place.host().unwrap_or_default().as_bytes())
        .part(seen.request.method_span.of(seen.head));
    let values = RequestValues::new(seen, course);
    let mut text = Vec::new();
    for variable in cache.key.variables() {
        text.clear();
        values.write(variable, &mut text);
        key = key.part(&text);
        if let Variable::Http(name) = variable {
            key = key.parts(fields(name).into_iter());
        }
        // A parameter may come twice, and be written in many ways.
        if let Variable::Arg(_) = variable {
            key = key.part(values.query());
        }
    }
    for name in ["cookie", "authorization"] {
        key = key.parts(fields(name).into_iter());
    }
    Some(key.part(question.body()).finish())
}

/// The answer of the service, for the client.
fn relayed(rule: &ForwardAuth, answer: Response<Bytes>) -> Reply {
    let (parts, body) = answer.into_parts();
    let mut headers = parts.headers;
    let connection = headers.get_all("connection").iter();
    let named: Vec<HeaderName> = connection
        .flat_map(|value| wire::elements(value.as_bytes()))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect();
    for name in OF_CONNECTION {
        headers.remove(name);
    }
    for name in named.iter().chain([&CONTENT_LENGTH, &DATE]) {
        headers.remove(name);
    }
    if let Some(location) = headers.get(LOCATION).filter(|_| !rule.keeps_location) {
        let resolved = resolve(&rule.url, location.as_bytes());
        if let Ok(resolved) = HeaderValue::from_bytes(&resolved) {
            headers.insert(LOCATION, resolved);
        }
    }
    let media_type = headers.remove(CONTENT_TYPE);
    let media_type = media_type.and_then(|value| Some(value.to_str().ok()?.to_owned()));
    let status = parts.status.as_u16();
    let fields = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned().into(), value.as_bytes().to_vec().into()));
    let answer = OwnAnswer {
        status,
        fields: fields.collect(),
        media_type: media_type.unwrap_or_default().into(),
        body,
        grpc: Some(grpc_status(status)),
    };
    Reply::Filter(
        Box::new(answer),
        Some(Denial::of_filter(status, Reason::AuthDenied, says(rule, status))),
    )
}

/// A reference, from where the service is (RFC 3986 5.2, without dots).
fn resolve(base: &CallUrl, reference: &[u8]) -> Vec<u8> {
    let has_scheme = reference
        .iter()
        .position(|byte| b":/?#".contains(byte))
        .is_some_and(|at| reference.get(at) == Some(&b':'));
    if has_scheme || reference.is_empty() {
        return reference.to_vec();
    }
    let mut url = match reference {
        [b'/', b'/', ..] => format!("{}:", base.scheme().as_str()).into_bytes(),
        [b'/', ..] => base.origin().into_bytes(),
        _ => {
            let path = base.target().as_str();
            let path = path.split(['?', '#']).next().unwrap_or_default();
            let folder = path.rfind('/').and_then(|end| path.get(..=end));
            format!("{}{}", base.origin(), folder.unwrap_or("/")).into_bytes()
        }
    };
    url.extend_from_slice(reference);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_resolved_against_the_service() {
        let base = CallUrl::parse("http://auth.shop:81/a/verify?x=/y").unwrap();
        let table = [
            ("https://login.test/x", "https://login.test/x"),
            ("//login.test/x", "http://login.test/x"),
            ("/login?a=b:c", "http://auth.shop:81/login?a=b:c"),
            ("login", "http://auth.shop:81/a/login"),
            ("?x", "http://auth.shop:81/a/?x"),
            ("mailto:a@b", "mailto:a@b"),
            ("", ""),
        ];
        for (reference, expected) in table {
            assert_eq!(
                resolve(&base, reference.as_bytes()),
                expected.as_bytes(),
                "{reference}"
            );
        }
    }
}
