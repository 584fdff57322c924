//! A log line for each host that is new at a door, at a limited rate: whoever writes objects can make as many as he likes.

use std::time::Instant;

use proxy::Warnings;

use super::entry::{Cause, DoorEntry, DoorEvent};

/// How many hosts of one door are logged in 10 s.
const MOST_LINES: usize = 20;

/// Logs the hosts that are new at a door, with who wrote their Ingresses if that is known.
pub(super) fn tell(entry: &DoorEntry, causes: &[Cause], lines: &Warnings) {
    if entry.event != DoorEvent::Changed || entry.hosts.appeared == 0 {
        return;
    }
    let (listener, now) = (&entry.listener.0, Instant::now());
    let mut told = 0;
    for change in entry.changes.iter().filter(|change| change.new_host) {
        let Some(kept_back) = lines.admit_some(listener.as_str(), MOST_LINES, now) else {
            break;
        };
        told += 1;
        let answer = change.after.clone().unwrap_or_default();
        let wrote = causes
            .iter()
            .find(|cause| cause.is_ingress(answer.ingress.as_deref()));
        tracing::info!(
            %listener,
            host = &*change.host,
            ingress = answer.ingress.as_deref(),
            service = answer.service.as_deref(),
            state = answer.state,
            field_manager = wrote.and_then(|cause| cause.field_manager.as_deref()),
            "a host is new at this door{kept_back}"
        );
    }
    let hosts = entry.hosts.appeared.saturating_sub(told);
    if hosts == 0 {
        return;
    }
    // Doors have names without spaces.
    if let Some(kept_back) = lines.admit(&format!("{listener} in numbers"), now) {
        tracing::info!(%listener, hosts, "more hosts are new at this door; `/api/v1/changes` lists them{kept_back}");
    }
}
