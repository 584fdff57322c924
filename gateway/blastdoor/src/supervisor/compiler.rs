//! The thread that compiles. However long a compilation takes, the supervisor goes on: signals, files, the Lease, and news
//! of the source, of which the newest is compiled next.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use control::Writes;
use door::{DoorTls, Ledger, Publisher};
use proxy::{Settings, Verdicts};
use resource::{ClusterView, ProblemLists};
use route::ListenerName;
use tokio::sync::mpsc as queue;

use crate::compilation::Input;
use crate::config::DoorConfig;
use crate::gauges::CertificateExpiry;
use crate::journal::{Journal, Publication};
use crate::panics;

/// The publisher of a door. Only the compiling thread locks it, so that nobody waits for a compilation.
pub(super) type SharedPublisher = Arc<Mutex<Publisher<Settings>>>;

/// One publication.
pub(super) struct Job {
    pub(super) input: Input,
    pub(super) doors: Vec<JobDoor>,
    /// Time has changed what no object says: everything is compiled.
    pub(super) everything: bool,
    /// Who wrote what has changed since the job before.
    pub(super) writes: Writes,
    /// The file of the configuration, if this is the first job with it.
    pub(super) configuration: Option<String>,
}

/// A door of a publication.
pub(super) struct JobDoor {
    pub(super) publisher: SharedPublisher,
    /// Another configuration than at the publication before. It goes live with the routes, in one swap.
    pub(super) config: Option<Arc<DoorConfig>>,
    /// What its listener has learned of endpoints; `None` if nothing listens.
    pub(super) verdicts: Option<Verdicts>,
    /// Whether its certificates are shown.
    pub(super) is_shown: bool,
}

/// How a publication ended.
pub(super) enum Outcome {
    /// It is live.
    Live(Published),
    /// It panicked, with these words. Every door serves what it served before, unless the panic came between two swaps.
    Panicked(String),
}

/// What a publication did.
#[derive(Default)]
pub(super) struct Published {
    pub(super) problems: Vec<ProblemLists>,
    /// The certificates that are served now, if they are others than before.
    pub(super) certificates: Option<Arc<[CertificateExpiry]>>,
}

/// The compiling thread, as the supervisor sees it.
pub(super) struct Compiler {
    jobs: mpsc::SyncSender<Job>,
    outcomes: queue::Receiver<Outcome>,
    is_busy: bool,
}

impl Compiler {
    /// Starts the thread, which ends with this value.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(journal: Journal) -> io::Result<Self> {
        let mut state = State::new(journal);
        Self::with(move |job| state.publish(job))
    }

    fn with(mut work: impl FnMut(Job) -> Published + Send + 'static) -> io::Result<Self> {
        // There is one job at a time.
        let (jobs, waiting) = mpsc::sync_channel(1);
        let (done, outcomes) = queue::channel(1);
        let thread = std::thread::Builder::new().name("compiler".to_owned());
        thread.spawn(move || {
            for job in waiting {
                // What a panic leaves behind: an empty ledger, and publishers with policies and memories that the next
                // publication starts from as from any others.
                let outcome = match catch_unwind(AssertUnwindSafe(|| work(job))) {
                    Ok(published) => Outcome::Live(published),
                    Err(panic) => Outcome::Panicked(words(&*panic)),
                };
                if done.blocking_send(outcome).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            jobs,
            outcomes,
            is_busy: false,
        })
    }

    /// Whether it compiles. Then it must not get another job: the newest one is made when it is done.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    pub(super) fn begin(&mut self, job: Job) {
        self.is_busy = self.jobs.try_send(job).is_ok();
    }

    /// Waits for the job to be done, for ever if there is none. Cancel-safe.
    pub(super) async fn done(&mut self) -> Outcome {
        match self.outcomes.recv().await {
            Some(outcome) => {
                self.is_busy = false;
                outcome
            }
            None => std::future::pending().await,
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    panics::words(panic).to_owned()
}

/// What is kept from one job to the next.
struct State {
    ledger: Ledger,
    journal: Journal,
    /// What the last publication was compiled from.
    view: Option<ClusterView>,
    writes: Writes,
    configuration: Option<String>,
    /// The certificates that are shown.
    shown: Vec<(ListenerName, Option<Arc<DoorTls>>)>,
}

impl State {
    fn new(journal: Journal) -> Self {
        Self {
            ledger: Ledger::default(),
            journal,
            view: None,
            writes: Writes::default(),
            configuration: None,
            shown: Vec::new(),
        }
    }

    fn publish(&mut self, mut job: Job) -> Published {
        self.writes.append(std::mem::take(&mut job.writes));
        if let Some(configuration) = job.configuration.take() {
            self.configuration = Some(configuration);
        }
        let published = self.compile(&job);
        // It is live, whatever becomes of its record; the panic has been logged.
        let _recorded = catch_unwind(AssertUnwindSafe(|| self.record(&job)));
        published
    }

    /// Writes into the journal what the publication has changed.
    fn record(&mut self, job: &Job) {
        let doors = job.doors.iter().filter(|door| door.is_shown);
        let doors = doors.map(|door| lock(&door.publisher).name().clone());
        self.journal.note(Publication {
            changes: &self.ledger.take_changes(),
            doors: doors.collect(),
            view: &job.input.view,
            before: self.view.as_ref(),
            writes: &mut self.writes,
            configuration: self.configuration.take().as_deref(),
        });
        if self.view.replace(job.input.view.clone()).is_none() {
            // Who wrote what was there before this process is no news either.
            self.writes = Writes::default();
        }
    }

    fn compile(&mut self, job: &Job) -> Published {
        if job.everything {
            self.ledger.forget();
            // Whoever was to show them may have panicked.
            self.shown.clear();
        }
        let mut publishers: Vec<MutexGuard<'_, Publisher<Settings>>> =
            job.doors.iter().map(|door| lock(&door.publisher)).collect();
        for (door, publisher) in job.doors.iter().zip(&mut publishers) {
            if let Some(config) = &door.config {
                publisher.reconfigure(config.policy.clone(), config.settings.clone());
            }
        }
        let before: Vec<u64> = publishers.iter().map(|door| door.publication()).collect();
        let doors = publishers.iter_mut().map(|door| &mut **door);
        let problems = job.input.publish(doors, &mut self.ledger);
        for ((door, publisher), before) in job.doors.iter().zip(&publishers).zip(before) {
            // Here, because nobody waits for this thread: a tenant may have thousands of endpoints that are not well.
            if let Some(verdicts) = door
                .verdicts
                .as_ref()
                .filter(|_| publisher.publication() != before)
            {
                verdicts.forget_the_gone();
            }
        }
        let shown = job
            .doors
            .iter()
            .zip(&publishers)
            .filter(|(door, _)| door.is_shown);
        let certificates = self.certificates(shown.map(|(_, publisher)| &**publisher));
        Published {
            problems,
            certificates,
        }
    }

    /// The certificates of these doors, if they are not those that are shown.
    fn certificates<'p>(
        &mut self,
        doors: impl Iterator<Item = &'p Publisher<Settings>>,
    ) -> Option<Arc<[CertificateExpiry]>> {
        let now: Vec<_> = doors
            .map(|door| (door.name().clone(), door.tls().cloned()))
            .collect();
        let is_same = |(left, right): (&(_, Option<_>), &(_, Option<_>))| {
            left.0 == right.0 && left.1.as_ref().map(Arc::as_ptr) == right.1.as_ref().map(Arc::as_ptr)
        };
        if now.len() == self.shown.len() && now.iter().zip(&self.shown).all(is_same) {
            return None;
        }
        let served = now.iter().filter_map(|(name, tls)| Some((name, tls.as_ref()?)));
        let expiries = served.flat_map(|(name, tls)| {
            let certificates = tls.certificates().into_iter();
            certificates.map(|certificate| CertificateExpiry {
                listener: name.clone(),
                secret: certificate.secret,
                expires: certificate.expires,
            })
        });
        let expiries = expiries.collect();
        self.shown = now;
        Some(expiries)
    }
}

/// A panic while it was held is no reason to give a door up.
fn lock(publisher: &Mutex<Publisher<Settings>>) -> MutexGuard<'_, Publisher<Settings>> {
    publisher.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "compiler/tests.rs"]
mod tests;
