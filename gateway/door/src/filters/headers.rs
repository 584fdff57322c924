//! Filters that edit fields, and CORS. Each is `None` where it has nothing to do.

use std::sync::Arc;

use filter::cors::Cors;
use filter::fields::{FieldEdits, Message};
use filter::headers::Headers;
use filter::security::{Hsts, SecurityFields};
use resource::ClusterView;
use route::ObjectKey;

use super::Filter;
use crate::scheme::Scheme;

/// `headers` of Traefik.
pub(super) fn all(headers: &Headers, scheme: Scheme) -> Option<Filter> {
    let rules = headers.at(scheme == Scheme::Https)?;
    Some(Filter::Headers(Arc::new(rules)))
}

/// Who may read responses.
pub(super) fn cors(cors: &Cors, scheme: Scheme) -> Option<Filter> {
    let headers = Headers {
        cors: Some(cors.clone()),
        ..Headers::default()
    };
    all(&headers, scheme)
}

/// Fields of the request.
pub(super) fn request(edits: &FieldEdits, scheme: Scheme) -> Option<Filter> {
    let headers = Headers {
        request: edits.clone(),
        ..Headers::default()
    };
    all(&headers, scheme)
}

/// Fields of the response.
pub(super) fn response(edits: &FieldEdits, scheme: Scheme) -> Option<Filter> {
    let headers = Headers {
        response: edits.clone(),
        ..Headers::default()
    };
    all(&headers, scheme)
}

/// The response's fields that protect users of every site.
pub(super) fn security(scheme: Scheme) -> Result<Option<Filter>, String> {
    let headers = Headers {
        security: SecurityFields::WISE.edits().map_err(|error| error.to_string())?,
        hsts: Some(Hsts::YEAR),
        ..Headers::default()
    };
    Ok(all(&headers, scheme))
}

/// The entries of a ConfigMap, as fields of the response.
pub(super) fn of_config_map(view: &ClusterView, key: &ObjectKey) -> Result<FieldEdits, String> {
    let Some(map) = view.config_map(key) else {
        return Err(format!("ConfigMap `{key}` does not exist"));
    };
    let fields = map.data.iter().map(|(name, value)| (&**name, &**value));
    FieldEdits::of_map(fields, Message::Response).map_err(|error| format!("ConfigMap `{key}`: {error}"))
}
