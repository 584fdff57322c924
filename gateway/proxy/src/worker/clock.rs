//! What time it is for a worker.

use std::time::Instant;

/// The time that deadlines are set and checked by: the system's, or one that a test moves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    #[cfg(test)]
    stopped: Option<std::rc::Rc<std::cell::Cell<Instant>>>,
}

impl Clock {
    pub(crate) fn now(&self) -> Instant {
        #[cfg(test)]
        if let Some(time) = &self.stopped {
            return time.get();
        }
        Instant::now()
    }
}

#[cfg(test)]
impl Clock {
    /// A clock that stands still, and all its clones with it, until it is advanced.
    pub(crate) fn stopped() -> Self {
        Self {
            stopped: Some(std::rc::Rc::new(std::cell::Cell::new(Instant::now()))),
        }
    }

    /// # Panics
    /// When the clock is the system's.
    pub(crate) fn advance(&self, by: std::time::Duration) {
        let time = self.stopped.as_ref().expect("a stopped clock");
        time.set(time.get() + by);
    }
}
