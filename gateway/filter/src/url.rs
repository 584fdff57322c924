//! The grammar of URLs, as far as redirects and rewrites need it.

/// Appends a path or a query with the characters that a URI may hold (RFC 3986 3.3, 3.4): requests are accepted with
/// others, but clients parse `Location` strictly.
pub fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    push_with(out, bytes, false);
}

/// Percent-encodes all but unreserved characters, for the value of a parameter.
pub fn push_encoded(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        if is_unreserved(*byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

/// A port from 1 to 65535, in digits alone: `+80` is none.
#[must_use]
pub fn port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port > 0)
}

/// Whether a text is an http(s) URL with a host.
#[must_use]
pub fn is_http_url(text: &[u8]) -> bool {
    split_scheme(text).is_some_and(|(_, rest)| {
        let authority = split_authority(rest).0;
        !authority.is_empty() && !authority.starts_with(b":") && is_of_host(authority)
    })
}

/// `http` or `https`, and what follows `://`.
pub(crate) fn split_scheme(text: &[u8]) -> Option<(&[u8], &[u8])> {
    [&b"http"[..], b"https"].into_iter().find_map(|scheme| {
        let (start, rest) = text.split_at_checked(scheme.len())?;
        let rest = rest.strip_prefix(b"://")?;
        start.eq_ignore_ascii_case(scheme).then_some((start, rest))
    })
}

/// An http(s) URL as `Location` may have it; `None` if the text is none.
pub(crate) fn checked(text: &[u8]) -> Option<Vec<u8>> {
    if !is_http_url(text) {
        return None;
    }
    let (_, rest) = split_scheme(text)?;
    let (_, target) = split_authority(rest);
    let (place, _) = text.split_at_checked(text.len() - target.len())?;
    let mut url = place.to_vec();
    push_with(&mut url, target, true);
    Some(url)
}

/// Appends the query of a request to a URL or path, as nginx does: behind a query of its own, and not at all if it ends in
/// `?`.
pub(crate) fn add_query(url: &mut Vec<u8>, query: Option<&[u8]>) {
    if url.last() == Some(&b'?') {
        url.pop();
        return;
    }
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return;
    };
    url.push(if url.contains(&b'?') { b'&' } else { b'?' });
    url.extend_from_slice(query);
}

/// A URL that somebody has written, as messages name it: what is behind its `?` may be a secret, and where there is an `@`,
/// what is before it may be a password.
pub(crate) fn shown(text: &str) -> String {
    if text.contains('@') {
        return "it".to_owned();
    }
    let end = text.find('?');
    let more = if end.is_some() { "?…" } else { "" };
    let before = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
    format!("`{}{more}`", before.escape_debug())
}

/// Checks that a text, which is part of `whole`, has only characters that a URL may have.
pub(crate) fn check_text(whole: &str, text: &str) -> Result<(), String> {
    let refused = |character: &char| {
        let byte = u8::try_from(*character).unwrap_or(u8::MAX);
        !(is_of_target(byte) || b"%#[]".contains(&byte))
    };
    match text.chars().find(refused) {
        Some(character) => Err(format!(
            "{} has the character {character:?}, which a URL does not have; percent-encode it",
            shown(whole)
        )),
        None => Ok(()),
    }
}

/// The authority at the start, and the rest from `/`, `?` or `#` on.
fn split_authority(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| b"/?#".contains(byte));
    text.split_at_checked(end.unwrap_or(text.len()))
        .unwrap_or_default()
}

fn push_with(out: &mut Vec<u8>, bytes: &[u8], fragment: bool) {
    for (index, byte) in bytes.iter().enumerate() {
        let digits = bytes.get(index + 1..index + 3).unwrap_or_default();
        let fits = match byte {
            b'%' => digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit),
            b'#' => fragment,
            byte => is_of_target(*byte),
        };
        if fits {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

/// RFC 3986 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn is_of_target(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@/?".contains(&byte)
}

/// A name, an address in brackets, and a port.
pub(crate) fn is_of_host(text: &[u8]) -> bool {
    text.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._[]:".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_in_digits() {
        assert_eq!(["1", "0080", "65535"].map(port), [Some(1), Some(80), Some(65535)]);
        assert_eq!(["", "0", "+80", "-1", "65536", "8a", " 80"].map(port), [None; 7]);
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        let table = [
            ("http://a/x", "`http://a/x`"),
            ("http://a/x?key=s3cret", "`http://a/x?…`"),
            ("http://user:s3cret@a/x", "it"),
            ("http://user:s3c/ret@a", "it"),
            ("a\nb", "`a\\nb`"),
        ];
        for (text, expected) in table {
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn only_urls_with_a_host_are_urls() {
        for text in [
            "http://a",
            "https://a.b:1/x",
            "HTTPS://a",
            "http://[::1]:8/",
            "https://a?x",
            "https://a#x",
        ] {
            assert!(is_http_url(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "a",
            "/a",
            "//a",
            "http:/a",
            "http://",
            "http:///x",
            "https://:80/",
            "ftp://a",
            "javascript:alert(1)",
            "https://a@b/",
            "https://a\\b/",
            "https://a b/",
            "https://a%2fb/",
            "http//a",
        ] {
            assert!(!is_http_url(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_location_has_only_characters_of_urls() {
        let table = [
            ("https://a/x y", "https://a/x%20y"),
            ("https://a/%zz%20", "https://a/%25zz%20"),
            ("https://a/x?q=\"#frag", "https://a/x?q=%22#frag"),
            ("https://a/{x}\r\nB: c", "https://a/%7Bx%7D%0D%0AB:%20c"),
        ];
        for (text, expected) in table {
            let url = checked(text.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(url).unwrap(), expected);
        }
    }

    #[test]
    fn a_query_is_added_as_nginx_adds_it() {
        let table = [
            ("/a", Some("x=1"), "/a?x=1"),
            ("/a?b=2", Some("x=1"), "/a?b=2&x=1"),
            ("/a?", Some("x=1"), "/a"),
            ("/a?b=2?", Some("x=1"), "/a?b=2"),
            ("/a", None, "/a"),
            ("/a", Some(""), "/a"),
        ];
        for (url, query, expected) in table {
            let mut out = url.as_bytes().to_vec();
            add_query(&mut out, query.map(str::as_bytes));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
