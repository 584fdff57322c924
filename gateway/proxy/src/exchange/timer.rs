//! The timeout of an exchange that is running, and what the exchange waits for meanwhile.

/// The timeout that is running.
#[derive(Default)]
pub(super) struct Timer {
    pub(super) waits: Option<Waits>,
    /// What had moved when the deadline was last set.
    pub(super) moved: Moved,
}

/// Bytes that have moved, of those that count for a wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// Towards the backend.
    pub(super) up: u64,
    /// Towards the client.
    pub(super) down: u64,
}

/// What the exchange waits for, and so which timeout runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// Whether the backend wants the request's body.
    Continue,
    RequestBody,
    UpstreamWrite,
    ResponseHead,
    ResponseBody,
    ClientWrite,
}
