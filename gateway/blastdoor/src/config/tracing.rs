//! `[tracing]`: where traces go. `[listeners.X.tracing]`: which requests are traced.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use hyper::http::uri::Authority;
use hyper::http::{HeaderName, HeaderValue, Uri};
use proxy::{Parents, SampleRate, Tracing};

use super::diagnostics::Section;
use super::model::{Collector, CollectorProtocol, Endpoint, Headers};
use super::raw::{RawDoorTracing, RawTracing, Share};
use super::size::bounded;

/// Fields that belong to the protocol.
const RESERVED: [&str; 7] = [
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
    "host",
    "te",
    "user-agent",
];

/// How long a file of headers may be.
const FILE: u64 = 64 * 1024;

/// The collector, if there is one.
pub(super) fn collector(section: &mut Section<'_, '_>, raw: &RawTracing) -> Option<Collector> {
    let words = [
        ("grpc", CollectorProtocol::Grpc),
        ("http", CollectorProtocol::Http),
    ];
    let protocol = section.word(
        "protocol",
        raw.protocol.as_deref(),
        CollectorProtocol::Grpc,
        &words,
    );
    let headers = headers(section, raw);
    let headers_file = raw.headers_file.as_ref().map(|path| section.absolute(path));
    if let Some(path) = &headers_file {
        let read = section
            .files()
            .read(path, FILE)
            .map_err(|error| error.to_string());
        let read = read.and_then(|content| match content {
            Some(content) => headers_of(&String::from_utf8_lossy(&content)).map(drop),
            None => Ok(()),
        });
        if let Err(error) = read {
            section.error("headers_file", format!("{}: {error}", path.display()));
        }
    }
    let ca = raw.ca.as_ref().map(|path| section.absolute(path));
    if let Some(path) = &ca
        && let Err(error) = section.files().read(path, 16 * FILE)
    {
        section.error("ca", format!("{}: cannot be read: {error}", path.display()));
    }
    let timeout = section.duration("timeout", raw.timeout.as_deref(), Duration::from_secs(10));
    let queue = bounded(section, "queue", raw.queue.as_ref(), 4 << 20, ["64KiB", "256MiB"]);
    let written = raw.endpoint.as_deref()?;
    let endpoint = match endpoint(written, protocol) {
        Ok(endpoint) => endpoint,
        Err(message) => {
            section.error("endpoint", message);
            return None;
        }
    };
    if ca.is_some() && !endpoint.tls {
        section.error_between(
            "ca",
            &["endpoint"],
            "an endpoint of `http://` has no TLS; write `https://`, or remove the key",
        );
    }
    let has_secret = !headers.0.is_empty() || headers_file.is_some();
    if has_secret && !endpoint.tls && !is_loopback(&endpoint.host) {
        section.warn(
            "endpoint",
            "the fields of `headers` and `headers_file`, which may be a token, go in clear text to an endpoint of `http://`; write \
             `https://`",
        );
    }
    let resource = raw.resource.iter();
    Some(Collector {
        endpoint,
        protocol,
        headers,
        headers_file,
        ca,
        timeout,
        queue,
        resource: resource
            .map(|(key, value)| (key.as_str().into(), value.as_str().into()))
            .collect(),
    })
}

/// `http://HOST:PORT` or `https://HOST[:PORT]`, with a path for OTLP over HTTP.
fn endpoint(written: &str, protocol: CollectorProtocol) -> Result<Endpoint, String> {
    const ALLOWED: &str =
        "allowed: `http://HOST:PORT` or `https://HOST:PORT`, with `protocol = \"http\"` also a path";
    // What stands there is not repeated if it may contain a secret.
    let shown = if written.contains(['@', '?']) {
        "a URL with credentials or a query".to_owned()
    } else {
        format!("`{written}`")
    };
    let wrong = || format!("{shown} is not an endpoint; {ALLOWED}");
    let uri: Uri = written.parse().map_err(|_invalid| wrong())?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(wrong()),
    };
    let authority: &Authority = uri.authority().ok_or_else(wrong)?;
    if authority.as_str().contains('@') || uri.query().is_some() || authority.host().is_empty() {
        return Err(wrong());
    }
    let path = uri.path();
    if protocol == CollectorProtocol::Grpc && !matches!(path, "" | "/") {
        return Err(format!(
            "{shown} has a path, which gRPC has no use for; {ALLOWED}"
        ));
    }
    let usual = match (protocol, tls) {
        (CollectorProtocol::Grpc, _) => 4317,
        (CollectorProtocol::Http, true) => 443,
        (CollectorProtocol::Http, false) => 4318,
    };
    let port = authority.port_u16().unwrap_or(usual);
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    Ok(Endpoint {
        tls,
        host: bare.unwrap_or(host).into(),
        port,
        authority: format!("{host}:{port}").into(),
        path: match path {
            "" | "/" => "/v1/traces".into(),
            path => path.into(),
        },
    })
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn headers(section: &mut Section<'_, '_>, raw: &RawTracing) -> Headers {
    let mut headers = Vec::new();
    for (name, value) in &raw.headers {
        match header(name, &value.0) {
            Ok(header) => headers.push(header),
            // What is no name may be a whole line with its secret.
            Err(error) if name.parse::<HeaderName>().is_err() => section.error("headers", error),
            Err(error) => section.error(&format!("headers.{name}"), error),
        }
    }
    Headers(headers)
}

/// The fields in a file: one in each line, as `name: value`. Empty lines, and those that begin with `#`, are none.
pub(crate) fn headers_of(text: &str) -> Result<Headers, String> {
    let lines = text.lines().map(str::trim).zip(1..);
    let lines = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    let headers = lines.map(|(line, number)| {
        // What stands there is not repeated: it is a secret.
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("line {number} is not `name: value`"))?;
        header(name.trim(), value.trim()).map_err(|error| format!("line {number}: {error}"))
    });
    headers.collect::<Result<_, _>>().map(Headers)
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let read: HeaderName = name
        .parse()
        .map_err(|_invalid| "this is not the name of a field".to_owned())?;
    if RESERVED.contains(&read.as_str()) || read.as_str().starts_with("grpc-") {
        return Err(format!("`{read}` belongs to the protocol"));
    }
    let mut value = HeaderValue::from_str(value)
        .map_err(|_invalid| format!("`{read}` has a value that no field may have"))?;
    value.set_sensitive(true);
    Ok((read, value))
}

/// Which requests of a door are traced. `has_collector`: their spans have somewhere to go.
pub(super) fn door(
    section: &mut Section<'_, '_>,
    raw: Option<&RawDoorTracing>,
    has_collector: bool,
) -> Option<Tracing> {
    let raw = raw?;
    let parents = [
        ("trusted", Parents::Trusted),
        ("any", Parents::Any),
        ("none", Parents::None),
    ];
    let parents = section.word(
        "tracing.parents",
        raw.parents.as_deref(),
        Parents::Trusted,
        &parents,
    );
    let Share(share) = raw.sample.unwrap_or(Share(0.01));
    let sample = SampleRate::of(share);
    if sample.is_none() {
        let message =
            format!("{share} is not a share of requests; allowed: 0 (none) to 1 (all), such as 0.01");
        section.error("tracing.sample", message);
    }
    if !has_collector {
        let message = "there is no collector to send traces to; set `[tracing] endpoint`";
        section.error("tracing", message);
    }
    Some(Tracing {
        sample: sample?,
        parents,
    })
}

impl fmt::Debug for Headers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_has_a_scheme_and_a_port() {
        use CollectorProtocol::{Grpc, Http};
        for (written, protocol, expected) in [
            ("http://otel:4317", Grpc, Some(("otel:4317", "/v1/traces", false))),
            ("http://otel", Grpc, Some(("otel:4317", "/v1/traces", false))),
            ("https://otel/", Http, Some(("otel:443", "/v1/traces", true))),
            (
                "http://otel/otlp/v1/traces",
                Http,
                Some(("otel:4318", "/otlp/v1/traces", false)),
            ),
            (
                "http://[::1]:4318",
                Http,
                Some(("[::1]:4318", "/v1/traces", false)),
            ),
            ("otel:4317", Grpc, None),
            ("grpc://otel:4317", Grpc, None),
            ("http://me:secret@otel:4317", Grpc, None),
            ("http://otel:4317/path", Grpc, None),
            ("http://otel/?token=x", Http, None),
        ] {
            let found = endpoint(written, protocol).ok();
            let found = found
                .as_ref()
                .map(|found| (&*found.authority, &*found.path, found.tls));
            assert_eq!(found, expected, "{written}");
        }
        assert_eq!(&*endpoint("http://[::1]:1", Http).unwrap().host, "::1");
    }

    #[test]
    fn headers_are_secrets() {
        let headers = headers_of("# for the collector\n\nauthorization: Bearer hush\nx-scope: a\n").unwrap();
        assert_eq!(headers.0.len(), 2);
        assert!(!format!("{headers:?} {:?}", headers.0).contains("hush"));
        for wrong in ["hush", "host: hush", "a b: hush", "grpc-timeout: hush"] {
            let error = headers_of(wrong).unwrap_err();
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
