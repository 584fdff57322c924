//! What a scrape sees of the counters: names, help texts and labels.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use wire::Method;

use crate::descriptors::Allotment;
use crate::memory::DoorMemory;
use crate::observe::counter::Counter;
use crate::observe::labels::{CLASSES, EjectionCause, FilterKind, Held, Reason, Shortage};
use crate::observe::metrics::{BUCKETS, DoorMetrics, METHODS, Metrics, WorkerMetrics};
use crate::observe::route_exposition;

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        encode_requests(&doors, &mut encoder)?;
        encode_durations(&doors, &mut encoder)?;
        encode_connections(&doors, &mut encoder)?;
        encode_refusals(&doors, &mut encoder)?;
        encode_ejections(&doors, &mut encoder)?;
        encode_filters(&doors, &mut encoder)?;
        encode_idle_closed(&doors, &mut encoder)?;
        encode_descriptors(&doors, &mut encoder)?;
        encode_cut(&doors, &mut encoder)?;
        encode_memory(&doors, &mut encoder)?;
        encode_http2_unsent(&doors, &mut encoder)?;
        encode_drains(&doors, &mut encoder)?;
        route_exposition::encode(&doors, &mut encoder)?;
        for (name, help, counter) in PLAIN {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for door in &doors {
                let labels = [("listener", door.listener.as_str())];
                ConstCounter::new(door.sum(counter)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

type Pick = fn(&WorkerMetrics) -> &Counter;

/// Counters with no label except the listener.
const PLAIN: [(&str, &str, Pick); 14] = [
    (
        "blastdoor_http2_full_connections",
        "HTTP/2 connections of clients that have held all that they may hold unsent",
        |worker| &worker.http2_full,
    ),
    (
        "blastdoor_connections_accepted",
        "Client connections accepted",
        |worker| &worker.connections_accepted,
    ),
    (
        "blastdoor_request_body_bytes",
        "Request body bytes received",
        |worker| &worker.bytes_in,
    ),
    (
        "blastdoor_response_body_bytes",
        "Response body bytes sent",
        |worker| &worker.bytes_out,
    ),
    (
        "blastdoor_upstream_connects",
        "Connections opened to endpoints",
        |worker| &worker.upstream_connects,
    ),
    (
        "blastdoor_upstream_connect_failures",
        "Connections to endpoints that failed",
        |worker| &worker.upstream_connect_failures,
    ),
    (
        "blastdoor_upstream_reused",
        "Requests sent on a kept connection",
        |worker| &worker.upstream_reused,
    ),
    (
        "blastdoor_upstream_retries",
        "Requests tried once more",
        |worker| &worker.upstream_retries,
    ),
    (
        "blastdoor_upstream_probes",
        "Probes of endpoints that were down",
        |worker| &worker.upstream_probes,
    ),
    (
        "blastdoor_filter_rate_evictions",
        "Clients whose rate was forgotten too early, for want of room",
        |worker| &worker.filter_evictions,
    ),
    (
        "blastdoor_filter_store_errors",
        "Requests counted by this replica alone because the server of their limit did not answer",
        |worker| &worker.filter_store_errors,
    ),
    (
        "blastdoor_scheme_mismatches",
        "Requests that a trusted peer says came with the other scheme than the door's",
        |worker| &worker.scheme_mismatches,
    ),
    ("blastdoor_panics", "Connections ended by a panic", |worker| {
        &worker.panics
    }),
    (
        "blastdoor_worker_restarts",
        "Workers that began anew after a panic",
        |worker| &worker.worker_restarts,
    ),
];

fn encode_requests(
    doors: &[Arc<DoorMetrics>],
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "blastdoor_requests",
        "Requests answered",
        None,
        MetricType::Counter,
    )?;
    for door in doors {
        for (row, method) in METHODS.iter().enumerate() {
            for (column, class) in CLASSES.iter().enumerate() {
                let count: u64 = door
                    .lock()
                    .iter()
                    .filter_map(|worker| worker.requests.get(row)?.get(column))
                    .map(Counter::value)
                    .sum();
                if count > 0 {
                    let labels = [
                        ("listener", door.listener.as_str()),
                        ("method", method_label(*method)),
                        ("status_class", class),
                    ];
                    ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
    }
    Ok(())
}

fn encode_durations(
    doors: &[Arc<DoorMetrics>],
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "blastdoor_request_duration_seconds",
        "From the first byte of the request to the last byte of the response",
        None,
        MetricType::Histogram,
    )?;
    for door in doors {
        let mut buckets = Vec::with_capacity(BUCKETS.len() + 1);
        let mut total = 0;
        for index in 0..=BUCKETS.len() {
            let count: u64 = door
                .lock()
                .iter()
                .filter_map(|worker| worker.durations.get(index))
                .map(Counter::value)
                .sum();
            total += count;
            let bound = BUCKETS.get(index).map_or(f64::MAX, |micros| seconds(*micros));
            buckets.push((bound, count));
        }
        let sum = seconds(door.sum(|worker| &worker.duration_micros));
        let labels = [("listener", door.listener.as_str())];
        family
            .encode_family(&labels)?
            .encode_histogram::<[(&str, &str); 0]>(sum, total, &buckets, None)?;
    }
    Ok(())
}

fn encode_connections(
    doors: &[Arc<DoorMetrics>],
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "blastdoor_connections",
        "Open client connections",
        None,
        MetricType::Gauge,
    )?;
    for door in doors {
        let active = door.sum(|worker| &worker.connections_active);
        let idle = door.open_connections().saturating_sub(active);
        for (state, count) in [("active", active), ("idle", idle)] {
            let labels = [("listener", door.listener.as_str()), ("state", state)];
            ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX))
                .encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_refusals(
    doors: &[Arc<DoorMetrics>],
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "blastdoor_refusals",
        "Requests that the gateway answered itself or cut, by reason",
        None,
        MetricType::Counter,
    )?;
    for door in doors {
        for reason in Reason::ALL {
            let count: u64 = door
                .lock()
                .iter()
                .filter_map(|worker| worker.refusals.0.get(reason as usize))
                .map(Counter::value)
                .sum();
            if count > 0 {
                let labels = [("listener", door.listener.as_str()), ("reason", reason.label())];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    let mut family = encoder.encode_descriptor(
        "blastdoor_cross_door_probes",
        "Requests for a host that this door does not know and another door does",
        None,
        MetricType::Counter,
    )?;
    for door in doors {
        let probes = door.probes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (owner, count) in probes {
            let labels = [("listener", door.listener.as_str()), ("owner", owner.as_str())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_ejections(
    doors: &[Arc<DoorMetrics>],
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "blastdoor_upstream_ejections",
        "Endpoints that were taken out, by what they did several times in a row",
        None,
        MetricType::Counter,
    )?;
    for door in doors {
        for cause in EjectionCause::ALL {
            let count: u64 = door
                .lock()
                .iter()
                .filter_map(|worker| worker.upstream_ejections.get(cause as usize))
                .map(Counter::value)
                .sum();
            let labels = [("listener", door.listener.as_str()), ("reason", cause.label())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_filters(doors: &[Arc<DoorMetrics>], encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "blastdoor_filter_refusals",
        "Requests that a filter refused",
        None,
        MetricType::Counter,
    )?;
    for door in doors {
        for kind in FilterKind::ALL {
            let count: u64 = door
                .lock()
                .iter()
                .filter_map(|worker| worker.filter_refusals.get(kind as usize))
                .map(Counter::value)
                .sum();
            let labels = [("listener", door.listener.as_str()), ("kind", kind.label())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_http2_unsent(
    doors: &[Arc<DoorMetrics>],
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "blastdoor_http2_unsent_bytes",
        "Bytes that wait to be sent on the HTTP/2 connections of clients, with what the library needs for them",
        None,
        MetricType::Gauge,
    )?;
    for door in doors {
        let bytes = door.sum(|worker| &worker.http2_unsent);
        let labels = [("listener", door.listener.as_str())];
        ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX)).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_idle_closed(
    doors: &[Arc<DoorMetrics>],
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "blastdoor_idle_connections_closed",
        "Idle client connections that were closed before their time to make room, by what there was too little of",
        None,
        MetricType::Counter,
    )?;
    for door in doors {
        for shortage in Shortage::ALL {
            let workers = door.lock();
            let counters = workers
                .iter()
                .filter_map(|worker| worker.idle_closed.get(shortage as usize));
            let count: u64 = counters.map(Counter::value).sum();
            let labels = [("listener", door.listener.as_str()), ("reason", shortage.label())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_descriptors(
    doors: &[Arc<DoorMetrics>],
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let gauge = |count: usize| ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
    let mut family = encoder.encode_descriptor(
        "blastdoor_door_descriptors",
        "Descriptors that a door uses for clients and for backends",
        None,
        MetricType::Gauge,
    )?;
    for door in doors {
        let clients = usize::try_from(door.open_connections()).unwrap_or(usize::MAX);
        for (side, count) in [("clients", clients), ("backends", door.descriptors.used())] {
            let labels = [("listener", door.listener.as_str()), ("side", side)];
            gauge(count).encode(family.encode_family(&labels)?)?;
        }
    }
    let mut family = encoder.encode_descriptor(
        "blastdoor_door_descriptors_limit",
        "Descriptors that a door may use for clients and for backends",
        None,
        MetricType::Gauge,
    )?;
    for door in doors {
        let Allotment {
            clients, backends, ..
        } = door.descriptors.allotment();
        for (side, count) in [("clients", clients), ("backends", backends)] {
            let labels = [("listener", door.listener.as_str()), ("side", side)];
            gauge(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_cut(doors: &[Arc<DoorMetrics>], encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "blastdoor_exchanges_cut",
        "Exchanges that were cut for the memory that they held, by why they held it",
        None,
        MetricType::Counter,
    )?;
    for door in doors {
        for held in Held::ALL {
            let workers = door.lock();
            let counters = workers.iter().filter_map(|worker| worker.cut.get(held as usize));
            let count: u64 = counters.map(Counter::value).sum();
            let labels = [("listener", door.listener.as_str()), ("reason", held.label())];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_drains(doors: &[Arc<DoorMetrics>], encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "blastdoor_drain_left_seconds",
        "Time until a door that drains cuts what is left; no sample of other doors",
        None,
        MetricType::Gauge,
    )?;
    let now = Instant::now();
    for door in doors {
        let end = *door.drain_end.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(end) = end {
            let left = end.saturating_duration_since(now).as_secs_f64();
            let labels = [("listener", door.listener.as_str())];
            ConstGauge::new(left).encode(family.encode_family(&labels)?)?;
        }
    }
    let mut family = encoder.encode_descriptor(
        "blastdoor_drain_cut_requests",
        "Requests that were cut when a drain ended",
        None,
        MetricType::Counter,
    )?;
    for door in doors {
        let labels = [("listener", door.listener.as_str())];
        ConstCounter::new(door.drain_cut.load(Ordering::Relaxed)).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_memory(doors: &[Arc<DoorMetrics>], encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    type Pick = fn(&DoorMemory) -> usize;
    let figures: [(&str, &str, Pick); 3] = [
        (
            "blastdoor_memory_held_bytes",
            "Memory that a door's traffic holds",
            DoorMemory::used,
        ),
        (
            "blastdoor_memory_share_bytes",
            "Memory that a door's traffic may always hold",
            DoorMemory::share,
        ),
        (
            "blastdoor_memory_stage",
            "What the door sheds: 0 nothing, 1 large buffers, 2 idle connections, 3 stalled readers, 4 new connections, 5 new requests",
            |memory| memory.stage() as usize,
        ),
    ];
    for (name, help, figure) in figures {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for door in doors {
            let memory = door.memory.lock().unwrap_or_else(PoisonError::into_inner);
            let value = memory.upgrade().map_or(0, |memory| figure(&memory));
            let labels = [("listener", door.listener.as_str())];
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

/// The method as a label; methods outside the registry share one, so that clients cannot create labels.
fn method_label(method: Method) -> &'static str {
    method.as_str().unwrap_or("other")
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}
