//! How far an exchange has come, as states that exclude each other.

use super::relay::Relay;

/// How far the request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    /// It is being sent.
    Sending,
    /// All of it has been sent.
    Sent,
    /// The backend takes no more of it; its answer may still be there to read.
    Broken,
}

/// How far the response has come.
pub(super) enum Response {
    /// The next head is awaited.
    Awaited,
    /// An interim one is on its way to the client.
    Interim(Relay),
    /// The final one is, or its body. From now on the client cannot be told otherwise.
    Final(Answer),
}

/// A final response.
pub(super) struct Answer {
    /// Its body, and its head before that.
    pub(super) download: Relay,
    /// The status that the client sees.
    pub(super) status: u16,
    pub(super) end: AnswerEnd,
    /// The client's connection can carry another request behind it.
    pub(super) keep: bool,
    /// It says that the backend failed.
    pub(super) poor: bool,
    /// It has no end of its own.
    pub(super) lasting: bool,
}

/// What ends a final response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerEnd {
    /// Its framing.
    OfItsOwn,
    /// The end of the client's connection alone.
    WithConnection,
    /// Nothing: another protocol follows.
    Upgrade,
}

/// What a backend may say instead of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// It did not look at the request.
    Unprocessed,
    /// It has given the request up, and says of no error.
    Cancelled,
}
