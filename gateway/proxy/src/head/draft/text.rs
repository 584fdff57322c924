//! Heads as HTTP/1 text. Each line begins with the end of the one before it.

use http::{HeaderName, HeaderValue};
use wire::{Field, FieldId};

use super::{Lines, OwnField};

/// After the last line.
pub(super) const END: &[u8] = b"\r\n\r\n";

impl Lines for Vec<u8> {
    fn field(&mut self, field: &'static OwnField, value: impl FnOnce(&mut Self)) {
        self.extend_from_slice(field.text.as_bytes());
        value(self);
    }

    fn added(&mut self, name: &HeaderName, value: &HeaderValue) {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        self.reserve(name.len() + value.len() + 4);
        self.extend_from_slice(b"\r\n");
        let start = self.len();
        self.extend_from_slice(name);
        title(self.get_mut(start..).unwrap_or_default());
        self.extend_from_slice(b": ");
        self.extend_from_slice(value);
    }

    fn of_connection(&mut self, line: &'static str) {
        self.extend_from_slice(line.as_bytes());
    }
}

/// A name as HTTP/1 programs usually write it, with a capital letter at the beginning and after each `-`: some of them, and
/// some people, compare with case.
pub(crate) fn titled(name: &HeaderName) -> String {
    let mut titled = name.as_str().as_bytes().to_vec();
    title(&mut titled);
    titled.into_iter().map(char::from).collect()
}

fn title(name: &mut [u8]) {
    let mut begins = true;
    for byte in name {
        if begins {
            byte.make_ascii_uppercase();
        }
        begins = *byte == b'-';
    }
}

/// Copies the fields that pass; adjacent lines that are already canonical in one go.
pub(super) fn copied(
    out: &mut Vec<u8>,
    head: &[u8],
    fields: &[Field],
    mut passes: impl FnMut(&Field) -> bool,
) {
    let copy = |out: &mut Vec<u8>, (start, end): (usize, usize)| {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(head.get(start..end - 2).unwrap_or_default());
    };
    let mut run: Option<(usize, usize)> = None;
    for field in fields {
        let keep = passes(field);
        if keep && field.canonical {
            let start = match run {
                Some((start, end)) if end == field.line.start() => start,
                Some(other) => {
                    copy(out, other);
                    field.line.start()
                }
                None => field.line.start(),
            };
            run = Some((start, field.line.end()));
            continue;
        }
        if let Some(run) = run.take() {
            copy(out, run);
        }
        if keep {
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(field.name.of(head));
            out.extend_from_slice(b": ");
            out.extend_from_slice(field.value.of(head));
        }
    }
    if let Some(run) = run {
        copy(out, run);
    }
}

/// The protocols that a head asks to change to, or agrees to.
pub(super) fn upgrade(out: &mut Vec<u8>, head: &[u8], fields: &[Field]) {
    out.extend_from_slice(b"\r\nConnection: Upgrade");
    for field in fields.iter().filter(|field| field.id == FieldId::Upgrade) {
        let mut start: &[u8] = b"\r\nUpgrade: ";
        for protocol in wire::elements(field.value.of(head)) {
            out.extend_from_slice(start);
            out.extend_from_slice(protocol);
            start = b", ";
        }
    }
}

pub(super) fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}
