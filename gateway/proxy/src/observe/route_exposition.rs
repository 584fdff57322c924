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
use crate::observe::label_text::LabelText;
use crate::observe::labels::CLASSES;
use crate::observe::metrics::DoorMetrics;
use crate::observe::route_book::{Book, IngressEntry, OTHER};
use crate::observe::route_counts::{BUCKETS, ServiceCounts, Traffic};

/// What one door has to show. Read at once, because workers wait for the book meanwhile.
struct Shown {
    door: Arc<DoorMetrics>,
    requests: Vec<Requests>,
    traffic: Vec<Sums>,
    services: Vec<(Option<ObjectKey>, Arc<ServiceCounts>)>,
    /// How many endpoints of a Service are out.
    ejected: Vec<(Option<ObjectKey>, usize)>,
    folded: u64,
}

/// `None` for the Ingress: all that have no series of their own.
struct Requests {
    ingress: Option<ObjectKey>,
    service: Option<ObjectKey>,
    class: &'static str,
    count: u64,
}

struct Sums {
    ingress: Option<ObjectKey>,
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
        let own = book.ingresses.iter().map(|(key, entry)| (Some(key), entry));
        let all = own.chain([(None, &book.other)]);
        let (mut requests, mut traffic) = (Vec::new(), Vec::new());
        for (ingress, entry) in all {
            requests.extend(answers(ingress, entry));
            let counted = entry.traffic.as_ref();
            traffic.extend(counted.map(|counted| Sums::of(ingress, counted.all())));
        }
        let services = book.services.iter();
        let services =
            services.filter_map(|(key, entry)| Some((Some(key.clone()), Arc::clone(entry.counts.as_ref()?))));
        let folds_services = book.services.values().any(|entry| entry.counts.is_none());
        let other = folds_services.then(|| (None, Arc::clone(&book.other_service)));
        Self {
            door: Arc::clone(door),
            requests,
            traffic,
            services: services.chain(other).collect(),
            ejected,
            folded: book.folded,
        }
    }
}

fn answers<'e>(
    ingress: Option<&'e ObjectKey>,
    entry: &'e IngressEntry,
) -> impl Iterator<Item = Requests> + 'e {
    entry.services.iter().flat_map(move |known| {
        CLASSES.iter().enumerate().filter_map(move |(class, label)| {
            let counters = known.answers.all().filter_map(|answers| answers.0.get(class));
            let count: u64 = counters.map(Counter::value).sum();
            (count > 0).then(|| Requests {
                ingress: ingress.cloned(),
                service: known.service.clone(),
                class: label,
                count,
            })
        })
    })
}

impl Sums {
    fn of<'t>(ingress: Option<&ObjectKey>, counted: impl Iterator<Item = &'t Traffic>) -> Self {
        let mut sums = Self {
            ingress: ingress.cloned(),
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

/// Namespace and name as labels; those of nothing in particular have no namespace.
fn labels(key: Option<&ObjectKey>) -> (LabelText<'_>, LabelText<'_>) {
    match key {
        Some(key) => (LabelText(key.namespace()), LabelText(key.name())),
        None => (LabelText(""), LabelText(OTHER)),
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
            let (namespace, ingress) = labels(row.ingress.as_ref());
            // That of another namespace has its namespace with it.
            let service = match (&row.service, &row.ingress) {
                (None, _) => String::new(),
                (Some(service), Some(ingress)) if service.namespace() == ingress.namespace() => {
                    service.name().to_owned()
                }
                (Some(service), _) => service.to_string(),
            };
            let labels = [
                ("listener", LabelText(door.door.listener.as_str())),
                ("namespace", namespace),
                ("ingress", ingress),
                ("service", LabelText(&service)),
                ("status_class", LabelText(row.class)),
            ];
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
            let bounds = BUCKETS.iter().map(|micros| seconds(*micros)).chain([f64::MAX]);
            let buckets: Vec<(f64, u64)> = bounds.zip(sums.durations).collect();
            let count = sums.durations.iter().sum();
            family
                .encode_family(&of_ingress(door, sums))?
                .encode_histogram::<[(&str, &str); 0]>(seconds(sums.micros), count, &buckets, None)?;
        }
    }
    Ok(())
}

fn of_ingress<'s>(door: &'s Shown, sums: &'s Sums) -> [(&'static str, LabelText<'s>); 3] {
    let (namespace, ingress) = labels(sums.ingress.as_ref());
    [
        ("listener", LabelText(door.door.listener.as_str())),
        ("namespace", namespace),
        ("ingress", ingress),
    ]
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
                ConstCounter::new(pick(sums)).encode(family.encode_family(&of_ingress(door, sums))?)?;
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
        for (door, service, counts) in each_service(doors) {
            let count = pick(counts).load(Ordering::Relaxed);
            ConstCounter::new(count).encode(family.encode_family(&of_service(door, service))?)?;
        }
    }
    let mut family = encoder.encode_descriptor(
        "blastdoor_service_connect_seconds",
        "Time that it took to make connections to endpoints of a Service",
        None,
        MetricType::Counter,
    )?;
    for (door, service, counts) in each_service(doors) {
        let time = seconds(counts.connect_micros.load(Ordering::Relaxed));
        ConstCounter::new(time).encode(family.encode_family(&of_service(door, service))?)?;
    }
    let mut family = encoder.encode_descriptor(
        "blastdoor_service_endpoints_ejected",
        "Endpoints of a Service that get no requests at the moment because of what they did; no sample of Services without any",
        None,
        MetricType::Gauge,
    )?;
    for door in doors {
        for (service, count) in &door.ejected {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(family.encode_family(&of_service(door, service.as_ref()))?)?;
        }
    }
    Ok(())
}

fn each_service(doors: &[Shown]) -> impl Iterator<Item = (&Shown, Option<&ObjectKey>, &ServiceCounts)> {
    doors.iter().flat_map(|door| {
        let services = door.services.iter();
        services.map(move |(service, counts)| (door, service.as_ref(), &**counts))
    })
}

fn of_service<'s>(door: &'s Shown, service: Option<&'s ObjectKey>) -> [(&'static str, LabelText<'s>); 3] {
    let (namespace, service) = labels(service);
    [
        ("listener", LabelText(door.door.listener.as_str())),
        ("namespace", namespace),
        ("service", service),
    ]
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}
