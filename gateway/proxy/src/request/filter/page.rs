//! Pages in place of errors of the backend: how they are asked for, and what the client gets.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use ::filter::error_page::PageTarget;
use bytes::Bytes;
use door::{Action, ErrorPages, Filter, PageRequest};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, DATE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use smallvec::SmallVec;
use wire::{Field, FieldId, is_same_name};

use super::seen::Seen;
use crate::head::draft::FieldEdits;
use crate::head::emit::OwnAnswer;
use crate::head::vouched;
use crate::request::course::Course;
use crate::request::course::Kept;
use crate::upstream::Upstreams;

/// The largest page.
const MOST: usize = 1024 * 1024;
/// A page takes no longer than this.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Kept {
    /// `edits`: what the filters have made of its fields. The page learns about the client what the backend learns, and
    /// nothing that only the client says.
    pub(super) fn of(seen: &Seen<'_>, edits: &FieldEdits) -> Self {
        let (request, head, settings) = (seen.request, seen.head, &seen.matched.settings);
        let passes = |field: &&Field| {
            vouched::passes(field.id, field.name.of(head), seen.identity.trusted, settings)
                && !request.connection.names(field, head)
                && is_of_client(field, head)
                && !edits.removes(field.name.of(head))
        };
        let mut own = HeaderMap::new();
        let mut add = |name: &'static str, write: &dyn Fn(&mut Vec<u8>)| {
            if edits.removes(name.as_bytes()) {
                return;
            }
            let mut value = Vec::new();
            write(&mut value);
            if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
                own.insert(HeaderName::from_static(name), value);
            }
        };
        let host = request.authority().map(|host| host.of(head)).unwrap_or_default();
        add("x-forwarded-for", &|out| seen.identity.write_peer(out));
        add("x-forwarded-host", &|out| out.extend_from_slice(host));
        add("x-forwarded-proto", &|out| {
            out.extend_from_slice(seen.matched.scheme.as_str().as_bytes());
        });
        add("x-real-ip", &|out| seen.identity.write_client(out));
        add("x-request-id", &|out| seen.identity.request_id.write(head, out));
        let mut target = match request.path.of(head) {
            [] => b"/".to_vec(),
            path => path.to_vec(),
        };
        if let Some(query) = request.query {
            target.push(b'?');
            target.extend_from_slice(query.of(head));
        }
        let route = &seen.matched.route;
        let upstream = match &route.action {
            Action::Forward(upstream) => Some(upstream),
            Action::Redirect | Action::Blocked(_) => None,
        };
        Self {
            head: head.to_vec(),
            fields: request.fields.iter().filter(passes).copied().collect(),
            added: edits.added.clone(),
            target,
            scheme: seen.matched.scheme.as_str(),
            host: host.to_vec(),
            own,
            namespace: route.origin.key.namespace().into(),
            ingress: route.origin.key.name().into(),
            service: upstream
                .map(|upstream| upstream.service.name())
                .unwrap_or_default()
                .into(),
            port: upstream.map_or(0, |upstream| upstream.port),
        }
    }

    /// The request for the page in place of a status; the client gets it with the status `shown`.
    fn request(&self, pages: &ErrorPages, status: u16, shown: u16) -> Option<Request<Bytes>> {
        let url = || [self.scheme.as_bytes(), b"://", &self.host, &self.target].concat();
        let fill = |target: &PageTarget| target.fill(shown, status, &url());
        let (target, listed) = match &pages.request {
            PageRequest::Fields => ("/".to_owned(), None),
            PageRequest::Target { target, fields, .. } => (fill(target), fields.as_deref()),
        };
        let host = match std::str::from_utf8(&self.host) {
            Ok(host) if !host.is_empty() => host,
            _ => pages.upstream.service.name(),
        };
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(format!("http://{host}{target}"));
        let headers = request.headers_mut()?;
        let is_passed = |name: &HeaderName| match listed {
            Some(listed) => listed.contains(name),
            None => *name != AUTHORIZATION && *name != COOKIE,
        };
        for field in &self.fields {
            let name = HeaderName::from_bytes(field.name.of(&self.head)).ok()?;
            if is_passed(&name)
                && let Ok(value) = HeaderValue::from_bytes(field.value.of(&self.head))
            {
                headers.append(name, value);
            }
        }
        for (name, value) in &self.own {
            headers.insert(name, value.clone());
        }
        for (name, value) in self.added.iter().filter(|(name, _)| is_passed(name)) {
            headers.append(name, value.clone());
        }
        if matches!(pages.request, PageRequest::Fields) {
            self.describe(headers, status);
        }
        request.body(Bytes::new()).ok()
    }

    /// What ingress-nginx says about the error. Copies of the client have no effect, in whatever spelling a program may read
    /// as the same.
    fn describe(&self, headers: &mut HeaderMap, status: u16) {
        let mut say = |name: &'static str, value: &[u8]| {
            let is_copy = |other: &&HeaderName| is_same_name(other.as_str().as_bytes(), name.as_bytes());
            let copies: SmallVec<[HeaderName; 1]> = headers.keys().filter(is_copy).cloned().collect();
            for copy in &copies {
                headers.remove(copy);
            }
            let name = HeaderName::from_static(name);
            // nginx sends no field without a value.
            if !value.is_empty()
                && let Ok(value) = HeaderValue::from_bytes(value)
            {
                headers.insert(name, value);
            }
        };
        let is_accept = |field: &&Field| {
            field
                .name
                .of(&self.head)
                .eq_ignore_ascii_case(ACCEPT.as_str().as_bytes())
        };
        let accept = self.fields.iter().find(is_accept);
        say("x-code", status.to_string().as_bytes());
        say(
            "x-format",
            accept.map(|field| field.value.of(&self.head)).unwrap_or_default(),
        );
        say("x-original-uri", &self.target);
        say("x-namespace", self.namespace.as_bytes());
        say("x-ingress-name", self.ingress.as_bytes());
        say("x-service-name", self.service.as_bytes());
        say("x-service-port", self.port.to_string().as_bytes());
    }
}

/// Whether a field is about the client and what it wants, and not about its own request's body, its length, or what it has
/// already: the page is another resource.
fn is_of_client(field: &Field, head: &[u8]) -> bool {
    let name = field.name.of(head);
    let is_about_its_request = matches!(
        field.id,
        FieldId::Host
            | FieldId::ContentLength
            | FieldId::ContentType
            | FieldId::TransferEncoding
            | FieldId::Connection
            | FieldId::KeepAlive
            | FieldId::ProxyConnection
            | FieldId::ProxyAuthenticate
            | FieldId::ProxyAuthorization
            | FieldId::Te
            | FieldId::Trailer
            | FieldId::Upgrade
            | FieldId::Http2Settings
            | FieldId::Expect
            | FieldId::MaxForwards
    );
    let starts = |prefix: &[u8]| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    !is_about_its_request && !starts(b"if-") && !starts(b"content-") && !name.eq_ignore_ascii_case(b"range")
}

impl Course {
    /// Keeps what requests for pages need.
    pub(super) fn keep(&mut self, seen: &Seen<'_>) {
        self.kept = RefCell::new(Some(Box::new(Kept::of(seen, &self.edits.fields))));
    }

    /// The pages for a status; the outermost that replaces it counts.
    fn pages(&self, status: u16) -> Option<&ErrorPages> {
        self.kept.borrow().as_ref()?;
        self.filters.as_deref()?.request.iter().find_map(|filter| {
            if let Filter::Errors(pages) = filter
                && pages.statuses.has(status)
            {
                Some(&**pages)
            } else {
                None
            }
        })
    }

    /// No page takes the place of its response any more. A response may last for days.
    pub(crate) fn forget(&self) {
        self.kept.take();
    }

    /// Whether a page takes the place of a response with this status.
    pub(crate) fn replaces(&self, status: u16) -> bool {
        self.pages(status).is_some()
    }

    /// The page in place of a status; `None` if it cannot be had.
    pub(crate) async fn page(&self, status: u16, upstreams: &Upstreams) -> Option<OwnAnswer> {
        let pages = self.pages(status)?;
        let shown = match &pages.request {
            PageRequest::Fields => status,
            PageRequest::Target { rewrites, .. } => rewrites.of(status).unwrap_or(status),
        };
        let request = self.kept.borrow().as_ref()?.request(pages, status, shown)?;
        let page = match upstreams.fetch(&pages.upstream, request, MOST, TIMEOUT).await {
            Ok(page) => page,
            Err(error) => {
                tracing::debug!(service = %pages.upstream.service, %error, "no page in place of an error");
                return None;
            }
        };
        if page.status().is_informational() {
            return None;
        }
        let page = match &pages.request {
            PageRequest::Fields => answer(page.status().as_u16(), page),
            // An error in place of an error says less than the first.
            PageRequest::Target { .. } if page.status().is_server_error() => return None,
            PageRequest::Target { .. } => answer(shown, page),
        };
        self.page_of.replace(Some(Arc::clone(&pages.upstream)));
        Some(page)
    }
}

/// A page as the gateway's own answer.
fn answer(status: u16, page: Response<Bytes>) -> OwnAnswer {
    let (parts, body) = page.into_parts();
    let mut headers = parts.headers;
    let media_type = headers.remove(CONTENT_TYPE);
    let media_type = media_type
        .as_ref()
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let named = headers
        .get_all("connection")
        .iter()
        .flat_map(|value| wire::elements(value.as_bytes()));
    let named: Vec<HeaderName> = named
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect();
    let hop_by_hop = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
    ];
    for name in hop_by_hop {
        headers.remove(name);
    }
    for name in named.iter().chain([&CONTENT_LENGTH, &DATE, &HOST]) {
        headers.remove(name);
    }
    let fields: SmallVec<[_; 2]> = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned().into(), value.as_bytes().to_vec().into()))
        .collect();
    OwnAnswer {
        status,
        fields,
        media_type: media_type.to_owned().into(),
        body,
        grpc: None,
    }
}
