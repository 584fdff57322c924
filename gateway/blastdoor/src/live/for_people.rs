//! What happened to a request, for people: a line for each thing, in the order of time.

use std::fmt;

use super::told::{AttemptTold, FilterTold, RequestTold, SentTold, StoryTold, Told};
use text::Shown;

/// What is told, as it is printed for people.
pub(crate) struct ForPeople<'t>(pub(crate) &'t Told);

impl fmt::Display for ForPeople<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Told::Story(story) => whole(story, out),
            Told::Unfinished { note, .. } => write!(out, "{}", Shown(note)),
            Told::Nothing { waited_s, .. } => write!(out, "no request has matched within {waited_s} s"),
        }
    }
}

fn whole(story: &StoryTold, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let StoryTold {
        listener,
        request,
        rule,
        sent,
        answer,
        ..
    } = story;
    write!(
        out,
        "{} {}://{}{}\n\n{}: ",
        Shown(&request.method),
        Shown(&request.scheme),
        Shown(&request.host),
        Shown(&request.path),
        Shown(listener)
    )?;
    match answer.status {
        0 => write!(out, "no answer")?,
        status => write!(out, "{status}")?,
    }
    if let Some(refusal) = &answer.refusal {
        write!(out, ", {}", Shown(refusal))?;
        if let Some(detail) = &answer.detail {
            write!(out, ": {}", Shown(detail))?;
        }
    }
    about(request, out)?;
    match rule {
        Some(rule) => {
            let (host, path) = (
                &rule.host,
                rule.path.as_deref().unwrap_or("(what other rules leave)"),
            );
            let host = if host.is_empty() { "*" } else { host };
            write!(
                out,
                "\n  rule      {} {}{}",
                Shown(&rule.ingress),
                Shown(host),
                Shown(path)
            )?;
            if let Some(service) = &rule.service {
                write!(out, " -> {}", Shown(service))?;
            }
        }
        None => write!(out, "\n  rule      none")?,
    }
    for (at, what) in steps(story) {
        write!(out, "\n  {at:>10.3} ms  {what}")?;
    }
    sent.as_ref().map_or(Ok(()), |sent| backend(sent, out))
}

fn about(request: &RequestTold, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(out, "\n  client    {}", Shown(&request.client))?;
    if request.peer != request.client {
        write!(out, " through {}", Shown(&request.peer))?;
    }
    write!(out, ", HTTP/{}", Shown(&request.http_version))?;
    if let Some(version) = &request.tls_version {
        write!(out, ", TLS {}", Shown(version))?;
    }
    write!(out, "\n  request   {}", Shown(&request.id))?;
    if let Some(trace) = &request.trace_id {
        let recorded = if request.sampled {
            "recorded"
        } else {
            "not recorded"
        };
        write!(out, ", trace {} ({recorded})", Shown(trace))?;
    }
    if let Some(amazon) = &request.amzn_trace_id {
        write!(out, "\n  X-Amzn-Trace-Id {}", Shown(amazon))?;
    }
    Ok(())
}

/// All that happened, and when.
fn steps(story: &StoryTold) -> Vec<(f64, String)> {
    let phases = &story.phases;
    let mut steps = vec![(phases.head_read_ms, "the head has been read".to_owned())];
    steps.extend(
        phases
            .decided_ms
            .map(|at| (at, "the rule has been found".to_owned())),
    );
    steps.extend(story.filters.iter().map(filter));
    for (number, one) in story.attempts.iter().enumerate() {
        attempt(number + 1, one, &mut steps);
    }
    // What happened at the same time stays in its order.
    steps.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let (sent, got) = (story.request.bytes, story.answer.bytes);
    steps.push((
        phases.ended_ms,
        format!("the end, after bodies of {sent} bytes to and {got} bytes from the backend or the gateway"),
    ));
    steps
}

fn filter(step: &FilterTold) -> (f64, String) {
    let (kind, verdict) = (Shown(&step.filter), Shown(&step.verdict));
    (
        step.at_ms,
        format!("filter {kind}: {verdict}, took {:.3} ms", step.took_ms),
    )
}

fn attempt(number: usize, step: &AttemptTold, steps: &mut Vec<(f64, String)>) {
    let endpoint = Shown(&step.endpoint);
    steps.push((step.at_ms, format!("attempt {number} at {endpoint}")));
    if let Some(at) = step.connected_ms {
        steps.push((
            at,
            format!("attempt {number}: a {} connection", Shown(&step.connection)),
        ));
    }
    if let Some(at) = step.first_byte_ms {
        let status = step
            .status
            .map_or_else(String::new, |status| format!(" {status}"));
        steps.push((at, format!("attempt {number}: the response's head{status}")));
    }
    let how = match (&step.fault, &step.detail) {
        (Some(fault), Some(detail)) => format!("failed, {}: {}", Shown(fault), Shown(detail)),
        (Some(fault), None) => format!("failed, {}", Shown(fault)),
        (None, _) => "complete".to_owned(),
    };
    steps.push((step.ended_ms, format!("attempt {number}: {how}")));
}

fn backend(sent: &SentTold, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(out, "\n  sent      {} {}", Shown(&sent.method), Shown(&sent.path))?;
    for (name, value) in &sent.own_fields {
        write!(out, "\n            {}: {}", Shown(name), Shown(value))?;
    }
    let others: Vec<String> = sent
        .fields
        .iter()
        .filter(|name| !sent.own_fields.contains_key(*name))
        .map(|name| Shown(name).to_string())
        .collect();
    match &*others {
        [] => Ok(()),
        others => write!(
            out,
            "\n            the client's fields, without values: {}",
            others.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_story_is_told_in_the_order_of_time_and_without_commands_to_the_terminal() {
        let told: Told = serde_json::from_value(json!({
            "matched": true,
            "listener": "external-https",
            "request": {
                "time_unix_ms": 1, "id": "7f", "client": "203.0.113.7", "peer": "10.0.0.3", "scheme": "https",
                "http_version": "2", "tls_version": "1.3", "method": "GET", "host": "shop.test", "path": "/\u{1b}[2J",
                "bytes": 0, "trace_id": "ab", "sampled": false, "amzn_trace_id": null,
            },
            "rule": { "ingress": "shop/web", "host": "shop.test", "path": "/", "service": "shop/web:80" },
            "phases": { "head_read_ms": 0.04, "decided_ms": 0.05, "ended_ms": 9.0 },
            "filters": [{ "filter": "rate_limit", "verdict": "passed", "at_ms": 0.06, "took_ms": 0.01 }],
            "attempts": [
                {
                    "endpoint": "10.1.0.1:80", "connection": "new", "at_ms": 0.1, "connected_ms": null, "first_byte_ms": null,
                    "ended_ms": 1.0, "status": null, "fault": "connect_failed", "detail": "nothing listens",
                },
                {
                    "endpoint": "10.1.0.2:80", "connection": "kept", "at_ms": 1.0, "connected_ms": 1.1, "first_byte_ms": 8.0,
                    "ended_ms": 9.0, "status": 200, "fault": null, "detail": null,
                },
            ],
            "sent": {
                "method": "GET", "path": "/", "fields": ["host", "cookie"], "own_fields": { "host": "shop.test" },
            },
            "answer": { "status": 200, "bytes": 5, "refusal": null, "detail": null },
        }))
        .unwrap();
        let expected = "\
GET https://shop.test/\\u{1b}[2J

external-https: 200
  client    203.0.113.7 through 10.0.0.3, HTTP/2, TLS 1.3
  request   7f, trace ab (not recorded)
  rule      shop/web shop.test/ -> shop/web:80
       0.040 ms  the head has been read
       0.050 ms  the rule has been found
       0.060 ms  filter rate_limit: passed, took 0.010 ms
       0.100 ms  attempt 1 at 10.1.0.1:80
       1.000 ms  attempt 1: failed, connect_failed: nothing listens
       1.000 ms  attempt 2 at 10.1.0.2:80
       1.100 ms  attempt 2: a kept connection
       8.000 ms  attempt 2: the response's head 200
       9.000 ms  attempt 2: complete
       9.000 ms  the end, after bodies of 0 bytes to and 5 bytes from the backend or the gateway
  sent      GET /
            host: shop.test
            the client's fields, without values: cookie";
        assert_eq!(ForPeople(&told).to_string(), expected);
    }

    #[test]
    fn what_is_told_is_one_of_three_things() {
        for told in [
            Told::under_way(),
            Told::lost(),
            Told::nothing(std::time::Duration::from_secs(2)),
        ] {
            let page = serde_json::to_value(&told).unwrap();
            assert_eq!(serde_json::from_value::<Told>(page).unwrap(), told);
        }
        let nothing = Told::nothing(std::time::Duration::from_secs(2));
        assert_eq!(
            ForPeople(&nothing).to_string(),
            "no request has matched within 2 s"
        );
    }
}
