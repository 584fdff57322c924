//! Exemplars of OpenMetrics: in the buckets of the durations, the last request of each that was recorded. The text format of
//! Prometheus has none.

use std::fmt::Write;
use std::sync::PoisonError;
use std::time::{Duration, UNIX_EPOCH};

use crate::observe::metrics::{BUCKETS, Exemplar, Metrics};

/// How the lines of the buckets begin.
const BUCKET: &str = "blastdoor_request_duration_seconds_bucket{";

impl Metrics {
    /// Adds exemplars to a page in the format of OpenMetrics.
    #[must_use]
    pub fn with_exemplars(&self, page: String) -> String {
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let doors = doors
            .iter()
            .map(|door| (door.listener.as_str(), door.exemplars()));
        let doors: Vec<_> = doors
            .filter(|(_, exemplars)| exemplars.iter().any(Option::is_some))
            .collect();
        if doors.is_empty() {
            return page;
        }
        let mut out = String::with_capacity(page.len() + 4096);
        for line in page.split_inclusive('\n') {
            let text = line.trim_end_matches('\n');
            out.push_str(text);
            let labels = text.strip_prefix(BUCKET).filter(|_| !text.contains(" # "));
            let exemplar = labels.and_then(|labels| {
                let listener = label(labels, "listener")?;
                let (_, exemplars) = doors.iter().find(|(door, _)| *door == listener)?;
                *exemplars.get(bucket(label(labels, "le")?)?)?
            });
            if let Some(Exemplar {
                trace,
                duration,
                time,
            }) = exemplar
            {
                let (seconds, time) = (
                    duration.as_secs_f64(),
                    time.duration_since(UNIX_EPOCH).unwrap_or_default(),
                );
                // Writing to a text cannot fail.
                let _infallible = write!(
                    out,
                    " # {{trace_id=\"{trace}\"}} {seconds} {:.3}",
                    time.as_secs_f64()
                );
            }
            out.push_str(line.get(text.len()..).unwrap_or_default());
        }
        out
    }
}

/// The value of a label whose values have no quotes.
fn label<'l>(labels: &'l str, name: &str) -> Option<&'l str> {
    let start = labels.find(&format!("{name}=\""))? + name.len() + 2;
    labels.get(start..)?.split('"').next()
}

/// Which bucket has this bound.
fn bucket(bound: &str) -> Option<usize> {
    if bound == "+Inf" {
        return Some(BUCKETS.len());
    }
    let bound = Duration::try_from_secs_f64(bound.parse().ok()?).ok()?;
    BUCKETS
        .iter()
        .position(|micros| Duration::from_micros(*micros) == bound)
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use trace::TraceId;

    use super::*;

    #[test]
    fn a_bucket_has_the_request_that_was_recorded_last() {
        let metrics = Metrics::default();
        let door = metrics.door(&"one".parse().unwrap());
        let _other = metrics.door(&"two".parse().unwrap());
        let time = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let (first, second) = (door.worker(), door.worker());
        let took = Duration::from_micros(2_000);
        first.exemplify(TraceId::new(1), took, time(10));
        second.exemplify(TraceId::new(2), took, time(11));
        first.exemplify(TraceId::new(3), Duration::from_secs(60), time(12));
        let mut registry = Registry::default();
        registry.register_collector(Box::new(metrics.clone()));
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        let with = metrics.with_exemplars(page.clone());
        let added: Vec<&str> = with.lines().filter(|line| line.contains(" # {")).collect();
        assert_eq!(
            added,
            [
                "blastdoor_request_duration_seconds_bucket{le=\"0.0025\",listener=\"one\"} 0 # \
                 {trace_id=\"00000000000000000000000000000002\"} 0.002 11.000",
                "blastdoor_request_duration_seconds_bucket{le=\"+Inf\",listener=\"one\"} 0 # \
                 {trace_id=\"00000000000000000000000000000003\"} 60 12.000",
            ]
        );
        let without: Vec<&str> = with
            .lines()
            .map(|line| line.split(" # {").next().unwrap())
            .collect();
        assert_eq!(without, page.lines().collect::<Vec<_>>());
    }
}
