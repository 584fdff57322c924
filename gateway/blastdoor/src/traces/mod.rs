//! Sends spans to a collector (OTLP), on a thread of its own: workers put them into a queue with a bound and never wait.
//!
//! What the collector does not take is tried again for as long as it is worth it, and lost then; meanwhile the queue fills,
//! and what finds no room is lost too. Both are counted.

mod connection;
mod metrics;
mod tls;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use control::caught;
use hyper::http::{HeaderName, HeaderValue};
use proxy::{SpanBatch, SpanLoss, SpanQueue, Warnings};
use text::Shown;
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time::timeout;
use trace::export::Resource;

use self::connection::{Connection, Unsent};
pub(crate) use self::metrics::SpanCounts;
use crate::config::{Collector, headers_of};

/// How long spans are gathered before they are sent.
const GATHER: Duration = Duration::from_millis(500);

/// How long spans are worth another try.
const WORTH: Duration = Duration::from_secs(60);

/// The pauses between tries grow from the first to the last.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];

/// How long the thread rests after a panic.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// How long the last spans may take when the process ends.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// The thread that sends.
pub(crate) struct Exporter {
    ends: Arc<Notify>,
    ended: Receiver<()>,
    queue: SpanQueue,
    in_hand: Arc<AtomicU64>,
}

/// What identifies the process to a collector, beside what the configuration says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    /// The pod.
    pub(crate) pod: Option<String>,
    /// Its namespace.
    pub(crate) namespace: Option<String>,
    /// The host and the process, where there is no pod.
    pub(crate) instance: String,
}

impl Exporter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be started, or an authority cannot be read.
    pub(crate) fn start(collector: Collector, queue: SpanQueue, identity: &Identity) -> io::Result<Self> {
        let tls = collector
            .endpoint
            .tls
            .then(|| tls::client(&collector))
            .transpose()?;
        let resource = resource(&collector, identity);
        let ends = Arc::new(Notify::new());
        let (tell, ended): (SyncSender<()>, _) = sync_channel(1);
        let told = Arc::clone(&ends);
        let in_hand = Arc::new(AtomicU64::new(0));
        let (taken, waiting) = (Arc::clone(&in_hand), queue.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        std::thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || {
                let mut sender = Sender {
                    connection: Connection::new(collector.clone(), tls),
                    collector,
                    queue,
                    resource,
                    warnings: Warnings::default(),
                    in_hand: taken,
                };
                LocalSet::new().block_on(&runtime, async {
                    // A panic, which has been logged, costs the spans in hand.
                    while Box::pin(caught(sender.run(&told))).await.is_err() {
                        sender.recover();
                        tokio::time::sleep(AFTER_PANIC).await;
                    }
                });
                let _nobody = tell.send(());
            })?;
        Ok(Self {
            ends,
            ended,
            queue: waiting,
            in_hand,
        })
    }

    /// Sends what is left, but does not wait for it for long; not at all if the process ends `at_once`.
    pub(crate) fn finish(&self, at_once: bool) {
        self.ends.notify_one();
        let patience = if at_once { Duration::ZERO } else { LAST_SPANS };
        if self.ended.recv_timeout(patience).is_ok() {
            return;
        }
        let lost = self.queue.clear() + self.in_hand.load(Ordering::Relaxed);
        self.queue.lost(SpanLoss::Collector, lost);
        if lost > 0 {
            tracing::warn!(spans = lost, "traces are lost: the process ends");
        }
    }
}

/// Who sends: what the configuration says wins.
fn resource(collector: &Collector, identity: &Identity) -> Resource {
    let instance = identity.pod.as_deref().unwrap_or(&identity.instance);
    let own = [
        ("service.name", Some("blastdoor")),
        ("service.version", Some(env!("CARGO_PKG_VERSION"))),
        ("service.instance.id", Some(instance)),
        ("k8s.pod.name", identity.pod.as_deref()),
        ("k8s.namespace.name", identity.namespace.as_deref()),
        ("telemetry.sdk.name", Some("blastdoor")),
        ("telemetry.sdk.language", Some("rust")),
    ];
    let is_written = |key: &str| collector.resource.iter().any(|(written, _)| **written == *key);
    let own = own.into_iter().filter(|(key, _)| !is_written(key));
    let own = own.filter_map(|(key, value)| Some((key, value?)));
    let written = collector.resource.iter();
    Resource::new(own.chain(written.map(|(key, value)| (&**key, &**value))))
}

/// What the thread does.
struct Sender {
    connection: Connection,
    collector: Collector,
    queue: SpanQueue,
    resource: Resource,
    warnings: Warnings,
    /// Spans that were taken from the queue, and of which nothing is known yet.
    in_hand: Arc<AtomicU64>,
}

impl Sender {
    /// After a panic: begins anew.
    fn recover(&mut self) {
        self.connection.close();
        let lost = self.in_hand.swap(0, Ordering::Relaxed);
        self.queue.lost(SpanLoss::Collector, lost);
    }

    /// Runs until `ends` is told, and sends what there is then.
    async fn run(&mut self, ends: &Notify) {
        loop {
            let gathered = async {
                self.queue.filled().await;
                tokio::select! {
                    () = tokio::time::sleep(GATHER) => {}
                    () = self.queue.enough() => {}
                }
            };
            let is_last = tokio::select! {
                biased;
                () = ends.notified() => true,
                () = gathered => false,
            };
            if is_last {
                break;
            }
            let batch = self.queue.take(SpanQueue::BATCH);
            self.in_hand.store(batch.count, Ordering::Relaxed);
            let last = self.deliver(&batch, ends).await;
            self.in_hand.store(0, Ordering::Relaxed);
            if last {
                break;
            }
        }
        loop {
            let batch = self.queue.take(SpanQueue::BATCH);
            if batch.count == 0 {
                return;
            }
            self.in_hand.store(batch.count, Ordering::Relaxed);
            self.try_once(&batch).await;
            self.in_hand.store(0, Ordering::Relaxed);
        }
    }

    /// Tries once, and gives up then.
    async fn try_once(&mut self, batch: &SpanBatch) {
        if let Err(unsent) = self.attempt(batch).await {
            self.give_up(batch, &unsent);
        }
    }

    /// Sends these spans, however long it is worth it. Returns whether the process ends.
    async fn deliver(&mut self, batch: &SpanBatch, ends: &Notify) -> bool {
        let until = Instant::now() + WORTH;
        let [mut pause, longest] = PAUSES;
        loop {
            let unsent = match self.attempt(batch).await {
                Ok(()) => return false,
                Err(unsent) => unsent,
            };
            pause = pause.max(unsent.after);
            if unsent.is_final || Instant::now() + pause > until {
                self.give_up(batch, &unsent);
                return false;
            }
            self.warn("traces cannot be sent, and are kept for a while", &unsent);
            tokio::select! {
                () = ends.notified() => {
                    self.try_once(batch).await;
                    return true;
                }
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(longest);
        }
    }

    /// Tries once.
    async fn attempt(&mut self, batch: &SpanBatch) -> Result<(), Unsent> {
        let headers = self.headers()?;
        let request = self.resource.request(env!("CARGO_PKG_VERSION"), &batch.bytes);
        let sent = timeout(self.collector.timeout, self.connection.send(request, &headers)).await;
        let accepted = match sent {
            Ok(Ok(accepted)) => accepted,
            Ok(Err(unsent)) => {
                self.connection.close();
                return Err(unsent);
            }
            Err(_elapsed) => {
                self.connection.close();
                return Err(Unsent::later(format!(
                    "no answer within {:?}",
                    self.collector.timeout
                )));
            }
        };
        let rejected = accepted.rejected.min(batch.count);
        self.queue.exported(batch.count - rejected);
        self.queue.lost(SpanLoss::Rejected, rejected);
        if rejected > 0 {
            let why = Unsent::never(format!("{rejected} spans rejected: {}", accepted.message));
            self.warn("the collector rejects traces", &why);
        }
        Ok(())
    }

    /// Those of the configuration, and those of the file, which is read each time: a token may be renewed.
    fn headers(&self) -> Result<Vec<(HeaderName, HeaderValue)>, Unsent> {
        let mut headers = self.collector.headers.0.clone();
        if let Some(path) = &self.collector.headers_file {
            let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
            let read = text.and_then(|text| headers_of(&text));
            let read = read.map_err(|error| Unsent::later(format!("{}: {error}", path.display())))?;
            // What stands in both is the file's: it is the one that may be renewed.
            headers.retain(|(name, _)| read.0.iter().all(|(other, _)| other != name));
            headers.extend(read.0);
        }
        Ok(headers)
    }

    fn give_up(&self, batch: &SpanBatch, unsent: &Unsent) {
        let why = if unsent.is_final {
            SpanLoss::Rejected
        } else {
            SpanLoss::Collector
        };
        self.queue.lost(why, batch.count);
        self.warn("traces are lost", unsent);
    }

    fn warn(&self, what: &str, unsent: &Unsent) {
        if let Some(kept_back) = self.warnings.admit(what, Instant::now()) {
            let reason: String = unsent.reason.chars().take(300).collect();
            let (collector, reason) = (&*self.collector.endpoint.authority, Shown(reason));
            tracing::warn!(collector, "{what}: {reason}{kept_back}");
        }
    }
}
