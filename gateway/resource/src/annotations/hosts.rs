//! Host names: those of an Ingress beside its rules, and the one that a backend sees.

use std::collections::BTreeMap;

use filter::upstream_host::UpstreamHost;
use route::HostPattern;

use super::parsed::Annotations;
use super::row::{Setting, Stake, Subject, honoured};
use super::value::{Form, NAMES, Written, field};
use crate::filter_spec::FilterSpec;
use crate::problem::Severity;
use crate::reporter::Reporter;

pub(super) const SUBJECT: Subject = Subject {
    title: "Host names",
    ingress: &[
        honoured(
            "blastdoor.dev/host",
            "the backend sees this `Host`; `X-Forwarded-Host` is still the client's. It may have variables",
            UPSTREAM_HOST,
        ),
        honoured(
            "nginx.ingress.kubernetes.io/server-alias",
            "further hosts for the rules of the Ingress, within `hosts` of the door. A host that a rule of the door names is \
             not taken; of several aliases the oldest Ingress has it. Regular expressions (`~`) are refused",
            &Setting {
                value: &NAMES,
                default: "none",
                stake: Stake::Convenience,
                put: aliases,
            },
        )
        .differs("for the rules of its own Ingress, not for all of the host; no regular expressions")
        .example("b.example.com, *.c.example.com"),
        honoured(
            "nginx.ingress.kubernetes.io/upstream-vhost",
            "as `host`",
            UPSTREAM_HOST,
        )
        .example("internal.example.com"),
    ],
    service: &[],
    review: Some(review),
};

const UPSTREAM_HOST: &Setting<Annotations, UpstreamHost> = &Setting {
    value: &HOST,
    default: "the client's",
    stake: Stake::Reliance,
    put: |parsed, host, written| {
        parsed
            .filters
            .push(written.filter(FilterSpec::UpstreamHost(host)));
    },
};

const HOST: Form<UpstreamHost> = Form {
    name: "a host, with variables",
    parse: |written| UpstreamHost::parse(written.value),
};

fn aliases(parsed: &mut Annotations, names: Vec<Box<str>>, written: &mut Written<'_, '_>) {
    for name in names {
        match HostPattern::parse(&name) {
            Ok(HostPattern::Any) => {}
            Ok(host) => parsed.aliases.push(host),
            Err(_) if name.starts_with('~') => written.report(
                Severity::Error,
                format!(
                    "`{name}` is a regular expression, which no host is here; name each host; it is ignored"
                ),
            ),
            Err(error) => written.report(Severity::Error, format!("{error}; it is ignored")),
        }
    }
}

pub(super) const SERVER_ALIAS: &str = "nginx.ingress.kubernetes.io/server-alias";

/// Which names pass through is for the rules alone to say.
fn review(parsed: &mut Annotations, _raw: &BTreeMap<String, String>, report: &mut Reporter<'_>) {
    if parsed.ssl_passthrough && !parsed.aliases.is_empty() {
        let message = "it has no effect beside `ssl-passthrough`; name the hosts in `spec.rules`";
        report.warning(&field(SERVER_ALIAS), message);
        parsed.aliases.clear();
    }
}
