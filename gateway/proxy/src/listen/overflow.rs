//! Connections beyond a door's budget: each gets a 503, and the worker waits for a few of them to read it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::descriptors::Refusing;
use crate::observe::labels::Reason;
use crate::request::reply::Reply;
use crate::stream::socket::reset_when_closed;
use crate::worker::Worker;

/// How many connections per worker may be reading the answer at once. More would cost what the budget is there to save.
const AT_ONCE: usize = 64;

/// How long one may take, and how many bytes it may send meanwhile.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 * 1024;

/// Refuses connections, and counts how many of a worker are being refused.
#[derive(Clone)]
pub(crate) struct Overflow {
    taken: Rc<Cell<usize>>,
    /// The same for all of them.
    answer: Rc<[u8]>,
}

/// One of them, for as long as it lasts.
struct Slot {
    taken: Rc<Cell<usize>>,
    _refusing: Refusing,
}

impl Default for Overflow {
    fn default() -> Self {
        let mut answer = Vec::new();
        Reply::NoRoom.write_unasked(&mut answer);
        Self {
            taken: Rc::default(),
            answer: answer.into(),
        }
    }
}

impl Overflow {
    fn enter(&self, worker: &Worker) -> Option<Slot> {
        let taken = self.taken.get();
        if taken >= AT_ONCE {
            return None;
        }
        let refusing = worker.door_metrics.descriptors.refuse()?;
        self.taken.set(taken + 1);
        Some(Slot {
            taken: Rc::clone(&self.taken),
            _refusing: refusing,
        })
    }

    /// Refuses a connection for which the door has no room. If the door speaks TLS, there is no answer that the client would
    /// understand.
    pub(crate) fn turn_away(&self, worker: &Worker, mut stream: TcpStream, ends_tls: bool, why: Reason) {
        worker.metrics.refused(why);
        if ends_tls {
            return;
        }
        let Some(slot) = self.enter(worker) else {
            self.answer_at_once(&stream);
            return;
        };
        let answer = Rc::clone(&self.answer);
        tokio::task::spawn_local(async move {
            let _slot = slot;
            let told = async {
                stream.write_all(&answer).await?;
                stream.shutdown().await?;
                let mut bytes = vec![0; 4 * 1024];
                let mut left = LINGER_BYTES;
                while left > 0 {
                    match stream.read(&mut bytes).await? {
                        0 => break,
                        count => left = left.saturating_sub(count),
                    }
                }
                Ok::<(), std::io::Error>(())
            };
            // A client that does not read it in time does not get it.
            if tokio::time::timeout(LINGER, told).await.is_err() {
                reset_when_closed(&stream);
            }
        });
    }
}

impl Overflow {
    /// Refuses a connection that must be closed at once.
    pub(crate) fn turn_away_at_once(&self, worker: &Worker, stream: &TcpStream, ends_tls: bool) {
        worker.metrics.refused(Reason::ConnectionLimit);
        if !ends_tls {
            self.answer_at_once(stream);
        }
    }

    /// If the client has already sent something, a reset follows, which may overtake the answer.
    fn answer_at_once(&self, stream: &TcpStream) {
        let _best_effort = stream.try_write(&self.answer);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.taken.set(self.taken.get().saturating_sub(1));
    }
}
