//! The timeout of an exchange that is running, and what the exchange waits for meanwhile.

/// The timeout that is running.
#[derive(Default)]
pub(super) struct Timer {
    pub(super) waits: Option<Waits>,
    /// Bytes of the request's body that had moved when the deadline was last set.
    pub(super) moved: u64,
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
