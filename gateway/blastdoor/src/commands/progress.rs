//! How far long work has got, for people at a terminal.

use std::cell::Cell;
use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::config::Options;

/// How often the line may change.
const EVERY: Duration = Duration::from_millis(100);
/// Erases the line that the cursor is in.
const ERASE: &str = "\r\x1b[2K";

/// One line on standard error that says what is being done, and that is gone when it is done. Nothing is written where
/// standard error is no terminal.
pub(crate) struct Progress {
    is_shown: bool,
    last: Cell<Option<Instant>>,
}

impl Progress {
    /// The one of this process.
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            is_shown: io::stderr().is_terminal() && options.variable("TERM") != Some("dumb"),
            last: Cell::new(None),
        }
    }

    /// Says what is being done now.
    pub(crate) fn say(&self, what: impl Display) {
        if self.is_shown {
            self.last.set(Some(Instant::now()));
            // It is nobody's result: if it cannot be written, nothing is lost.
            let mut err = io::stderr();
            let _lost = write!(err, "{ERASE}{what}").and_then(|()| err.flush());
        }
    }

    /// Says how much of it is done, not more often than somebody can read it.
    pub(crate) fn count(&self, what: impl Display, done: usize, total: usize) {
        if !self.is_soon() || done == total {
            self.say(format_args!("{what}: {done} of {total}"));
        }
    }

    /// Says how far it is where nobody knows how much there is, not more often than somebody can read it.
    pub(crate) fn now_and_then(&self, what: impl Display) {
        if !self.is_soon() {
            self.say(what);
        }
    }

    fn is_soon(&self) -> bool {
        self.last.get().is_some_and(|last| last.elapsed() < EVERY)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.last.get().is_some() {
            let mut err = io::stderr();
            let _lost = write!(err, "{ERASE}").and_then(|()| err.flush());
        }
    }
}
