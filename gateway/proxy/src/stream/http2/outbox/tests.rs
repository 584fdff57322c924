use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

const STREAMS: usize = 20;

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Woken {
    fn take(&self) -> bool {
        self.0.swap(0, Ordering::Relaxed) > 0
    }
}

/// A connection's streams as the gateway sees them, and what the library holds.
struct Rig {
    random: fastrand::Rng,
    most: usize,
    memory: Rc<Memory>,
    metrics: Arc<WorkerMetrics>,
    outbox: Rc<Outbox>,
    next: u32,
    accounts: HashMap<u32, (Account, Arc<Woken>)>,
    /// Of any stream, served or not.
    pieces: Vec<Piece>,
    /// Of any stream: what they weigh until they leave.
    heads: Vec<(u32, usize)>,
}

impl Rig {
    fn new(seed: u64, most: usize) -> Self {
        let (memory, metrics) = (Memory::of_tests(), Arc::new(WorkerMetrics::default()));
        Self {
            random: fastrand::Rng::with_seed(seed),
            most,
            outbox: Outbox::new(most, STREAMS, Rc::clone(&memory), Some(Arc::clone(&metrics))),
            memory,
            metrics,
            next: 1,
            accounts: HashMap::new(),
            pieces: Vec::new(),
            heads: Vec::new(),
        }
    }

    fn some_stream(&mut self) -> Option<u32> {
        let mut streams: Vec<u32> = self.accounts.keys().copied().collect();
        streams.sort_unstable();
        self.random.choice(streams)
    }

    fn open(&mut self) {
        if self.accounts.len() < STREAMS {
            let account = (self.outbox.open(self.next), Arc::default());
            self.accounts.insert(self.next, account);
            self.next += 2;
        }
    }

    /// Reads for a stream what may be read, and waits otherwise.
    fn hold(&mut self, stream: u32) {
        let wanted = self.random.usize(0..20_000);
        let (account, woken) = &self.accounts[&stream];
        let waker = Waker::from(Arc::clone(woken));
        if let Poll::Ready(room) = account.poll_hold(&Context::from_waker(&waker), 0) {
            account.hold(wanted.min(room));
        }
    }

    /// Gives bytes to the library, as many as there is room for.
    fn send(&mut self, stream: u32) {
        let wanted = self.random.usize(1..70_000);
        let (account, woken) = &self.accounts[&stream];
        let waker = Waker::from(Arc::clone(woken));
        let room = account.poll_room(&Context::from_waker(&waker), wanted);
        let slots = self.outbox.slots.borrow();
        let slot = &slots[account.slot];
        let holds_nothing = slot.queued == 0;
        drop(slots);
        match room {
            Poll::Ready(room) => {
                assert!(room > 0 && room <= wanted);
                self.pieces.push(account.piece(Bytes::from(vec![0; room])));
            }
            Poll::Pending => assert!(!holds_nothing, "a stream of which nothing waits always has room"),
        }
    }

    /// Gives a head to the library, if none of the stream waits.
    fn head(&mut self, stream: u32) {
        let (fields, bytes) = (self.random.usize(0..100), self.random.usize(0..32_000));
        let (account, woken) = &self.accounts[&stream];
        let waker = Waker::from(Arc::clone(woken));
        if account.poll_heads_left(&Context::from_waker(&waker)).is_ready() {
            account.head(fields, bytes);
            self.heads.push((stream, FRAME + fields * FIELD + bytes));
        }
    }

    /// The library writes something, or drops it.
    fn leave(&mut self) {
        if self.random.bool() && !self.heads.is_empty() {
            let (stream, _) = self.heads.swap_remove(self.random.usize(..self.heads.len()));
            self.outbox.head_left(stream);
        } else if !self.pieces.is_empty() {
            let which = self.random.usize(..self.pieces.len());
            let piece = &mut self.pieces[which];
            let written = self.random.usize(0..=piece.remaining());
            piece.advance(written);
            if self.random.bool() {
                drop(self.pieces.swap_remove(which));
            }
        }
    }

    /// One side resets a stream, which may be unknown by now.
    fn reset(&mut self) {
        let stream = self.random.u32(0..self.next + 2) | 1;
        self.outbox.reset(stream);
        self.heads.retain(|(other, _)| *other != stream);
    }

    fn step(&mut self) {
        let stream = self.some_stream();
        match (self.random.u8(0..12), stream) {
            (0 | 1, _) | (_, None) => self.open(),
            (2 | 3, Some(stream)) => self.hold(stream),
            (4..=6, Some(stream)) => self.send(stream),
            (7, Some(stream)) => self.head(stream),
            (8, Some(stream)) => drop(self.accounts.remove(&stream)),
            (9, _) => self.reset(),
            _ => self.leave(),
        }
        self.check();
    }

    /// All sums are those of their parts, and the bound holds.
    fn check(&self) {
        let slots = self.outbox.slots.borrow();
        let queued: usize = slots.iter().map(|slot| slot.queued).sum();
        let heads: usize = self.heads.iter().map(|(_, weight)| weight).sum();
        let pieces: usize = self.pieces.iter().map(|piece| piece.remaining() + FRAME).sum();
        assert_eq!(queued, heads + pieces, "what the library holds");
        assert_eq!(self.outbox.queued.get(), queued);
        assert_eq!(
            self.memory.held(),
            queued,
            "what was read is counted by who read it"
        );
        assert_eq!(self.metrics.http2_unsent.value(), queued as u64);
        let excess = slots
            .iter()
            .map(|slot| slot.total().saturating_sub(self.outbox.floor));
        assert_eq!(self.outbox.taken.get(), excess.sum::<usize>());
        let waiting = slots.iter().filter(|slot| slot.waker.is_some()).count();
        assert_eq!(self.outbox.waiting.get(), waiting);
        let total: usize = slots.iter().map(Slot::total).sum();
        // Heads do not wait for room, and streams that nobody serves any longer still hold what they have.
        let gone = slots
            .iter()
            .filter(|slot| !slot.is_vacant() && !slot.is_served)
            .count();
        let most = self.most + heads + gone * self.outbox.floor;
        assert!(total <= most, "{total} bytes of {most}");
    }

    /// Everything ends, in any order.
    fn end(mut self) {
        while !self.accounts.is_empty() || !self.pieces.is_empty() || !self.heads.is_empty() {
            match (self.random.bool(), self.some_stream()) {
                (true, Some(stream)) => drop(self.accounts.remove(&stream)),
                _ => self.leave(),
            }
            self.check();
        }
        let slots = self.outbox.slots.borrow();
        assert!(slots.iter().all(Slot::is_vacant) && slots.len() <= KEPT);
        drop(slots);
        assert_eq!((self.outbox.taken.get(), self.outbox.waiting.get()), (0, 0));
        assert_eq!((self.memory.held(), self.metrics.http2_unsent.value()), (0, 0));
    }
}

#[test]
fn all_accounts_return_to_nothing_whatever_happens() {
    for seed in 0..80 {
        let most = *[0, 64 * 1024, 512 * 1024, 4 << 20]
            .iter()
            .cycle()
            .nth(seed)
            .unwrap();
        let mut rig = Rig::new(seed as u64, most.max(STREAMS * LEAST));
        for _ in 0..500 {
            rig.step();
        }
        rig.end();
    }
}

/// The connection ends with whatever waits.
#[test]
fn what_waits_at_the_end_of_a_connection_is_given_back() {
    for seed in 0..50 {
        let mut rig = Rig::new(seed, 512 * 1024);
        for _ in 0..200 {
            rig.step();
        }
        let (memory, metrics) = (Rc::clone(&rig.memory), Arc::clone(&rig.metrics));
        drop(rig);
        assert_eq!((memory.held(), metrics.http2_unsent.value()), (0, 0), "{seed}");
    }
}

/// Some streams stand still with all that they may hold. The others go on until they have sent everything, with no other
/// reason to look again than being woken.
#[test]
fn streams_that_stand_still_let_the_others_go_on() {
    for seed in 0..40 {
        let mut rig = Rig::new(seed, 128 * 1024);
        for _ in 0..STREAMS {
            rig.open();
        }
        let streams: Vec<u32> = (1..).step_by(2).take(STREAMS).collect();
        let (still, going) = streams.split_at(rig.random.usize(1..STREAMS));
        let mut kept = Vec::new();
        for _ in 0..5 {
            for stream in still {
                rig.hold(*stream);
                rig.send(*stream);
            }
        }
        kept.append(&mut rig.pieces);
        let mut left: HashMap<u32, usize> = going.iter().map(|stream| (*stream, 300_000)).collect();
        // As many bytes as have been read for it wait in the stream.
        let mut read: HashMap<u32, usize> = HashMap::new();
        for (_, woken) in rig.accounts.values() {
            woken.0.store(1, Ordering::Relaxed);
        }
        while !left.is_empty() {
            let mut is_stuck = true;
            for stream in going {
                let (account, woken) = &rig.accounts[stream];
                let (Some(rest), true) = (left.get_mut(stream), woken.take()) else {
                    continue;
                };
                is_stuck = false;
                let waker = Waker::from(Arc::clone(woken));
                let context = Context::from_waker(&waker);
                let has = read.entry(*stream).or_default();
                loop {
                    if *has == 0 {
                        let Poll::Ready(room) = account.poll_hold(&context, 0) else {
                            break;
                        };
                        *has = room.min(*rest).min(rig.random.usize(1..20_000));
                        account.hold(*has);
                    }
                    let Poll::Ready(room) = account.poll_room(&context, *has) else {
                        break;
                    };
                    rig.pieces.push(account.piece(Bytes::from(vec![0; room])));
                    (*has, *rest) = (*has - room, *rest - room);
                    if *rest == 0 {
                        break;
                    }
                }
                if *rest == 0 {
                    left.remove(stream);
                }
            }
            if !rig.pieces.is_empty() {
                is_stuck = false;
                drop(rig.pieces.swap_remove(rig.random.usize(..rig.pieces.len())));
            }
            assert!(
                !is_stuck,
                "{seed}: nothing wakes {left:?}, {} stand still",
                still.len()
            );
        }
    }
}
