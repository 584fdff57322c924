//! What a scrape sees of the routes: names, help texts and labels.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use route::ObjectKey;

use crate::observe::counter::Counter;
use crate::observe::label_page::{LabelPage, LabelPlace, Labels};
use crate::observe::labels::CLASSES;
use crate::observe::metrics::DoorMetrics;
use crate::observe::route_book::{Book, IngressEntry};
use crate::observe::route_counts::{BUCKETS, ServiceCounts, Traffic};

/// What one door has to show. Read at once, because workers wait for the book meanwhile.
struct Shown {
    door: Arc<DoorMetrics>,
    /// The labels of all that follows.
    labels: LabelPage,
    requests: Vec<Requests>,
    traffic: Vec<Sums>,
    services: Vec<(LabelPlace, Arc<ServiceCounts>)>,
    /// How many endpoints of a Service are out.
    ejected: Vec<(LabelPlace, usize)>,
    folded: u64,
}

struct Requests {
    labels: LabelPlace,
    class: &'static str,
    count: u64,
}

struct Sums {
    labels: LabelPlace,
    /// As in the histogram, each bucket by itself.
    durations: [u64; BUCKETS.len() + 1],
    micros: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// Writes what is known of the routes of these doors.
pub(super) fn encode(
    doors: &[Arc<DoorMetrics>],
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let doors: Vec<Shown> = doors.iter().map(Shown::of).collect();
    encode_requests(&doors, encoder)?;
    encode_durations(&doors, encoder)?;
    encode_bytes(&doors, encoder)?;
    encode_folded(&doors, encoder)?;
    encode_services(&doors, encoder)
}

impl Shown {
    fn of(door: &Arc<DoorMetrics>) -> Self {
        door.routes.read(|book, ejected| Self::read(door, book, ejected))
    }

    fn read(door: &Arc<DoorMetrics>, book: &Book, ejected: Vec<(Option<ObjectKey>, usize)>) -> Self {
        let mut shown = Self {
            door: Arc::clone(door),
            labels: LabelPage::of_door(door.listener.as_str()),
            requests: Vec::new(),
            traffic: Vec::new(),
            services: Vec::new(),
            ejected: Vec::with_capacity(ejected.len()),
            folded: book.folded,
        };
        for (ingress, entry) in &book.ingresses {
            shown.add_ingress(Some(ingress), entry);
        }
        shown.add_ingress(None, &book.other);
        for (service, entry) in &book.services {
            if let Some(counts) = &entry.counts {
                let labels = shown.labels.add(Some(service), "service", None);
                shown.services.push((labels, Arc::clone(counts)));
            }
        }
        if book.services.values().any(|entry| entry.counts.is_none()) {
            let labels = shown.labels.add(None, "service", None);
            shown.services.push((labels, Arc::clone(&book.other_service)));
        }
        for (service, count) in ejected {
            let labels = shown.labels.add(service.as_ref(), "service", None);
            shown.ejected.push((labels, count));
        }
        shown
    }

    /// `None`: all that have no series of their own.
    fn add_ingress(&mut self, ingress: Option<&ObjectKey>, entry: &IngressEntry) {
        for known in &entry.services {
            let mut labels = None;
            for (class, label) in CLASSES.iter().enumerate() {
                let counters = known.answers.all().filter_map(|answers| answers.0.get(class));
                let count: u64 = counters.map(Counter::value).sum();
                if count == 0 {
                    continue;
                }
                let labels = *labels.get_or_insert_with(|| {
                    let service = known.service.as_ref();
                    self.labels.add(ingress, "ingress", Some(service))
                });
                self.requests.push(Requests {
                    labels,
                    class: label,
                    count,
                });
            }
        }
        if let Some(counted) = &entry.traffic {
            let labels = self.labels.add(ingress, "ingress", None);
            self.traffic.push(Sums::of(labels, counted.all()));
        }
    }
}

impl Sums {
    fn of<'t>(labels: LabelPlace, counted: impl Iterator<Item = &'t Traffic>) -> Self {
        let mut sums = Self {
            labels,
            durations: [0; BUCKETS.len() + 1],
            micros: 0,
            bytes_in: 0,
            bytes_out: 0,
        };
        for traffic in counted {
            for (sum, counter) in sums.durations.iter_mut().zip(&traffic.durations) {
                *sum += counter.value();
            }
            sums.micros = sums.micros.wrapping_add(traffic.micros.value());
            sums.bytes_in = sums.bytes_in.wrapping_add(traffic.bytes_in.value());
            sums.bytes_out = sums.bytes_out.wrapping_add(traffic.bytes_out.value());
        }
        sums
    }
}

fn encode_requests(doors: &[Shown], encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "blastdoor_route_requests",
        "Requests of an Ingress, by the Service that answered",
        None,
        MetricType::Counter,
    )?;
    for door in doors {
        for row in &door.requests {
            let labels = ([door.labels.at(row.labels)], [("status_class", row.class)]);
            ConstCounter::new(row.count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_durations(doors: &[Shown], encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "blastdoor_route_request_duration_seconds",
        "From the first byte of a request of an Ingress to the last byte of the response",
        None,
        MetricType::Histogram,
    )?;
    for door in doors {
        for sums in &door.traffic {
            let mut buckets = [(f64::MAX, 0); BUCKETS.len() + 1];
            for (bucket, micros) in buckets.iter_mut().zip(BUCKETS) {
                bucket.0 = seconds(micros);
            }
            for (bucket, count) in buckets.iter_mut().zip(sums.durations) {
                bucket.1 = count;
            }
            let count = sums.durations.iter().sum();
            family
                .encode_family(&[door.labels.at(sums.labels)])?
                .encode_histogram::<[(&str, &str); 0]>(seconds(sums.micros), count, &buckets, None)?;
        }
    }
    Ok(())
}

fn encode_bytes(doors: &[Shown], encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    type Pick = fn(&Sums) -> u64;
    let metrics: [(&str, &str, Pick); 2] = [
        (
            "blastdoor_route_request_body_bytes",
            "Request body bytes received for an Ingress",
            |sums| sums.bytes_in,
        ),
        (
            "blastdoor_route_response_body_bytes",
            "Response body bytes sent for an Ingress",
            |sums| sums.bytes_out,
        ),
    ];
    for (name, help, pick) in metrics {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for door in doors {
            for sums in &door.traffic {
                let labels = [door.labels.at(sums.labels)];
                ConstCounter::new(pick(sums)).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}

fn encode_folded(doors: &[Shown], encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "blastdoor_route_series_folded",
        "Series of routes and Services that were not made because the door has as many as it may; they are part of `other`",
        None,
        MetricType::Counter,
    )?;
    for door in doors {
        let labels = [("listener", door.door.listener.as_str())];
        ConstCounter::new(door.folded).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_services(doors: &[Shown], encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    type Pick = fn(&ServiceCounts) -> &AtomicU64;
    let metrics: [(&str, &str, Pick); 4] = [
        (
            "blastdoor_service_connects",
            "Connections made to endpoints of a Service",
            |counts| &counts.connects,
        ),
        (
            "blastdoor_service_connect_failures",
            "Connections to endpoints of a Service that failed",
            |counts| &counts.connect_failures,
        ),
        (
            "blastdoor_service_retries",
            "Requests for a Service that were tried once more",
            |counts| &counts.retries,
        ),
        (
            "blastdoor_service_ejections",
            "Endpoints of a Service that were taken out",
            |counts| &counts.ejections,
        ),
    ];
    for (name, help, pick) in metrics {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, counts) in each_service(doors) {
            let count = pick(counts).load(Ordering::Relaxed);
            ConstCounter::new(count).encode(family.encode_family(&[labels])?)?;
        }
    }
    let mut family = encoder.encode_descriptor(
        "blastdoor_service_connect_seconds",
        "Time that it took to make connections to endpoints of a Service",
        None,
        MetricType::Counter,
    )?;
    for (labels, counts) in each_service(doors) {
        let time = seconds(counts.connect_micros.load(Ordering::Relaxed));
        ConstCounter::new(time).encode(family.encode_family(&[labels])?)?;
    }
    let mut family = encoder.encode_descriptor(
        "blastdoor_service_endpoints_ejected",
        "Endpoints of a Service that get no requests at the moment because of what they did; no sample of Services without any",
        None,
        MetricType::Gauge,
    )?;
    for door in doors {
        for (place, count) in &door.ejected {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            let labels = [door.labels.at(*place)];
            ConstGauge::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn each_service(doors: &[Shown]) -> impl Iterator<Item = (Labels<'_>, &ServiceCounts)> {
    doors.iter().flat_map(|door| {
        let services = door.services.iter();
        services.map(move |(place, counts)| (door.labels.at(*place), &**counts))
    })
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write;
    use std::sync::Weak;

    use prometheus_client::encoding::text::encode_registry;
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::observe::metrics::Metrics;
    use crate::observe::route_book::{Served, Serving};
    use crate::observe::route_counts::Ended;

    /// A door that serves so many Ingresses.
    struct Door(usize);

    impl Serving for Door {
        fn publication(&self) -> u64 {
            1
        }

        fn served(&self) -> Served {
            Served {
                publication: 1,
                ingresses: (0..self.0).map(key).collect(),
                services: (0..self.0).map(key).collect(),
            }
        }

        fn ejected(&self) -> BTreeMap<ObjectKey, usize> {
            BTreeMap::from([(key(0), 2)])
        }
    }

    fn key(number: usize) -> ObjectKey {
        ObjectKey::new("shop", format!("app-{number}"))
    }

    /// What is written, and in how many pieces: what a scrape costs is nearly all in these.
    #[derive(Default)]
    struct Pieces {
        text: String,
        count: usize,
    }

    impl Write for Pieces {
        fn write_str(&mut self, piece: &str) -> fmt::Result {
            self.text.push_str(piece);
            self.count += 1;
            Ok(())
        }
    }

    /// The page of a door whose Ingresses have had a request each that their Service answered.
    fn scrape(count: usize) -> (Pieces, Arc<Door>) {
        let metrics = Metrics::default();
        let door = metrics.door(&"out".parse().unwrap());
        let serving = Arc::new(Door(count));
        door.routes
            .is_of(Arc::<Door>::downgrade(&serving) as Weak<dyn Serving>);
        door.routes.bound(5_000);
        for number in 0..count {
            let found = door.routes.find(0, &key(number), Some(&key(number)), 1);
            let ended = Ended {
                class: 1,
                micros: 30_000,
                bytes_in: 0,
                bytes_out: 128,
            };
            found.answers.count(ended.class);
            found.traffic.count(&ended);
            door.routes
                .service(&key(number))
                .connected(Duration::from_millis(1));
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(metrics));
        let mut page = Pieces::default();
        encode_registry(&mut page, &registry).unwrap();
        (page, serving)
    }

    #[test]
    fn each_series_has_all_its_labels() {
        let page = scrape(1).0.text;
        let of_routes = page
            .lines()
            .filter(|line| line.starts_with("blastdoor_route_") || line.starts_with("blastdoor_service_"));
        let ingress = r#"listener="out",namespace="shop",ingress="app-0""#;
        let service = r#"listener="out",namespace="shop",service="app-0""#;
        let bucket = |bound: &str, count: u64| {
            let name = "blastdoor_route_request_duration_seconds_bucket";
            format!(r#"{name}{{le="{bound}",{ingress}}} {count}"#)
        };
        let expected = [
            format!(r#"blastdoor_route_requests_total{{{ingress},service="app-0",status_class="2xx"}} 1"#),
            format!("blastdoor_route_request_duration_seconds_sum{{{ingress}}} 0.03"),
            format!("blastdoor_route_request_duration_seconds_count{{{ingress}}} 1"),
            bucket("0.025", 0),
            bucket("0.1", 1),
            bucket("0.5", 1),
            bucket("1.0", 1),
            bucket("5.0", 1),
            bucket("+Inf", 1),
            format!("blastdoor_route_request_body_bytes_total{{{ingress}}} 0"),
            format!("blastdoor_route_response_body_bytes_total{{{ingress}}} 128"),
            r#"blastdoor_route_series_folded_total{listener="out"} 0"#.to_owned(),
            format!("blastdoor_service_connects_total{{{service}}} 1"),
            format!("blastdoor_service_connect_failures_total{{{service}}} 0"),
            format!("blastdoor_service_retries_total{{{service}}} 0"),
            format!("blastdoor_service_ejections_total{{{service}}} 0"),
            format!("blastdoor_service_connect_seconds_total{{{service}}} 0.001"),
            format!("blastdoor_service_endpoints_ejected{{{service}}} 2"),
        ];
        assert_eq!(of_routes.collect::<Vec<_>>(), expected);
    }

    /// Labels are not put together for each series anew.
    #[test]
    fn a_series_is_written_in_few_pieces() {
        let (few, _few) = scrape(10);
        let (many, _many) = scrape(4_000);
        let series = |page: &Pieces| page.text.lines().filter(|line| !line.starts_with('#')).count();
        let (more_series, more_pieces) = (series(&many) - series(&few), many.count - few.count);
        assert!(more_series > 4_000, "{more_series}");
        assert!(more_pieces <= 17 * more_series, "{more_pieces} for {more_series}");
    }
}
