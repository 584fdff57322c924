//! Tricks of HTTP/1.

use super::{Names, OVERRIDES, Opening, Trick, URLS, escaped, fullwidth, mixed_case, punycode};

/// What is sent: each part but the first after an answer to the one before.
type Parts = Vec<Vec<u8>>;

/// Every trick of HTTP/1 with these names.
#[must_use]
pub fn http1(names: &Names<'_>) -> Vec<Trick<Parts>> {
    let mut tricks = naming(names);
    tricks.extend(two_hosts(names));
    tricks.extend(fields(names));
    tricks.extend(kept_alive(names));
    tricks.extend(bodies(names));
    tricks.extend(openings(names));
    tricks
}

/// A request that is the last one of its connection.
fn last(line: &str, fields: &[String]) -> Parts {
    vec![head(line, fields)]
}

fn head(line: &str, fields: &[String]) -> Vec<u8> {
    let mut head = format!("{line}\r\n");
    for field in fields {
        head.push_str(field);
        head.push_str("\r\n");
    }
    head.push_str("Connection: close\r\n\r\n");
    head.into_bytes()
}

fn get(target: &str, host: &str) -> Parts {
    last(&format!("GET {target} HTTP/1.1"), &[format!("Host: {host}")])
}

/// One name, however it is written.
fn naming(names: &Names<'_>) -> Vec<Trick<Parts>> {
    let Names {
        host,
        path,
        nowhere,
        port,
        ..
    } = *names;
    let old = |target: &str, fields: &[String]| last(&format!("GET {target} HTTP/1.0"), fields);
    let spelled = |name, host: String| Trick::new(name, get(path, &host));
    vec![
        spelled("host", host.to_owned()).core(),
        spelled("host-port-80", format!("{host}:80")),
        spelled("host-port-443", format!("{host}:443")),
        spelled("host-port-of-its-door", format!("{host}:{port}")).core(),
        spelled("host-empty-port", format!("{host}:")),
        spelled("host-trailing-dot", format!("{host}.")).core(),
        spelled("host-upper-case", host.to_uppercase()),
        spelled("host-mixed-case", mixed_case(host)),
        spelled("host-fullwidth", fullwidth(host)),
        spelled("host-punycode", punycode(host)),
        spelled("host-escaped", escaped(host)),
        spelled("host-tab", format!("\t{host}\t")),
        spelled("host-brackets", format!("[{host}]")),
        spelled("host-url", format!("http://{host}{path}")),
        spelled("host-fragment", format!("{nowhere}#{host}")),
        spelled("host-backslash", format!("{nowhere}\\{host}")),
        Trick::new("absolute-form", get(&format!("http://{host}{path}"), host)).core(),
        Trick::new("absolute-form-https", get(&format!("https://{host}{path}"), host)),
        Trick::new(
            "absolute-form-over-nowhere",
            get(&format!("http://{host}{path}"), nowhere),
        )
        .core(),
        Trick::new(
            "host-under-absolute-form-of-nowhere",
            get(&format!("http://{nowhere}{path}"), host),
        ),
        Trick::new(
            "absolute-form-userinfo",
            get(&format!("http://{nowhere}@{host}{path}"), nowhere),
        ),
        Trick::new("path-with-authority", get(&format!("//{host}{path}"), nowhere)),
        Trick::new("http10-host", old(path, &[format!("Host: {host}")])),
        Trick::new("http10-absolute-form", old(&format!("http://{host}{path}"), &[])),
        Trick::new(
            "connect",
            last(
                &format!("CONNECT {host}:{port} HTTP/1.1"),
                &[format!("Host: {host}:{port}")],
            ),
        ),
        Trick::new(
            "options-asterisk",
            last("OPTIONS * HTTP/1.1", &[format!("Host: {host}")]),
        ),
    ]
}

/// The name beside another one, of which some server takes the wrong one.
fn two_hosts(names: &Names<'_>) -> Vec<Trick<Parts>> {
    let Names {
        host,
        path,
        own,
        nowhere,
        ..
    } = *names;
    let with = |fields: &[&str]| {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        last(&format!("GET {path} HTTP/1.1"), &fields)
    };
    let (ours, theirs) = (format!("Host: {own}"), format!("Host: {host}"));
    let hidden = |name, head: String| Trick::new(name, vec![head.into_bytes()]).with_own();
    vec![
        Trick::new("host-twice", with(&[&ours, &theirs]))
            .with_own()
            .core(),
        Trick::new("host-twice-reversed", with(&[&theirs, &ours])).with_own(),
        Trick::new(
            "host-twice-with-nowhere",
            with(&[&format!("Host: {nowhere}"), &theirs]),
        ),
        Trick::new("host-list", with(&[&format!("Host: {own},{host}")])).with_own(),
        Trick::new("host-two-words", with(&[&format!("Host: {own} {host}")])).with_own(),
        Trick::new("host-userinfo", with(&[&format!("Host: {own}@{host}")])).with_own(),
        Trick::new("host-path", with(&[&format!("Host: {own}/{host}")])).with_own(),
        Trick::new("host-folded", with(&[&ours, &format!(" Host: {host}")])).with_own(),
        Trick::new(
            "host-space-before-colon",
            with(&[&format!("Host : {host}"), &ours]),
        )
        .with_own(),
        Trick::new(
            "host-named-by-connection",
            with(&[&ours, "Connection: Host", &theirs]),
        )
        .with_own(),
        Trick::new(
            "absolute-form-over-own",
            get(&format!("http://{host}{path}"), own),
        )
        .with_own(),
        Trick::new(
            "host-under-absolute-form-of-own",
            get(&format!("http://{own}{path}"), host),
        )
        .with_own()
        .core(),
        Trick::new(
            "absolute-form-userinfo-of-own",
            get(&format!("http://{own}@{host}{path}"), own),
        )
        .with_own(),
        hidden(
            "host-behind-line-feed",
            format!("GET {path} HTTP/1.1\r\nHost: {own}\nHost: {host}\r\nConnection: close\r\n\r\n"),
        ),
        hidden(
            "host-behind-carriage-return",
            format!("GET {path} HTTP/1.1\r\nHost: {own}\rHost: {host}\r\nConnection: close\r\n\r\n"),
        ),
        hidden(
            "host-behind-zero-byte",
            format!("GET {path} HTTP/1.1\r\nHost: {own}\0{host}\r\nConnection: close\r\n\r\n"),
        ),
        hidden(
            "host-behind-request-line",
            format!("GET {path} HTTP/1.1\r\n Host: {host}\r\nHost: {own}\r\nConnection: close\r\n\r\n"),
        ),
    ]
}

/// Fields that speak of another host.
fn fields(names: &Names<'_>) -> Vec<Trick<Parts>> {
    let Names {
        host,
        path,
        nowhere,
        door,
        port,
        ..
    } = *names;
    let with = |field: String| {
        last(
            &format!("GET {path} HTTP/1.1"),
            &[format!("Host: {nowhere}"), field],
        )
    };
    let mut tricks: Vec<Trick<Parts>> = OVERRIDES
        .iter()
        .map(|(name, field)| Trick::new(name, with(format!("{field}: {host}"))))
        .collect();
    tricks.extend(
        URLS.iter()
            .map(|(name, field)| Trick::new(name, with(format!("{field}: http://{host}{path}")))),
    );
    tricks.push(Trick::new("forwarded", with(format!("Forwarded: host={host};proto=https"))).core());
    tricks.push(Trick::new(
        "forwarded-quoted",
        with(format!("Forwarded: for=127.0.0.1;host=\"{host}:{port}\"")),
    ));
    tricks.push(Trick::new(
        "x-blastdoor-door",
        last(
            &format!("GET {path} HTTP/1.1"),
            &[
                format!("Host: {host}"),
                format!("X-Blastdoor-Door: {door}"),
                format!("X-Forwarded-Port: {port}"),
                "X-Forwarded-Proto: https".to_owned(),
            ],
        ),
    ));
    tricks
}

/// The name in a later request of a connection that began legitimately.
fn kept_alive(names: &Names<'_>) -> Vec<Trick<Parts>> {
    let Names {
        host,
        path,
        own,
        own_path,
        nowhere,
        ..
    } = *names;
    let first = |host: &str| format!("HEAD {own_path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let second = head(&format!("GET {path} HTTP/1.1"), &[format!("Host: {host}")]);
    let upgrade = |extra: &str| {
        format!("GET {own_path} HTTP/1.1\r\nHost: {nowhere}\r\nConnection: Upgrade{extra}\r\n\r\n")
            .into_bytes()
    };
    let websocket = ", keep-alive\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let of_own = format!(
        "HEAD {own_path} HTTP/1.1\r\nHost: {own}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    vec![
        Trick::new("second-request", vec![first(own).into_bytes(), second.clone()])
            .after(1)
            .with_own()
            .core(),
        Trick::new(
            "second-request-after-nowhere",
            vec![first(nowhere).into_bytes(), second.clone()],
        )
        .after(1),
        Trick::new("pipelined", vec![[first(own).as_bytes(), &second].concat()])
            .after(1)
            .with_own(),
        Trick::new("bytes-after-upgrade", vec![of_own.into_bytes(), second.clone()])
            .after(1)
            .with_own(),
        Trick::new(
            "bytes-with-upgrade",
            vec![[upgrade(websocket), second.clone()].concat()],
        ),
        Trick::new(
            "bytes-with-h2c-upgrade",
            vec![
                [
                    upgrade(
                        ", HTTP2-Settings, keep-alive\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
                    ),
                    second,
                ]
                .concat(),
            ],
        ),
    ]
}

/// The name inside a body whose end two servers may see at different places. They are for a host that exists nowhere, so
/// that no backend gets them.
fn bodies(names: &Names<'_>) -> Vec<Trick<Parts>> {
    let Names {
        host, path, nowhere, ..
    } = *names;
    let inner = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let length = inner.len();
    // It ends the connection wherever the body ended.
    let end = format!("GET {path} HTTP/1.1\r\nHost: {nowhere}\r\nConnection: close\r\n\r\n");
    let sent = |name, fields: String, body: String| {
        let text = format!("POST {path} HTTP/1.1\r\nHost: {nowhere}\r\n{fields}\r\n\r\n{body}");
        Trick::new(name, vec![text.into_bytes()])
    };
    let chunked = format!("0\r\n\r\n{inner}");
    vec![
        sent(
            "body",
            format!("Content-Length: {length}"),
            format!("{inner}{end}"),
        ),
        sent(
            "length-and-chunked",
            format!("Content-Length: {}\r\nTransfer-Encoding: chunked", length + 5),
            chunked.clone(),
        ),
        sent(
            "chunked-and-length",
            format!("Transfer-Encoding: chunked\r\nContent-Length: {}", length + 5),
            chunked.clone(),
        ),
        sent(
            "chunked-twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
            chunked.clone(),
        ),
        sent(
            "chunked-unknown",
            "Transfer-Encoding: xchunked".to_owned(),
            chunked.clone(),
        ),
        sent(
            "chunked-space-before-colon",
            "Transfer-Encoding : chunked".to_owned(),
            chunked.clone(),
        ),
        sent(
            "chunked-tab",
            format!("Content-Length: {}\r\nTransfer-Encoding:\x0bchunked", length + 5),
            chunked.clone(),
        ),
        sent(
            "length-twice",
            format!("Content-Length: 0\r\nContent-Length: {length}"),
            inner.clone(),
        ),
        sent(
            "length-list",
            format!("Content-Length: 0, {length}"),
            inner.clone(),
        ),
        sent("length-sign", "Content-Length: +0".to_owned(), inner.clone()),
        sent("chunked", "Transfer-Encoding: chunked".to_owned(), chunked),
        sent(
            "chunk-extension",
            "Transfer-Encoding: chunked".to_owned(),
            format!("0;\n{inner}\r\n\r\n{inner}"),
        ),
        sent(
            "chunk-size-overflow",
            "Transfer-Encoding: chunked".to_owned(),
            format!("10000000000000000\r\n{inner}"),
        ),
        sent(
            "host-in-trailers",
            "Transfer-Encoding: chunked\r\nTrailer: Host".to_owned(),
            format!("0\r\nHost: {host}\r\n\r\n{end}"),
        ),
        sent(
            "expect-continue",
            format!("Expect: 100-continue\r\nContent-Length: {length}"),
            format!("{inner}{end}"),
        ),
    ]
}

/// The host behind a PROXY header that names its door.
fn openings(names: &Names<'_>) -> Vec<Trick<Parts>> {
    let asked = || get(names.path, names.host);
    vec![
        Trick::new("proxy-v1-destination", asked()).opening(Opening::ForgedV1),
        Trick::new("proxy-v2-destination", asked()).opening(Opening::ForgedV2),
        Trick::new("proxy-v2-authority", asked()).opening(Opening::ForgedAuthority),
    ]
}
