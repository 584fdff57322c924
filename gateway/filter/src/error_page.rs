//! Answers in place of errors: for which statuses, and how the page is asked for.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::statuses::StatusSet;
use crate::url::shown;

/// Which statuses become others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusRewrites(pub Box<[(StatusSet, u16)]>);

impl StatusRewrites {
    /// What a status becomes, if it becomes another; the first that has it counts.
    #[must_use]
    pub fn of(&self, status: u16) -> Option<u16> {
        let found = self.0.iter().find(|(set, _)| set.has(status));
        found.map(|(_, rewritten)| *rewritten)
    }
}

/// The target of the request for an error page: a path and perhaps a query, with `{status}`, `{originalStatus}` and `{url}`
/// in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageTarget(Box<str>);

impl PageTarget {
    /// Reads it. A missing `/` at the start is added.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = format!("/{}", text.strip_prefix('/').unwrap_or(text));
        let is_sayable = text
            .bytes()
            .all(|byte| matches!(byte, 0x21..=0x7e) && byte != b'#');
        if is_sayable
            && http::uri::PathAndQuery::try_from(Self(text.clone().into()).fill(503, 503, b"/")).is_ok()
        {
            Ok(Self(text.into()))
        } else {
            Err(format!("{} is not a path, with a query or without", shown(&text)))
        }
    }

    /// The target for one request. `status` is what the client gets, `original` what the backend sent, `url` what the client
    /// asked for, with scheme and host.
    #[must_use]
    pub fn fill(&self, status: u16, original: u16, url: &[u8]) -> String {
        let mut out = String::with_capacity(self.0.len() + 16);
        let mut rest = &*self.0;
        while let Some(brace) = rest.find('{') {
            let (before, from) = rest.split_at(brace);
            out.push_str(before);
            rest = if let Some(after) = from.strip_prefix("{status}") {
                let _infallible = write!(out, "{status}");
                after
            } else if let Some(after) = from.strip_prefix("{originalStatus}") {
                let _infallible = write!(out, "{original}");
                after
            } else if let Some(after) = from.strip_prefix("{url}") {
                out.extend(percent_encode(url, QUERY));
                after
            } else {
                let after = from.strip_prefix('{').unwrap_or_default();
                out.push('{');
                after
            };
        }
        out.push_str(rest);
        out
    }
}

/// Appends a value of a query, escaped.
pub fn write_parameter(value: &[u8], out: &mut Vec<u8>) {
    for piece in percent_encode(value, QUERY) {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// What must be escaped in a value of a query (Go, `url.QueryEscape`, with `%20` for a space).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let table = [
            ("/{status}.html", Some("/404.html")),
            ("{status}.html", Some("/404.html")),
            ("", Some("/")),
            (
                "/e?code={status}&was={originalStatus}",
                Some("/e?code=404&was=418"),
            ),
            (
                "/e?u={url}&u2={url}",
                Some("/e?u=%2Fa%3Fx%3D%7Bstatus%7D%20%E4&u2=%2Fa%3Fx%3D%7Bstatus%7D%20%E4"),
            ),
            ("/a b", None),
            ("/a#b", None),
            ("/a\r\nb", None),
        ];
        for (text, expected) in table {
            let target = PageTarget::parse(text).ok();
            // What the client wrote is not filled in again.
            let filled = target.map(|target| target.fill(404, 418, b"/a?x={status} \xe4"));
            assert_eq!(filled.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_first_rewrite_counts() {
        let set = |text| StatusSet::parse(text).unwrap();
        let rewrites = StatusRewrites([(set("418"), 404), (set("400-499"), 400)].into());
        assert_eq!(
            [418, 403, 500].map(|status| rewrites.of(status)),
            [Some(404), Some(400), None]
        );
    }
}
