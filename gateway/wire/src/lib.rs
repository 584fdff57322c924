//! HTTP/1.x on the wire: a strict grammar for heads and chunks (RFC 9112), the PROXY header, and the hops of
//! `X-Forwarded-For`. Sans-I/O: bytes in, events out. Nothing here knows a socket or a clock.
//!
//! # Invariants
//! - Every message has one reading. Whatever another implementation could read differently (bare LF, folded lines, space
//!   before a colon, a list of transfer codings, two lengths) is an error, so that no request can be smuggled past us.
//! - A head parses the same whether it arrives whole or byte by byte, at a cost linear in its length.
//! - Parsing allocates nothing once its buffers have grown.
//! - No input causes a panic.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a gateway looks at a few of thirty fields at a time; `FieldId` must be matched exhaustively only in `proxy`"
)]

mod bytes;
mod chunk;
mod error;
mod field;
pub mod forwarded;
mod glimpse;
mod head;
pub mod proxy_header;
mod request;
mod response;
mod trace;

pub use chunk::{
    CHUNK_END, ChunkDecoder, ChunkError, ChunkLimits, ChunkStep, LAST_CHUNK, LAST_CHUNK_BEFORE_TRAILERS,
    chunk_head, may_trail,
};
pub use error::HeadError;
pub use field::{Field, FieldId, Span, is_same_name};
pub use glimpse::Glimpse;
pub use head::{ConnectionOptions, HeadLimits, MOST_ELEMENTS, elements};
pub use request::{Method, RequestError, RequestHead, Target};
pub use response::{ResponseError, ResponseHead, ResponseTo};
pub use trace::TraceId;

/// How a message body is framed (RFC 9112 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyFraming {
    /// There is no body.
    #[default]
    None,
    /// Exactly this many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// Until the connection closes; responses only.
    UntilClose,
}

/// The HTTP versions that this grammar covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
}
