//! Pages that take long to make, on a thread of their own: meanwhile probes are answered.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::oneshot;

use super::answer::Answer;
use super::context::{Context, Inquiry};
use super::page::{Audience, Page};

/// Where pages are ordered.
pub(super) struct Pages(SyncSender<Order>);

struct Order {
    page: &'static Page,
    inquiry: Inquiry,
    answer: oneshot::Sender<Answer>,
}

impl Pages {
    /// Starts the thread. `most` pages may be ordered at once.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(context: Context, most: usize) -> io::Result<Self> {
        let (orders, queue) = sync_channel(most);
        let thread = std::thread::Builder::new().name("admin-pages".to_owned());
        thread.spawn(move || make(&queue, &context))?;
        Ok(Self(orders))
    }

    /// Has a page made.
    pub(super) async fn order(&self, page: &'static Page, inquiry: Inquiry) -> Answer {
        let (answer, made) = oneshot::channel();
        let order = Order {
            page,
            inquiry,
            answer,
        };
        if self.0.try_send(order).is_err() {
            return Self::busy(page);
        }
        made.await.unwrap_or_else(|_lost| Self::busy(page))
    }

    /// Too much is asked for at once.
    pub(super) fn busy(page: &Page) -> Answer {
        said(page, Answer::busy())
    }
}

fn said(page: &Page, answer: Answer) -> Answer {
    match page.audience {
        Audience::Programs => answer,
        Audience::People => answer.of_api(),
    }
}

fn make(orders: &Receiver<Order>, context: &Context) {
    while let Ok(Order {
        page,
        inquiry,
        answer,
    }) = orders.recv()
    {
        if answer.is_closed() {
            continue;
        }
        // A page that cannot be made must not end the thread that makes the others.
        let made = catch_unwind(AssertUnwindSafe(|| page.make(context, &inquiry)));
        let made = made.unwrap_or_else(|_panic| said(page, Answer::failed()));
        // Whoever ordered it may have gone.
        let _gone = answer.send(made);
    }
}
