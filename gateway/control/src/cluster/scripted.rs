//! For tests: an API server that says what the test wants.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::client::{Body, Client};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::connection::Contact;

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
