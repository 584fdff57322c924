//! The thread of a worker: it serves one socket, and begins anew after a panic outside of its connections' tasks.

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::listen::accept::{self, Acceptor};
use crate::listen::socket::Bound;
use crate::observe::access::AccessLog;
use crate::upstream::HealthBoard;
use crate::worker::crew::Crew;
use crate::worker::{Phase, Shared};

/// How long a worker pauses before it begins anew: if its socket is the only one of the door, clients wait meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// What a worker needs to serve, and to do so again.
pub(super) struct WorkerThread {
    pub(super) shared: Arc<Shared>,
    pub(super) board: Arc<HealthBoard>,
    pub(super) access: AccessLog,
    pub(super) crew: Arc<Crew>,
    pub(super) bound: Bound,
    pub(super) phase: watch::Receiver<Phase>,
}

impl WorkerThread {
    /// Serves until the listener has closed. A panic that no task of a connection has kept to itself costs this worker's
    /// connections; the door is not ready until it listens again.
    pub(super) fn run(mut self, runtime: &Runtime, spare: OwnedFd) {
        let listener = self.shared.door.name().clone();
        let (mut restarts, mut held) = (0, Some(spare));
        loop {
            let tasks = LocalSet::new();
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                runtime.block_on(async {
                    let lines = self.access.lines(listener.clone());
                    let (shared, board) = (Arc::clone(&self.shared), Arc::clone(&self.board));
                    let spare = held.take().or_else(|| accept::spare().ok());
                    let acceptor = Acceptor::new(shared, board, lines, Arc::clone(&self.crew), spare);
                    acceptor.count_restarts(restarts);
                    let worker = acceptor.worker();
                    let serving = acceptor.run(&mut self.bound, self.phase.clone());
                    worker.turns.drive(tasks.run_until(serving)).await
                })
            }));
            // Not while the panic unwinds: none of these has panicked itself.
            drop(tasks);
            match outcome {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    tracing::error!(%listener, %error, "a worker cannot serve; the door is not ready");
                    return;
                }
                Err(_logged) if *self.phase.borrow() >= Phase::Closing => {
                    self.shared.cut.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Err(_logged) => {
                    let warnings = &self.shared.warnings;
                    if let Some(kept_back) = warnings.admit("a worker has panicked", Instant::now()) {
                        tracing::error!(
                            %listener,
                            "a worker has panicked and begins anew; its connections have ended{kept_back}"
                        );
                    }
                    restarts = 1;
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }
}
