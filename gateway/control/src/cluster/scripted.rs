//! For tests: an API server that says what the test wants, and doors that want certificates.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use kube::client::{Body, Client};
use resource::{ClusterView, Ingress, Kind, Object, ObjectRef};
use route::ListenerName;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::connection::Contact;
use super::door_view::{DoorView, Publish};

/// The requests that were sent: when, and for what.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<Vec<(Instant, String)>>>);

impl Requests {
    pub(crate) fn all(&self) -> Vec<(Instant, String)> {
        self.0.lock().unwrap().clone()
    }
}

/// A client of an API server that answers as the script says, one after the other, and never afterwards. Requests are
/// noted as method and URI.
pub(crate) fn client(script: Vec<Response<String>>, contact: &Contact) -> (Client, Requests) {
    let mut script = VecDeque::from(script);
    answering(move |_| script.pop_front(), contact)
}

/// A client of an API server that answers each request, noted as method and URI, as this says; never, if it says nothing.
pub(crate) fn answering(
    answers: impl FnMut(&str) -> Option<Response<String>> + Send + 'static,
    contact: &Contact,
) -> (Client, Requests) {
    let requests = Requests::default();
    let answers = Arc::new(Mutex::new(answers));
    let (noted, contact) = (requests.clone(), contact.clone());
    let server = tower::service_fn(move |request: Request<Body>| {
        let line = format!("{} {}", request.method(), request.uri());
        let next = (*answers.lock().unwrap())(&line);
        noted.0.lock().unwrap().push((Instant::now(), line));
        let contact = contact.clone();
        async move {
            let Some(response) = next else {
                return std::future::pending().await;
            };
            contact.note_response(response.status(), response.headers());
            Ok::<_, Infallible>(response.map(|body| Body::from(body.into_bytes())))
        }
    });
    (Client::new(server, "default"), requests)
}

pub(crate) fn answer(status: u16, body: &impl ToString) -> Response<String> {
    Response::builder().status(status).body(body.to_string()).unwrap()
}

pub(crate) fn failure(status: u16) -> Response<String> {
    answer(
        status,
        &json!({ "kind": "Status", "status": "Failure", "code": status, "message": "no", "reason": "" }),
    )
}

pub(crate) fn list(version: u64, items: &[Value]) -> Response<String> {
    answer(
        200,
        &json!({ "kind": "ServiceList", "apiVersion": "v1", "metadata": { "resourceVersion": version.to_string() }, "items": items }),
    )
}

pub(crate) fn watch(events: &[Value]) -> Response<String> {
    answer(
        200,
        &events
            .iter()
            .map(|event| format!("{event}\n"))
            .collect::<String>(),
    )
}

pub(crate) fn event(kind: &str, object: &Value) -> Value {
    json!({ "type": kind, "object": object })
}

/// Doors at which every Ingress needs the Secrets of its `spec.tls`.
#[derive(Debug, Default)]
pub(crate) struct WithCertificates {
    /// How long it takes to find out what is needed: many Ingresses on a busy machine.
    pub(crate) finding_out: Duration,
}

impl WithCertificates {
    pub(crate) fn of(ingress: &Ingress) -> Vec<ObjectRef> {
        let secrets = ingress.tls.iter().filter_map(|tls| tls.secret.as_ref());
        secrets
            .map(|key| ObjectRef::namespaced(Kind::Secret, key))
            .collect()
    }
}

impl DoorView for WithCertificates {
    fn needs_of_doors(&self, _: &ClusterView) -> Vec<ObjectRef> {
        Vec::new()
    }

    fn needs_of_ingresses(&self, view: &ClusterView) -> Vec<ObjectRef> {
        std::thread::sleep(self.finding_out);
        view.ingresses().flat_map(|ingress| Self::of(ingress)).collect()
    }

    fn objects_of(&self, object: &Object) -> Vec<ObjectRef> {
        let Object::Ingress(ingress) = object else {
            return Vec::new();
        };
        Self::of(ingress)
    }

    fn concerns_needs(&self, before: Option<&Object>, after: Option<&Object>) -> bool {
        [before, after]
            .iter()
            .any(|object| matches!(object, Some(Object::Ingress(_))))
    }

    fn published(&self) -> Vec<(&ListenerName, &Publish)> {
        Vec::new()
    }

    fn published_for(&self, _: &Ingress, _: &ClusterView) -> Vec<&Publish> {
        Vec::new()
    }

    fn choose(&self, _: &Ingress, _: &ClusterView) -> bool {
        false
    }

    fn serve_class_of(&self, _: &Ingress, _: &ClusterView) -> bool {
        false
    }
}
