//! Pages that take long to make, on a thread of their own: meanwhile probes are answered.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use hyper::StatusCode;
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;

use super::answer::{Answer, Page};
use super::board::Board;

/// Where pages are ordered.
pub(super) struct Pages(SyncSender<Order>);

struct Order {
    page: Page,
    answer: oneshot::Sender<Answer>,
}

impl Pages {
    /// Starts the thread. `most` pages may be ordered at once.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(board: Board, registry: Arc<Registry>, most: usize) -> io::Result<Self> {
        let (orders, queue) = sync_channel(most);
        let thread = std::thread::Builder::new().name("admin-pages".to_owned());
        thread.spawn(move || make(&queue, &board, &registry))?;
        Ok(Self(orders))
    }

    /// Has a page made.
    pub(super) async fn order(&self, page: Page) -> Answer {
        let (answer, made) = oneshot::channel();
        if self.0.try_send(Order { page, answer }).is_err() {
            return Answer::busy();
        }
        made.await.unwrap_or_else(|_lost| Answer::busy())
    }
}

fn make(orders: &Receiver<Order>, board: &Board, registry: &Registry) {
    while let Ok(Order { page, answer }) = orders.recv() {
        if answer.is_closed() {
            continue;
        }
        // A page that cannot be made must not end the thread that makes the others.
        let made = catch_unwind(AssertUnwindSafe(|| page.make(board, registry)));
        let made = made.unwrap_or_else(|_panic| {
            Answer::text(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made\n")
        });
        // Whoever ordered it may have gone.
        let _gone = answer.send(made);
    }
}
