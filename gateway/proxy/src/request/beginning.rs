//! Which requests have a story, and how it begins.

use door::{Route, Snapshot, TlsVersion};
use route::{Row, RowPath};
use wire::{RequestHead, Version};

use crate::head::identity::{Identity, amazon_trace};
use crate::observe::live::Candidate;
use crate::observe::story::{Beginning, Story, StoryRule};
use crate::request::record::Record;
use crate::request::requester::Requester;
use crate::settings::Settings;

/// The story of a request whose head has been read, if anybody wants it.
#[cold]
pub(crate) fn begin(
    requester: &Requester<'_>,
    request: &RequestHead,
    head: &[u8],
    identity: &Identity,
    snapshot: &Snapshot<Settings>,
    record: &Record,
) -> Option<Box<Story>> {
    let worker = &requester.server.worker;
    let host = request.authority().map(|host| host.of(head)).unwrap_or_default();
    // An invalid host may contain a user name and a password.
    let host = host.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    let method = request.method_span.of(head);
    let path = request.path.of(head);
    let live = worker.tracer().live();
    let watcher = live.is_armed().then(|| {
        live.claim(&Candidate {
            listener: worker.door.name(),
            scheme: snapshot.scheme(),
            host,
            path,
            method,
            client: identity.client,
        })
    });
    let watcher = watcher.flatten();
    let trace = record.tracing.map(|trace| (trace.context, trace.parent));
    let is_sampled = trace.is_some_and(|(context, _)| context.is_sampled());
    if watcher.is_none() && !is_sampled {
        return None;
    }
    let mut request_id = Vec::new();
    identity.request_id.write(head, &mut request_id);
    Some(Story::new(Beginning {
        started: record.started(),
        listener: worker.door.name(),
        client: identity.client,
        peer: identity.peer(),
        version: match (requester.stream.is_http2(), request.version) {
            (true, _) => "2",
            (false, Version::Http10) => "1.0",
            (false, Version::Http11) => "1.1",
        },
        scheme: snapshot.scheme().as_str(),
        tls: requester
            .downstream
            .session
            .as_ref()
            .map(|session| match session.version {
                TlsVersion::V12 => "1.2",
                TlsVersion::V13 => "1.3",
            }),
        method,
        host,
        path,
        request_id: &request_id,
        amazon_trace: amazon_trace(snapshot.settings(), request, head).map(|span| span.of(head)),
        state: record
            .tracing
            .filter(|_| is_sampled)
            .and_then(|trace| trace.state(request, head)),
        trace,
        watcher,
    }))
}

impl Story {
    /// The rule that has decided.
    pub(crate) fn matched<A>(&mut self, route: &Route, row: Option<Row<'_, A>>) {
        let origin = &route.origin;
        let path = row.as_ref().and_then(|row| match row.path {
            RowPath::Pattern(pattern) => Some(pattern.to_string()),
            RowPath::HostDefault | RowPath::Default => None,
        });
        self.rule = Some(StoryRule {
            ingress: origin.text.to_string(),
            namespace: origin.key.namespace().to_owned(),
            name: origin.key.name().to_owned(),
            host: row.map(|row| row.host.to_string()).unwrap_or_default(),
            path,
            service: None,
        });
    }
}
