//! What the journal keeps of one publication, in the form in which it is shown.
//!
//! Everything that a tenant writes (names, hosts, paths, managers) is text of a bounded length here, and nothing else:
//! whoever shows it escapes it for where it is shown.

use std::borrow::Cow;

use door::{Action, Answer, Aspect, Changed, DoorChange, Filter, PlaceChange, PlacePath, Route, TableChange};
use jiff::Timestamp;
use route::{HostPattern, ListenerName, PathPattern};
use serde::{Serialize, Serializer};

/// The longest path that is shown. A longer one is cut.
const LONGEST_PATH: usize = 256;

/// The longest of all other texts, which have bounds of their own.
const LONGEST: usize = 300;

/// One publication that changed what doors answer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    /// Its number among the publications of this process; those without a change are left out.
    pub(crate) number: u64,
    /// When it was live.
    #[serde(serialize_with = "shown")]
    pub(crate) time: Timestamp,
    /// What led to it, as far as it is listed.
    pub(crate) causes: Vec<Cause>,
    /// How many causes are not listed.
    pub(crate) causes_omitted: usize,
    pub(crate) doors: Vec<DoorEntry>,
}

/// What led to a publication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Cause {
    /// The kind of an object, `Configuration` or `Name` (of DNS).
    pub(crate) kind: &'static str,
    pub(crate) namespace: Option<Box<str>>,
    pub(crate) name: Box<str>,
    pub(crate) change: CauseChange,
    pub(crate) resource_version: Option<Box<str>>,
    pub(crate) field_manager: Option<Box<str>>,
    /// When the manager wrote it; RFC 3339.
    pub(crate) written: Option<Box<str>>,
    pub(crate) file: Option<Box<str>>,
    pub(crate) line: Option<u32>,
}

/// What happened to a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CauseChange {
    Created,
    Changed,
    Deleted,
}

/// What a publication changed at one door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct DoorEntry {
    pub(crate) listener: ListenerText,
    pub(crate) event: DoorEvent,
    pub(crate) hosts: Counts,
    pub(crate) places: Counts,
    /// Those that are listed, by host and path.
    pub(crate) changes: Vec<PlaceEntry>,
    /// How many are not.
    pub(crate) omitted: usize,
    /// How many are not shown because they are of other namespaces than the one that was asked for.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) of_others: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What happened to a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DoorEvent {
    /// It has its first table, after the start or a reload: what it answers is no news.
    Opened,
    /// It answers otherwise.
    Changed,
    /// It is no longer configured.
    Closed,
}

/// How many of something came, went, or are answered otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) appeared: usize,
    pub(crate) changed: usize,
    pub(crate) gone: usize,
}

/// One place, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PlaceEntry {
    pub(crate) change: PlaceEvent,
    /// As in `audit`: `*` for rules without a host.
    pub(crate) host: Box<str>,
    pub(crate) path: Box<str>,
    pub(crate) path_type: &'static str,
    /// The door did not answer this host before. Said at one place of each such host.
    pub(crate) new_host: bool,
    /// In which respects it is answered otherwise.
    pub(crate) aspects: Vec<&'static str>,
    pub(crate) before: Option<AnswerEntry>,
    pub(crate) after: Option<AnswerEntry>,
}

/// What happened to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PlaceEvent {
    Appeared,
    Changed,
    Gone,
}

/// What answers at a place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct AnswerEntry {
    pub(crate) ingress: Option<Box<str>>,
    pub(crate) service: Option<Box<str>>,
    pub(crate) port: Option<u16>,
    /// As `audit` says it: `ready`, `no-endpoints`, `blocked` or `redirect`.
    pub(crate) state: &'static str,
    /// What acts on requests, in order.
    pub(crate) filters: Vec<&'static str>,
    /// The Ingress of the canary that takes a part of the requests.
    pub(crate) canary: Option<Box<str>>,
}

/// The name of a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenerText(pub(crate) ListenerName);

impl Serialize for ListenerText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// RFC 3339 in UTC, with milliseconds.
pub(crate) fn in_words(time: Timestamp) -> String {
    format!("{time:.3}")
}

fn shown<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&in_words(*time))
}

/// A text, cut where it is too long.
pub(crate) fn bounded(text: &str, most: usize) -> Box<str> {
    let cut = text.char_indices().nth(most).map(|(at, _)| at);
    match cut.and_then(|at| text.get(..at)) {
        Some(beginning) => format!("{beginning}…").into(),
        None => text.into(),
    }
}

impl DoorEntry {
    pub(crate) fn of(change: &DoorChange) -> Self {
        let listener = ListenerText(change.door.clone());
        match &change.what {
            Changed::First { hosts, places } => {
                let appeared = |appeared: usize| Counts {
                    appeared,
                    ..Counts::default()
                };
                Self {
                    listener,
                    event: DoorEvent::Opened,
                    hosts: appeared(*hosts),
                    places: appeared(*places),
                    changes: Vec::new(),
                    omitted: *places,
                    of_others: 0,
                }
            }
            Changed::Since(since) => {
                let TableChange {
                    hosts_appeared,
                    hosts_gone,
                    appeared,
                    changed,
                    gone,
                    listed,
                } = &**since;
                Self {
                    listener,
                    event: DoorEvent::Changed,
                    hosts: Counts {
                        appeared: *hosts_appeared,
                        changed: 0,
                        gone: *hosts_gone,
                    },
                    places: Counts {
                        appeared: *appeared,
                        changed: *changed,
                        gone: *gone,
                    },
                    changes: listed.iter().map(PlaceEntry::of).collect(),
                    omitted: (appeared + changed + gone).saturating_sub(listed.len()),
                    of_others: 0,
                }
            }
        }
    }

    /// That of a door that is no longer configured.
    pub(crate) fn closed(door: ListenerName) -> Self {
        Self {
            listener: ListenerText(door),
            event: DoorEvent::Closed,
            hosts: Counts::default(),
            places: Counts::default(),
            changes: Vec::new(),
            omitted: 0,
            of_others: 0,
        }
    }

    /// Whether something of it concerns a namespace, or may: what is only counted is of nobody knows which.
    pub(crate) fn may_concern(&self, namespace: &str) -> bool {
        match self.event {
            DoorEvent::Opened | DoorEvent::Closed => true,
            DoorEvent::Changed => {
                self.omitted > 0 || self.changes.iter().any(|change| change.concerns(namespace))
            }
        }
    }

    /// Leaves out what is of other namespaces.
    pub(crate) fn keep_of(&mut self, namespace: &str) {
        let before = self.changes.len();
        self.changes.retain(|change| change.concerns(namespace));
        self.of_others += before - self.changes.len();
    }
}

impl PlaceEntry {
    pub(crate) fn of(change: &PlaceChange) -> Self {
        let (path, path_type) = path(&change.path);
        Self {
            change: match (&change.before, &change.after) {
                (None, _) => PlaceEvent::Appeared,
                (Some(_), None) => PlaceEvent::Gone,
                (Some(_), Some(_)) => PlaceEvent::Changed,
            },
            host: match &change.host {
                HostPattern::Any => "*".into(),
                host @ (HostPattern::Exact(_) | HostPattern::Wildcard(_)) => {
                    bounded(&host.to_string(), LONGEST)
                }
            },
            path: bounded(&path, LONGEST_PATH),
            path_type,
            new_host: change.is_new_host,
            aspects: change.aspects().into_iter().map(aspect).collect(),
            before: change.before.as_ref().map(AnswerEntry::of),
            after: change.after.as_ref().map(AnswerEntry::of),
        }
    }
}

impl PlaceEntry {
    /// Whether an Ingress or a Service of this namespace answered or answers. What a door only redirects has no Ingress
    /// here, and concerns all.
    fn concerns(&self, namespace: &str) -> bool {
        let answers = || [&self.before, &self.after].into_iter().flatten();
        let mut names = answers().flat_map(|answer| [&answer.ingress, &answer.service, &answer.canary]);
        let is_of = |name: &str| name.split_once('/').is_some_and(|(own, _)| own == namespace);
        names.any(|name| name.as_deref().is_some_and(is_of))
            || answers().all(|answer| answer.ingress.is_none())
    }

    /// By which changes are in order.
    pub(crate) fn place(&self) -> (&str, &str, &str) {
        (&self.host, &self.path, self.path_type)
    }
}

impl AnswerEntry {
    fn of(answer: &Answer) -> Self {
        match answer {
            Answer::Route(route) | Answer::Passthrough(route) => Self::of_route(route),
            Answer::Redirect => Self {
                state: "redirect",
                ..Self::default()
            },
        }
    }

    fn of_route(route: &Route) -> Self {
        let filters = route.filters.iter().flat_map(|filters| &filters.request);
        let canary = route.canary.as_ref();
        let answer = Self {
            ingress: Some(bounded(&route.origin.text, 2 * LONGEST)),
            filters: filters.map(filter).collect(),
            canary: canary.map(|canary| bounded(&canary.route.origin.text, 2 * LONGEST)),
            ..Self::default()
        };
        match &route.action {
            Action::Forward(upstream) => Self {
                service: Some(bounded(&upstream.service.to_string(), 2 * LONGEST)),
                port: Some(upstream.port),
                state: match upstream.endpoints.is_empty() {
                    true => "no-endpoints",
                    false => "ready",
                },
                ..answer
            },
            Action::Redirect => Self {
                state: "redirect",
                ..answer
            },
            Action::Blocked(_) => Self {
                state: "blocked",
                ..answer
            },
        }
    }
}

fn path(path: &PlacePath) -> (Cow<'static, str>, &'static str) {
    match path {
        PlacePath::Pattern(pattern) => {
            let path_type = match pattern {
                PathPattern::Exact(_) => "Exact",
                PathPattern::Prefix(_) => "Prefix",
                PathPattern::Regex(_) => "ImplementationSpecific",
            };
            let text = pattern.to_string();
            // The stem of `/` is empty.
            let text = if text.is_empty() { "/".into() } else { text.into() };
            (text, path_type)
        }
        PlacePath::HostDefault | PlacePath::Default => ("/".into(), "Default"),
        PlacePath::Connection => ("/".into(), "Passthrough"),
    }
}

fn aspect(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Ingress => "ingress",
        Aspect::Backend => "backend",
        Aspect::State => "state",
        Aspect::Filters => "filters",
        Aspect::Canary => "canary",
        Aspect::Tuning => "tuning",
    }
}

fn filter(filter: &Filter) -> &'static str {
    match filter {
        Filter::Redirect(_) => "redirect",
        Filter::Path(_) => "path",
        Filter::UpstreamHost(_) => "upstream-host",
        Filter::Deny(_) => "deny",
        Filter::Allow(_) => "allow",
        Filter::RateLimit(_) => "rate-limit",
        Filter::Headers(_) => "headers",
        Filter::Password(_) => "basic-auth",
        Filter::Errors(_) => "error-pages",
        Filter::Fallback(_) => "fallback",
        Filter::ForwardAuth(_) => "forward-auth",
    }
}

/// Bytes that an entry takes, roughly.
impl Entry {
    pub(crate) fn bytes(&self) -> usize {
        let causes: usize = self.causes.iter().map(Cause::bytes).sum();
        let doors: usize = self.doors.iter().map(DoorEntry::bytes).sum();
        size_of::<Self>() + causes + doors
    }
}

impl Cause {
    /// Whether it is this Ingress (`namespace/name`).
    pub(crate) fn is_ingress(&self, key: Option<&str>) -> bool {
        let parts = key.and_then(|key| key.split_once('/'));
        self.kind == "Ingress"
            && parts
                == self
                    .namespace
                    .as_deref()
                    .map(|namespace| (namespace, &*self.name))
    }

    fn bytes(&self) -> usize {
        let optional = [
            &self.namespace,
            &self.resource_version,
            &self.field_manager,
            &self.written,
            &self.file,
        ];
        size_of::<Self>() + self.name.len() + optional.into_iter().map(length).sum::<usize>()
    }
}

impl DoorEntry {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.changes.iter().map(PlaceEntry::bytes).sum::<usize>()
    }
}

impl PlaceEntry {
    fn bytes(&self) -> usize {
        let answers = [&self.before, &self.after];
        let answers = answers.into_iter().flatten().map(AnswerEntry::bytes);
        let aspects = size_of_val(&*self.aspects);
        size_of::<Self>() + self.host.len() + self.path.len() + aspects + answers.sum::<usize>()
    }
}

impl AnswerEntry {
    fn bytes(&self) -> usize {
        let optional = [&self.ingress, &self.service, &self.canary];
        size_of_val(&*self.filters) + optional.into_iter().map(length).sum::<usize>()
    }
}

fn length(text: &Option<Box<str>>) -> usize {
    text.as_ref().map_or(0, |text| text.len())
}
