//! Filters over real sockets, HTTP/1.1 and HTTP/2: object in, behaviour out. A module for each part.

mod choosing;
mod coverage;
mod errors;
mod fields;
mod forward_auth;
mod limits;
mod middlewares;
mod passwords;
mod paths;
mod redirects;
mod set_up4;

use std::net::SocketAddr;

use gateway_tests::http2::{Http2, block};
use gateway_tests::{Backend, Client, Gateway, Response, gateway, manifest};
use http::{HeaderMap, HeaderName, HeaderValue, Request};

/// The door of most tests: plain HTTP/1.1, and HTTP/2 by prior knowledge.
const DOOR: &str = "external-http";

/// What a client got.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Got {
    status: u16,
    fields: HeaderMap,
    body: String,
}

impl Got {
    /// The value of a field; several are joined by `, `.
    fn field(&self, name: &str) -> Option<String> {
        let values = self.fields.get_all(name).iter();
        let values: Vec<&str> = values.map(|value| value.to_str().unwrap()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// A gateway whose door has one Ingress for `a.test` (`Prefix /`) with these annotations, beside other objects.
fn gateway_with(backend: &Backend, annotations: &[(&str, &str)], others: &str) -> Gateway {
    gateway!()
        .door(DOOR, "")
        .manifest("app.yaml", &app(backend, annotations))
        .manifest("others.yaml", others)
        .start()
}

/// An Ingress for `a.test` with these annotations, its Service and its endpoint.
fn app(backend: &Backend, annotations: &[(&str, &str)]) -> String {
    let app = manifest::app("app", DOOR, "a.test", backend.port());
    let lines: String = annotations
        .iter()
        .map(|(key, value)| format!("    {key}: {}\n", serde_json::to_string(value).unwrap()))
        .collect();
    app.replacen(
        "  namespace: test\n",
        &format!("  namespace: test\n  annotations:\n{lines}"),
        1,
    )
}

/// An Ingress with one rule, for a host, a type of path and a path, with these annotations and this Service.
fn rule_for(
    name: &str,
    door: &str,
    (host, path_type, path): (&str, &str, &str),
    annotations: &[(&str, &str)],
    service: &str,
) -> String {
    let rule = manifest::ingress(name, door, &[(host, path_type, path, service)]);
    if annotations.is_empty() {
        return rule;
    }
    let lines: String = annotations
        .iter()
        .map(|(key, value)| format!("    {key}: {}\n", serde_json::to_string(value).unwrap()))
        .collect();
    rule.replacen(
        "  namespace: test\n",
        &format!("  namespace: test\n  annotations:\n{lines}"),
        1,
    )
}

/// A Middleware of Traefik with this content.
fn middleware(name: &str, content: &str) -> String {
    format!(
        "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {{name: {name}, namespace: test}}\nspec:\n  {content}\n---\n"
    )
}

/// Sends the same request over both versions, and expects the same answer to both. Returns it without its date and what
/// frames the body.
#[track_caller]
fn ask(door: SocketAddr, method: &str, target: &str, fields: &[(&str, &str)]) -> Got {
    let first = ask_http1(door, method, target, fields);
    let second = ask_http2(door, method, target, fields);
    assert_eq!(
        first, second,
        "{method} {target} {fields:?} over HTTP/1.1 and HTTP/2"
    );
    first
}

/// `fields` may contain `host`, else it is `a.test`.
fn ask_http1(door: SocketAddr, method: &str, target: &str, fields: &[(&str, &str)]) -> Got {
    let mut client = Client::connect(door);
    let host = host_of(fields);
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in fields.iter().filter(|(name, _)| *name != "host") {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    client.send(text);
    let response = if method == "HEAD" {
        client.response_to_head()
    } else {
        client.response()
    };
    got(response.expect("an answer"))
}

/// An answer over HTTP/1.1, as a client got it.
fn got(response: Response) -> Got {
    let mut fields = HeaderMap::new();
    for (name, value) in response
        .head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
    {
        let value = HeaderValue::from_str(value.trim()).unwrap();
        fields.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    Got {
        status: response.status,
        fields: without_framing(fields),
        body: response.text(),
    }
}

fn ask_http2(door: SocketAddr, method: &str, target: &str, fields: &[(&str, &str)]) -> Got {
    block(async {
        let http2 = Http2::connect(door).await;
        let uri = format!("http://{}{target}", host_of(fields));
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields.iter().filter(|(name, _)| *name != "host") {
            request = request.header(*name, *value);
        }
        let answer = http2.exchange(request.body(()).unwrap(), b"").await;
        Got {
            status: answer.status,
            body: answer.text(),
            fields: without_framing(answer.headers),
        }
    })
}

fn host_of<'f>(fields: &[(&str, &'f str)]) -> &'f str {
    let host = fields.iter().find(|(name, _)| *name == "host");
    host.map_or("a.test", |(_, host)| host)
}

fn without_framing(mut fields: HeaderMap) -> HeaderMap {
    for name in ["date", "content-length", "transfer-encoding", "connection"] {
        fields.remove(name);
    }
    fields
}
