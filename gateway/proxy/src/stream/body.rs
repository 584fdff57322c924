//! How bodies are framed on either side.

/// How the sink frames the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    /// Unchanged: with a length that the head announced, or until the connection closes.
    Plain,
    /// In HTTP/2 frames, which have their own end and trailers.
    Frames,
    /// In chunks of the bytes at hand; the head announced them. With trailers if the receiver accepts them.
    Chunked { trailers: bool },
}
