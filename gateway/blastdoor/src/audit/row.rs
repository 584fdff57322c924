//! One line of an audit.

use std::fmt;

use route::HostPattern;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use text::Shown;

/// What is reachable where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Audit {
    /// Sorted.
    pub(crate) routes: Vec<AuditRow>,
}

/// One place of one door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditRow {
    /// The door.
    pub(crate) listener: String,
    /// As the rule writes it; `*` without a host.
    pub(crate) host: String,
    /// As the rule writes it; `/` for what answers where no path matches.
    pub(crate) path: String,
    /// `Exact`, `Prefix` or `ImplementationSpecific` as the rule writes it, `Default` for what answers where no path matches,
    /// `Passthrough` for connections whose TLS is passed through.
    pub(crate) path_type: String,
    /// `namespace/name`; `None` where another process knows it.
    pub(crate) ingress: Option<String>,
    /// `namespace/name`; `None` where none is named.
    pub(crate) service: Option<String>,
    /// The number of the Service's port; its name, where the Service has no such port.
    pub(crate) port: Option<Value>,
    /// What requests get there.
    pub(crate) state: State,
    /// It takes a part of the requests of another row.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) canary: bool,
}

/// What requests get at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// They go to an endpoint.
    Ready,
    /// No endpoint takes requests: 503.
    NoEndpoints,
    /// The rule is closed: 503.
    Blocked,
    /// They are redirected.
    Redirect,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl AuditRow {
    /// What tells it from other rows, whatever answers there.
    pub(super) fn place(&self) -> (&str, &str, &str, &str, bool) {
        (
            &self.listener,
            &self.host,
            &self.path,
            &self.path_type,
            self.canary,
        )
    }

    fn order(&self) -> impl Ord + use<'_> {
        (self.place(), &self.ingress, &self.service)
    }
}

impl Ord for AuditRow {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for AuditRow {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The host of a rule, for reports.
pub(crate) fn host_text(host: &HostPattern) -> String {
    match host {
        HostPattern::Any => "*".to_owned(),
        HostPattern::Exact(_) | HostPattern::Wildcard(_) => host.to_string(),
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Ready => "ready",
            Self::NoEndpoints => "no-endpoints",
            Self::Blocked => "blocked",
            Self::Redirect => "redirect",
        })
    }
}

impl AuditRow {
    /// What answers there, in one line.
    pub(super) fn target(&self) -> String {
        let ingress = self.ingress.as_deref().unwrap_or("(of another process)");
        let canary = if self.canary { " (canary)" } else { "" };
        let service = match (&self.service, self.port_text()) {
            (None, _) => String::new(),
            (Some(service), None) => format!(" -> {service}"),
            (Some(service), Some(port)) => format!(" -> {service}:{port}"),
        };
        format!("{}{canary}{} {}", Shown(ingress), Shown(&service), self.state)
    }

    /// The port as text.
    pub(crate) fn port_text(&self) -> Option<String> {
        let port = self.port.as_ref()?;
        Some(port.as_str().map_or_else(|| port.to_string(), str::to_owned))
    }
}

/// As in a list of changes: `external-https  shop.test/cart (Prefix)`.
pub(super) struct PlaceText<'r>(pub(super) &'r AuditRow);

impl fmt::Display for PlaceText<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.0;
        write!(
            out,
            "{}  {}{} ({})",
            Shown(&row.listener),
            Shown(&row.host),
            Shown(&row.path),
            Shown(&row.path_type)
        )
    }
}
