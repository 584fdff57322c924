//! Whether all workers of a binding serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The workers that serve the sockets of one binding.
#[derive(Debug)]
pub(crate) struct Crew {
    workers: usize,
    listening: AtomicUsize,
}

/// A worker that accepts connections, for as long as it does.
#[derive(Debug)]
pub(crate) struct Listens(Arc<Crew>);

impl Crew {
    pub(crate) fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            workers,
            listening: AtomicUsize::new(0),
        })
    }

    /// One more accepts connections.
    pub(crate) fn listens(self: &Arc<Self>) -> Listens {
        self.listening.fetch_add(1, Ordering::AcqRel);
        Listens(Arc::clone(self))
    }

    /// How many workers there are to be.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// How many accept connections.
    pub(crate) fn listening(&self) -> usize {
        self.listening.load(Ordering::Acquire)
    }

    /// Whether all accept connections.
    pub(crate) fn is_complete(&self) -> bool {
        self.listening() == self.workers
    }
}

impl Drop for Listens {
    fn drop(&mut self) {
        self.0.listening.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crew_is_complete_as_long_as_all_listen() {
        let crew = Crew::new(2);
        let first = crew.listens();
        assert!(!crew.is_complete());
        let second = crew.listens();
        assert!(crew.is_complete());
        drop(first);
        assert_eq!((crew.is_complete(), crew.listening()), (false, 1));
        drop(second);
    }
}
