//! The progress of an exchange, as states that exclude each other.

use super::relay::Relay;

/// The progress of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// It is being sent.
    Sending,
    /// All of it has been sent.
    Sent,
    /// The backend accepts no more of it; its answer may still be readable.
    Broken,
}

/// The progress of the response.
pub(super) enum Response {
    /// The next head is awaited.
    Awaited,
    /// An interim one is on its way to the client.
    Interim(Relay),
    /// The final one has arrived with a head of this length, and waits: something else may be sent in its place.
    Held(usize),
    /// The final one is, or its body. Once a byte of it has left, the client cannot get another answer.
    Final(Answer),
}

/// A final response.
pub(super) struct Answer {
    /// Its body, and its head before that.
    pub(super) download: Relay,
    /// The status that the client sees.
    pub(super) status: u16,
    pub(super) end: AnswerEnd,
    /// The client's connection can carry another request after it.
    pub(super) keep: bool,
    /// It says that the backend failed.
    pub(super) poor: bool,
    /// It has no natural end.
    pub(super) lasting: bool,
}

/// What ends a final response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerEnd {
    /// Its framing.
    OfItsOwn,
    /// Only the end of the client's connection.
    WithConnection,
    /// Nothing: another protocol follows.
    Upgrade,
}

/// What a backend may signal instead of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// It did not process the request.
    Unprocessed,
    /// It has reset the request, without an error.
    Cancelled,
}
