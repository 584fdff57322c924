//! Servers that keep the limits of all replicas: one thread of the door speaks to them, and workers wait for it without
//! being held up.
//!
//! A request waits for [`PATIENCE`] at most. Whatever keeps the server from answering by then, the request is counted at
//! this replica instead: a limit that is somewhat off is better than one that is not kept, or than a route that fails.

mod link;
mod taking;
#[cfg(test)]
mod tests;
mod vetted;

use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use filter::rate::Wait;
use filter::store::Store;
use route::ListenerName;
use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;
use tokio::time::timeout_at;

use link::{Link, Links};
pub(crate) use taking::{Silent, Taking, Takings};

/// How long a request waits for a server.
const PATIENCE: Duration = Duration::from_millis(50);

/// Requests of a door that wait for servers; more are counted here.
const MOST_WAITING: usize = 4096;

/// The servers of a door.
pub(crate) struct Stores {
    listener: ListenerName,
    /// Where the thread listens, once there is one.
    asks: OnceLock<Option<mpsc::Sender<Ask>>>,
}

/// A worker's request to the thread.
struct Ask {
    store: Arc<Store>,
    takings: Takings,
    until: Instant,
    answer: oneshot::Sender<Result<Result<(), Wait>, Silent>>,
}

impl Stores {
    pub(crate) fn new(listener: ListenerName) -> Self {
        Self {
            listener,
            asks: OnceLock::new(),
        }
    }

    /// Takes the tokens at `store`, if it answers in time.
    pub(crate) async fn take(
        &self,
        store: &Arc<Store>,
        takings: Takings,
    ) -> Result<Result<(), Wait>, Silent> {
        let asks = self.asks.get_or_init(|| start(&self.listener));
        let (answer, answered) = oneshot::channel();
        let until = Instant::now() + PATIENCE.min(store.answer);
        let ask = Ask {
            store: Arc::clone(store),
            takings,
            until,
            answer,
        };
        asks.as_ref()
            .and_then(|asks| asks.try_send(ask).ok())
            .ok_or(Silent)?;
        // The thread keeps the time as well, but it may be held up.
        let answered = timeout_at(until.into(), answered).await;
        answered.map_or(Err(Silent), |answer| answer.unwrap_or(Err(Silent)))
    }
}

/// Starts the thread. It ends with the door: when nobody can ask it any more.
fn start(listener: &ListenerName) -> Option<mpsc::Sender<Ask>> {
    let (asks, asked) = mpsc::channel(MOST_WAITING);
    let name = format!("{listener}-store");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let error = match runtime {
        Ok(runtime) => {
            let serving = listener.clone();
            let serve = move || runtime.block_on(LocalSet::new().run_until(answer_all(asked, serving)));
            match std::thread::Builder::new().name(name).spawn(serve) {
                Ok(_detached) => return Some(asks),
                Err(error) => error,
            }
        }
        Err(error) => error,
    };
    tracing::error!(%listener, %error, "no thread for the servers of limits; each replica counts for itself");
    None
}

async fn answer_all(mut asked: mpsc::Receiver<Ask>, listener: ListenerName) {
    let mut links = Links::new(listener);
    while let Some(ask) = asked.recv().await {
        let link = links.of(&ask.store);
        tokio::task::spawn_local(answer(link, ask));
    }
}

async fn answer(link: Rc<Link>, ask: Ask) {
    let answer = link.take(&ask.takings, ask.until.into()).await;
    // The client may be gone.
    let _ = ask.answer.send(answer);
}
