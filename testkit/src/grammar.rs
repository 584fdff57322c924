//! HTTP/1 messages, the PROXY header and forwarded fields. Results are computed a second time, from whole messages and
//! directly from the grammar.

use std::net::{IpAddr, SocketAddr};

use wire::{
    BodyFraming, ChunkDecoder, ChunkLimits, ChunkStep, HeadLimits, MOST_ELEMENTS, RequestHead, ResponseHead,
    ResponseTo, Target, forwarded, proxy_header,
};

/// Small enough that inputs reach them.
pub const HEAD_LIMITS: HeadLimits = HeadLimits {
    bytes: 1024,
    fields: 16,
    target_bytes: 256,
};

/// Small enough that inputs reach them; white space as servers are read.
pub const CHUNK_LIMITS: ChunkLimits = ChunkLimits {
    extension_bytes: 64,
    trailer_bytes: 128,
    white_space: true,
};

/// What both readings of a message agree on: length of the head, framing, host, and the fields as name and value.
type Reading<'b> = (usize, BodyFraming, Option<&'b [u8]>, Vec<(&'b [u8], &'b [u8])>);

/// Holds for every text that claims to start with a request.
pub fn request_properties(raw: &[u8]) {
    let mut head = RequestHead::new();
    let verdict = head.parse(raw, &HEAD_LIMITS);
    let found = verdict.ok().flatten().map(|length| -> Reading<'_> {
        (
            length,
            head.framing,
            head.host.map(|host| host.of(raw)),
            fields(&head.fields, raw),
        )
    });
    assert_eq!(
        found,
        request_by_grammar(raw),
        "the grammar and the parser differ"
    );

    // However the bytes arrive, the result is the same, and comes once.
    let mut piecemeal = RequestHead::new();
    let by_bytes = (0..=raw.len())
        .map(|end| piecemeal.parse(raw.get(..end).unwrap_or_default(), &HEAD_LIMITS))
        .find(|outcome| *outcome != Ok(None));
    assert_eq!(
        by_bytes.unwrap_or(Ok(None)),
        verdict,
        "cut into bytes, the verdict differs"
    );
    if let Err(error) = verdict {
        assert!((400..=505).contains(&error.status()));
    }
    if found.is_some() {
        assert_eq!(head.path.is_empty(), head.path.of(raw).is_empty());
        assert!(head.path.is_empty() || head.path.of(raw).starts_with(b"/"));
        assert!(
            matches!(head.target, Target::Absolute { .. }) || !head.path.is_empty() || head.query.is_none()
        );
    }
}

/// Holds for every text that claims to start with a response.
pub fn response_properties(raw: &[u8]) {
    for request in [ResponseTo::Head, ResponseTo::Other] {
        let mut head = ResponseHead::new();
        let verdict = head.parse(raw, &HEAD_LIMITS, request);
        let found = verdict
            .ok()
            .flatten()
            .map(|length| -> Reading<'_> { (length, head.framing, None, fields(&head.fields, raw)) });
        assert_eq!(
            found,
            response_by_grammar(raw, request),
            "the grammar and the parser differ"
        );
        let mut piecemeal = ResponseHead::new();
        let by_bytes = (0..=raw.len())
            .map(|end| piecemeal.parse(raw.get(..end).unwrap_or_default(), &HEAD_LIMITS, request))
            .find(|outcome| *outcome != Ok(None));
        assert_eq!(
            by_bytes.unwrap_or(Ok(None)),
            verdict,
            "cut into bytes, the verdict differs"
        );
        if found.is_some() {
            assert!((100..=999).contains(&head.status));
            assert!(!(head.framing == BodyFraming::UntilClose && head.persistent()));
        }
    }
}

/// Holds for every text that claims to start with a chunked body, a client's as well as a server's.
pub fn chunked_properties(raw: &[u8]) {
    for white_space in [false, true] {
        let limits = ChunkLimits {
            white_space,
            ..CHUNK_LIMITS
        };
        let whole = decode(raw, raw.len().max(1), limits);
        for step in [1, 2, 3, 7] {
            assert_eq!(
                decode(raw, step, limits),
                whole,
                "in steps of {step}, the body differs"
            );
        }
        let read = match &whole {
            (Decoded::Done(end), data) => Some((*end, data.clone())),
            (Decoded::Unfinished | Decoded::Refused, _) => None,
        };
        assert_eq!(
            read,
            chunked_by_grammar(raw, white_space),
            "the grammar and the decoder differ"
        );
    }
}

/// Holds for every text that claims to start with a PROXY header.
pub fn proxy_header_properties(raw: &[u8]) {
    let verdict = proxy_header::parse(raw);
    let decided = (0..=raw.len())
        .map(|end| proxy_header::parse(raw.get(..end).unwrap_or_default()))
        .find(|step| *step != Ok(proxy_header::ProxyStep::NeedMore));
    match decided {
        // One byte cannot tell "not PROXY" from the start of one; all later verdicts are one and the same.
        Some(decided) => assert_eq!(decided, verdict, "cut into bytes, the verdict differs"),
        None => assert_eq!(verdict, Ok(proxy_header::ProxyStep::NeedMore)),
    }
    if let Ok(proxy_header::ProxyStep::Header { consumed, addresses }) = verdict {
        let header = raw.get(..consumed).unwrap_or_default();
        assert!(consumed <= raw.len() && header.len() >= 15);
        if let Some((source, destination)) = addresses {
            let line = line_of(source, destination);
            let again = proxy_header::ProxyStep::Header {
                consumed: line.len(),
                addresses,
            };
            assert_eq!(proxy_header::parse(line.as_bytes()), Ok(again), "{line}");
        }
    }
}

/// Holds for every text that claims to be an `X-Forwarded-For` value.
pub fn forwarded_properties(raw: &[u8]) {
    let peer = IpAddr::from([10, 0, 0, 1]);
    let all: Vec<&[u8]> = raw.split(|byte| *byte == b',').collect();
    let read = all.len().saturating_sub(forwarded::MOST_HOPS);
    let entries = || {
        all.iter()
            .skip(read)
            .copied()
            .filter(|entry| !trimmed(entry).is_empty())
    };
    let hops: Vec<Option<IpAddr>> = entries().map(forwarded::parse_hop).collect();
    let untrusted = |address: IpAddr| address != peer;
    for (entry, hop) in entries().zip(&hops) {
        if let Some(hop) = hop {
            assert_eq!(hop.to_canonical(), *hop);
            assert_eq!(forwarded::parse_hop(hop.to_string().as_bytes()), Some(*hop));
            assert!(entry.iter().any(u8::is_ascii_hexdigit) || entry.contains(&b':'));
        }
    }
    let client =
        |trusted: &dyn Fn(IpAddr) -> bool| forwarded::client_from_xff([raw].into_iter(), trusted, peer);
    assert_eq!(
        client(&|_| false),
        peer,
        "an untrusted peer speaks for itself alone"
    );
    // The last entry, when the peer alone is trusted: what a client wrote further left has no say.
    let last = hops.last().copied().flatten().unwrap_or(peer);
    let expected = if untrusted(last) {
        last
    } else {
        client(&|address| !untrusted(address))
    };
    assert_eq!(client(&|address| !untrusted(address)), expected);
    // With everyone trusted, the left-most of the valid entries at the right end, as far as it is read.
    let valid = hops.iter().rev().map_while(|hop| *hop).last().unwrap_or(peer);
    assert_eq!(client(&|_| true), valid);
}

fn fields<'b>(fields: &[wire::Field], raw: &'b [u8]) -> Vec<(&'b [u8], &'b [u8])> {
    fields
        .iter()
        .map(|field| (field.name.of(raw), field.value.of(raw)))
        .collect()
}

/// A head: its length, its first line, and its fields as name and value.
type Head<'b> = (usize, &'b [u8], Vec<(&'b [u8], &'b [u8])>);

/// RFC 9112 2.1: a line, field lines, an empty line; what is a line is decided by CRLF alone.
fn lines(raw: &[u8], skip: usize) -> Option<Head<'_>> {
    let text = raw.get(skip..)?;
    let end = text.windows(4).position(|window| window == b"\r\n\r\n")?;
    let mut lines = Vec::new();
    let mut rest = text.get(..end)?;
    while let Some(at) = rest.windows(2).position(|window| window == b"\r\n") {
        lines.push(rest.get(..at)?);
        rest = rest.get(at + 2..)?;
    }
    lines.push(rest);
    let length = skip + end + 4;
    if length > HEAD_LIMITS.bytes
        || lines
            .iter()
            .any(|line| line.contains(&b'\r') || line.contains(&b'\n'))
    {
        return None;
    }
    let (first, rest) = lines.split_first()?;
    if rest.len() > HEAD_LIMITS.fields {
        return None;
    }
    let fields: Option<Vec<_>> = rest.iter().map(|line| field(line)).collect();
    Some((length, first, fields?))
}

/// RFC 9112 5, without folding; RFC 9110 5.5 and 5.6.2.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    (is_token(name) && !value.iter().any(is_control)).then(|| (name, trimmed(value)))
}

fn trimmed(value: &[u8]) -> &[u8] {
    let inside = |byte: &u8| *byte != b' ' && *byte != b'\t';
    match (value.iter().position(inside), value.iter().rposition(inside)) {
        (Some(start), Some(end)) => value.get(start..=end).unwrap_or_default(),
        _ => value.get(..0).unwrap_or_default(),
    }
}

fn is_token(name: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(is_tchar)
}

/// The values of all fields of this name.
fn values<'b>(fields: &[(&'b [u8], &'b [u8])], wanted: &[u8]) -> Vec<&'b [u8]> {
    let of_name = fields
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    of_name.map(|(_, value)| *value).collect()
}

/// Whether the fields of each of these names have few elements together, empty ones included.
fn lists_are_short(fields: &[(&[u8], &[u8])], names: &[&[u8]]) -> bool {
    names.iter().all(|name| {
        let elements = |value: &[u8]| value.split(|byte| *byte == b',').count();
        values(fields, name).into_iter().map(elements).sum::<usize>() <= MOST_ELEMENTS
    })
}

/// RFC 9112 6.3, with every ambiguity refused. The stated length, and whether the body is chunked.
fn framing(fields: &[(&[u8], &[u8])], version: &[u8]) -> Option<(Option<u64>, bool)> {
    let lengths = values(fields, b"content-length");
    let codings = values(fields, b"transfer-encoding");
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Some((None, false)),
        ([length], []) => {
            let digits = length.iter().all(u8::is_ascii_digit) && length.len() <= 19;
            let number = std::str::from_utf8(length).ok()?.parse().ok()?;
            digits.then_some((Some(number), false))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && version == b"HTTP/1.1" => {
            Some((None, true))
        }
        _ => None,
    }
}

fn request_by_grammar(raw: &[u8]) -> Option<Reading<'_>> {
    let skip = if raw.starts_with(b"\r\n") { 2 } else { 0 };
    let (length, first, fields) = lines(raw, skip)?;
    let words: Vec<&[u8]> = first.split(|byte| *byte == b' ').collect();
    let [method, target, version] = words.as_slice() else {
        return None;
    };
    let known = [b"HTTP/1.1".as_slice(), b"HTTP/1.0"].contains(version);
    if !known || !is_token(method) || method.len() > 32 || target.len() > HEAD_LIMITS.target_bytes {
        return None;
    }
    if !is_target(method, target) {
        return None;
    }
    let lists: &[&[u8]] = &[b"connection", b"upgrade", b"te", b"expect"];
    // HTTP/1.0 has no expectations.
    let read = lists.len() - usize::from(*version == b"HTTP/1.0");
    if !lists_are_short(&fields, lists.get(..read).unwrap_or_default()) {
        return None;
    }
    let hosts = values(&fields, b"host");
    if hosts.len() > 1 || (hosts.is_empty() && *version == b"HTTP/1.1") {
        return None;
    }
    let expects = values(&fields, b"expect");
    let is_met =
        |expectation: &[u8]| expectation.is_empty() || expectation.eq_ignore_ascii_case(b"100-continue");
    let can_be_met = |value: &&[u8]| value.split(|byte| *byte == b',').map(trimmed).all(is_met);
    if *version == b"HTTP/1.1" && !expects.iter().all(can_be_met) {
        return None;
    }
    let framing = match framing(&fields, version)? {
        (_, true) => BodyFraming::Chunked,
        (Some(length), false) => BodyFraming::Length(length),
        (None, false) => BodyFraming::None,
    };
    Some((length, framing, hosts.first().copied(), fields))
}

/// RFC 9112 3.2, and RFC 3986 for what a path and a query may hold.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    if method == b"CONNECT" {
        return !target.is_empty() && target.iter().all(u8::is_ascii_graphic);
    }
    if target == b"*" {
        return method == b"OPTIONS";
    }
    if target.starts_with(b"/") {
        return is_path_and_query(target);
    }
    let lower = target.to_ascii_lowercase();
    let scheme = [b"http://".as_slice(), b"https://"]
        .into_iter()
        .find(|scheme| lower.starts_with(scheme));
    let Some(rest) = scheme.and_then(|scheme| target.get(scheme.len()..)) else {
        return false;
    };
    let end = rest
        .iter()
        .position(|byte| b"/?".contains(byte))
        .unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    !authority.is_empty() && authority.iter().all(|byte| is_uri(*byte)) && is_path_and_query(rest)
}

fn is_path_and_query(target: &[u8]) -> bool {
    let mut parts = target.splitn(2, |byte| *byte == b'?');
    let path = parts.next().unwrap_or_default();
    let query = parts.next().unwrap_or_default();
    let escapes_are_whole = path.split(|byte| *byte == b'%').skip(1).all(|rest| {
        let digits = rest.get(..2).unwrap_or_default();
        digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit)
    });
    escapes_are_whole
        && path.iter().all(|byte| is_uri(*byte))
        && query.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#')
}

fn is_uri(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"<>\\?#".contains(&byte)
}

fn response_by_grammar(raw: &[u8], request: ResponseTo) -> Option<Reading<'_>> {
    let (length, first, fields) = lines(raw, 0)?;
    let (version, _) = first.split_at_checked(8)?;
    let minor = version.strip_prefix(b"HTTP/1.")?;
    let version: &[u8] = match minor {
        b"0" => b"HTTP/1.0",
        [minor] if minor.is_ascii_digit() => b"HTTP/1.1",
        _ => return None,
    };
    let status = first.get(8..12)?.strip_prefix(b" ")?;
    let reason = first.get(12..)?;
    let status: u16 = std::str::from_utf8(status)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?
        .parse()
        .ok()?;
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    if !(100..1000).contains(&status)
        || !(reason.is_empty() || reason.starts_with(b" "))
        || reason.iter().any(is_control)
        || !lists_are_short(&fields, &[b"connection", b"upgrade"])
    {
        return None;
    }
    let framing = match framing(&fields, version)? {
        _ if request == ResponseTo::Head || status < 200 || status == 204 || status == 304 => {
            BodyFraming::None
        }
        (_, true) => BodyFraming::Chunked,
        (Some(length), false) => BodyFraming::Length(length),
        (None, false) => BodyFraming::UntilClose,
    };
    Some((length, framing, None, fields))
}

#[derive(Debug, PartialEq, Eq)]
enum Decoded {
    Done(usize),
    Unfinished,
    Refused,
}

/// Decodes, `step` bytes more at a time.
fn decode(raw: &[u8], step: usize, limits: ChunkLimits) -> (Decoded, Vec<u8>) {
    let mut decoder = ChunkDecoder::new(limits);
    let (mut at, mut end, mut data) = (0, 0, Vec::new());
    loop {
        match decoder.decode(raw.get(at..end).unwrap_or_default()) {
            Ok(ChunkStep::Data { skip, len }) => {
                data.extend_from_slice(raw.get(at + skip..at + skip + len).unwrap_or_default());
                at += skip + len;
            }
            Ok(ChunkStep::Done { consumed }) => {
                for (name, value) in decoder.trailers() {
                    assert!(is_token(name) && !value.iter().any(|byte| b"\r\n\0".contains(byte)));
                }
                return (Decoded::Done(at + consumed), data);
            }
            Ok(ChunkStep::NeedMore { .. }) if end == raw.len() => return (Decoded::Unfinished, data),
            Ok(ChunkStep::NeedMore { consumed }) => {
                at += consumed;
                end = raw.len().min(end + step);
            }
            // How much was read before the fault appears depends on how the bytes arrived.
            Err(_) => return (Decoded::Refused, Vec::new()),
        }
    }
}

/// RFC 9112 7.1, of a whole body: where it ends and what it holds.
fn chunked_by_grammar(raw: &[u8], white_space: bool) -> Option<(usize, Vec<u8>)> {
    let unpadded = |text| if white_space { unpadded(text) } else { text };
    let (mut at, mut data, mut extensions) = (0, Vec::new(), 0);
    let line_at = |at: usize| {
        let rest = raw.get(at..)?;
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let line = rest.get(..end)?;
        (!line.contains(&b'\n') && !line.contains(&b'\r')).then_some(line)
    };
    loop {
        let line = line_at(at).filter(|line| line.len() <= 256)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at_checked(digits)?;
        let size = u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        let padding = extension.len() - unpadded(extension).len();
        let extension = extension.get(padding..)?;
        extensions += extension.len() + (digits + padding).saturating_sub(16);
        if digits > 16 || size > i64::MAX as u64 || extensions > CHUNK_LIMITS.extension_bytes {
            return None;
        }
        if !is_extensions(extension, &unpadded) {
            return None;
        }
        at += line.len() + 2;
        if size == 0 {
            break;
        }
        let chunk = raw.get(at..at.checked_add(usize::try_from(size).ok()?)?)?;
        data.extend_from_slice(chunk);
        at += chunk.len();
        raw.get(at..)?.strip_prefix(b"\r\n")?;
        at += 2;
    }
    let mut trailers = 0;
    loop {
        let line = line_at(at).filter(|line| line.len() <= CHUNK_LIMITS.trailer_bytes)?;
        at += line.len() + 2;
        if line.is_empty() {
            return Some((at, data));
        }
        field(line)?;
        trailers += line.len() + 2;
        if trailers > CHUNK_LIMITS.trailer_bytes {
            return None;
        }
    }
}

/// RFC 9112 7.1.1, and white space at the end.
fn is_extensions<'t>(rest: &'t [u8], unpadded: &impl Fn(&'t [u8]) -> &'t [u8]) -> bool {
    let mut rest = unpadded(rest);
    while let Some(extension) = rest.strip_prefix(b";").map(unpadded) {
        let mut parts = extension.splitn(2, |byte| !is_token(&[*byte]));
        let name = parts.next().unwrap_or_default();
        rest = unpadded(extension.get(name.len()..).unwrap_or_default());
        if name.is_empty() {
            return false;
        }
        let Some(value) = rest.strip_prefix(b"=").map(unpadded) else {
            continue;
        };
        let end = match value.strip_prefix(b"\"") {
            Some(quoted) => quoted_length(quoted).map(|length| length + 1),
            None => Some(value.iter().take_while(|byte| is_token(&[**byte])).count()).filter(|end| *end > 0),
        };
        let Some(after) = end.and_then(|end| value.get(end..)) else {
            return false;
        };
        rest = unpadded(after);
    }
    rest.is_empty()
}

/// RFC 9110 5.6.3, "bad" white space.
fn unpadded(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| *byte != b' ' && *byte != b'\t');
    text.get(start.unwrap_or(text.len())..).unwrap_or_default()
}

/// RFC 9110 5.6.4, from behind the opening quote to behind the closing one.
fn quoted_length(text: &[u8]) -> Option<usize> {
    let mut bytes = text.iter().enumerate();
    let is_control = |byte: u8| byte.is_ascii_control() && byte != b'\t';
    while let Some((index, byte)) = bytes.next() {
        let byte = match byte {
            b'"' => return Some(index + 1),
            b'\\' => *bytes.next()?.1,
            byte => *byte,
        };
        if is_control(byte) {
            return None;
        }
    }
    None
}

/// The line of version 1 for these addresses, as its text defines it.
fn line_of(source: SocketAddr, destination: SocketAddr) -> String {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.ip(), destination.ip());
    format!(
        "PROXY {family} {from} {to} {} {}\r\n",
        source.port(),
        destination.port()
    )
}
