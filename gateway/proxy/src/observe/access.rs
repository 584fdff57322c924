//! The access log: one line per request, gathered per worker and written by a separate thread ([`LineQueue`]), so that a
//! blocked or full sink costs lines and never a request.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use route::ListenerName;

use crate::observe::labels::Reason;
use crate::observe::queue::LineQueue;

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
        timestamp(out);
        out.extend_from_slice(b"\",\"listener\":\"");
        out.extend_from_slice(self.listener.as_str().as_bytes());
        print(
            out,
            format_args!("\",\"client\":\"{}\",\"method\":", event.client),
        );
        string(out, event.method);
        out.extend_from_slice(b",\"host\":");
        string(out, event.host);
        out.extend_from_slice(b",\"path\":");
        string(out, event.path);
        print(
            out,
            format_args!(
                ",\"status\":{},\"bytes_in\":{},\"bytes_out\":{},\"duration_ms\":{:.3},\"upstream\":",
                event.status,
                event.bytes_in,
                event.bytes_out,
                event.duration.as_secs_f64() * 1000.0
            ),
        );
        match event.upstream {
            Some(address) => print(out, format_args!("\"{address}\"")),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"ingress\":");
        match event.ingress {
            Some(ingress) => string(out, ingress.as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"request_id\":");
        string(out, event.request_id);
        out.extend_from_slice(b",\"refusal\":");
        match event.refusal {
            Some(reason) => string(out, reason.label().as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
        if let Some(detail) = event.detail {
            out.extend_from_slice(b",\"detail\":");
            string(out, detail.as_bytes());
        }
        if let Some(owner) = event.cross_door_owner {
            out.extend_from_slice(b",\"cross_door_owner\":");
            string(out, owner.as_str().as_bytes());
        }
        out.extend_from_slice(b"}\n");
    }

    fn text(&mut self, event: &Event<'_>) {
        let out = &mut self.gathered;
        timestamp(out);
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
        match (event.refusal, event.detail) {
            (Some(reason), Some(detail)) => {
                print(
                    out,
                    format_args!(" ({}: {})", reason.label(), detail.escape_debug()),
                );
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

/// What is left when a worker ends.
impl Drop for Lines {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// Now, as RFC 3339 in UTC with milliseconds.
fn timestamp(out: &mut Vec<u8>) {
    #[expect(clippy::disallowed_methods, reason = "the log has the time of day")]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    print(
        out,
        format_args!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            second / 3600,
            second / 60 % 60,
            second % 60,
            since.subsec_millis()
        ),
    );
}

/// The date of a day since 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

fn print(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Writing to a Vec cannot fail.
    let _infallible = out.write_fmt(arguments);
}

/// A JSON string. Bytes that are not printable ASCII are escaped, so that hostile bytes cannot break a line.
fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            0x20..=0x7e => out.push(*byte),
            _ => print(out, format_args!("\\u{:04x}", byte)),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_becomes_its_date() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_781), (2026, 11, 24));
    }

    #[test]
    fn hostile_bytes_cannot_leave_their_json_string() {
        let mut out = Vec::new();
        string(&mut out, b"a\"b\\c\n\xff");
        assert_eq!(out, br#""a\"b\\c\u000a\u00ff""#);
    }
}
