//! The access log: one line per request, gathered per worker and written by a separate thread ([`LineQueue`]), so that a
//! blocked or full sink costs lines and never a request.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use route::{ListenerName, ObjectKey};
use text::Shown;
use wire::TraceId;

use crate::observe::labels::Reason;
use crate::observe::queue::LineQueue;
use crate::observe::{instant, json};

/// A worker passes its lines on when it has gathered this much, or at its next tick.
const BATCH: usize = 16 * 1024;

/// Which requests are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessPolicy {
    /// Every request.
    #[default]
    All,
    /// Status 500 and above, refusals, and what was cut.
    Errors,
    /// None.
    Off,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessFormat {
    /// One JSON object.
    Json,
    /// For people.
    Text,
}

/// The process's access log.
#[derive(Debug, Clone)]
pub struct AccessLog {
    policy: AccessPolicy,
    format: AccessFormat,
    /// `None` if no request is logged.
    queue: Option<LineQueue>,
}

/// The log entry of one request.
pub(crate) struct Event<'a> {
    pub(crate) client: IpAddr,
    pub(crate) method: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) path: &'a [u8],
    pub(crate) status: u16,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) duration: Duration,
    pub(crate) upstream: Option<SocketAddr>,
    pub(crate) ingress: Option<&'a str>,
    pub(crate) request_id: &'a [u8],
    pub(crate) refusal: Option<Reason>,
    /// What was wrong, as text.
    pub(crate) detail: Option<&'a str>,
    /// The door that knows the host, where this one does not.
    pub(crate) cross_door_owner: Option<&'a ListenerName>,
    /// The version of HTTP that the client speaks.
    pub(crate) protocol: Option<&'static str>,
    /// The version of TLS, where the door ends it.
    pub(crate) tls_version: Option<&'static str>,
    /// The server name of the TLS handshake.
    pub(crate) server_name: Option<&'a str>,
    /// The Service that it went to.
    pub(crate) service: Option<&'a ObjectKey>,
    /// The Pod at the address of `upstream`.
    pub(crate) pod: Option<&'a str>,
    /// Attempts at endpoints.
    pub(crate) attempts: u8,
    pub(crate) times: Times,
    pub(crate) trace: Option<TraceId>,
    /// What a load balancer of AWS calls it; empty if none has.
    pub(crate) amazon_trace: &'a [u8],
}

/// How long the phases of a request took; `None` for those that it did not have.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    /// In the filters of its route, what they wait for included.
    pub(crate) filters: Option<Duration>,
    /// Waiting for connections to endpoints, over all attempts, those that failed included.
    pub(crate) connect: Option<Duration>,
    /// From the beginning of the request to the complete head of the last final response of a backend.
    pub(crate) first_byte: Option<Duration>,
}

impl Times {
    /// Adds what `phase` has taken since `began`.
    pub(crate) fn add(phase: &mut Option<Duration>, began: Instant) {
        *phase = Some(phase.unwrap_or_default() + began.elapsed());
    }
}

/// One worker's lines.
pub(crate) struct Lines {
    log: AccessLog,
    listener: ListenerName,
    gathered: Vec<u8>,
}

impl AccessLog {
    /// A log of requests in `queue`.
    #[must_use]
    pub fn new(policy: AccessPolicy, format: AccessFormat, queue: LineQueue) -> Self {
        Self {
            policy,
            format,
            queue: (policy != AccessPolicy::Off).then_some(queue),
        }
    }

    /// A log of no request.
    #[must_use]
    pub fn off() -> Self {
        Self {
            policy: AccessPolicy::Off,
            format: AccessFormat::Json,
            queue: None,
        }
    }

    pub(crate) fn lines(&self, listener: ListenerName) -> Lines {
        Lines {
            log: self.clone(),
            listener,
            gathered: Vec::new(),
        }
    }
}

impl Lines {
    /// Whether any request is logged, so that the contents of a line must be kept.
    pub(crate) fn wants_any(&self) -> bool {
        self.log.policy != AccessPolicy::Off
    }

    /// Whether there are lines to pass on.
    pub(crate) fn is_empty(&self) -> bool {
        self.gathered.is_empty()
    }

    pub(crate) fn add(&mut self, event: &Event<'_>) {
        let wanted = match self.log.policy {
            AccessPolicy::All => true,
            AccessPolicy::Errors => event.status >= 500 || event.refusal.is_some(),
            AccessPolicy::Off => false,
        };
        if !wanted {
            return;
        }
        match self.log.format {
            AccessFormat::Json => self.json(event),
            AccessFormat::Text => self.text(event),
        }
        if self.gathered.len() >= BATCH {
            self.hand_over();
        }
    }

    /// Passes the gathered lines to the queue, which loses them if the sink is too far behind.
    pub(crate) fn hand_over(&mut self) {
        if let Some(queue) = self.log.queue.as_ref().filter(|_| !self.gathered.is_empty()) {
            queue.push(&self.gathered);
        }
        self.gathered.clear();
        self.gathered.shrink_to(2 * BATCH);
    }

    fn json(&mut self, event: &Event<'_>) {
        let out = &mut self.gathered;
        out.extend_from_slice(b"{\"time\":\"");
        instant::write(out, since_1970());
        out.extend_from_slice(b"\",\"listener\":\"");
        out.extend_from_slice(self.listener.as_str().as_bytes());
        print(
            out,
            format_args!("\",\"client\":\"{}\",\"method\":", event.client),
        );
        json::string(out, event.method);
        out.extend_from_slice(b",\"host\":");
        json::string(out, event.host);
        out.extend_from_slice(b",\"path\":");
        json::string(out, event.path);
        out.extend_from_slice(b",\"status\":");
        json::number(out, u64::from(event.status));
        out.extend_from_slice(b",\"bytes_in\":");
        json::number(out, event.bytes_in);
        out.extend_from_slice(b",\"bytes_out\":");
        json::number(out, event.bytes_out);
        out.extend_from_slice(b",\"duration_ms\":");
        json::millis(out, event.duration);
        out.extend_from_slice(b",\"upstream\":");
        match event.upstream {
            Some(address) => print(out, format_args!("\"{address}\"")),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"ingress\":");
        match event.ingress {
            Some(ingress) => json::string(out, ingress.as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"request_id\":");
        json::string(out, event.request_id);
        out.extend_from_slice(b",\"refusal\":");
        match event.refusal {
            Some(reason) => json::string(out, reason.label().as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
        further(out, event);
        out.extend_from_slice(b"}\n");
    }

    fn text(&mut self, event: &Event<'_>) {
        let out = &mut self.gathered;
        instant::write(out, since_1970());
        print(
            out,
            format_args!(
                " {:<14} {} {} {} {}{} {:.1}ms",
                self.listener,
                event.status,
                event.client,
                event.method.escape_ascii(),
                event.host.escape_ascii(),
                event.path.escape_ascii(),
                event.duration.as_secs_f64() * 1000.0
            ),
        );
        if let Some(address) = event.upstream {
            print(out, format_args!(" -> {address}"));
        }
        if let Some(pod) = event.pod {
            print(out, format_args!(" {}", Shown(pod)));
        }
        if event.attempts > 1 {
            print(out, format_args!(" ({} attempts)", event.attempts));
        }
        match (event.refusal, event.detail) {
            (Some(reason), Some(detail)) => {
                print(out, format_args!(" ({}: {})", reason.label(), Shown(detail)));
            }
            (Some(reason), None) => print(out, format_args!(" ({})", reason.label())),
            (None, _) => {}
        }
        if let Some(owner) = event.cross_door_owner {
            print(out, format_args!(" (a host of {owner})"));
        }
        out.push(b'\n');
    }
}

/// The fields that a line has only if they say something. Their names are those of OpenTelemetry's semantic conventions
/// where these have one.
fn further(out: &mut Vec<u8>, event: &Event<'_>) {
    let mut text = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            out.extend_from_slice(name.as_bytes());
            json::text(out, value);
        }
    };
    text(",\"detail\":", event.detail);
    text(
        ",\"cross_door_owner\":",
        event.cross_door_owner.map(ListenerName::as_str),
    );
    text(",\"network.protocol.version\":", event.protocol);
    text(",\"tls.protocol.version\":", event.tls_version);
    text(",\"tls.client.server_name\":", event.server_name);
    if let Some(service) = event.service {
        out.extend_from_slice(b",\"service\":\"");
        json::escaped(out, service.namespace().as_bytes());
        out.push(b'/');
        json::escaped(out, service.name().as_bytes());
        out.push(b'"');
    }
    if let Some(pod) = event.pod {
        out.extend_from_slice(b",\"k8s.pod.name\":");
        json::text(out, pod);
    }
    if event.attempts > 0 {
        out.extend_from_slice(b",\"attempts\":");
        json::number(out, u64::from(event.attempts));
    }
    let times = &event.times;
    for (name, time) in [
        (&b",\"filters_ms\":"[..], times.filters),
        (b",\"connect_ms\":", times.connect),
        (b",\"first_byte_ms\":", times.first_byte),
    ] {
        if let Some(time) = time {
            out.extend_from_slice(name);
            json::millis(out, time);
        }
    }
    if let Some(trace) = event.trace {
        out.extend_from_slice(b",\"trace_id\":\"");
        out.extend_from_slice(trace.as_str().as_bytes());
        out.push(b'"');
    }
    if !event.amazon_trace.is_empty() {
        out.extend_from_slice(b",\"amzn_trace_id\":");
        json::string(out, event.amazon_trace);
    }
}

/// What is left when a worker ends.
impl Drop for Lines {
    fn drop(&mut self) {
        self.hand_over();
    }
}

fn since_1970() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the log has the time of day")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

fn print(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _infallible = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every field that a line can have.
    fn whole() -> String {
        let service = ObjectKey::new("shop", "web");
        let owner = "internal-http".parse().unwrap();
        let time = Some(Duration::from_micros(1500));
        let event = Event {
            client: [192, 0, 2, 1].into(),
            method: b"GET",
            host: b"a.test",
            path: b"/",
            status: 502,
            bytes_in: 1,
            bytes_out: 2,
            duration: Duration::from_millis(3),
            upstream: Some(([10, 0, 0, 1], 80).into()),
            ingress: Some("shop/web"),
            request_id: b"id",
            refusal: Some(Reason::UpstreamReset),
            detail: Some("the backend reset the connection"),
            cross_door_owner: Some(&owner),
            protocol: Some("1.1"),
            tls_version: Some("1.3"),
            server_name: Some("a.test"),
            service: Some(&service),
            pod: Some("web-1"),
            attempts: 2,
            times: Times {
                filters: time,
                connect: time,
                first_byte: time,
            },
            trace: TraceId::of_traceparent(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            amazon_trace: b"Root=1-67891233-abcdef012345678912345678",
        };
        let mut lines = AccessLog::off().lines("external-http".parse().unwrap());
        lines.json(&event);
        String::from_utf8(std::mem::take(&mut lines.gathered)).unwrap()
    }

    #[test]
    fn a_line_is_one_object() {
        let line = whole();
        let (_, rest) = line.split_once("Z\",").unwrap();
        let expected = [
            r#""listener":"external-http","client":"192.0.2.1","method":"GET","host":"a.test","path":"/","status":502,"#,
            r#""bytes_in":1,"bytes_out":2,"duration_ms":3.000,"upstream":"10.0.0.1:80","ingress":"shop/web","#,
            r#""request_id":"id","refusal":"upstream_reset","detail":"the backend reset the connection","#,
            r#""cross_door_owner":"internal-http","#,
            r#""network.protocol.version":"1.1","tls.protocol.version":"1.3","tls.client.server_name":"a.test","#,
            r#""service":"shop/web","k8s.pod.name":"web-1","attempts":2,"filters_ms":1.500,"connect_ms":1.500,"#,
            r#""first_byte_ms":1.500,"trace_id":"0af7651916cd43dd8448eb211c80319c","#,
            r#""amzn_trace_id":"Root=1-67891233-abcdef012345678912345678"}"#,
            "\n",
        ];
        assert_eq!(rest, expected.concat());
    }

    /// The reference has a row for each field and for nothing else.
    #[test]
    fn every_field_is_documented() {
        let reference = include_str!("../../../../docs/reference-access-log.md");
        let rows = reference.lines().filter_map(|line| line.strip_prefix("| `"));
        let documented: BTreeSet<&str> = rows.filter_map(|row| row.split('`').next()).collect();
        let line = whole();
        // No value of this line has a colon behind a quotation mark.
        let keys = line.split("\":").filter_map(|part| part.rsplit('"').next());
        let emitted: BTreeSet<&str> = keys.filter(|key| !key.contains('}')).collect();
        assert_eq!(documented, emitted);
    }
}
