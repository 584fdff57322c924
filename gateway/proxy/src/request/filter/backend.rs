//! Which backend and which endpoint a request gets that has passed all filters.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use ::filter::cookie::{self, SameSite};
use ::filter::hash::KeyHash;
use ::filter::sticky::Tag;
use door::{Action, BackendHost, Balance, Canary, Filter, Matched, Sticky, Upstream};
use http::HeaderValue;
use http::header::SET_COOKIE;
use wire::{Field, FieldId};

use super::seen::{Asking, Seen};
use super::values::RequestValues;
use crate::head::draft::FieldEdits;
use crate::refusal::Refusal;
use crate::request::course::Course;
use crate::request::course::Session;
use crate::request::decide::backend;
use crate::request::reply::Reply;
use crate::settings::Settings;
use crate::upstream::{Preference, Upstreams};
use crate::worker::date::since_1970;

/// Where a request goes.
pub(crate) struct Destination {
    pub(super) upstream: Arc<Upstream>,
    /// The canary takes it.
    pub(super) canary: Option<Arc<door::Route>>,
}

impl Course {
    /// The backend of a request that has passed all filters, or what it is answered.
    pub(crate) fn destination(
        &mut self,
        seen: &Seen<'_>,
        upstreams: &Upstreams,
    ) -> Result<Destination, Reply> {
        let filters = self.filters.clone().ok_or(Refusal::Blocked)?;
        let route = &seen.matched.route;
        let own = backend(route, &seen.matched.settings, seen.request)?;
        let is_page = |filter: &Filter| matches!(filter, Filter::Errors(_));
        if filters.request.iter().any(is_page) && !is_grpc(seen) {
            self.keep(seen);
        }
        let choice = &filters.choice;
        let sticky = choice.sticky.as_deref();
        let tag = sticky.and_then(|sticky| Tag::parse(seen.cookie(sticky.cookie.name.as_str())?));
        let canary = route.canary.as_deref().filter(|canary| {
            takes(canary, sticky.zip(tag), seen)
                && upstream_of(canary).is_some_and(|upstream| upstreams.has_usable(upstream))
        });
        let (upstream, tags, host) = match canary {
            Some(canary) => (upstream_of(canary), canary.tags.as_ref(), canary.host.as_ref()),
            None => (Some(own), sticky.map(|sticky| &sticky.tags), choice.host.as_ref()),
        };
        let upstream = upstream.unwrap_or(own);
        if upstream.endpoints.is_empty()
            && let Some(fallback) = filters.fallback()
        {
            return Ok(Destination {
                upstream: Arc::clone(fallback),
                canary: None,
            });
        }
        self.chosen.host = host.cloned();
        if let (Some(sticky), Some(tags)) = (sticky, tags) {
            let position = tag.and_then(|tag| tags.find(tag));
            let endpoint = position.and_then(|position| upstream.endpoints.get(position));
            self.chosen.session = Some(Session {
                tags: Arc::clone(tags),
                belongs_to: endpoint.map(|endpoint| endpoint.address),
                keeps_same_site_none: !(sticky.same_site_none_is_conditional && misreads_same_site(seen)),
                cookie: None,
            });
        }
        let belongs_to = self
            .chosen
            .session
            .as_ref()
            .and_then(|session| session.belongs_to);
        self.chosen.preference = match (belongs_to, &choice.balance) {
            (Some(endpoint), _) => Preference::Endpoint(endpoint),
            (None, None | Some(Balance::PowerOfTwo)) => Preference::Load,
            (None, Some(Balance::RoundRobin)) => Preference::Turn,
            (None, Some(Balance::Hash(text))) => {
                let mut key = Vec::new();
                // The beginning of what is too long tells requests apart as well.
                let _ = text.expand(&RequestValues::new(seen, self), &mut key);
                Preference::Key(KeyHash::of(&key))
            }
        };
        Ok(Destination {
            upstream: Arc::clone(upstream),
            canary: canary.map(|canary| Arc::clone(&canary.route)),
        })
    }

    /// Which endpoint the request should get.
    pub(crate) fn preference(&self) -> Preference {
        self.chosen.preference
    }

    /// What the backend sees as `Host`, if that depends on the choice and no filter has set it.
    pub(crate) fn host(&self) -> Option<&BackendHost> {
        self.chosen.host.as_ref().filter(|_| self.edits.host.is_none())
    }

    /// The request is about to be sent to this endpoint.
    pub(crate) fn goes_to(&mut self, upstream: &Upstream, endpoint: SocketAddr) {
        let sticky = self
            .filters
            .as_deref()
            .and_then(|filters| filters.choice.sticky.as_deref());
        let (Some(session), Some(sticky)) = (&mut self.chosen.session, sticky) else {
            return;
        };
        let stays = match session.belongs_to {
            Some(own) => own == endpoint || !sticky.change_on_failure,
            None => false,
        };
        let endpoints = &upstream.endpoints;
        let position = endpoints.binary_search_by_key(&endpoint, |endpoint| endpoint.address);
        let tag = position.ok().and_then(|position| session.tags.at(position));
        session.cookie = tag.filter(|_| !stays).and_then(|tag| {
            let now = sticky
                .cookie
                .expires
                .map_or_else(Default::default, |_| since_1970());
            let mut value = Vec::with_capacity(128);
            sticky
                .cookie
                .write(&tag.text(), now, session.keeps_same_site_none, &mut value);
            HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).ok()
        });
    }

    /// Adds the cookie that keeps the client at its endpoint.
    pub(super) fn add_cookie(&self, edits: &mut Cow<'_, FieldEdits>) {
        let session = self.chosen.session.as_ref();
        if let Some(cookie) = session.and_then(|session| session.cookie.clone()) {
            edits.to_mut().append(SET_COOKIE, cookie);
        }
    }
}

/// Whether the canary takes a request: its rules decide, if no cookie has.
fn takes(canary: &Canary, session: Option<(&Sticky, Tag)>, seen: &Asking<'_>) -> bool {
    if let Some((sticky, tag)) = session
        && sticky.decides_canary
    {
        if sticky.tags.find(tag).is_some() {
            return false;
        }
        if canary.tags.as_ref().is_some_and(|tags| tags.find(tag).is_some()) {
            return true;
        }
    }
    by_rules(canary, seen, fastrand::u32(..canary.rules.total.max(1)))
}

/// Whether the rules of the canary give it a request. `random` is below their total.
pub(in crate::request) fn by_rules(canary: &Canary, seen: &Asking<'_>, random: u32) -> bool {
    let rules = &canary.rules;
    let header = rules.header.as_ref().and_then(|rule| {
        let is_named = |field: &&Field| {
            field
                .name
                .of(seen.head)
                .eq_ignore_ascii_case(rule.name.as_str().as_bytes())
        };
        let field = seen.request.fields.iter().find(is_named)?;
        Some(field.value.of(seen.head))
    });
    let cookie = rules.cookie.as_ref().and_then(|name| seen.cookie(name.as_str()));
    rules.takes(header, cookie, random)
}

fn upstream_of(canary: &Canary) -> Option<&Arc<Upstream>> {
    match &canary.route.action {
        Action::Forward(upstream) => Some(upstream),
        Action::Redirect | Action::Blocked(_) => None,
    }
}

/// Whether the request is a gRPC call: its errors are in its trailers, and no page can take their place.
fn is_grpc(seen: &Seen<'_>) -> bool {
    let mut fields = seen.request.fields.iter();
    let media = fields.find(|field| field.id == FieldId::ContentType);
    let media = media.and_then(|field| field.value.of(seen.head).get(..16));
    media.is_some_and(|media| media.eq_ignore_ascii_case(b"application/grpc"))
}

fn misreads_same_site(seen: &Seen<'_>) -> bool {
    let mut fields = seen.request.fields.iter();
    let agent = fields.find(|field| field.name.of(seen.head).eq_ignore_ascii_case(b"user-agent"));
    agent.is_some_and(|agent| SameSite::is_misread_by(agent.value.of(seen.head)))
}

impl<'a> Asking<'a> {
    /// The value of the first cookie of this name.
    pub(super) fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        let head = self.head;
        let is_cookie = |field: &&Field| field.name.of(head).eq_ignore_ascii_case(b"cookie");
        let fields = self.request.fields.iter().filter(is_cookie);
        cookie::read(fields.map(|field| field.value.of(head)), name)
    }
}

impl Destination {
    /// The request goes there: what continues it must be admitted as long as the route of its backend is.
    pub(crate) fn settle(self, matched: &mut Matched<Settings>) -> Arc<Upstream> {
        if let Some(canary) = self.canary {
            matched.route = canary;
        }
        self.upstream
    }
}
