//! What the admin port answers.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode, Version};
use prometheus_client::registry::Registry;

use super::board::Board;

/// Answers one request.
pub(super) fn answer<B>(request: &Request<B>, board: &Board, registry: &Registry) -> Response<Full<Bytes>> {
    if !has_valid_host(request) {
        return text(StatusCode::BAD_REQUEST, "one valid Host, please\n");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n"),
        "/readyz" => verdict(
            board.is_ready(),
            "not ready: a door is not bound or has no table yet\n",
        ),
        "/metrics" => metrics(registry),
        "/api/v1/doors" => json(&board.doors()),
        path => match path
            .strip_prefix("/lb/")
            .and_then(|door| board.takes_traffic(door))
        {
            Some(takes_traffic) => verdict(takes_traffic, "this door takes no traffic\n"),
            None => text(StatusCode::NOT_FOUND, "not found\n"),
        },
    }
}

/// HTTP/1.1 requires one `Host`, which may be empty, and no version more than one (RFC 9112 3.2).
fn has_valid_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => request.version() < Version::HTTP_11,
        (Some(host), None) => {
            let is_authority = |host: &str| !host.contains('@') && host.parse::<Authority>().is_ok();
            host.is_empty() || host.to_str().is_ok_and(is_authority)
        }
        (Some(_), Some(_)) => false,
    }
}

fn verdict(good: bool, otherwise: &'static str) -> Response<Full<Bytes>> {
    if good {
        text(StatusCode::OK, "ok\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, otherwise)
    }
}

fn metrics(registry: &Registry) -> Response<Full<Bytes>> {
    let mut page = String::new();
    match prometheus_client::encoding::text::encode(&mut page, registry) {
        Ok(()) => with_type(
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            page.into(),
        ),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be encoded\n"),
    }
}

fn json(value: &serde_json::Value) -> Response<Full<Bytes>> {
    with_type(StatusCode::OK, "application/json", format!("{value}\n").into())
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    with_type(
        status,
        "text/plain; charset=utf-8",
        Bytes::from_static(body.as_bytes()),
    )
}

fn with_type(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(method: &str, version: Version, hosts: &[&str]) -> (u16, Option<String>) {
        let mut request = Request::builder().method(method).version(version).uri("/livez");
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let response = answer(
            &request.body(()).unwrap(),
            &Board::default(),
            &Registry::default(),
        );
        let allow = response.headers().get(ALLOW);
        (
            response.status().as_u16(),
            allow.map(|allow| allow.to_str().unwrap().to_owned()),
        )
    }

    /// RFC 9110 15.5.6, RFC 9112 3.2
    #[test]
    fn other_methods_get_405_and_malformed_hosts_400() {
        let table = [
            ("GET", Version::HTTP_11, &["10.0.0.1:10254"][..], 200),
            ("HEAD", Version::HTTP_11, &["a.test"], 200),
            ("GET", Version::HTTP_11, &["[::1]:10254"], 200),
            ("GET", Version::HTTP_11, &[""], 200),
            ("GET", Version::HTTP_10, &[], 200),
            ("GET", Version::HTTP_11, &[], 400),
            ("POST", Version::HTTP_11, &[], 400),
            ("GET", Version::HTTP_11, &["a.test", "a.test"], 400),
            ("GET", Version::HTTP_10, &["a.test", "b.test"], 400),
            ("GET", Version::HTTP_11, &["a b"], 400),
            ("GET", Version::HTTP_11, &["me@a.test"], 400),
            ("POST", Version::HTTP_11, &["a.test"], 405),
            ("OPTIONS", Version::HTTP_10, &[], 405),
        ];
        for (method, version, hosts, status) in table {
            let allow = (status == 405).then(|| "GET, HEAD".to_owned());
            assert_eq!(
                answered(method, version, hosts),
                (status, allow),
                "{method} {version:?} {hosts:?}"
            );
        }
    }
}
