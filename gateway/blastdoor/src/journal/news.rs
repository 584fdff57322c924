//! A log line for each host that is new at a door, at a limited rate: whoever writes objects can make as many as he likes.

use std::time::Instant;

use proxy::Warnings;

use super::entry::{Cause, DoorEntry, DoorEvent};

/// How many hosts of one namespace are logged for one door in 10 s.
const MOST_LINES: usize = 20;

/// How many namespaces have lines of their own, at all doors together.
pub(super) const NAMESPACES: usize = 200;

/// Logs the hosts that are new at a door, with who wrote their Ingresses if that is known.
pub(super) fn tell(entry: &DoorEntry, causes: &[Cause], lines: &Warnings) {
    if entry.event != DoorEvent::Changed || entry.hosts.appeared == 0 {
        return;
    }
    let (listener, now) = (&entry.listener.0, Instant::now());
    let mut told = 0;
    for change in entry.changes.iter().filter(|change| change.new_host) {
        let answer = change.after.clone().unwrap_or_default();
        let ingress = answer.ingress.as_deref().unwrap_or_default();
        // Nobody's lines are used up by others. No name has a space in it.
        let whose = ingress.split('/').next().unwrap_or_default();
        let Some(kept_back) = lines.admit_some(&format!("{listener} {whose}"), MOST_LINES, now) else {
            continue;
        };
        told += 1;
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
    if let Some(kept_back) = lines.admit(&format!("{listener} in numbers"), now) {
        tracing::info!(%listener, hosts, "more hosts are new at this door; `/api/v1/changes` lists them{kept_back}");
    }
}
