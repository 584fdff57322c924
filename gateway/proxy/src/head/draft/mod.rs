//! Heads that the gateway forwards: what arrived, as it lies in the buffer, and edits to it.
//!
//! A draft lists once which lines leave, in which order. Another HTTP version is another writer; another line, or the
//! removal of one, is an edit.

mod edits;
mod request;
mod response;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use edits::{FieldEdits, RequestEdits, SharedEdits, UNEDITED};
pub(crate) use request::{Forwarded, RequestDraft};
pub(crate) use response::{Connection, Framing, ResponseDraft, client_framing};
pub(crate) use text::titled;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The name of a field that the gateway writes itself.
struct OwnField {
    /// As HTTP/1 writes it, from the end of the line before it to its value.
    text: &'static str,
    name: HeaderName,
}

impl OwnField {
    const fn new(text: &'static str, name: &'static str) -> Self {
        Self {
            text,
            name: HeaderName::from_static(name),
        }
    }
}

/// A writer for the lines of a head.
trait Lines {
    /// A field that every version has.
    fn field(&mut self, field: &'static OwnField, value: impl FnOnce(&mut Vec<u8>));

    /// A field of an edit.
    fn added(&mut self, name: &HeaderName, value: &HeaderValue);

    /// A line about the connection, starting with the end of the line before it. HTTP/2 has none (RFC 9113 8.2.2).
    fn of_connection(&mut self, line: &'static str);
}

/// The fields of an HTTP/2 head. Their values are stored one after the other in one allocation.
#[derive(Default)]
struct Map {
    values: Vec<u8>,
    /// Each name, and where its value ends.
    names: Vec<(HeaderName, usize)>,
}

impl Map {
    fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self {
            values: Vec::with_capacity(bytes),
            names: Vec::with_capacity(fields),
        }
    }

    /// Adds a field; `None` if the name is not valid in HTTP/2.
    fn copied(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        let name = HeaderName::from_bytes(name).ok()?;
        self.values.extend_from_slice(value);
        self.names.push((name, self.values.len()));
        Some(())
    }

    /// The fields; `None` if a value is not valid in HTTP/2.
    fn into_headers(self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::with_capacity(self.names.len());
        let mut values = Bytes::from(self.values);
        let mut start = 0;
        for (name, end) in self.names {
            let value = values.split_to(end - start);
            headers.append(name, HeaderValue::from_maybe_shared(value).ok()?);
            start = end;
        }
        Some(headers)
    }
}

impl Lines for Map {
    fn field(&mut self, field: &'static OwnField, value: impl FnOnce(&mut Vec<u8>)) {
        value(&mut self.values);
        self.names.push((field.name.clone(), self.values.len()));
    }

    fn added(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.values.extend_from_slice(value.as_bytes());
        self.names.push((name.clone(), self.values.len()));
    }

    fn of_connection(&mut self, _line: &'static str) {}
}
