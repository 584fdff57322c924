//! Tricks of HTTP/2.

use http::{HeaderName, HeaderValue, Request};

use super::{Names, OVERRIDES, Trick, URLS, mixed_case};

/// One stream of a connection.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The request.
    pub request: Request<()>,
    /// It has a body, in which another request is written.
    pub body: Option<Vec<u8>>,
}

/// Every trick of HTTP/2 with these names: what is sent on one connection, one stream after the other. What the client's own
/// library refuses to write is left out.
#[must_use]
pub fn http2(names: &Names<'_>) -> Vec<Trick<Vec<Stream>>> {
    let tricks = authorities(names)
        .into_iter()
        .chain(fields(names))
        .chain(streams(names));
    tricks.flatten().collect()
}

type Maybe = Option<Trick<Vec<Stream>>>;

/// A request with an authority, if the authority can be written.
fn asked(method: &str, authority: &str, path: &str, fields: &[(&str, &str)]) -> Option<Stream> {
    let uri = http::Uri::builder().scheme("http").authority(authority);
    let uri = uri.path_and_query(path).build().ok()?;
    let mut request = Request::builder().method(method).uri(uri).body(()).ok()?;
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).ok()?;
        request
            .headers_mut()
            .append(name, HeaderValue::from_str(value).ok()?);
    }
    Some(Stream { request, body: None })
}

fn one(name: &'static str, stream: Option<Stream>) -> Maybe {
    Some(Trick::new(name, vec![stream?]))
}

fn of_own(trick: Maybe) -> Maybe {
    trick.map(Trick::with_own)
}

fn core(trick: Maybe) -> Maybe {
    trick.map(Trick::core)
}

fn authorities(names: &Names<'_>) -> Vec<Maybe> {
    let Names {
        host,
        path,
        own,
        nowhere,
        port,
        ..
    } = *names;
    let get = |authority: &str, fields: &[(&str, &str)]| asked("GET", authority, path, fields);
    let without_authority = asked("GET", nowhere, path, &[("host", host)]).and_then(|mut stream| {
        // No `:authority` at all: `Host` decides.
        *stream.request.uri_mut() = path.parse().ok()?;
        Some(stream)
    });
    let extended = asked("CONNECT", host, path, &[("sec-websocket-version", "13")]).map(|mut stream| {
        let websocket = h2::ext::Protocol::from_static("websocket");
        stream.request.extensions_mut().insert(websocket);
        stream
    });
    vec![
        core(one("authority", get(host, &[]))),
        one("authority-port-80", get(&format!("{host}:80"), &[])),
        one("authority-port-443", get(&format!("{host}:443"), &[])),
        one("authority-port-of-its-door", get(&format!("{host}:{port}"), &[])),
        one("authority-trailing-dot", get(&format!("{host}."), &[])),
        one("authority-upper-case", get(&host.to_uppercase(), &[])),
        one("authority-mixed-case", get(&mixed_case(host), &[])),
        of_own(one("authority-userinfo", get(&format!("{own}@{host}"), &[]))),
        of_own(core(one(
            "host-under-authority-of-own",
            get(own, &[("host", host)]),
        ))),
        of_own(one("authority-over-host-of-own", get(host, &[("host", own)]))),
        one("host-under-authority-of-nowhere", get(nowhere, &[("host", host)])),
        one("authority-over-host-of-nowhere", get(host, &[("host", nowhere)])),
        of_own(one("host-twice", get(own, &[("host", own), ("host", host)]))),
        core(one("host-without-authority", without_authority)),
        one("connect", asked("CONNECT", host, path, &[])),
        one("extended-connect", extended),
        one("options", asked("OPTIONS", host, path, &[])),
        one(
            "path-with-authority",
            asked("GET", nowhere, &format!("//{host}{path}"), &[]),
        ),
    ]
}

fn fields(names: &Names<'_>) -> Vec<Maybe> {
    let Names {
        host,
        path,
        nowhere,
        door,
        ..
    } = *names;
    let url = format!("http://{host}{path}");
    let forwarded = format!("host={host}");
    let with = |name: &'static str, field: &str, value: &str| {
        one(name, asked("GET", nowhere, path, &[(field, value)]))
    };
    let mut tricks: Vec<Maybe> = OVERRIDES
        .iter()
        .map(|(name, field)| with(name, field, host))
        .collect();
    tricks.extend(URLS.iter().map(|(name, field)| with(name, field, &url)));
    tricks.push(with("forwarded", "forwarded", &forwarded));
    let claims = [("x-blastdoor-door", door), ("x-forwarded-proto", "https")];
    tricks.push(one("x-blastdoor-door", asked("GET", host, path, &claims)));
    tricks
}

/// The name on a later stream of a connection that began legitimately, as browsers coalesce connections under a certificate
/// for several names; and inside a body.
fn streams(names: &Names<'_>) -> Vec<Maybe> {
    let Names {
        host,
        path,
        own,
        own_path,
        nowhere,
        ..
    } = *names;
    let second = |first: &str| {
        let streams = vec![
            asked("HEAD", first, own_path, &[])?,
            asked("GET", host, path, &[])?,
        ];
        Some(Trick::new("second-stream", streams).after(1))
    };
    let body = asked("POST", nowhere, path, &[]).map(|stream| Stream {
        body: Some(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()),
        ..stream
    });
    let smuggled = asked("POST", nowhere, path, &[("content-length", "0")]).map(|stream| Stream {
        body: Some(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()),
        ..stream
    });
    vec![
        of_own(core(second(own))),
        second(nowhere).map(|trick| Trick {
            name: "second-stream-after-nowhere",
            ..trick
        }),
        one("body", body),
        one("body-beyond-its-length", smuggled),
    ]
}
