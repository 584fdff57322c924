//! What a worker gives up while memory is short, so that the kernel does not have to kill the process.
//!
//! Nothing here runs for a request: the ticker calls it, ten times a second and at once when a stage begins.

use std::pin::pin;
use std::time::{Duration, Instant};

use crate::memory::Stage;
use crate::observe::labels::{Held, Shortage};
use crate::worker::Worker;
use crate::worker::memory::IDLE;

/// How long a reader must have read nothing before it is cut for what is held for it.
const STALLED: Duration = Duration::from_secs(1);

/// How long a tunnel must have been silent before it is cut for what it holds.
const SILENT: Duration = Duration::from_secs(10);

/// The part of what could be closed that is closed at once. What that frees is known only at the next tick.
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
        if stage == Stage::Calm {
            return;
        }
        self.buffers.trim();
        self.pipes.trim();
        if stage >= Stage::Stalled {
            self.cut(self.memory.excess(Stage::Stalled));
        }
        if stage >= Stage::Idle {
            let enough = self.memory.excess(Stage::Idle).div_ceil(IDLE);
            let some = (self.deadlines.idle() / PART).max(FEWEST);
            self.close_idle(enough.min(some), Shortage::Memory);
        }
    }

    /// Ends exchanges that hold `bytes` together: those whose readers have stalled, or else tunnels in which nothing has
    /// moved for long.
    fn cut(&self, bytes: usize) {
        let mut cut = self.deadlines.cut_stalled(STALLED, bytes);
        self.metrics.cut(Held::ForReader, cut);
        if cut == 0 {
            cut = self
                .deadlines
                .cut_silent(SILENT, bytes, FEWEST.max(self.upgraded.get() / PART));
            self.metrics.cut(Held::ByTunnel, cut);
        }
        if cut == 0 {
            // Nobody has stalled for long. Whoever has no room now is next.
            let cut = self.deadlines.cut_stalled(Duration::ZERO, bytes);
            self.metrics.cut(Held::ForReader, cut);
        }
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
                "memory is short: refusing new connections and requests; raise the memory limit, or `process.memory`, if \
                 the traffic is wanted",
                "memory: refuse",
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
