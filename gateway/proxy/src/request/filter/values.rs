//! What variables stand for in a request.

use ::filter::redirect::HttpScheme;
use ::filter::template::{Values, Variable};
use ::filter::url::push_encoded;
use door::Action;
use wire::is_same_name;

use super::seen::Asking;
use crate::request::course::Course;

/// The variables of one request. Their values are the client's bytes: who puts them into a URL escapes them.
pub(super) struct RequestValues<'a, 's> {
    seen: &'a Asking<'s>,
    /// Whom a filter has found to be logged in.
    user: Option<&'a [u8]>,
}

impl Values for RequestValues<'_, '_> {
    fn write(&self, variable: &Variable, out: &mut Vec<u8>) {
        let seen = self.seen;
        match variable {
            Variable::Host => out.extend_from_slice(seen.place.host().unwrap_or_default().as_bytes()),
            Variable::HttpHost => {
                let authority = seen.request.authority();
                out.extend_from_slice(authority.map(|host| host.of(seen.head)).unwrap_or_default());
            }
            Variable::Scheme => {
                out.extend_from_slice(HttpScheme::from(seen.matched.scheme).as_str().as_bytes());
            }
            Variable::RequestUri => self.request_uri(out),
            Variable::EscapedRequestUri => {
                let mut uri = Vec::new();
                self.request_uri(&mut uri);
                push_encoded(out, &uri);
            }
            Variable::Uri => out.extend_from_slice(seen.place.path()),
            Variable::Args => out.extend_from_slice(self.query()),
            Variable::IsArgs if self.query().is_empty() => {}
            Variable::IsArgs => out.push(b'?'),
            Variable::RequestMethod => out.extend_from_slice(seen.request.method_span.of(seen.head)),
            Variable::RemoteAddr => seen.identity.write_client(out),
            Variable::RemoteUser => out.extend_from_slice(self.user.unwrap_or_default()),
            Variable::RequestId => seen.identity.request_id.write(seen.head, out),
            Variable::Http(name) => self.field(name, out),
            Variable::Arg(name) => out.extend_from_slice(self.parameter(name).unwrap_or_default()),
            Variable::Cookie(name) => out.extend_from_slice(self.seen.cookie(name).unwrap_or_default()),
            Variable::Namespace => {
                out.extend_from_slice(seen.matched.route.origin.key.namespace().as_bytes());
            }
            Variable::ServiceName => {
                if let Action::Forward(upstream) = &seen.matched.route.action {
                    out.extend_from_slice(upstream.service.name().as_bytes());
                }
            }
            Variable::ServicePort => {
                if let Action::Forward(upstream) = &seen.matched.route.action {
                    out.extend_from_slice(upstream.port.to_string().as_bytes());
                }
            }
        }
    }
}

impl<'a, 's> RequestValues<'a, 's> {
    /// Those of a request that has come so far on its course.
    pub(super) fn new(seen: &'a Asking<'s>, course: &'a Course) -> Self {
        let user = course.user.as_deref();
        Self { seen, user }
    }

    pub(super) fn query(&self) -> &[u8] {
        let query = self.seen.request.query;
        query.map(|query| query.of(self.seen.head)).unwrap_or_default()
    }

    fn request_uri(&self, out: &mut Vec<u8>) {
        match self.seen.request.path.of(self.seen.head) {
            [] => out.push(b'/'),
            path => out.extend_from_slice(path),
        }
        if let Some(query) = self.seen.request.query {
            out.push(b'?');
            out.extend_from_slice(query.of(self.seen.head));
        }
    }

    /// The first field of a name, in which `-` and `_` are alike.
    fn field(&self, name: &str, out: &mut Vec<u8>) {
        let seen = self.seen;
        let mut fields = seen.request.fields.iter();
        let field = fields.find(|field| {
            let own = field.name.of(seen.head);
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            own.iter().all(is_plain) && is_same_name(own, name.as_bytes())
        });
        if let Some(field) = field {
            out.extend_from_slice(field.value.of(seen.head));
        }
    }

    fn parameter(&self, name: &str) -> Option<&[u8]> {
        self.query().split(|byte| *byte == b'&').find_map(|pair| {
            let value = pair.strip_prefix(name.as_bytes())?;
            value.strip_prefix(b"=")
        })
    }
}
