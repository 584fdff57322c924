//! Heads on their way through the gateway: what arrived, as it lies in the buffer, and what is to differ where it goes.
//!
//! A draft says once which lines leave and in which order. Whoever needs another version of HTTP adds a writer, and
//! whoever needs another line, or none of some name, adds an edit.

mod edits;
mod request;
mod response;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use edits::{FieldEdits, RequestEdits, UNEDITED};
pub(crate) use request::{Forwarded, RequestDraft};
pub(crate) use response::{Connection, Framing, ResponseDraft, client_framing};

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

/// What the lines of a head are written to.
trait Lines {
    /// A field that every version has.
    fn field(&mut self, field: &'static OwnField, value: impl FnOnce(&mut Vec<u8>));

    /// A field of an edit.
    fn added(&mut self, name: &HeaderName, value: &HeaderValue);

    /// A line that speaks of the connection, from the end of the line before it on. HTTP/2 has none (RFC 9113 8.2.2).
    fn of_connection(&mut self, line: &'static str);
}

/// The fields of a head for HTTP/2. Their values lie behind one another, and share one allocation.
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

    /// Takes in a field; `None` where HTTP/2 has no such name.
    fn copied(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        let name = HeaderName::from_bytes(name).ok()?;
        self.values.extend_from_slice(value);
        self.names.push((name, self.values.len()));
        Some(())
    }

    /// The fields; `None` where HTTP/2 has no such value.
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
