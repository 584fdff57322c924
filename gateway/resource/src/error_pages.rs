//! What is answered in place of errors.

use filter::error_page::{PageTarget, StatusRewrites};
use filter::statuses::StatusSet;
use http::HeaderName;
use route::ObjectKey;

use crate::service_port::ServicePortRef;

/// Pages in place of errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorPages {
    /// Which statuses are replaced.
    pub statuses: StatusSet,
    /// What answers.
    pub service: ServiceRef,
    /// How it is asked.
    pub request: PageRequest,
}

/// A Service, and which of its ports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceRef {
    /// The Service.
    pub service: ObjectKey,
    /// `None`: its first port.
    pub port: Option<ServicePortRef>,
}

/// How a page is asked for, and what becomes of its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageRequest {
    /// As ingress-nginx asks: `GET /` with fields about the error. The client gets the status of the page.
    Fields,
    /// As Traefik asks: `GET` for a path, with the client's fields. The client gets the status of the error.
    Target {
        /// The path.
        target: PageTarget,
        /// Which statuses the client gets as others.
        rewrites: StatusRewrites,
        /// The client's fields that are passed on; `None`: all but `Authorization` and `Cookie`.
        fields: Option<Box<[HeaderName]>>,
    },
}

impl ServiceRef {
    /// Reads `NAME` or `NAME:PORT`, in a namespace.
    ///
    /// # Errors
    /// What is wrong with the text, in words.
    pub fn parse(text: &str, namespace: &str) -> Result<Self, String> {
        let (name, port) = text
            .split_once(':')
            .map_or((text, None), |(name, port)| (name, Some(port)));
        let service = crate::metadata::is_label(name).then(|| ObjectKey::new(namespace, name));
        let port = port.map(|port| match filter::url::port(port) {
            Some(number) => Some(ServicePortRef::Number(number)),
            None if port.bytes().all(|byte| byte.is_ascii_digit()) => None,
            None => crate::metadata::is_label(port).then(|| ServicePortRef::Name(port.into())),
        });
        match (service, port) {
            (Some(service), None) => Ok(Self { service, port: None }),
            (Some(service), Some(Some(port))) => Ok(Self {
                service,
                port: Some(port),
            }),
            (None, _) | (_, Some(None)) => Err(format!(
                "`{text}` is not the name of a Service of this namespace, with a port (`NAME:PORT`) or without"
            )),
        }
    }
}
