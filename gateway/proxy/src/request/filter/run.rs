//! Running the filters: each in its turn for the request, and in reverse for the response.

use std::borrow::Cow;
use std::time::Instant;

use door::Filter;
use wire::ResponseHead;

use super::seen::{Asking, Passed, Seen, Step};
use super::{forward_auth, headers, limits, password, path, redirect};
use crate::exchange::ResponseFilters;
use crate::head::draft::{FieldEdits, UNEDITED};
use crate::observe::story::Story;
use crate::refusal::Refusal;
use crate::request::course::Course;
use crate::request::reply::Reply;

/// What a filter does with a request that is only rehearsed.
pub(in crate::request) enum Rehearsed {
    /// This, whatever else happens.
    Step(Step),
    /// What somebody says who is not asked now, or a count, or a password.
    Unknown,
}

impl Course {
    /// What the next filter does with a request, as far as that can be known without asking anybody and without counting it.
    /// `None` after the last one.
    pub(in crate::request) fn rehearse(
        &mut self,
        seen: &Asking<'_>,
        knows_client: bool,
    ) -> Option<Rehearsed> {
        let filters = self.filters.clone()?;
        let filter = filters.request.get(self.reached)?;
        self.reached += 1;
        Some(match filter {
            Filter::Redirect(redirect) => Rehearsed::Step(redirect::step(redirect, self, seen)),
            Filter::Path(edit) => Rehearsed::Step(path::step(edit, self, seen)),
            Filter::UpstreamHost(host) => Rehearsed::Step(path::host(host, self, seen)),
            Filter::Deny(deny) if knows_client => Rehearsed::Step(limits::denied(deny, self, seen)),
            Filter::Allow(allow) if knows_client => Rehearsed::Step(limits::allowed(allow, self, seen)),
            Filter::Headers(rules) => Rehearsed::Step(headers::step(rules, self, seen)),
            Filter::Password(filter) => {
                password::unasked(filter, seen).map_or(Rehearsed::Unknown, Rehearsed::Step)
            }
            Filter::Errors(_) | Filter::Fallback(_) => Rehearsed::Step(Step::Pass),
            Filter::Deny(_) | Filter::Allow(_) | Filter::RateLimit(_) | Filter::ForwardAuth(_) => {
                Rehearsed::Unknown
            }
        })
    }

    /// Goes on until a filter answers or waits.
    pub(crate) fn advance(&mut self, seen: &Seen<'_>, mut story: Option<&mut Story>) -> Passed {
        let filters = self.filters.clone();
        let filters = filters
            .as_deref()
            .map(|filters| &*filters.request)
            .unwrap_or_default();
        while let Some(filter) = filters.get(self.reached) {
            self.reached += 1;
            let began = story.is_some().then(Instant::now);
            let step = self.step(filter, seen);
            if let (Some(story), Some(began)) = (story.as_deref_mut(), began) {
                story.stepped(filter, began, &step);
            }
            match step {
                Step::Pass => {}
                Step::Answer(reply) => return Passed::Answered(reply),
                Step::Wait(wait) => return Passed::Waits(wait),
                Step::Body(most) => {
                    self.reached -= 1;
                    return Passed::NeedsBody(most);
                }
            }
        }
        Passed::Through
    }

    fn step(&mut self, filter: &Filter, seen: &Seen<'_>) -> Step {
        match filter {
            Filter::Redirect(redirect) => redirect::step(redirect, self, seen),
            Filter::Path(edit) => path::step(edit, self, seen),
            Filter::UpstreamHost(host) => path::host(host, self, seen),
            Filter::Deny(deny) => limits::deny(deny, self, seen),
            Filter::Allow(allow) => limits::allow(allow, self, seen),
            Filter::RateLimit(limit) => limits::rate(limit, self, seen),
            Filter::Headers(rules) => headers::step(rules, self, seen),
            Filter::Password(filter) => password::step(filter, self, seen),
            // They count for answers, and for the choice of the backend.
            Filter::Errors(_) | Filter::Fallback(_) => Step::Pass,
            Filter::ForwardAuth(service) => forward_auth::step(service, self, seen),
        }
    }

    /// An answer of the gateway's own, as the filters that the request has reached change it. They change nothing for closed
    /// routes.
    pub(crate) fn edit(&self, reply: Reply) -> Reply {
        if matches!(reply, Reply::Refused(Refusal::Blocked)) {
            return reply;
        }
        reply.edited(self.response_edits(None).into_owned())
    }

    /// What the filters that the request has reached change in the head of its response: `None` for an answer of the
    /// gateway's own. The last edit of a field counts, so that the outermost filter decides.
    pub(crate) fn response_edits(&self, backends: Option<(&ResponseHead, &[u8])>) -> Cow<'_, FieldEdits> {
        let mut edits = Cow::Borrowed(&*UNEDITED.fields);
        let filters = self.filters.as_deref();
        let reached = filters.and_then(|filters| filters.request.get(..self.reached));
        let reached = reached.unwrap_or_default();
        for (place, filter) in reached.iter().enumerate().rev() {
            match filter {
                Filter::Redirect(_)
                | Filter::Path(_)
                | Filter::UpstreamHost(_)
                | Filter::Deny(_)
                | Filter::Allow(_)
                | Filter::RateLimit(_)
                | Filter::Password(_)
                | Filter::Errors(_)
                | Filter::Fallback(_) => {}
                Filter::Headers(rules) => headers::edit(rules, place, self, backends, &mut edits),
                Filter::ForwardAuth(service) => {
                    forward_auth::edit(service, place, self, backends, &mut edits);
                }
            }
        }
        if backends.is_some() {
            self.add_cookie(&mut edits);
        }
        edits
    }
}

impl ResponseFilters for Course {
    fn intercepts(&self, status: u16) -> bool {
        self.replaces(status)
    }

    fn settled(&self) {
        self.forget();
    }

    fn edits(&self, response: &ResponseHead, head: &[u8]) -> Cow<'_, FieldEdits> {
        self.response_edits(Some((response, head)))
    }
}
