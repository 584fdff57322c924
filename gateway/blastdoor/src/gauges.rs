//! Metrics of the process as a whole: the state of its configuration.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use control::cluster::Contact;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use proxy::{LabelText, LineQueue};
use route::ListenerName;

use crate::config::DoorConfig;
use crate::panics;
use crate::problems::Counts;
use crate::telemetry::Logs;

/// The state of the configuration, shared between the supervisor and the admin port.
#[derive(Debug, Clone)]
pub(crate) struct Gauges {
    state: Arc<Mutex<State>>,
    logs: Logs,
}

#[derive(Debug, Clone, Default)]
struct State {
    problems: Counts,
    /// Since when the source has been out of reach.
    stale_since: Option<Instant>,
    certificates: Arc<[CertificateExpiry]>,
    /// With an API server as the source: when it last answered.
    contact: Option<Contact>,
    /// The configuration file, or one that it names, cannot be taken over as it is now.
    is_rejected: bool,
    trust_lists: Vec<TrustList>,
}

impl State {
    fn age(&self) -> Duration {
        match (&self.contact, self.stale_since) {
            (Some(contact), _) => contact.age(),
            (None, Some(since)) => since.elapsed(),
            (None, None) => Duration::ZERO,
        }
    }
}

/// A list of trusted networks that says when it was fetched.
#[derive(Debug, Clone)]
struct TrustList {
    listener: ListenerName,
    /// Seconds from 1970.
    fetched: i64,
}

/// When a certificate of a door ends.
#[derive(Debug)]
pub(crate) struct CertificateExpiry {
    pub(crate) listener: ListenerName,
    /// `namespace/name` of its Secret, or `default`.
    pub(crate) secret: String,
    /// Seconds from 1970.
    pub(crate) expires: u64,
}

impl Gauges {
    pub(crate) fn new(logs: Logs) -> Self {
        Self {
            state: Arc::default(),
            logs,
        }
    }

    /// Sets the counts of problems.
    pub(crate) fn problems(&self, counts: Counts) {
        self.lock().problems = counts;
    }

    /// Sets whether the source can be reached.
    pub(crate) fn source(&self, reachable: bool) {
        let mut state = self.lock();
        state.stale_since = match (reachable, state.stale_since) {
            (true, _) => None,
            (false, since) => since.or_else(|| Some(Instant::now())),
        };
    }

    /// With an API server as the source, the age counts from its last answer.
    pub(crate) fn contact(&self, contact: Contact) {
        self.lock().contact = Some(contact);
    }

    /// Sets whether the configuration in use is the one in its files.
    pub(crate) fn rejected(&self, is_rejected: bool) {
        self.lock().is_rejected = is_rejected;
    }

    /// Sets the doors that are configured now.
    pub(crate) fn doors(&self, doors: &[Arc<DoorConfig>]) {
        let lists = doors.iter().filter_map(|door| {
            Some(TrustList {
                listener: door.name.clone(),
                fetched: door.trusted_proxies_fetched?,
            })
        });
        self.lock().trust_lists = lists.collect();
    }

    /// Sets the certificates that are served now.
    pub(crate) fn certificates(&self, certificates: Arc<[CertificateExpiry]>) {
        self.lock().certificates = certificates;
    }

    /// How long ago the source of objects was last in reach.
    pub(crate) fn source_age(&self) -> Duration {
        self.lock().age()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // Whoever sets them must not wait for the page.
        let state = self.lock().clone();
        let mut family = encoder.encode_descriptor(
            "blastdoor_config_problems",
            "Problems of configuration and objects, by severity",
            None,
            MetricType::Gauge,
        )?;
        for (severity, count) in [
            ("error", state.problems.errors),
            ("warning", state.problems.warnings),
            ("note", state.problems.notes),
        ] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(family.encode_family(&[("severity", severity)])?)?;
        }
        let family = encoder.encode_descriptor(
            "blastdoor_config_age_seconds",
            "Time since the source of objects was last in reach",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(state.age().as_secs_f64()).encode(family)?;
        let mut family = encoder.encode_descriptor(
            "blastdoor_certificate_expiry_seconds",
            "End of the validity of each certificate served, as Unix time",
            None,
            MetricType::Gauge,
        )?;
        for certificate in &*state.certificates {
            let expires = i64::try_from(certificate.expires).unwrap_or(i64::MAX);
            let labels = [
                ("listener", LabelText(certificate.listener.as_str())),
                ("secret", LabelText(&certificate.secret)),
            ];
            ConstGauge::new(expires).encode(family.encode_family(&labels)?)?;
        }
        let family = encoder.encode_descriptor(
            "blastdoor_config_last_reload_successful",
            "Whether the configuration in use is that of its files: 0 if they cannot be taken over",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(i64::from(!state.is_rejected)).encode(family)?;
        let mut family = encoder.encode_descriptor(
            "blastdoor_trusted_proxies_fetched_seconds",
            "When the door's trusted_proxies_file was fetched, as Unix time, if it says so",
            None,
            MetricType::Gauge,
        )?;
        for list in &state.trust_lists {
            let labels = [("listener", list.listener.as_str())];
            ConstGauge::new(list.fetched).encode(family.encode_family(&labels)?)?;
        }
        self.encode_lost_lines(&mut encoder)?;
        let family = encoder.encode_descriptor(
            "blastdoor_process_panics",
            "Panics, faults of the program, in any thread",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(panics::count()).encode(family)
    }
}

impl Gauges {
    fn encode_lost_lines(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let family = encoder.encode_descriptor(
            "blastdoor_access_log_dropped",
            "Access-log lines that were lost: those of `blastdoor_log_lines_lost` for standard output",
            None,
            MetricType::Counter,
        )?;
        let requests = self.logs.queues().find(|queue| queue.name() == "stdout");
        ConstCounter::new(requests.map_or(0, LineQueue::lost)).encode(family)?;
        let mut family = encoder.encode_descriptor(
            "blastdoor_log_lines_lost",
            "Lines of the access log (stdout) and of diagnostics (stderr) that were lost: the sink was full, too slow or closed",
            None,
            MetricType::Counter,
        )?;
        for queue in self.logs.queues() {
            let labels = [("stream", queue.name())];
            ConstCounter::new(queue.lost()).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
