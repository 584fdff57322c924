//! The task that keeps answers up to date.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use resource::Resolutions;
use route::{Host, ObjectKey};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::lookup::Lookup;
use super::resolver::Resolver;
use super::table::{MOST_AT_ONCE, NameTable};
use crate::fair::share_out;
use crate::survive::survive;

/// Names of one namespace that come before the other names of other namespaces.
const SHARE: usize = 250;
/// Answers that arrive within this are reported together: each report looks at every Ingress.
const SETTLE: Duration = Duration::from_millis(100);

/// Follows names in DNS, in its own task, which ends with this value.
#[derive(Debug)]
pub struct Names {
    wanted: watch::Sender<Arc<[Host]>>,
    known: watch::Receiver<Resolutions>,
    task: JoinHandle<()>,
}

impl Names {
    /// Follows nothing yet. Needs a `LocalSet`.
    #[must_use]
    pub fn start(resolver: Resolver) -> Self {
        Self::with(resolver)
    }

    pub(super) fn with(lookup: impl Lookup + 'static) -> Self {
        let (wanted, follows) = watch::channel(Arc::from([]));
        let (report, known) = watch::channel(Resolutions::default());
        let lookup = Rc::new(lookup);
        let task = tokio::task::spawn_local(async move {
            survive("the lookup of names", || {
                let mut follows = follows.clone();
                // They are new to whoever begins.
                follows.mark_changed();
                run(Rc::clone(&lookup), follows, report.clone())
            })
            .await;
        });
        Self { wanted, known, task }
    }

    /// Follows these names from now on and forgets all others. Each comes with the Service that has it. If they are too
    /// many, the first ones count, and those beyond a namespace's share count last.
    pub fn follow<'n>(&self, names: impl IntoIterator<Item = (&'n ObjectKey, &'n Host)>) {
        let names = share_out(names.into_iter().collect(), SHARE, |(service, _)| {
            service.namespace()
        });
        let names: Vec<Host> = names.into_iter().map(|(_, name)| name.clone()).collect();
        self.wanted.send_if_modified(|known| {
            let differs = **known != *names;
            if differs {
                *known = names.into();
            }
            differs
        });
    }

    /// What is known of the names that have been answered.
    #[must_use]
    pub fn known(&mut self) -> Resolutions {
        Arc::clone(&self.known.borrow_and_update())
    }

    /// Waits until [`known`](Self::known) has something new. Cancel-safe.
    pub async fn changed(&mut self) {
        if !self.known.has_changed().unwrap_or(false) {
            if self.known.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            self.known.mark_changed();
        }
        sleep(SETTLE).await;
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Resolves the followed names when they are due, until nobody follows any.
async fn run(
    lookup: Rc<impl Lookup>,
    mut wanted: watch::Receiver<Arc<[Host]>>,
    report: watch::Sender<Resolutions>,
) {
    let mut table = NameTable::default();
    let mut under_way = FuturesUnordered::new();
    loop {
        let due = table.due(under_way.len() < MOST_AT_ONCE);
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                table.follow(&wanted.borrow_and_update());
            }
            Some((name, reply)) = under_way.next() => table.take(&name, reply, Instant::now()),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
        let now = Instant::now();
        table.expire(now);
        while under_way.len() < MOST_AT_ONCE
            && let Some(name) = table.next(now)
        {
            let lookup = Rc::clone(&lookup);
            under_way.push(async move {
                let reply = lookup.lookup(name.clone()).await;
                (name, reply)
            });
        }
        if let Some(known) = table.take_changed() {
            report.send_replace(known);
        }
    }
}
