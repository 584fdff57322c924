//! How much of a body is read at once: a reader that takes it fast earns larger pieces, and a reader that stalls loses
//! them, so that what it does not read stays with the backend.

use crate::worker::read_buffer::READ;

/// The size of pieces from and to HTTP/2 streams, and for a reader that has earned something.
pub(super) const SHORT_READ: usize = 64 * 1024;

/// The size of pieces for a reader that never makes us wait.
pub(super) const LONG_READ: usize = 256 * 1024;

/// What the pipe of a spliced body may hold, in the same three steps.
const PIPED: [usize; 3] = [64 * 1024, 128 * 1024, 512 * 1024];

/// What a sink must have taken at a stretch for the larger pieces. The first is more than the kernel takes for a reader
/// that reads nothing.
const SHORT_RUN: u32 = 384 * 1024;
const LONG_RUN: u32 = 1024 * 1024;

/// What a sink has taken.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Bytes since it last had no room.
    run: u32,
    /// Bytes since it last stalled.
    earned: u32,
}

impl Pace {
    /// The sink has taken so many bytes.
    pub(super) fn took(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.run = self.run.saturating_add(count);
        self.earned = self.earned.saturating_add(count);
    }

    /// The sink has no room at the moment.
    pub(super) fn waits(&mut self) {
        self.run = 0;
    }

    /// The sink has had none for long.
    pub(super) fn stalls(&mut self) {
        *self = Self::default();
    }

    /// How much to read at once.
    pub(super) fn read(&self) -> usize {
        self.of([READ, SHORT_READ, LONG_READ])
    }

    /// How much the pipe may hold.
    pub(super) fn piped(&self) -> usize {
        self.of(PIPED)
    }

    fn of<T>(&self, [small, medium, large]: [T; 3]) -> T {
        if self.run >= LONG_RUN {
            large
        } else if self.run >= SHORT_RUN || self.earned >= LONG_RUN {
            medium
        } else {
            small
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_with_what_the_sink_takes_and_shrink_when_it_stalls() {
        let mut pace = Pace::default();
        let mut sizes = Vec::new();
        for _ in 0..6 {
            sizes.push(pace.read() / 1024);
            pace.took(256 * 1024);
        }
        assert_eq!(sizes, [16, 16, 64, 64, 256, 256]);
        pace.waits();
        assert_eq!((pace.read(), pace.piped()), (SHORT_READ, 128 * 1024));
        pace.stalls();
        assert_eq!((pace.read(), pace.piped()), (READ, 64 * 1024));
        pace.took(usize::MAX);
        assert_eq!((pace.read(), pace.piped()), (LONG_READ, 512 * 1024));
    }
}
