//! HTTP/2 (RFC 9113): connections of clients, connections to backends, and how their messages become HTTP/1 heads
//! and back.
//!
//! Inside the gateway a head is always HTTP/1 text that has passed the strict grammar: a request that arrives as
//! HTTP/2 is written as such and parsed, so that one set of rules decides for both versions, and what would split
//! or smuggle never leaves the parser.

mod ahead;
mod followed;
pub(crate) mod frames;
mod inbox;
mod outbox;
mod stream;
pub(crate) mod trailers;

pub(crate) use ahead::TooManyHeads;
pub(crate) use followed::{Followed, Received};
pub(crate) use frames::ROOM;
pub(crate) use inbox::{BURDEN, Inbox};
pub(crate) use outbox::{Outbox, Piece};
pub(crate) use stream::{Http2Error, Http2Stream, TrailersTooLarge, reset_of};

/// How many bytes of one body a client may send ahead.
pub(crate) const STREAM_WINDOW: u32 = 256 * 1024;

/// The same for a backend. A client that reads nothing makes each of its streams hold as much.
pub(crate) const BACKEND_WINDOW: u32 = 64 * 1024;

/// The same for all bodies of a client's connection: a client's slow streams may slow down its other streams.
pub(crate) const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How many bytes of one stream may wait to be sent.
pub(crate) const SEND_BUFFER: usize = 64 * 1024;

/// Streams of one connection that have been reset within the last second, and whose frames may still come. Frames of a
/// stream that is forgotten count as errors, of which few end the connection for all its streams.
pub(crate) const RESET_STREAMS: usize = 10_000;
