//! The request that carries spans to a collector (`ExportTraceServiceRequest`), and its answer.

use crate::protobuf::{self, Read};
use crate::span::{Value, attribute};

/// Which version of the semantic conventions the attributes follow.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

/// What is the same in every request of one process: who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource(Vec<u8>);

/// What a collector says of a request that it has accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Spans that it has refused all the same.
    pub rejected: u64,
    /// Why, or a warning.
    pub message: String,
}

impl Resource {
    /// The process with these attributes.
    #[must_use]
    pub fn new<'a>(attributes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut bytes = Vec::new();
        protobuf::message(&mut bytes, 1, |out| {
            for (key, value) in attributes {
                attribute(out, 1, key, Value::from(value));
            }
        });
        Self(bytes)
    }

    /// The request with these spans ([`SpanBytes::bytes`](crate::SpanBytes::bytes) of any number of them, one behind the
    /// other).
    #[must_use]
    pub fn request(&self, version: &str, spans: &[u8]) -> Vec<u8> {
        let mut scope = Vec::new();
        protobuf::message(&mut scope, 1, |out| {
            protobuf::bytes(out, 1, b"blastdoor");
            protobuf::bytes(out, 2, version.as_bytes());
        });
        // Lengths are known before what they are of, so that nothing large moves.
        let mut schema = Vec::new();
        protobuf::bytes(&mut schema, 3, SCHEMA.as_bytes());
        let scope_spans = scope.len() + spans.len() + schema.len();
        let mut head = Vec::new();
        protobuf::message_of(&mut head, 2, scope_spans);
        let resource_spans = self.0.len() + head.len() + scope_spans;
        let mut out = Vec::with_capacity(resource_spans + 16);
        protobuf::message_of(&mut out, 1, resource_spans);
        for part in [&*self.0, &head, &scope, spans, &schema] {
            out.extend_from_slice(part);
        }
        out
    }
}

impl Accepted {
    /// Reads an `ExportTraceServiceResponse`. What is malformed says nothing.
    #[must_use]
    pub fn parse(mut message: &[u8]) -> Self {
        let mut accepted = Self::default();
        while let Some((field, value)) = protobuf::next(&mut message) {
            if let (1, Read::Bytes(mut partial)) = (field, value) {
                while let Some((field, value)) = protobuf::next(&mut partial) {
                    match (field, value) {
                        (1, Read::Number(rejected)) => accepted.rejected = rejected,
                        (2, Read::Bytes(words)) => {
                            accepted.message = String::from_utf8_lossy(words).into_owned();
                        }
                        _ => {}
                    }
                }
            }
        }
        accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_success_is_read() {
        let mut answer = Vec::new();
        protobuf::message(&mut answer, 1, |out| {
            protobuf::varint(out, 1, 7);
            protobuf::bytes(out, 2, b"too old");
        });
        let accepted = Accepted::parse(&answer);
        assert_eq!((accepted.rejected, &*accepted.message), (7, "too old"));
        assert_eq!(Accepted::parse(b""), Accepted::default());
        assert_eq!(Accepted::parse(b"\x0a\xff"), Accepted::default());
    }

    #[test]
    fn every_message_lies_within_the_one_around_it() {
        let resource = Resource::new([("service.name", "a")]);
        let spans = [0x12, 2, 0x0a, 0];
        let request = resource.request("1", &spans);
        let mut rest = &*request;
        let Some((1, Read::Bytes(mut inner))) = protobuf::next(&mut rest) else {
            panic!("{request:?}")
        };
        assert!(rest.is_empty());
        let fields: Vec<_> = std::iter::from_fn(|| protobuf::next(&mut inner)).collect();
        let numbers: Vec<_> = fields.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2]);
        let Some((_, Read::Bytes(mut scope))) = fields.get(1).copied() else {
            panic!("{fields:?}")
        };
        let numbers: Vec<_> = std::iter::from_fn(|| protobuf::next(&mut scope))
            .map(|(number, _)| number)
            .collect();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
