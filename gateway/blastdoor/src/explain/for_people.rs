//! An explanation for people.

use std::fmt;

use text::Shown;

use super::told::{AtDoor, Explanation};

/// An explanation, as it is printed for people. Doors to which the URL does not lead get one line.
pub(crate) struct ForPeople<'e>(pub(crate) &'e Explanation);

impl fmt::Display for ForPeople<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation {
            url,
            method,
            listeners,
        } = self.0;
        write!(out, "{} {}", Shown(method), Shown(url))?;
        let is_alone = listeners.len() == 1;
        for door in listeners.iter().filter(|door| door.addressed || is_alone) {
            write!(out, "\n\n")?;
            whole(door, out)?;
        }
        let others: Vec<&AtDoor> = listeners
            .iter()
            .filter(|door| !door.addressed && !is_alone)
            .collect();
        if !others.is_empty() {
            write!(
                out,
                "\n\nThe URL does not lead to these doors. If the request came there:"
            )?;
        }
        for door in others {
            write!(out, "\n  {}: {}", Shown(&door.listener), Shown(&door.reason))?;
        }
        Ok(())
    }
}

fn whole(door: &AtDoor, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(out, "{}: {}", Shown(&door.listener), Shown(&door.reason))?;
    if let (Some(ingress), Some(path), Some(field)) = (&door.ingress, &door.path, &door.field) {
        write!(
            out,
            "\n  rule      {} {} ({})",
            Shown(ingress),
            Shown(path),
            Shown(field)
        )?;
    }
    if let Some(location) = &door.location {
        write!(out, "\n  location  {}", Shown(location))?;
    }
    for filter in &door.filters {
        let status = filter
            .status
            .map_or_else(String::new, |status| format!(" {status}"));
        write!(
            out,
            "\n  filter    {}: {}{status} ({})",
            Shown(&filter.kind),
            Shown(&filter.verdict),
            Shown(&filter.does)
        )?;
    }
    if let Some(backend) = &door.backend {
        write!(
            out,
            "\n  backend   {} port {}, {}",
            Shown(&backend.service),
            backend.port,
            Shown(&backend.protocol)
        )?;
        for endpoint in &backend.endpoints {
            let pod = endpoint
                .pod
                .as_ref()
                .map_or_else(String::new, |pod| format!(" ({pod})"));
            write!(
                out,
                "\n    {}{}  {}",
                Shown(&endpoint.address),
                Shown(&pod),
                Shown(&endpoint.state)
            )?;
        }
        if backend.more_endpoints > 0 {
            write!(out, "\n    and {} more", backend.more_endpoints)?;
        }
        if let Some(canary) = &backend.canary {
            write!(out, "\n    {}", Shown(canary))?;
        }
    }
    for problem in &door.problems {
        write!(out, "\n  problem   {}", Shown(problem))?;
    }
    for failure in &door.lately {
        let at = failure.endpoint.as_ref().map_or_else(String::new, |endpoint| {
            let pod = failure
                .pod
                .as_ref()
                .map_or_else(String::new, |pod| format!(" ({pod})"));
            format!(" at {endpoint}{pod}")
        });
        let host = match &*failure.host {
            "" => String::new(),
            host => format!(" for {host}"),
        };
        write!(
            out,
            "\n  lately    {} {}{}, {} s ago{}: {}",
            failure.status,
            Shown(&failure.refusal),
            Shown(&host),
            failure.seconds_ago,
            Shown(&at),
            Shown(&failure.detail)
        )?;
    }
    if !door.candidates.is_empty() {
        write!(out, "\n  Other rules:")?;
    }
    for candidate in &door.candidates {
        write!(
            out,
            "\n    {}  {}{} ({}): {}",
            Shown(&candidate.ingress),
            Shown(&candidate.host),
            Shown(&candidate.path),
            Shown(&candidate.path_type),
            Shown(&candidate.why)
        )?;
    }
    if door.more_candidates > 0 {
        write!(out, "\n    and {} more", door.more_candidates)?;
    }
    Ok(())
}
