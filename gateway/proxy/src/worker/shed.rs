//! What a worker gives up while memory is short, so that the kernel does not have to kill the process.
//!
//! Nothing here runs for a request: the ticker calls it, ten times a second and at once when a stage begins.

use std::pin::pin;
use std::time::{Duration, Instant};

use crate::memory::Stage;
use crate::observe::labels::{Held, Shortage};
use crate::worker::Worker;
use crate::worker::memory::{BACKEND, CONNECTION};

/// How long something must have been silent before it is given up.
struct Silence {
    /// A connection without a request.
    idle: Duration,
    /// A reader, while something waits for it.
    reader: Duration,
    /// Both sides of a tunnel.
    tunnel: Duration,
}

impl Silence {
    /// The tighter it gets, the sooner. `None`: nothing is given up yet.
    fn at(stage: Stage) -> Option<Self> {
        let millis = |idle, reader, tunnel| Self {
            idle: Duration::from_millis(idle),
            reader: Duration::from_millis(reader),
            tunnel: Duration::from_millis(tunnel),
        };
        match stage {
            Stage::Calm | Stage::Lean => None,
            Stage::Idle => Some(millis(1_000, 5_000, 60_000)),
            Stage::Stalled => Some(millis(1_000, 1_000, 10_000)),
            Stage::Refuse | Stage::Full => Some(millis(250, 0, 1_000)),
        }
    }
}

/// How long an idle connection has been silent that gives way to one that waits.
const CROWDED: Duration = Duration::from_millis(250);

/// The part of all idle connections, or of all tunnels, that is given up at once. What that frees is known only at the next
/// tick.
const PART: usize = 8;

/// The fewest that are closed at once.
const FEWEST: usize = 16;

impl Worker {
    /// Waits for `period`, and sheds as soon as a stage begins meanwhile.
    pub(crate) async fn shed_for(&self, period: Duration) {
        let mut sleep = pin!(tokio::time::sleep(period));
        loop {
            tokio::select! {
                () = &mut sleep => return,
                () = self.memory.alarm() => self.shed(),
            }
        }
    }

    /// Settles what the worker holds with its door, and sheds as far as the door's stage asks for.
    pub(crate) fn shed(&self) {
        self.memory.settle();
        let stage = self.memory.stage();
        if self.memory.turn_to(stage) {
            self.report(stage);
        }
        let given_up = self.give_up(stage);
        self.memory.looked(stage, given_up);
    }

    /// Gives up what the stage asks for. Returns how many connections and exchanges.
    fn give_up(&self, stage: Stage) -> usize {
        if stage == Stage::Calm {
            return 0;
        }
        self.buffers.trim();
        self.memory.trim();
        self.pipes.trim();
        let Some(silence) = Silence::at(stage) else {
            return 0;
        };
        // Down to where nothing needs to be given up, so that it does not begin again with the next buffer.
        let excess = self.memory.excess(Stage::Idle);
        let (idle, part) = if self.memory.take_crowded() {
            (CROWDED, PART / 2)
        } else {
            (silence.idle, PART)
        };
        let long_idle = self.deadlines.long_idle(idle, part, FEWEST);
        // What those hold that are ending already is as good as free.
        let average = (self.memory.held() / self.open_connections().max(1)).max(CONNECTION);
        let needed = excess
            .div_ceil(average)
            .saturating_sub(self.deadlines.asked_to_end());
        let closed = self.close_idle(needed.min(long_idle), Shortage::Memory);
        // Connections that are kept for requests to come: too little to be counted as given up.
        let kept = excess.div_ceil(BACKEND).min(FEWEST);
        let _closed = (0..kept).take_while(|_| self.backend_room.free_one()).count();
        let cut = self.deadlines.cut_stalled(silence.reader, excess);
        self.metrics.cut(Held::ForReader, cut);
        if cut > 0 {
            return closed + cut;
        }
        let some = (self.upgraded.get() / PART).max(FEWEST);
        let cut = self.deadlines.cut_silent(silence.tunnel, excess, some);
        self.metrics.cut(Held::ByTunnel, cut);
        closed + cut
    }

    fn report(&self, stage: Stage) {
        let door = self.memory.door();
        let (held, share) = (door.used() / 1024, door.share() / 1024);
        let now = Instant::now();
        let listener = self.door.name();
        let (what, reason) = match stage {
            Stage::Calm => ("there is enough memory again", "memory: calm"),
            Stage::Lean => ("memory is short: copying in small pieces", "memory: lean"),
            Stage::Idle => ("memory is short: closing idle connections", "memory: idle"),
            Stage::Stalled => (
                "memory is short: cutting what is held for clients that do not read",
                "memory: stalled",
            ),
            Stage::Refuse => (
                "memory is short: refusing new connections; raise the memory limit, or `process.memory`, if the traffic is \
                 wanted",
                "memory: refuse",
            ),
            Stage::Full => (
                "memory is short: refusing new connections and requests; raise the memory limit, or `process.memory`, if \
                 the traffic is wanted",
                "memory: full",
            ),
        };
        let Some(kept_back) = self.shared.warnings.admit(reason, now) else {
            return;
        };
        if stage >= Stage::Idle {
            tracing::warn!(%listener, held_kib = held, share_kib = share, "{what}{kept_back}");
        } else {
            tracing::info!(%listener, held_kib = held, share_kib = share, "{what}{kept_back}");
        }
    }
}
