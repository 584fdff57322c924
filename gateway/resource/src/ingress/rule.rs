//! One rule of an Ingress: a host and its paths.

use k8s_openapi::api::networking::v1::IngressRule as RawRule;
use route::{HostPattern, HostPatternError, ObjectKey};

use super::backend::InvalidBackend;
use super::path::IngressPath;
use crate::annotations::PathReading;
use crate::reporter::Reporter;

/// `spec.rules[]` of an Ingress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngressRule {
    /// `host`; absent or empty is [`HostPattern::Any`]. A host that is written with a port is kept without it, and
    /// none of its paths has a backend.
    pub host: Result<HostPattern, InvalidHost>,
    /// `http.paths`, in order and with every position filled. When the list itself cannot be read, one
    /// unreadable path stands for it.
    pub paths: Box<[IngressPath]>,
}

/// Why the host of a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    /// It is not a host pattern.
    #[error("{0}; the rule is closed")]
    Pattern(HostPatternError),
    /// It is not even text; the problem is reported where the object is read.
    #[error("the host cannot be read; the rule serves nothing")]
    Unreadable,
}

impl IngressRule {
    pub(super) fn read(
        raw: RawRule,
        ingress: &ObjectKey,
        reading: PathReading,
        index: usize,
        report: &mut Reporter<'_>,
    ) -> Self {
        let field = format!("spec.rules[{index}]");
        let host_field = format!("{field}.host");
        let host = if report.is_unreadable(&field) || report.is_unreadable(&host_field) {
            Err(InvalidHost::Unreadable)
        } else {
            HostPattern::parse(raw.host.as_deref().unwrap_or_default()).map_err(InvalidHost::Pattern)
        };
        if let Err(invalid) = &host {
            report.error(&host_field, invalid.to_string());
        }
        let paths_field = format!("{field}.http.paths");
        let unreadable = [&field, &format!("{field}.http"), &paths_field]
            .iter()
            .any(|it| report.is_unreadable(it));
        let paths = if unreadable {
            [IngressPath::unreadable()].into()
        } else {
            let raw_paths = raw.http.map(|http| http.paths).unwrap_or_default();
            let fields = (0..).map(|index| format!("{paths_field}[{index}]"));
            raw_paths
                .into_iter()
                .zip(fields)
                .map(|(raw, field)| IngressPath::read(raw, ingress, reading, &field, report))
                .collect()
        };
        match host.as_ref().err().and_then(InvalidHost::without_port) {
            Some(meant) => Self {
                host: Ok(meant),
                paths,
            }
            .closed(),
            None => Self { host, paths },
        }
    }

    /// The same places without a backend.
    fn closed(mut self) -> Self {
        for path in &mut self.paths {
            path.backend = Err(InvalidBackend::Host);
        }
        self
    }
}

impl InvalidHost {
    /// The host beside a port, which a host must not have: it is known well enough to be closed.
    fn without_port(&self) -> Option<HostPattern> {
        let Self::Pattern(HostPatternError::Port(written)) = self else {
            return None;
        };
        let (host, _) = written.rsplit_once(':')?;
        HostPattern::parse(host)
            .ok()
            .filter(|host| *host != HostPattern::Any)
    }
}
