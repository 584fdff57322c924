//! `/api/v1/traffic`

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proxy::{ListenerStatus, Traffic};
use serde::Serialize;

use super::listing::refused;
use crate::admin::answer::Answer;
use crate::admin::board::{Board, state_of};
use crate::admin::query::Query;
use crate::gauges::Gauges;

#[derive(Serialize)]
struct Page {
    /// Now, and when the process began; in seconds from 1970.
    time: f64,
    started: f64,
    version: &'static str,
    /// The name of the host, which in Kubernetes is that of the pod.
    host: Option<String>,
    /// How long ago the source of objects was last in reach, in seconds.
    source_age: f64,
    doors: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    listener: String,
    address: String,
    scheme: &'static str,
    ends_tls: bool,
    state: &'static str,
    workers: Workers,
    routes: usize,
    /// Changes whenever what the door serves does.
    publication: u64,
    connections: Connections,
    requests: BTreeMap<&'static str, u64>,
    durations: Durations,
    refusals: BTreeMap<&'static str, u64>,
    probes: u64,
    bytes_in: u64,
    bytes_out: u64,
}

#[derive(Serialize)]
struct Workers {
    configured: usize,
    listening: usize,
}

#[derive(Serialize)]
struct Connections {
    active: u64,
    idle: u64,
}

#[derive(Serialize)]
struct Durations {
    /// Upper bounds in milliseconds.
    bounds_ms: Vec<f64>,
    /// One more than bounds.
    counts: Vec<u64>,
}

/// What each door has counted since the process began: rates are for the reader to compute, from two readings.
///
/// # Errors
/// The answer to a query with parameters: it has none.
#[expect(clippy::disallowed_methods, reason = "the page says the time of day")]
pub(in crate::admin) fn page(
    board: &Board,
    gauges: &Gauges,
    started: SystemTime,
    query: &Query,
) -> Result<Answer, Answer> {
    query.only(&[]).map_err(|error| refused(&error))?;
    Ok(Answer::json(&Page {
        time: seconds(SystemTime::now()),
        started: seconds(started),
        version: env!("CARGO_PKG_VERSION"),
        host: host_name(),
        source_age: gauges.source_age().as_secs_f64(),
        doors: board.statuses().iter().map(row).collect(),
    }))
}

fn row(door: &ListenerStatus) -> Row {
    let (listening, configured) = door.workers();
    let snapshot = door.snapshot();
    let traffic = door.traffic();
    Row {
        listener: door.name().to_string(),
        address: door.address().to_string(),
        scheme: snapshot.scheme().as_str(),
        ends_tls: snapshot.ends_tls(),
        state: state_of(door),
        workers: Workers {
            configured,
            listening,
        },
        routes: snapshot.routes().count(),
        publication: snapshot.publication(),
        connections: Connections {
            active: traffic.active,
            idle: traffic.idle,
        },
        requests: traffic.requests.into_iter().collect(),
        durations: Durations {
            bounds_ms: Traffic::BOUNDS
                .iter()
                .map(|micros| milliseconds(*micros))
                .collect(),
            counts: traffic.durations,
        },
        refusals: traffic.refusals.into_iter().collect(),
        probes: traffic.probes,
        bytes_in: traffic.bytes_in,
        bytes_out: traffic.bytes_out,
    }
}

fn milliseconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64() * 1000.0
}

fn seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}
