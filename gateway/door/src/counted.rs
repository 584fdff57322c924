//! For tests: how often expensive work is done, so that they can count it instead of timing it.

use std::cell::Cell;

/// Work that must not be repeated for each rule, port or door.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Certificates, keys and authorities that were parsed from PEM.
    pub(crate) parsed: usize,
    /// Runs of bytes that were hashed.
    pub(crate) hashed: usize,
    /// Lists of endpoints that were made.
    pub(crate) listed: usize,
    /// Rules that were compiled.
    pub(crate) compiled: usize,
    /// What was looked at to know who names what, and how much there is of it: names in Ingresses, and Ingresses by name.
    pub(crate) indexed: usize,
    /// Entries of `spec.tls` that were looked at.
    pub(crate) gathered: usize,
}

thread_local! {
    static DONE: Cell<Work> = Cell::default();
}

/// Notes work.
pub(crate) fn note(add: impl FnOnce(&mut Work)) {
    let mut done = DONE.get();
    add(&mut done);
    DONE.set(done);
}

/// What has been noted since the last call on this thread.
pub(crate) fn take() -> Work {
    DONE.take()
}
