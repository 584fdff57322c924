//! How many spans were sent, and how many were lost.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use proxy::{SpanLoss, SpanQueue};

/// Counts of spans, for a scrape.
#[derive(Debug)]
pub(crate) struct SpanCounts(pub(crate) SpanQueue);

impl Collector for SpanCounts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let family = encoder.encode_descriptor(
            "blastdoor_traces_exported",
            "Spans that the collector has taken",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(self.0.count_exported()).encode(family)?;
        let mut family = encoder.encode_descriptor(
            "blastdoor_traces_dropped",
            "Spans that were lost, by why: too many waited, the collector did not answer, or it rejected them",
            None,
            MetricType::Counter,
        )?;
        for why in SpanLoss::ALL {
            let labels = [("reason", why.label())];
            ConstCounter::new(self.0.count_lost(why)).encode(family.encode_family(&labels)?)?;
        }
        let family = encoder.encode_descriptor(
            "blastdoor_traces_waiting_bytes",
            "Bytes of spans that wait to be sent",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(i64::try_from(self.0.waiting()).unwrap_or(i64::MAX)).encode(family)
    }
}
