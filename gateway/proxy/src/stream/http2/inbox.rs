//! What arrives on one HTTP/2 connection for streams that cannot read now.
//!
//! The library keeps such frames one by one, each at several hundred bytes, and ends the whole connection when there are
//! too many small ones. So the connection counts frames as their bytes pass, and when many have come, every stream whose
//! task waits for its other side takes its own out and stores them together: then their number does not matter. What is
//! stored so is charged to the worker's memory, so every byte counts as long as a stream waits.

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

use super::frames::{CONTINUATION, DATA, Frames, HEAD, HEADERS, LongBlocks, SETTINGS};

/// What the library holds for a frame besides its bytes: a frame with as many bytes is no burden, unless it waits.
const FRAME: usize = 256;

/// The burden after which streams take out what has come for them.
const ROUND: usize = 64 * 1024;

/// The burden at which the library ends a connection: more than can arrive in one turn, and never reached if streams
/// take out what is theirs.
pub(crate) const BURDEN: usize = 2 * 1024 * 1024;

/// What a connection and its streams know of arriving frames.
pub(crate) struct Inbox {
    long: LongBlocks,
    /// The burden of what has come since the last round.
    burden: Cell<usize>,
    round: Cell<u32>,
    /// Streams that wait for their other side.
    stalled: RefCell<Vec<(u32, Waker)>>,
    /// The peer has sent its settings.
    has_settings: Cell<bool>,
}

/// What a stream remembers of the rounds.
#[derive(Debug, Default)]
pub(super) struct Stall {
    /// The last round in which it took part.
    round: u32,
    /// It will be woken by the next one.
    is_known: bool,
}

impl Inbox {
    /// `longest`: the most bytes that are allowed in a field block.
    pub(crate) fn new(longest: usize) -> Self {
        Self {
            long: LongBlocks::new(longest),
            burden: Cell::new(0),
            round: Cell::new(0),
            stalled: RefCell::default(),
            has_settings: Cell::new(false),
        }
    }

    /// Records the start of a frame. True if a round begins: reading must pause, so that the streams have their turn.
    pub(crate) fn begins(&self, frame: &Frames) -> bool {
        self.long.begins(frame);
        let (kind, ..) = frame.frame();
        let awaited = !self.stalled.borrow().is_empty();
        let more = match kind {
            DATA if !awaited => FRAME.saturating_sub(frame.length()),
            DATA | HEADERS | CONTINUATION => FRAME + frame.length(),
            // Frames that nobody wants are in the buffers, too, of which a frame that waits keeps all.
            _ if awaited => HEAD + frame.length(),
            _ => return false,
        };
        let burden = self.burden.get() + more;
        if burden < ROUND {
            self.burden.set(burden);
            return false;
        }
        self.burden.set(0);
        self.round.set(self.round.get().wrapping_add(1));
        for (_, waker) in self.stalled.take() {
            waker.wake();
        }
        true
    }

    /// A frame has arrived completely.
    pub(super) fn ends(&self, frame: &Frames) {
        if matches!(frame.frame(), (SETTINGS, 0, _)) {
            self.has_settings.set(true);
        }
    }

    /// Whether the peer has sent its settings.
    pub(crate) fn has_settings(&self) -> bool {
        self.has_settings.get()
    }

    /// Whether the stream has had a long field block.
    pub(super) fn is_long(&self, stream: u32) -> bool {
        self.long.is_long(stream)
    }

    /// The stream waits for its other side. True if it must take out what has come for it.
    pub(super) fn stall(&self, stream: u32, stall: &mut Stall, context: &Context<'_>) -> bool {
        let is_due = stall.round != self.round.get();
        if is_due || !stall.is_known {
            self.leave(stream, stall);
            self.stalled.borrow_mut().push((stream, context.waker().clone()));
            (stall.round, stall.is_known) = (self.round.get(), true);
        }
        is_due
    }

    /// The stream does not wait any longer.
    pub(super) fn leave(&self, stream: u32, stall: &mut Stall) {
        if std::mem::take(&mut stall.is_known) && stall.round == self.round.get() {
            self.stalled.borrow_mut().retain(|(other, _)| *other != stream);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A stream that stalls now and then, and what it should know.
    #[derive(Default)]
    struct Stream {
        stall: Stall,
        woken: Arc<Woken>,
        /// The round in which it last took part, if that is not over for it.
        waits_since: Option<usize>,
        /// The last round in which it took part.
        last: usize,
    }

    fn begin(inbox: &Inbox, random: &mut fastrand::Rng) -> bool {
        let kind = random.choice([DATA, DATA, HEADERS, CONTINUATION, 0x8]).unwrap();
        let longest = random.choice([0, 10, 300, 16_384]).unwrap();
        let length = random.u16(0..=longest);
        let mut head = vec![0; 9];
        head[1..3].copy_from_slice(&length.to_be_bytes());
        (head[3], head[8]) = (kind, 1);
        let mut begins = false;
        Frames::behind(0).follow(&head, |frame, _| begins |= inbox.begins(frame));
        begins
    }

    /// Whatever arrives and whoever stalls or leaves: a round wakes each stream that waits once and forgets it, and a stream
    /// takes out what has come exactly once after each round.
    #[test]
    fn each_round_is_each_streams_turn() {
        for seed in 0..100 {
            let mut random = fastrand::Rng::with_seed(seed);
            let inbox = Inbox::new(1000);
            let (mut streams, mut rounds) = (HashMap::<u32, Stream>::new(), 0);
            for step in 0..2000 {
                let number = random.u32(1..40);
                match random.u8(0..10) {
                    0..4 => {
                        let stream = streams.entry(number).or_default();
                        let waker = Arc::clone(&stream.woken).into();
                        let is_due = inbox.stall(number, &mut stream.stall, &Context::from_waker(&waker));
                        assert_eq!(is_due, stream.last != rounds, "step {step} of {seed}");
                        (stream.waits_since, stream.last) = (Some(rounds), rounds);
                    }
                    4 => {
                        if let Some(mut stream) = streams.remove(&number) {
                            inbox.leave(number, &mut stream.stall);
                        }
                    }
                    _ => {
                        if begin(&inbox, &mut random) {
                            rounds += 1;
                            for stream in streams.values_mut() {
                                let woken = stream.woken.0.swap(0, Ordering::Relaxed);
                                let waited = stream.waits_since.take().is_some();
                                assert_eq!(woken, usize::from(waited), "step {step} of {seed}");
                            }
                        }
                    }
                }
                assert!(inbox.burden.get() < ROUND);
                let waiting = streams
                    .values()
                    .filter(|stream| stream.waits_since.is_some())
                    .count();
                assert_eq!(inbox.stalled.borrow().len(), waiting, "step {step} of {seed}");
            }
            assert!(rounds > 3, "{rounds}");
            for (number, mut stream) in streams {
                inbox.leave(number, &mut stream.stall);
            }
            assert!(inbox.stalled.borrow().is_empty());
        }
    }
}
