//! One span of OTLP, written as it is learned.

use crate::context::{SpanId, TraceContext};
use crate::protobuf;

/// Longest text of an attribute, in bytes; what is longer is cut.
const LONGEST_TEXT: usize = 1024;

/// Spans, as a request to a collector contains them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpanBytes {
    bytes: Vec<u8>,
    count: u32,
}

/// What a span is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A request that was served.
    Server,
    /// A request that was sent.
    Client,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nothing is said.
    Unset,
    /// With an error.
    Error,
}

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'v> {
    /// Text. What is no UTF-8 is replaced, and what is too long is cut.
    Text(&'v [u8]),
    /// A whole number.
    Number(i64),
    /// A truth value.
    Truth(bool),
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(text.as_bytes())
    }
}

impl From<u16> for Value<'_> {
    fn from(number: u16) -> Self {
        Self::Number(i64::from(number))
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A span that is being written. Times are nanoseconds since 1970.
#[derive(Debug)]
pub struct Span<'b>(&'b mut Vec<u8>);

/// The fields of the messages `Span`, `Event`, `KeyValue` and `AnyValue`.
mod field {
    pub(super) const SPANS: u32 = 2;
    pub(super) const TRACE_ID: u32 = 1;
    pub(super) const SPAN_ID: u32 = 2;
    pub(super) const TRACE_STATE: u32 = 3;
    pub(super) const PARENT: u32 = 4;
    pub(super) const NAME: u32 = 5;
    pub(super) const KIND: u32 = 6;
    pub(super) const START: u32 = 7;
    pub(super) const END: u32 = 8;
    pub(super) const ATTRIBUTES: u32 = 9;
    pub(super) const EVENTS: u32 = 11;
    pub(super) const STATUS: u32 = 15;
    pub(super) const FLAGS: u32 = 16;
    pub(super) const STATUS_MESSAGE: u32 = 2;
    pub(super) const STATUS_CODE: u32 = 3;
    pub(super) const EVENT_TIME: u32 = 1;
    pub(super) const EVENT_NAME: u32 = 2;
    pub(super) const EVENT_ATTRIBUTES: u32 = 3;
}

/// Whether the parent is elsewhere is known, and it is.
const REMOTE_PARENT: u32 = 0x300;
/// Whether the parent is elsewhere is known, and it is not.
const LOCAL_PARENT: u32 = 0x100;

impl SpanBytes {
    /// Adds a span of the trace of `context`, which names the span itself. `parent` is the span above it, and whether that
    /// one is of another process.
    pub fn add(
        &mut self,
        context: TraceContext,
        parent: Option<(SpanId, bool)>,
        kind: Kind,
        times: [u64; 2],
        write: impl FnOnce(&mut Span<'_>),
    ) {
        self.count += 1;
        protobuf::message(&mut self.bytes, field::SPANS, |out| {
            protobuf::bytes(out, field::TRACE_ID, &context.trace.bytes());
            protobuf::bytes(out, field::SPAN_ID, &context.span.bytes());
            if let Some((parent, _)) = parent {
                protobuf::bytes(out, field::PARENT, &parent.bytes());
            }
            let remote = parent.map_or(0, |(_, remote)| if remote { REMOTE_PARENT } else { LOCAL_PARENT });
            protobuf::fixed32(out, field::FLAGS, remote | u32::from(context.flags()));
            let kind = match kind {
                Kind::Server => 2,
                Kind::Client => 3,
            };
            protobuf::varint(out, field::KIND, kind);
            let [start, end] = times;
            protobuf::fixed64(out, field::START, start);
            protobuf::fixed64(out, field::END, end);
            write(&mut Span(out));
        });
    }

    /// The spans, as the field of the message that contains them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives back the memory that they do not need.
    pub fn shrink_to_fit(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }
}

impl Span<'_> {
    /// What it is called: few names for many requests.
    pub fn name(&mut self, name: &str) {
        protobuf::bytes(self.0, field::NAME, &text(name.as_bytes()));
    }

    /// What vendors have added to the context: the value of its `tracestate`. It is written whole: a part of it would be
    /// malformed.
    pub fn trace_state(&mut self, state: &str) {
        protobuf::bytes(self.0, field::TRACE_STATE, state.as_bytes());
    }

    /// Adds an attribute.
    pub fn set<'v>(&mut self, key: &str, value: impl Into<Value<'v>>) {
        attribute(self.0, field::ATTRIBUTES, key, value.into());
    }

    /// Adds something that happened meanwhile.
    pub fn event(&mut self, time: u64, name: &str, attributes: &[(&str, Value<'_>)]) {
        protobuf::message(self.0, field::EVENTS, |out| {
            protobuf::fixed64(out, field::EVENT_TIME, time);
            protobuf::bytes(out, field::EVENT_NAME, name.as_bytes());
            for (key, value) in attributes {
                attribute(out, field::EVENT_ATTRIBUTES, key, *value);
            }
        });
    }

    /// How it ended, and why.
    pub fn status(&mut self, status: Status, message: &str) {
        if status == Status::Error {
            protobuf::message(self.0, field::STATUS, |out| {
                if !message.is_empty() {
                    protobuf::bytes(out, field::STATUS_MESSAGE, &text(message.as_bytes()));
                }
                protobuf::varint(out, field::STATUS_CODE, 2);
            });
        }
    }
}

/// A key with a value, as one field of any message.
pub(crate) fn attribute(out: &mut Vec<u8>, field: u32, key: &str, value: Value<'_>) {
    const KEY: u32 = 1;
    const VALUE: u32 = 2;
    protobuf::message(out, field, |out| {
        protobuf::bytes(out, KEY, key.as_bytes());
        protobuf::message(out, VALUE, |out| match value {
            Value::Text(value) => protobuf::bytes(out, 1, &text(value)),
            Value::Truth(value) => protobuf::varint(out, 2, u64::from(value)),
            // A negative number is its two's complement.
            Value::Number(value) => protobuf::varint(out, 3, value.cast_unsigned()),
        });
    });
}

/// As text must be: UTF-8, and no longer than it may be.
fn text(value: &[u8]) -> Vec<u8> {
    let cut = value.get(..LONGEST_TEXT).unwrap_or(value);
    String::from_utf8_lossy(cut).into_owned().into_bytes()
}
