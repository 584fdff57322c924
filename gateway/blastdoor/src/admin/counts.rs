//! What the admin port counts of its own connections.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use proxy::Warnings;

/// Why a connection to the admin port gets no answer, or not the one it asked for: a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Refused {
    /// It had sent no request when a newer one needed the place.
    Places,
    /// Too many pages were under way.
    Pages,
    /// It took too long to send its request, or to read the answer.
    Deadline,
}

impl Refused {
    const ALL: [Self; 3] = [Self::Places, Self::Pages, Self::Deadline];

    fn label(self) -> &'static str {
        match self {
            Self::Places => "places",
            Self::Pages => "pages",
            Self::Deadline => "deadline",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Places => {
                "all places are taken: the oldest connection that had sent no request has been closed"
            }
            Self::Pages => "too many pages are being read: another request for one got a 503",
            Self::Deadline => "a connection has taken too long and has been closed",
        }
    }
}

/// The counts, shared with the metrics page.
#[derive(Clone, Default)]
pub(crate) struct AdminCounts(Arc<Counts>);

#[derive(Default)]
struct Counts {
    open: AtomicI64,
    refused: [AtomicU64; Refused::ALL.len()],
    warnings: Warnings,
}

impl AdminCounts {
    pub(super) fn open(&self, change: i64) {
        self.0.open.fetch_add(change, Ordering::Relaxed);
    }

    /// How many are open.
    pub(super) fn opened(&self) -> i64 {
        self.0.open.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self, why: Refused, now: Instant) {
        if let Some(count) = self.0.refused.get(why as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let Some(kept_back) = self.0.warnings.admit(why.label(), now) else {
            return;
        };
        tracing::warn!(
            "admin port: {}{kept_back}; let only probes and scrapers reach it",
            why.words()
        );
    }

    pub(super) fn count(&self, why: Refused) -> u64 {
        let count = self.0.refused.get(why as usize);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for AdminCounts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AdminCounts")
            .field("open", &self.opened())
            .finish_non_exhaustive()
    }
}

impl Collector for AdminCounts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let family = encoder.encode_descriptor(
            "blastdoor_admin_connections",
            "Open connections to the admin port",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(self.opened()).encode(family)?;
        let mut family = encoder.encode_descriptor(
            "blastdoor_admin_connections_refused",
            "Connections to the admin port that got no answer, or none to what they asked, by reason",
            None,
            MetricType::Counter,
        )?;
        for why in Refused::ALL {
            let labels = [("reason", why.label())];
            ConstCounter::new(self.count(why)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
